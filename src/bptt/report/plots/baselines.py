"""The picture of counting models: their perplexities as bars.

Knows measured figures and axes; must not know how they were measured.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from bptt.report.plots.diagnosis import BLUE, ORANGE, head
from bptt.report.plots.picture import INK, QUIET, picture
from bptt.report.words import significant


def draw_baselines(found: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Perplexity on the held-out part, one bar per model on a logarithmic axis, and a tick for the counted part.

    Arguments: found, as `bptt baseline --json` gives it; path, ending in .svg or .png.
    """
    rows = found["models"]
    with picture(path, 7, 1.3 + 0.42 * len(rows)) as figure:
        axes = figure.subplots()
        guess = found["vocabulary"]
        longest = max([guess, *(row["perplexity"] for row in rows if math.isfinite(row["perplexity"]))])
        for place, row in enumerate(rows):
            value = min(row["perplexity"], 3 * longest)
            colour, endless = ORANGE if row["kind"] == "run" else BLUE, not math.isfinite(row["perplexity"])
            axes.barh(place, value, 0.62, color=colour, alpha=0.3 if endless else 1)
            shown = "∞" if endless else significant(row["perplexity"])
            own = row.get("train_perplexity", 0.0)
            beyond = max(value, own if math.isfinite(own) else 0.0)
            axes.annotate(shown, (beyond, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9)
            if math.isfinite(row.get("train_perplexity", math.inf)):
                axes.plot([row["train_perplexity"]] * 2, [place - 0.31, place + 0.31], color=INK, linewidth=1.6)
        axes.axvline(guess, color=QUIET, linewidth=0.8, linestyle=(0, (3, 3)))
        axes.annotate("1 in V", (guess, len(rows) - 0.45), xytext=(-4, 0), textcoords="offset points", ha="right", fontsize=8)
        axes.set_xscale("log")
        axes.set(xlim=(1, 4 * longest), ylim=(len(rows) - 0.4, -0.6))
        axes.set_yticks(range(len(rows)), [row["model"] for row in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        head(axes, "Perplexity of the held-out part", "lower is better; upright line: on the text that was counted")

"""The picture of a counted text: Zipf's law on logarithmic axes, and what smoothing makes of the tail.

Knows statistics and axes; must not know how they were counted.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from bptt.counting import Statistics
from bptt.counting.tail import CLASSES
from bptt.report.plots.diagnosis import head
from bptt.report.plots.picture import INK, QUIET, picture

COLOURS = ("#2b6ca3", "#d9682b", "#3c8d5a", "#7a4bc2", "#a0700a", "#5b6672")
NAMES = {1: "tokens", 2: "pairs", 3: "triples"}


def draw_statistics(found: Statistics, path: str | os.PathLike[str]) -> None:
    """Counts by rank with the fitted laws and, where a part of the text was held out, shares of rare n-grams in it.

    Arguments: found, from `bptt.counting.statistics`; path, ending in .svg or .png.
    """
    tails = found.tails[:3]
    with picture(path, 9 if tails else 6, 4.6) as figure:
        if not tails:
            draw_zipf(figure.subplots(), found)
            return
        parts: Any = figure.subfigures(1, 2, width_ratios=(1.35, 1))
        left, right = parts
        draw_zipf(left.subplots(), found)
        for axes, held in zip(np.atleast_1d(right.subplots(len(tails), 1)), tails, strict=True):
            draw_tail(axes, held, last=held is tails[-1])


def draw_zipf(axes: Any, found: Statistics) -> None:
    """n_i over i, both logarithmic, and the fitted lines over the ranks that they were fitted to."""
    for row in found.orders:
        colour, law = COLOURS[(row.order - 1) % len(COLOURS)], row.zipf
        ranks, counts = np.array(row.curve).T
        exponent = "" if law is None else f", α = {law.exponent:.2f}"
        label = f"{NAMES.get(row.order, f'{row.order}-grams')}{exponent}"
        axes.loglog(ranks, counts, color=colour, linewidth=1.8, label=label, marker="." if len(ranks) < 30 else None)
        if law is not None:
            ends = np.array([law.first, law.last])
            axes.loglog(ends, law.at(ends), color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set(xlabel="rank i", ylabel="count $n_i$")
    axes.legend(frameon=False, fontsize=8.5, loc="upper right")
    head(axes, "Zipf's law", r"$n_i ∝ i^{-α}$; dashed: fitted, over the ranks that it was fitted to")


def draw_tail(axes: Any, held: Any, last: bool) -> None:
    """Bars for each class of n-grams: how many there are, and how many each smoothing expects."""
    groups = {"the text itself": held.actual, **held.predicted}
    width, places = 0.8 / len(groups), np.arange(len(CLASSES))
    for index, (name, shares) in enumerate(groups.items()):
        colour = INK if not index else COLOURS[(index - 1) % len(COLOURS)]
        axes.bar(places + (index - (len(groups) - 1) / 2) * width, 100 * np.array(shares), width, color=colour, label=name)
    axes.set_xticks(places, CLASSES if last else [""] * len(CLASSES))
    axes.tick_params(axis="x", length=0, labelsize=7)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    title = f"{NAMES.get(held.order, f'{held.order}-grams').capitalize()} of the last tenth"
    if held.order == 1:
        axes.legend(frameon=False, fontsize=7.5, loc="upper left", ncols=2)
        head(axes, title, "seen before; and as expected by smoothed counts")
    else:
        axes.set_title(title, loc="left", fontsize=9.5, fontweight="bold")
    if last:
        axes.set_xlabel("seen before", color=QUIET, fontsize=8)

"""Pictures of credits: the map of weights by loss and lag, and a text as different strategies cut it.

Knows measured credits and axes; must not know how they were measured.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bptt.diagnostics.credit_map import CreditMap
from bptt.diagnostics.cuts import Cuts, width
from bptt.report.plots.picture import INK, LINE, QUIET, families, picture

if TYPE_CHECKING:
    from matplotlib.colors import Colormap, TwoSlopeNorm
    from matplotlib.figure import Figure

# Light to dark blue up to the exact weight 1, then to orange: lightness and hue both tell, also to those who see few colours.
BELOW, ABOVE = ("#dbe8f3", "#7fb0d6", "#2b6ca3", "#17456f"), ("#17456f", "#7d4a57", "#d9682b", "#f9b45c")
NEGATIVE, CUT, TINTS = "#cc79a7", "#d9482b", ("#eef3f8", "#f8f1e6")
PER_LINE = 72  # characters
HEAD, BARS, BAND, GAP, FOOT = 3.9, 2.6, 1.7, 1.1, 2.0  # heights of the parts of a row, in widths of a character
VECTORS = 96  # steps: larger maps are pixels, also inside an SVG


def draw_credit(maps: Sequence[CreditMap], path: str | os.PathLike[str]) -> None:
    """Credit maps side by side on one scale, with the mean weight of each lag below.

    Arguments: maps; path, ending in .svg or .png. A weight of exactly 0 is blank.
    """
    known = torch.cat([credits.weights[~credits.weights.isnan()] for credits in maps])
    colours, norm = scale(known)
    graded = not set(known.unique().tolist()) <= {0.0, 1.0}
    sentences = [textwrap.wrap(re.sub(r" (?=\d)", "\u00a0", credits.summary()), 54) for credits in maps]
    lines = max(map(len, sentences))
    with picture(path, 3.5 * len(maps) + 0.6 * graded, 5.3) as figure:
        axes = figure.subplots(2, len(maps), squeeze=False, height_ratios=[4, 1], sharex="col", sharey="row")
        for column, (credits, sentence) in enumerate(zip(maps, sentences, strict=True)):
            mesh = draw_map(axes[0, column], credits, colours, norm)
            head(axes[0, column], credits.title, "\n".join([*sentence, *["\u00a0"] * (lines - len(sentence))]))
            draw_means(axes[1, column], credits)
        axes[0, 0].set(ylabel="loss t", ylim=(max(credits.steps for credits in maps) - 0.5, -0.5))
        axes[1, 0].set(ylabel="mean weight", ylim=(0, highest(maps)))
        if graded:
            draw_scale(figure, mesh, axes[0].tolist(), float(known.min()), float(known.max()))


def highest(maps: Sequence[CreditMap]) -> float:
    """Where the axis of the mean weights ends: it holds the means, and their errors up to a weight of 2."""
    found = 1.0
    for mean, error in (credits.by_lag() for credits in maps):
        found = max(found, float(mean.max()), min(2.0, float((mean + 2 * error.nan_to_num()).max())))
    return 1.15 * found


def draw_scale(figure: Figure, mesh: Any, axes: list[Any], least: float, most: float) -> None:
    """The colours of the weights beside the maps, with arrows where weights lie beyond them."""
    beyond = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    extend = beyond[least < 0, most > mesh.norm.vmax]
    bar = figure.colorbar(mesh, ax=axes, extend=extend, aspect=30, pad=0.02, label="weight (1: as in the exact gradient)")
    bar.outline.set_visible(False)
    bar.ax.axhline(1, color="white", linewidth=1)


def scale(known: Tensor) -> tuple[Colormap, TwoSlopeNorm]:
    """One scale for all these weights: 1 in the middle, its upper end where few weights lie beyond."""
    from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm

    top = max(2.0, math.ceil(2 * float(known.quantile(0.995))) / 2)
    places = [0, 0.17, 0.34, 0.5, 0.5001, 0.67, 0.83, 1]
    colours = LinearSegmentedColormap.from_list("credit", list(zip(places, BELOW + ABOVE, strict=True)))
    return colours.with_extremes(under=NEGATIVE), TwoSlopeNorm(1.0, 0.0, top)


def draw_map(axes: Any, credits: CreditMap, colours: Colormap, norm: TwoSlopeNorm) -> Any:
    """The weights of one strategy: loss downwards, lag to the right, hatched where there is no such lag."""
    from matplotlib.collections import PolyCollection

    steps = credits.steps
    axes.fill(*absent(steps), facecolor="#f4f5f7", edgecolor=LINE, hatch="////", linewidth=0)
    bars = runs(credits.weights)
    corners = [[(x - 0.5, y - 0.5) for x, y in ((a, t), (b, t), (b, t + 1), (a, t + 1))] for t, a, b, _ in bars]
    mesh = PolyCollection(
        corners,
        array=[weight for *_, weight in bars],
        cmap=colours,
        norm=norm,
        linewidth=0.3,
        edgecolor="face",
        rasterized=steps > VECTORS,
    )
    axes.add_collection(mesh)
    axes.text(0.96, 0.96, "before the\nfirst step", transform=axes.transAxes, ha="right", va="top", fontsize=7.5, color=QUIET)
    axes.set(xlim=(-0.5, steps - 0.5))
    axes.yaxis.get_major_locator().set_params(integer=True)
    return mesh


def runs(weights: Tensor) -> list[tuple[int, int, int, float]]:
    """Neighbouring lags of a loss that have one weight, as (loss, first lag, lag after the last, weight), without the zeros."""
    found = []
    for t, row in enumerate(weights.tolist()):
        at = 0
        for weight, same in itertools.groupby(row[: t + 1]):
            start, at = at, at + len(list(same))
            found += [(t, start, at, weight)] if weight else []
    return found


def absent(steps: int) -> tuple[list[float], list[float]]:
    """The outline of what lies above the diagonal, stair by stair."""
    stairs = [(lag - 0.5, at - 0.5) for lag in range(1, steps) for at in (lag - 1, lag)]
    corner = [(steps - 0.5, steps - 1.5), (steps - 0.5, -0.5)]
    x, y = zip(*stairs, *corner, strict=True)
    return list(x), list(y)


def head(axes: Any, name: str, sentence: str) -> None:
    """The strategy in bold, and below it what one sees."""
    said = axes.set_title(sentence, loc="left", fontsize=8, color=QUIET, linespacing=1.35)
    axes.annotate(name, (0, 1), xycoords=said, xytext=(0, 5), textcoords="offset points", fontweight="bold", fontsize=9.5)


def draw_means(axes: Any, credits: CreditMap) -> None:
    """The mean weight of each lag, with two standard errors on each side, beside the weight 1 of the exact gradient."""
    mean, error = (values.nan_to_num().numpy() for values in credits.by_lag())
    edges = [lag - 0.5 for lag in range(credits.steps + 1)]
    axes.axhline(1, color=QUIET, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.stairs(mean, edges, fill=True, color="#7fb0d6")
    axes.stairs(mean + 2 * error, edges, baseline=mean - 2 * error, fill=True, color=INK, alpha=0.18, linewidth=0)
    axes.stairs(mean, edges, color="#17456f", linewidth=1.2, baseline=None)
    axes.set_xlabel("lag k   (band: ± 2 standard errors)" if error.any() else "lag k")
    axes.yaxis.get_major_locator().set_params(nbins=3)
    axes.xaxis.get_major_locator().set_params(integer=True)


def draw_cuts(text: str, rows: Sequence[Cuts], path: str | os.PathLike[str]) -> None:
    """A text, one step per character, as strategies cut it, one below the other.

    Arguments: text; rows, one for each strategy, of as many steps as the text has characters; path, ending in .svg or .png.
    """
    unit = 0.19 if width(text) > len(text) else 0.125
    across = min(len(text), PER_LINE)
    highest = max(1.0, *(max(row.highest) for row in rows))
    # Lengths below are in widths of a character; a row is as tall as its largest weight asks for.
    bars = [max(0.35, BARS * max(row.highest) / highest) for row in rows]
    lines = math.ceil(len(text) / PER_LINE)
    heights = [HEAD + lines * (bar + BAND + GAP) for bar in bars]
    wide, tall = max(across + 6, 7 / unit), sum(heights) + FOOT
    with picture(path, unit * wide, unit * tall, layout=None) as figure:
        axes = figure.add_axes((0, 0, 1, 1), xlim=(-3, wide - 3), ylim=(tall, 0))
        axes.axis("off")
        for row, bar, top in zip(rows, bars, itertools.accumulate(heights, initial=0.0), strict=False):
            axes.text(0, top + 1.7, row.strategy, fontweight="bold", fontsize=9.5)
            axes.text(0, top + 3.0, row.summary(), fontsize=8, color=QUIET)
            for line in range(lines):
                steps = range(len(text))[line * PER_LINE :][:PER_LINE]
                draw_line(axes, text, row, steps, top + HEAD + line * (bar + BAND + GAP), bar, bar / (max(row.highest) or 1.0))
        legend = "Bars: the largest weight with which a loss reaches this character.   Red: no gradient passes."
        legend += "   Dotted: some losses end here." if any("┊" in row.marks for row in rows) else ""
        axes.text(0, tall - 0.9, legend, fontsize=7.5, color=QUIET)


def draw_line(axes: Any, text: str, row: Cuts, steps: range, top: float, bar: float, unit: float) -> None:
    """One line of the text: a bar over each character, `unit` tall for the weight 1, a line where the gradient is cut."""
    base, bottom = top + bar, top + bar + BAND
    letters = ["DejaVu Sans Mono", *families()]
    at, stretch = [step - steps.start for step in steps], stretch_of(row, len(text))
    axes.bar(at, [BAND] * len(at), 1.0, base, align="edge", color=[TINTS[stretch[step] % 2] for step in steps])
    heights = [max(0.12, unit * row.highest[step]) if row.highest[step] else 0.0 for step in steps]
    axes.bar(at, [-height for height in heights], 0.8, base, align="edge", color=BELOW[2])
    for x, step in zip(at, steps, strict=True):
        axes.text(x + 0.5, base + BAND / 2, text[step], family=letters, ha="center", va="center", fontsize=10)
        mark = row.marks[step - 1] if step else " "
        if mark != " ":
            look = {"color": CUT, "linewidth": 1.6} if mark == "│" else {"color": QUIET, "linewidth": 0.7, "linestyle": ":"}
            axes.plot([x, x], [top - 0.1, bottom + 0.2], **look)


def stretch_of(row: Cuts, steps: int) -> list[int]:
    """The number of the stretch that each step lies in."""
    starts = set(row.at)
    found, number = [], 0
    for step in range(steps):
        number += step in starts
        found.append(number)
    return found

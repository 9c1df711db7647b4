"""The picture of a diagnosis: gradient by lag, truncation error, products of Jacobians, Lyapunov exponents.

Knows a diagnosis and axes; must not know how it was measured.
"""

from __future__ import annotations

import math
import os
from typing import Any

from bptt.diagnostics import Diagnosis
from bptt.report.plots.picture import INK, QUIET, picture

BLUE, ORANGE, GREY = "#2b6ca3", "#d9682b", "#8a949e"
LOWEST, LEAST = 1e-4, 1e-16  # relative errors, and sizes relative to the largest, below which nothing is drawn


def draw_diagnosis(found: Diagnosis, path: str | os.PathLike[str]) -> None:
    """Four views of how the gradient of a model travels back, with the verdict above.

    Arguments: found, from `bptt.diagnose`; path, ending in .svg or .png.
    """
    with picture(path, 9, 6.4) as figure:
        axes = figure.subplots(2, 2)
        figure.suptitle(found.words()[0], x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
        draw_sizes(axes[0, 0], found)
        draw_errors(axes[0, 1], found)
        draw_products(axes[1, 0], found)
        draw_exponents(axes[1, 1], found)


def head(axes: Any, title: str, about: str) -> None:
    """What a view shows, and how to read it."""
    said = axes.set_title(about, loc="left", fontsize=8, color=QUIET)
    axes.annotate(title, (0, 1), xycoords=said, xytext=(0, 4), textcoords="offset points", fontweight="bold", fontsize=9.5)


def draw_sizes(axes: Any, found: Diagnosis) -> None:
    """‖∂l_t/∂h_{t−k}‖ over k."""
    sizes = found.lags.sizes[: found.lags.seen].clamp_min(1e-300)
    axes.semilogy(range(1, len(sizes) + 1), sizes.tolist(), color=BLUE, linewidth=1.8)
    axes.set_ylim(max(float(sizes.min()), float(sizes.max()) * LEAST) / 2, float(sizes.max()) * 2)
    axes.set(xlabel="lag k", xlim=(0, len(sizes)))
    head(axes, "Gradient by lag", r"mean of $‖∂l_t/∂h_{t-k}‖$: what a loss sends k steps back")


def draw_errors(axes: Any, found: Diagnosis) -> None:
    """Relative error over K, for K terms of each loss and for stretches of K steps."""
    terms, errors = found.lags.terms, found.lags.errors
    axes.loglog(terms, errors.clamp_min(LOWEST / 10), color=BLUE, linewidth=1.8, label="K terms of each loss")
    if found.stretches:
        lengths, off = zip(*found.stretches.items(), strict=True)
        axes.loglog(lengths, off, color=ORANGE, linewidth=1.4, marker="o", markersize=3.5, label="stretches of K steps")
    for level, name, k in ((0.1, "K90", found.k90), (0.01, "K99", found.k99)):
        axes.axhline(level, color=GREY, linewidth=0.7, linestyle=(0, (3, 3)))
        place = {"xytext": (3, -2), "textcoords": "offset points", "va": "top", "fontsize": 7.5, "color": QUIET}
        axes.annotate(f"{name} = {k}", (1, level), bbox={"facecolor": "white", "edgecolor": "none", "pad": 1}, **place)
    if found.strategy is not None and found.own is not None and not found.strategy.random and found.own.total.bias > LOWEST:
        axes.axhline(found.own.total.bias, color=INK, linewidth=1)
        right = (float(terms[-1]), found.own.total.bias)
        axes.annotate(found.spell(found.strategy), right, xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8)
    axes.set(xlabel="K", ylim=(LOWEST, max(1.5, 1.2 * float(errors.max()))), xlim=(1, float(terms[-1])))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    head(axes, "Off the exact gradient", r"$‖g - g_K‖ / ‖g‖$, both axes logarithmic")


def draw_products(axes: Any, found: Diagnosis) -> None:
    """The largest singular values of products of k Jacobians."""
    spans, values = found.jacobians.spans, found.jacobians.mean_singular()
    for place, (colour, name) in enumerate(((BLUE, "largest"), ("#7fb0d6", "second"), ("#c3daec", "third"))):
        if place < values.shape[1] and len(spans):
            axes.loglog(spans, values[:, place].clamp_min(1e-300), color=colour, marker="o", markersize=3.5, label=name)
    axes.axhline(1, color=GREY, linewidth=0.7, linestyle=(0, (3, 3)))
    if len(spans):
        axes.set_ylim(max(float(values[:, 0].min()) / 30, 1e-16), max(2.0, 2 * float(values.max())))
        axes.legend(frameon=False, fontsize=8, loc="lower left", title="singular value", title_fontsize=8)
    axes.set_xlabel("k")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    head(axes, "Products of Jacobians", r"$D_t … D_{t-k+1}$: above 1 some direction grows over k steps")


def draw_exponents(axes: Any, found: Diagnosis) -> None:
    """The leading Lyapunov exponents."""
    rates = found.exponents.tolist()
    known = [rate for rate in rates if math.isfinite(rate)]
    below = 1.25 * min([0.0, *known]) or -1.0  # where a direction that is lost ends, with a word that it goes on
    ends = [rate if math.isfinite(rate) else below for rate in rates]
    axes.bar(range(1, len(rates) + 1), ends, color=[ORANGE if rate > 0 else BLUE for rate in rates])
    for place, rate in enumerate(rates, 1):
        if not math.isfinite(rate):
            axes.text(place, below, "−∞", ha="center", va="bottom", fontsize=8, color="white")
    axes.axhline(0, color=GREY, linewidth=0.7)
    axes.set(xlabel="i", ylabel=r"$λ_i$ per step", xlim=(0.4, len(rates) + 0.6))
    axes.xaxis.get_major_locator().set_params(integer=True)
    head(axes, "Lyapunov exponents", rf"$ρ = exp(λ_1)$ = {found.growth:.3g} per step; below 0 perturbations die out")

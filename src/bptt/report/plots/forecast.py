"""The pictures of a forecast, as SVG and PNG files: what comes, k steps ahead, error by step, the backtest.

Knows the record of a forecast and axes; must not know how it was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bptt.report.plots.picture import INK, QUIET, picture

PAST, SAID, CYCLE = "#8a949e", "#d9682b", ("#2b6ca3", "#3f9b78", "#a0700a", "#d9682b", "#7a4bc2", "#1c2733")
KINDS = (".svg", ".png")


def draw_forecast(found: Mapping[str, Any], folder: Path) -> list[Path]:
    """Every picture there is something for, in both formats; their paths.

    Arguments: found, as `bptt.forecasting.record.record` gives it; folder, which exists.
    """
    drawings = {"forecast": coming, "backtest": backtest, "error-by-step": by_step}
    if found["curves"]:
        drawings |= {"k-steps-ahead": k_steps, "error-over-k": growth}
    paths = []
    for name, draw in drawings.items():
        rows = 1 if draw in (by_step, growth) else len(found["series"]["targets"][:6])
        with picture(folder / f"{name}.svg", 9, 3.4 * rows + 0.4, also=(".png",)) as figure:
            draw(figure, found)
        paths += [folder / f"{name}{kind}" for kind in KINDS]
    return paths


def coming(figure: Any, found: Mapping[str, Any]) -> None:
    """The end of the series, the forecast, its intervals."""
    said, past = found["forecast"], found["history"]
    for i, (axes, name) in enumerate(panels(figure, found, "Forecast")):
        horizon = len(said["mean"][i])
        seen = np.array(past["values"][i], dtype=float)[-max(4 * horizon, 60) :]
        at = said["start"] + np.arange(horizon)
        axes.plot(said["start"] - len(seen) + np.arange(len(seen)), seen, color=PAST, linewidth=1.1, label="seen")
        for bound in said["bounds"]:
            axes.fill_between(
                at,
                *(np.array(bound[side][i], dtype=float) for side in ("lower", "upper")),
                color=SAID,
                alpha=0.16,
                linewidth=0,
                label=f"{bound['level']:.0%} interval",
            )
        axes.plot(at, np.array(said["mean"][i], dtype=float), color=SAID, linewidth=1.8, label="forecast")
        finish(axes, name, found)


def backtest(figure: Any, found: Mapping[str, Any]) -> None:
    """Every fold beside what came."""
    test, past = found["backtest"], found["history"]
    for i, (axes, name) in enumerate(panels(figure, found, "Backtest")):
        first = max(past["start"], test["origins"][0] - max(test["horizon"], 20))
        values = np.array(past["values"][i], dtype=float)[first - past["start"] :]
        axes.plot(first + np.arange(len(values)), values, color=PAST, linewidth=1.1, label="what came")
        for number, (origin, fold) in enumerate(zip(test["origins"], test["said"], strict=True)):
            at = origin + np.arange(len(fold[i]))
            if test["bounds"]:
                edges = (np.array(test["bounds"][number][side][i], dtype=float) for side in ("lower", "upper"))
                axes.fill_between(at, *edges, color=SAID, alpha=0.14, linewidth=0)
            axes.plot(at, np.array(fold[i], dtype=float), color=SAID, linewidth=1.5, label="" if number else "forecast")
        finish(axes, name, found)


def k_steps(figure: Any, found: Mapping[str, Any]) -> None:
    """The same steps from k steps before, all k in one plot."""
    curves = found["curves"]
    for i, (axes, name) in enumerate(panels(figure, found, "k steps ahead")):
        actual = np.array(curves["actual"][i], dtype=float)
        axes.plot(curves["first"] + np.arange(len(actual)), actual, color=PAST, linewidth=0.9, label="what came")
        for number, (k, said) in enumerate(curves["said"].items()):
            values = np.array(said[i], dtype=float)
            label = f"k = {k}, RMSE {curves['errors'][found['model']][k]:.3g}"
            axes.plot(
                curves["first"] + np.arange(len(values)), values, color=CYCLE[number % len(CYCLE)], linewidth=1.5, label=label
            )
        finish(axes, name, found)


def by_step(figure: Any, found: Mapping[str, Any]) -> None:
    """RMSE over the step ahead."""
    axes = figure.add_subplot()
    title(figure, found, "Error by step ahead")
    for number, (name, errors) in enumerate(found["backtest"]["by_step"].items()):
        plot(axes, 1 + np.arange(len(errors)), errors, name, number)
    axes.set(xlabel="steps ahead", ylabel="RMSE", ylim=(0, None))
    axes.legend(frameon=False, fontsize=8, ncols=2)


def growth(figure: Any, found: Mapping[str, Any]) -> None:
    """RMSE over k."""
    axes = figure.add_subplot()
    title(figure, found, "Error over k")
    for number, (name, errors) in enumerate(found["curves"]["errors"].items()):
        plot(axes, [int(k) for k in errors], list(errors.values()), name, number)
    axes.set_xscale("log", base=2)
    axes.set_xticks(found["curves"]["steps"], [str(k) for k in found["curves"]["steps"]])
    axes.set(xlabel="k, steps ahead", ylabel="RMSE", ylim=(0, None))
    axes.legend(frameon=False, fontsize=8, ncols=2)


def plot(axes: Any, x: Any, y: Any, name: str, number: int) -> None:
    """One model: the first, which was asked for, stands out."""
    style = (
        {"linewidth": 2.2, "color": SAID, "zorder": 3}
        if number == 0
        else {"linewidth": 1.2, "color": ("#2b6ca3", "#3f9b78", "#7a4bc2", "#a0700a", "#1c2733", "#8a949e")[number % 6]}
    )
    axes.plot(
        x, np.array(y, dtype=float), label=name, marker="o", markersize=3, linestyle="-" if number % 2 == 0 else "--", **style
    )


def panels(figure: Any, found: Mapping[str, Any], said: str) -> list[tuple[Any, str]]:
    """A plot for each target."""
    names = found["series"]["targets"][:6]
    title(figure, found, said)
    axes = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    return list(zip(axes, names, strict=True))


def title(figure: Any, found: Mapping[str, Any], said: str) -> None:
    """What is drawn, of what, by what."""
    text = f"{said}: {found['series']['name']}, {found['model']}"
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)


def finish(axes: Any, name: str, found: Mapping[str, Any]) -> None:
    """Name, legend, and dates where there are any."""
    axes.set_title(name, loc="left", fontsize=9, color=QUIET)
    axes.margins(x=0.01)
    past, coming = found["history"], found["forecast"]
    times = {past["start"] + i: time for i, time in enumerate(past["times"])} if found["series"]["dated"] else {}
    if times:
        times |= {coming["start"] + i: time for i, time in enumerate(coming["times"])}
        low, high = axes.get_xlim()
        inside = [at for at in sorted(times) if low <= at <= high]
        picked = [inside[round(i * (len(inside) - 1) / 5)] for i in range(6)] if len(inside) > 1 else inside
        axes.set_xticks(picked, [times[at] for at in picked])
    else:
        axes.set_xlabel("step")
    axes.legend(frameon=False, fontsize=8, ncols=5, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)

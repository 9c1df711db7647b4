"""The four charts of a training run: perplexity (of a series the error), gradient norm, learning rate, speed.

Knows which curves matter; must not know how they look.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from bptt.report.chart import Chart, Line
from bptt.report.facts import facts_of, nats_of
from bptt.report.levels import levels_of
from bptt.report.run import Run
from bptt.report.series import Point, centred, curve, exponential, speed
from bptt.report.words import compact, number, percent, significant


def charts(run: Run) -> list[Chart]:
    """The charts of `run` in the order of the page; a chart without points says so itself."""
    judged = _error(run) if of_numbers(run) else _perplexity(run)
    return [judged, _gradient_norm(run), _learning_rate(run), _speed(run)]


def of_numbers(run: Run) -> bool:
    """Whether it learns a series, and no text."""
    return bool(run.start.get("measure", "perplexity") != "perplexity")


def _span(count: int) -> float:
    """Over how many points to smooth: few enough to follow a steep start, enough to see through the noise."""
    return max(3.0, count / 150)


def _perplexity(run: Run) -> Chart:
    losses = curve(run.steps, "loss")
    valid: list[Point] = exponential((float(record["step"]), nats_of(record)) for record in run.valids)
    if losses:
        lines = [
            Line("each update", exponential(losses), "raw"),
            Line("training", exponential(centred(losses, _span(len(losses))))),
        ]
    else:
        lines = [Line("training, mean of an epoch", exponential((float(r["step"]), nats_of(r)) for r in run.epochs))]
    facts = facts_of(run)
    best = None
    if run.valids and facts.best_step is not None and facts.best_perplexity is not None:
        best = (facts.best_step, facts.best_perplexity, f"best {significant(facts.best_perplexity)}")
    about = "How many tokens the model wavers between; lower is better." + ("" if run.valids else " No validation was logged.")
    drawn = [*lines, Line("validation", valid, "valid")]
    return Chart("Perplexity", about, drawn, log=True, mark=best, levels=_levels(run, math.exp))


def _error(run: Run) -> Chart:
    """The typical error of a series, in scaled units: the root of a mean squared loss, or a mean absolute one."""
    name = str(run.start.get("measure"))
    losses = [(x, math.sqrt(y) if y is not None and y >= 0 and name == "rmse" else y) for x, y in curve(run.steps, "loss")]
    valid = curve(run.valids, name)
    known = [(y, x) for x, y in valid if y is not None]
    best = (min(known)[1], min(known)[0], f"best {significant(min(known)[0])}") if known else None
    lines = [
        Line("each update", losses, "raw"),
        Line("training", centred(losses, _span(len(losses)))),
        Line("validation", valid, "valid"),
    ]
    units = "units of the target" if levels_of(run) else "units of the scaled series"
    about = f"Typical error of what is learnt, in {units}; lower is better."
    levels = _levels(run, math.sqrt if name == "rmse" else float)
    return Chart(name.upper(), about, lines, mark=best, zero=True, levels=levels)


def _levels(run: Run, figure: Callable[[float], float]) -> list[tuple[float, str]]:
    """What a synthetic task says of its losses: the floor, and what less knowledge comes to."""
    found = levels_of(run)
    return [(figure(loss), ("floor: " if level == len(found) - 1 else "") + name) for level, (name, loss) in enumerate(found)]


def _gradient_norm(run: Run) -> Chart:
    norms = curve(run.steps, "grad_norm")
    facts = facts_of(run)
    about = "Length of the gradient before clipping."
    if facts.clip_rate is not None:
        about += f" Clipped in {percent(facts.clip_rate)} of the steps."
    levels = [(facts.clip, f"clip at {compact(facts.clip)}")] if facts.clip is not None and facts.clip > 0 else []
    known = sorted(y for _, y in norms if y is not None and y > 0)
    wide = bool(known) and known[-1 - len(known) // 200] > 30 * known[len(known) // 200]
    lines = [Line("each update", norms, "raw"), Line("smoothed", centred(norms, _span(len(norms))))]
    return Chart("Gradient norm", about, lines, log=wide, zero=True, levels=levels, tone="norm")


def _learning_rate(run: Run) -> Chart:
    about = "Size of the updates, as scheduled."
    return Chart("Learning rate", about, [Line("rate", curve(run.steps, "lr"))], zero=True, tone="rate")


def _speed(run: Run) -> Chart:
    points = speed(run.steps) or [(float(r["step"]), number(r.get("tokens_per_second"))) for r in run.epochs]
    what = "steps" if of_numbers(run) else "tokens"
    return Chart("Speed", f"Training {what} per second.", [Line(f"{what} per second", points)], zero=True, tone="speed")

"""The four charts of a training run: perplexity, gradient norm, learning rate, speed.

Knows which curves matter; must not know how they look.
"""

from __future__ import annotations

from bptt.report.chart import Chart, Line
from bptt.report.facts import facts_of, nats_of
from bptt.report.run import Run
from bptt.report.series import Point, centred, curve, exponential, speed
from bptt.report.words import compact, number, percent, significant


def charts(run: Run) -> list[Chart]:
    """The charts of `run` in the order of the page; a chart without points says so itself."""
    return [_perplexity(run), _gradient_norm(run), _learning_rate(run), _speed(run)]


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
    return Chart("Perplexity", about, [*lines, Line("validation", valid, "valid")], log=True, mark=best)


def _gradient_norm(run: Run) -> Chart:
    norms = curve(run.steps, "grad_norm")
    facts = facts_of(run)
    about = "Length of the gradient before clipping."
    if facts.clip_rate is not None:
        about += f" Clipped in {percent(facts.clip_rate)} of the steps."
    level = (facts.clip, f"clip at {compact(facts.clip)}") if facts.clip is not None and facts.clip > 0 else None
    known = sorted(y for _, y in norms if y is not None and y > 0)
    wide = bool(known) and known[-1 - len(known) // 200] > 30 * known[len(known) // 200]
    lines = [Line("each update", norms, "raw"), Line("smoothed", centred(norms, _span(len(norms))))]
    return Chart("Gradient norm", about, lines, log=wide, zero=True, level=level, tone="norm")


def _learning_rate(run: Run) -> Chart:
    about = "Size of the updates, as scheduled."
    return Chart("Learning rate", about, [Line("rate", curve(run.steps, "lr"))], zero=True, tone="rate")


def _speed(run: Run) -> Chart:
    points = speed(run.steps) or [(float(r["step"]), number(r.get("tokens_per_second"))) for r in run.epochs]
    return Chart("Speed", "Training tokens per second.", [Line("tokens per second", points)], zero=True, tone="speed")

"""A comparison in a few sentences. Knows the numbers of a comparison; must not know how they were measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bptt.diagnostics.race import ranked

if TYPE_CHECKING:
    from bptt.diagnostics.comparison import Comparison, Row
    from bptt.diagnostics.estimator import Measured

ROUNDING = 1e-5  # a relative bias below it is none: sums in another order differ as much in float32


def verdict(found: Comparison) -> list[str]:
    """Who is off, who is not, what borders cost, what draws and recomputation add, who won the race."""
    measured = [(row, row.measured) for row in found.rows if row.measured is not None]
    biased = [(row.name, own) for row, own in measured if own.total.resolved and own.total.bias >= ROUNDING]
    biased.sort(key=lambda pair: -pair[1].total.bias)
    told = [*_biased(biased), *_unbiased(measured), *_borders(found), *_noise(measured, found.variance), *_again(measured)]
    return [*told, *_race(found)]


def _biased(biased: Sequence[tuple[str, Measured]]) -> list[str]:
    if not biased:
        return []
    (name, worst), others = biased[0], biased[1:]
    line = f"{name} is {share(worst.total.bias)} off the exact gradient (cosine {worst.total.cosine:.2f})"
    most = max(worst.blocks, key=lambda block: worst.blocks[block].bias)
    if worst.blocks[most].bias > 1.1 * worst.total.bias:
        line += f", most of all in its {most} ({share(worst.blocks[most].bias)})"
    rest = ", ".join(f"{other} {share(own.total.bias)}" for other, own in others)
    return [f"{line}{'; ' if rest else ''}{rest}."]


def _unbiased(measured: Sequence[tuple[Row, Measured]]) -> list[str]:
    exact = [row.name for row, own in measured if own.total.resolved and own.total.bias < ROUNDING]
    said = [f"{listed(exact)} {'give' if len(exact) > 1 else 'gives'} the exact gradient."] if exact else []
    hidden = [f"{share(own.total.bias_limit)} for {row.name}" for row, own in measured if not own.total.resolved]
    return said + ([f"No bias stands out of the noise of the draws: it is at most {listed(hidden)}."] if hidden else [])


def _borders(found: Comparison) -> list[str]:
    steps = found.setting["steps"]
    measured = [(row, row.measured.total) for row in found.rows if row.measured is not None]
    cut = [row.name for row, total in measured if row.strategy.exact and row.strategy.per_window and total.bias >= ROUNDING]
    if not cut or steps >= found.setting["probe_steps"]:
        return []
    verbs = ("are", "lose") if len(cut) > 1 else ("is", "loses")
    return [f"{listed(cut)} {verbs[0]} exact within windows of {steps} steps and {verbs[1]} the lags across their borders."]


def _noise(measured: Sequence[tuple[Row, Measured]], data: float) -> list[str]:
    scattered = [f"{row.name} by {math.sqrt(own.total.variance):.2g}" for row, own in measured if row.strategy.random]
    if not scattered:
        return []
    beside = f"; the exact gradient scatters by {math.sqrt(data):.2g} from batch to batch" if data > 0 else ""
    return [f"Draws scatter, in units of the gradient's length, {listed(scattered)}{beside}."]


def _again(measured: Sequence[tuple[Row, Measured]]) -> list[str]:
    """Steps that are run forwards more than once to save memory."""
    told = [(row.name, own.info.get("forwards", 1.0)) for row, own in measured]
    again = [f"{name} {forwards:.2f} times" for name, forwards in told if forwards > 1.005]
    return [f"Steps are run forwards more than once to save memory: by {listed(again)}."] if again else []


def _race(found: Comparison) -> list[str]:
    if found.race is None:
        return []
    ranking = ranked(found.race.trials)
    if not ranking:
        return ["No run of the race reached its end."]
    first, *others = ranking
    line = f"After {found.race.seconds:g} s of training each, {first.name} predicts held-out text best"
    rest = "".join(f", {trial.name} {trial.perplexity:.4g}" for trial in others)
    return [f"{line}: perplexity {first.perplexity:.4g}{rest}."]


def share(value: float) -> str:
    """A relative error in percent: 31 %, 5.2 %, 0.04 %."""
    if value < 1e-4:
        return "< 0.01 %"
    decimals = 0 if value >= 0.0995 else 1 if value >= 0.00095 else 2
    return f"{100 * value:,.{decimals}f} %"


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

"""A diagnosis in words: whether gradients vanish, hold or explode, what truncation costs, what could be changed.

Knows the numbers of a diagnosis; must not know how they were measured.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import nn

from bptt.diagnostics.verdict import share
from bptt.gradients import Adaptive, Truncated

if TYPE_CHECKING:
    from bptt.diagnostics.diagnosis import Diagnosis
    from bptt.diagnostics.estimator import Measured
    from bptt.models import Unroll

FAR = 100  # steps back at which the verdict is given; where fewer were seen, at the same rate
LOST, GROWN = 0.01, 10.0  # of what reaches one step back: less has vanished, more has exploded
OFF = 0.1  # relative error that is worth a change
EXACT = 1e-9  # relative errors below it are rounding


def verdict(found: Diagnosis) -> str:
    """vanish: at most 1 % of what reaches one step back reaches 100 steps back; explode: at least ten times as much; hold."""
    lag = reach(found)
    if lag == 1:
        return "hold"  # one lag has no rate
    left = remaining(found, lag) ** ((FAR - 1) / (lag - 1))
    return "explode" if left >= GROWN else "vanish" if left <= LOST else "hold"


def reach(found: Diagnosis) -> int:
    """The lag that is looked at: 100, or the longest that enough losses have."""
    return max(1, min(FAR, found.lags.seen))


def remaining(found: Diagnosis, lag: int) -> float:
    """‖∂l_t/∂h_{t−lag}‖ relative to lag 1."""
    first = float(found.lags.sizes[0])
    return float(found.lags.sizes[lag - 1]) / first if first else 0.0


def lag_of(found: Diagnosis, left: float) -> int | None:
    """The lag from which on no more than `left` of lag 1 remains; None if none is that far."""
    sizes = found.lags.sizes[: found.lags.seen]
    above = (sizes > left * sizes[0]).nonzero()
    last = int(above[-1]) + 1 if len(above) else 0
    return last + 1 if last < len(sizes) else None


def sentences(found: Diagnosis) -> list[str]:
    """The verdict, what the run's strategy misses, how many terms are enough, how products of Jacobians grow."""
    return [_reach(found), *_anew(found), *_own(found), _terms(found), *_growth(found)]


def _anew(found: Diagnosis) -> list[str]:
    unbroken = found.setting["unbroken"]
    if unbroken >= found.setting["steps"]:
        return []
    return [f"Rows start anew after {unbroken} steps at most: no gradient reaches further, in training as here."]


def _reach(found: Diagnosis) -> str:
    lag = reach(found)
    left = remaining(found, lag)
    if found.verdict == "explode":
        return f"Gradients explode: they are {number(left)} times as large {lag} steps back as one step back."
    what = f"{share(left).replace('<', 'less than')} of what reaches one step back reaches {lag} steps back"
    half, hundredth = lag_of(found, 0.5), lag_of(found, 0.01)
    if found.verdict == "hold":
        return f"Gradients hold: {what}."
    then = f", and 1 % after {hundredth}" if hundredth is not None and half is not None else ""
    return f"Gradients vanish: {what}" + (f"; half is left after {half} steps{then}." if half is not None else ".")


def _own(found: Diagnosis) -> list[str]:
    own, strategy = found.own, found.strategy
    if own is None or strategy is None:
        return []
    name, steps = found.spell(strategy), found.setting["steps"]
    off, worst = own.total.bias, _worst(own)
    if strategy.random:
        return [_drawn(name, own)]
    if off < EXACT:
        return [f"{name} gives the exact gradient of these {steps} steps."]
    line = f"{name} is {share(off)} off the exact gradient of these {steps} steps (cosine {own.total.cosine:.2f}){worst}."
    if strategy.exact:
        line += f" It is exact within windows of {found.setting['window']} steps; this is lost at their borders."
    return [" ".join([line, *(f"But {note}." for note in own.notes)])]


def _worst(own: Measured) -> str:
    if len(own.blocks) < 2:
        return ""
    block = max(own.blocks, key=lambda name: own.blocks[name].bias)
    return f", most of all in its {block} ({share(own.blocks[block].bias)})"


def _drawn(name: str, own: Measured) -> str:
    total = own.total
    bias = (
        f"a bias of {share(total.bias)}" if total.resolved else f"no bias that stands out (at most {share(total.bias_limit)})"
    )
    return f"{name} shows {bias}; one draw scatters by {number(math.sqrt(total.variance))} times the gradient's length."


def _terms(found: Diagnosis) -> str:
    terms = f"{found.k90} term{'s' * (found.k90 > 1)}"
    line = f"Within 10 % of the exact gradient each loss needs {terms} (K90), within 1 % {found.k99} (K99)."
    return line + (" It may be more: longer lags were not looked at." if found.k90 > found.setting["steps"] // 2 else "")


def _growth(found: Diagnosis) -> list[str]:
    if not math.isfinite(found.growth):
        return []
    return [f"Products of Jacobians change by ρ = {found.growth:.4g} per step, in the direction that they stretch most."]


def advice(found: Diagnosis) -> list[str]:
    """What could be changed, the first thing first."""
    return [*_against_explosion(found), *_for_strategy(found), *_against_vanishing(found), *_for_chance(found)]


def _against_explosion(found: Diagnosis) -> list[str]:
    if found.verdict != "explode":
        return []
    cell = "" if found.setting["gated"] else ", an LSTM or GRU"
    return [f"Clip the gradient (clip 1); smaller or orthogonal first weights{cell}, or shorter stretches keep it in bounds."]


def _for_strategy(found: Diagnosis) -> list[str]:
    own, strategy = found.own, found.strategy
    if own is None or strategy is None or strategy.random or found.verdict == "explode":
        return []
    off = own.total.bias
    if off > OFF:
        return [_longer(found, off), *_overlapping(found)]
    enough = shortest(found, max(off, 0.01))
    if enough is not None and 2 * enough <= strategy.nominal(found.setting["window"]):
        return [f"{found.spell(Truncated(enough))} would be {share(found.stretches[enough])} off and needs less memory."]
    return []


def _longer(found: Diagnosis, off: float) -> str:
    k = shortest(found, OFF)
    if k is not None and found.stretches[k] < off:
        return f"Longer stretches: {found.spell(Truncated(k))} would be {share(found.stretches[k])} off."
    longest = max(found.stretches, default=1)
    return f"Longer stretches: not even {found.spell(Truncated(longest))} is within {share(OFF)} on these steps."


def _overlapping(found: Diagnosis) -> list[str]:
    if found.k90 > found.setting["steps"] // 2:
        return []
    k1 = max(1, found.k90)
    return [
        f"Or k2 above k1: {found.spell(Truncated(k1, k1 + found.k90 - 1))} gives every loss the {found.k90} terms of K90; "
        f"{found.spell(Adaptive(OFF))} looks for its length itself."
    ]


def shortest(found: Diagnosis, error: float) -> int | None:
    """The shortest plain stretch that is within `error`, as are all longer ones."""
    wrong = [k for k, off in found.stretches.items() if off > error]
    return min((k for k in found.stretches if k > max(wrong, default=0)), default=None)


def _against_vanishing(found: Diagnosis) -> list[str]:
    if found.verdict != "vanish":
        return []
    remedy = (
        "train longer, or begin with gates that keep: a bias of 1 on the forget gates of an LSTM, on the update gates of a GRU."
        if found.setting["gated"]
        else "an LSTM or GRU, or recurrent weights that begin orthogonal."
    )
    longer = f"If the task needs a longer memory: {remedy}"
    if found.k99 > found.setting["steps"] // 2:  # the least that it may be: nothing is known of more
        return [longer]
    return [f"More than {found.k99} terms bring nothing with these parameters. {longer}"]


def _for_chance(found: Diagnosis) -> list[str]:
    rho = found.growth
    if not math.isfinite(rho):
        return []
    if rho >= 1:
        return ["Random cuts have no finite variance where ρ ≥ 1: give them a limit."]
    least = 1 / (1 - rho**2)
    if least < 2:
        return []
    bound = f"1/mean < 1 − ρ² = {1 - rho**2:.2g}, a mean above {least:.0f} steps"
    return [f"Random cuts at a constant rate have a finite variance only with {bound}; with a tail any mean will do."]


def number(value: float) -> str:
    """A factor for a sentence: 3.2, 45, 12,000, 4e+9."""
    return f"{value:.2g}" if value < 100 or value >= 1e6 else f"{value:,.0f}"


def gated(unroll: Unroll) -> bool:
    """True if the recurrence has the gates of an LSTM or GRU."""
    kinds = (nn.LSTMCell, nn.GRUCell)
    return any(getattr(part, "mode", "") in ("LSTM", "GRU") or isinstance(part, kinds) for part in unroll.recurrent.modules())

"""How the gradient of a strategy flows: which losses share a way back, where it is cut, what its edges weigh.

Knows times and weights; must not know networks, nor any strategy: a strategy is known by the weight w(t, k) with which it lets
loss t reach the step k before it, as `bptt.credit` measures it.

    way     consecutive losses whose gradients flow back over the same edges, as those of one stretch do
    flow    the ways of all losses

One way per loss always does (each loss has a copy of the steps that it reaches). Losses share a way where the weights are
those of shared edges: w(t, t−s) is the product of the edges between s and t.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bptt.errors import InputError


@dataclasses.dataclass(frozen=True)
class Way:
    """One way back through time.

    losses  the steps whose losses start here
    first   the earliest step that they reach
    edges   the weight ξ_t of the edge from the state of step t − 1 into step t, where it is not 1; 0 is a cut
    uses    the weight of what the parameters do at step t, where it is not 1; 0: nothing of it counts
    """

    losses: range
    first: int
    edges: Mapping[int, float] = dataclasses.field(default_factory=dict)
    uses: Mapping[int, float] = dataclasses.field(default_factory=dict)

    @property
    def steps(self) -> range:
        """All steps that are run for these losses."""
        return range(self.first, self.losses.stop)


Flow = Sequence[Way]


def full(steps: int) -> Flow:
    """Nothing is cut: one way for all losses.

    >>> full(3)
    [Way(losses=range(1, 4), first=1, edges={}, uses={})]
    """
    _whole(1, steps=steps)
    return [Way(range(1, steps + 1), 1)]


def truncated(steps: int, k1: int, k2: int | None = None) -> Flow:
    """The losses of every k1 steps go back over the last k2: with k2 = k1 (None) one chain that is cut every k1 steps.

    >>> [(list(way.losses), way.first) for way in truncated(5, k1=2, k2=3)]
    [([1, 2], 1), ([3, 4], 2), ([5], 4)]
    >>> truncated(5, k1=2)
    [Way(losses=range(1, 6), first=1, edges={3: 0.0, 5: 0.0}, uses={})]
    """
    _whole(1, k1=k1, steps=steps)
    if k2 is None or k2 == k1:
        return weighted(dict.fromkeys(range(k1 + 1, steps + 1, k1), 0.0), steps)
    _whole(k1, k2=k2)
    return _ways({t: max(1, math.ceil(t / k1) * k1 - k2 + 1) for t in range(1, steps + 1)})


def per_output(steps: int, k: int) -> Flow:
    """Every loss goes back k steps and no further. The first k + 1 reach the beginning, and share their way."""
    _whole(0, k=k)
    _whole(1, steps=steps)
    return (
        weighted(dict.fromkeys(range(2, steps + 1), 0.0), steps)
        if k == 0
        else _ways({t: max(1, t - k) for t in range(1, steps + 1)})
    )


def weighted(xi: Mapping[int, float], steps: int) -> Flow:
    """One chain of steps whose edges weigh ξ_t, 0 being a cut: what randomised truncation draws."""
    _whole(1, steps=steps)
    wrong = [f"ξ_{t} = {weight}" for t, weight in xi.items() if t not in range(1, steps + 1) or not math.isfinite(weight)]
    if wrong:
        raise InputError(f"Edges lead into the steps 1 to {steps}, and weigh a number", ", ".join(wrong), "Give such weights")
    return [Way(range(1, steps + 1), 1, {t: weight for t, weight in xi.items() if weight != 1})]


def of_credit(weights: Any) -> Flow:
    """The flow whose weights w(t, k) [T, T] are these: row = loss t − 1, column = lag k, as in `bptt.credit(…).weights`.

    Losses are put together as long as their weights are those of shared edges. Where a loss's weights are no products of edges
    from 1 on (a lag that is skipped, a lag 0 that counts twice), it has a way of its own, and the parameters' uses are weighed.

    Raises InputError for what is no square of numbers; above the diagonal, where there is no step, they may be NaN.

    >>> of_credit([[1, 0], [1, 3]])
    [Way(losses=range(1, 3), first=1, edges={2: 3.0}, uses={})]
    """
    w = np.asarray(weights, dtype=np.float64)
    if w.ndim != 2 or w.shape[0] != w.shape[1] or not np.isfinite(w[np.tril_indices(len(w))]).all():
        raise InputError(
            "The weights of credits are numbers, a row for each loss, a column for each lag", f"{w!r}", "Give [T, T]"
        )
    by_step = [{t - k: float(w[t - 1, k]) for k in range(t)} for t in range(1, len(w) + 1)]
    ways: list[Way] = []
    for t, own in enumerate(by_step, 1):
        joined = _joined(ways[-1], own, t) if ways else None
        if joined is None:
            ways.append(_alone(own, t))
        else:
            ways[-1] = joined
    return ways


def _whole(least: int, **numbers: Any) -> None:
    """InputError for what is no whole number from `least` on."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name} is a whole number, at least {least}", f"{name}={value!r}", f"Give {least + 2}")


def chained(flow: Flow) -> bool:
    """True if every step is run once: the ways follow one another."""
    return all(way.first == way.losses.start for way in flow)


def _ways(first: Mapping[int, int]) -> Flow:
    """A way for the losses that reach back to the same step, and before that step a cut, but at the very beginning."""
    ways: list[Way] = []
    for t, start in first.items():
        if ways and ways[-1].first == start:
            ways[-1] = dataclasses.replace(ways[-1], losses=range(ways[-1].losses.start, t + 1))
        else:
            ways.append(Way(range(t, t + 1), start, {} if start == 1 else {start: 0.0}))
    return ways


def _alone(own: Mapping[int, float], t: int) -> Way:
    """The way of loss t alone."""
    first = min((s for s in own if own[s] != 0), default=t)
    edges = {first: 0.0} if first > 1 else {}
    inside = [own[s] for s in range(first, t + 1)]
    if own[t] == 1 and all(inside):
        edges |= {s: own[s - 1] / own[s] for s in range(first + 1, t + 1) if own[s - 1] != own[s]}
        return Way(range(t, t + 1), first, edges)
    return Way(range(t, t + 1), first, edges, {s: own[s] for s in range(first, t + 1) if own[s] != 1})


def _joined(way: Way, own: Mapping[int, float], t: int) -> Way | None:
    """The way with loss t as one more, if its weights are those of the way's edges and of one new edge; else None."""
    if way.uses or own[t] != 1 or any(own[s] for s in own if s < way.first):
        return None
    before, product = {}, 1.0
    for s in range(t - 1, way.first - 1, -1):  # the weights of loss t − 1, were it alone on this way
        before[s] = product
        product *= way.edges.get(s, 1.0)
    alive = [s for s in before if before[s] != 0]
    if any(own[s] for s in before if s not in alive):
        return None
    new = own[t - 1]
    if not all(math.isclose(own[s], new * before[s], rel_tol=1e-12) for s in alive):
        return None
    if new == 0:
        return None if way.first < way.losses.start or t == way.losses.start else _longer(way, t, 0.0)
    return _longer(way, t, new)


def _longer(way: Way, t: int, weight: float) -> Way:
    """The way with step t and its loss, and the weight of the edge into it."""
    return dataclasses.replace(
        way, losses=range(way.losses.start, t + 1), edges={**way.edges, **({t: weight} if weight != 1 else {})}
    )

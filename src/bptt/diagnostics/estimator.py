"""Bias, variance and direction of a gradient estimate, from inner products of its draws with the exact gradient.

Knows strategies by their contract; must not know any of them, nor corpora or models.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from bptt import nest
from bptt.diagnostics.blocks import Blocks
from bptt.diagnostics.probes import Probe
from bptt.errors import DivergedError
from bptt.types import Carry, Estimate, Strategy, Unroll, Window

PIECE = 1 << 18  # columns of a matrix of gradients that are widened to float64 at a time
WIDE = 2.0  # standard errors between what is seen and what is claimed


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """How a gradient estimate ĝ lies to the exact gradient g; all relative to ‖g‖, averaged over the probes.

    squared_bias        ‖E ĝ − g‖²/‖g‖², by an unbiased estimate, so it may be below 0
    squared_bias_error  its standard error over the draws; 0 without chance
    cosine              of E ĝ and g; NaN where E ĝ is lost in noise
    length              ‖E ĝ‖²/‖g‖², by an unbiased estimate
    variance            E‖ĝ − E ĝ‖²/‖g‖²
    """

    squared_bias: float
    squared_bias_error: float
    cosine: float
    length: float
    variance: float

    @property
    def bias(self) -> float:
        """‖E ĝ − g‖/‖g‖, 0 where the estimate of its square is not above 0."""
        return math.sqrt(max(0.0, self.squared_bias))

    @property
    def bias_limit(self) -> float:
        """What the bias is hardly above: the root of its square and two standard errors of that."""
        return math.sqrt(max(0.0, self.squared_bias) + WIDE * self.squared_bias_error)

    @property
    def resolved(self) -> bool:
        """True if the bias stands out of the noise of the draws; otherwise only its limit may be claimed."""
        return self.squared_bias > WIDE * self.squared_bias_error or self.squared_bias_error == 0

    @property
    def signal_to_noise(self) -> float:
        """‖E ĝ‖ / √(E‖ĝ − E ĝ‖²); infinite without chance."""
        if self.variance <= 0:
            return math.inf
        return math.sqrt(max(0.0, self.length) / self.variance)


def accuracy(grams: Iterable[Tensor]) -> Accuracy | None:
    """From one Gram matrix per probe, of the rows g, ĝ_1 − g, …, ĝ_n − g; None if g is zero on every probe.

    With d_i = ĝ_i − g, the mean over all i ≠ j of ⟨d_i, d_j⟩ estimates ‖E ĝ − g‖² without bias: the noise of a draw meets
    itself nowhere. Its standard error is the jackknife's, which errs on the side of too large.
    """
    found = [_accuracy(gram) for gram in grams if gram[0, 0] > 0]
    if not found:
        return None
    means = {field.name: _mean([getattr(a, field.name) for a in found]) for field in dataclasses.fields(Accuracy)}
    errors = [a.squared_bias_error for a in found]
    return Accuracy(**{**means, "squared_bias_error": math.hypot(*errors) / len(errors)})


def _accuracy(gram: Tensor) -> Accuracy:
    exact, along, differences = float(gram[0, 0]), float(gram[0, 1:].mean()), gram[1:, 1:]
    bias, error = pair_mean(differences)
    length = exact + 2 * along + bias
    cosine = (exact + along) / math.sqrt(exact * length) if length > 0 else math.nan
    return Accuracy(bias / exact, error / exact, max(-1.0, min(1.0, cosine)), length / exact, spread(differences) / exact)


def pair_mean(gram: Tensor) -> tuple[float, float]:
    """The mean of the entries off the diagonal of a Gram matrix [n, n], and its jackknife standard error; n = 1: no chance."""
    n = len(gram)
    if n == 1:
        return float(gram[0, 0]), 0.0
    by_row = gram.sum(1) - gram.diagonal()
    total = by_row.sum()
    without = (total - 2 * by_row) / ((n - 1) * (n - 2))
    error = ((without - without.mean()).square().sum() * (n - 1) / n).sqrt()
    return float(total / (n * (n - 1))), float(error)


def spread(gram: Tensor) -> float:
    """The sample variance Σ‖d_i − d̄‖²/(n − 1) of the vectors behind a Gram matrix [n, n]; 0 for one."""
    n = len(gram)
    return max(0.0, float(gram.trace() - gram.sum() / n)) / max(n - 1, 1)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def gram_of(rows: Tensor) -> Tensor:
    """All inner products of the rows [n, P], in float64."""
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for piece in rows.split(PIECE, 1):
        wide = piece.double()
        total += wide @ wide.T
    return total


@dataclasses.dataclass(frozen=True)
class Measured:
    """What one strategy gave on all probes.

    total, blocks   accuracy over all parameters, and block by block (where the exact gradient is not zero)
    data_variance   of E ĝ from probe to probe, relative to the mean ‖g‖²: the noise of minibatches; NaN for one probe
    weight          the largest weight that a credit got
    info            means over the estimates of the other facts that the strategy tells
    notes           what it warned of, and what it was still learning
    learning        True if it was: then it is not the strategy that a run has come to
    """

    total: Accuracy
    blocks: dict[str, Accuracy]
    data_variance: float
    weight: float | None
    info: dict[str, float]
    notes: tuple[str, ...]
    learning: bool


class Reference:
    """The exact gradients of the probes: autograd through one segment each, from the same state."""

    def __init__(self, unroll: Unroll, probes: Sequence[Probe], done: Callable[[], None]) -> None:
        self.unroll, self.probes, self.blocks = unroll, probes, Blocks(unroll)
        self.gradients: list[Tensor] = []
        for probe in probes:
            self.blocks.clear()
            exact_pass(unroll, probe)
            self.gradients.append(finite(self.blocks.gradient(), "exact"))
            done()

    @property
    def norm(self) -> float:
        """The root mean square of ‖g‖ over the probes."""
        return math.sqrt(_mean([float(g.square().sum()) for g in self.gradients]))

    def measure(self, strategy: Strategy, steps: int, draws: int, seed: int, done: Callable[[], None]) -> Measured:
        """Run `strategy` over every probe, in windows of `steps`, `draws` times if it draws, with seeds from `seed` on."""
        count = draws if strategy.random else 1
        grams: list[Tensor] = []
        by_block: dict[str, list[Tensor]] = {block: [] for block in self.blocks.spans}
        told: list[dict[str, float]] = []
        means = []
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            for probe, exact in zip(self.probes, self.gradients, strict=True):
                rows = self._rows(exact, count)
                for row in range(count):
                    drawn = redrawn(strategy, seed + len(grams) * count + row)
                    told += self._estimate(drawn, probe, steps, rows[row + 1], exact)
                    done()
                for block, span in self.blocks.spans.items():
                    by_block[block].append(gram_of(rows[:, span]))
                grams.append(torch.stack([by_block[block][-1] for block in by_block]).sum(0))
                means.append(exact + rows[1:].double().mean(0))
        total = accuracy(grams)
        if total is None:
            raise DivergedError("The exact gradient is zero", "every parameter, every probe", "Nothing can be compared with it")
        blocks = {block: found for block, of_block in by_block.items() if (found := accuracy(of_block)) is not None}
        learnt = learning(strategy, told)
        notes = dict.fromkeys([*(str(warning.message) for warning in warned[:1]), *learnt])
        data_variance = self._data_variance(means, [spread(gram[1:, 1:]) / count for gram in grams])
        return Measured(
            total, blocks, data_variance, largest_weight(strategy, told), averages(told), tuple(notes), bool(learnt)
        )

    @property
    def data_variance(self) -> float:
        """Of the exact gradient from probe to probe."""
        return self._data_variance(self.gradients, [0.0])

    def _rows(self, exact: Tensor, count: int) -> Tensor:
        """Room for g and the differences, in the precision of the parameters."""
        rows = torch.empty(count + 1, self.blocks.size, dtype=self.blocks.parameters[0].dtype)
        rows[0] = exact
        return rows

    def _estimate(self, strategy: Strategy, probe: Probe, steps: int, row: Tensor, exact: Tensor) -> list[dict[str, float]]:
        """Put ĝ − g into `row`; what the strategy told."""
        self.blocks.clear()
        carry = strategy.start(self.unroll, probe.window.batch_size)._replace(state=nest.detach(probe.state))
        told = [dict(estimate.info) for estimate in run(strategy, self.unroll, probe.cut(steps), carry)]
        row.copy_(finite(self.blocks.gradient(), "estimated") - exact)
        self.blocks.clear()
        return told

    def _data_variance(self, gradients: Sequence[Tensor], noise: Sequence[float]) -> float:
        """The variance between probes, without the part that comes from the draws."""
        count = len(gradients)
        if count == 1:
            return math.nan
        middle = torch.stack([g / count for g in gradients]).sum(0)
        between = sum(float((g - middle).square().sum()) for g in gradients) / (count - 1)
        return max(0.0, between - _mean(noise)) / self.norm**2


def exact_pass(unroll: Unroll, probe: Probe) -> None:
    """Add the exact gradient of a probe."""
    loss, _ = unroll.segment(probe.window, nest.detach(probe.state))
    unroll.backward(loss)


def run(strategy: Strategy, unroll: Unroll, windows: Iterable[Window], carry: Carry) -> list[Estimate]:
    """All estimates over `windows`, none of them spent."""
    found: list[Estimate] = []
    for window in windows:
        for estimate in strategy.gradients(unroll, window, carry):
            carry = estimate.carry
            found.append(estimate)
    return found


def redrawn(strategy: Strategy, seed: int) -> Strategy:
    """The same strategy with other draws; one that does not draw is itself."""
    one: Any = strategy
    return dataclasses.replace(one, seed=seed) if strategy.random else strategy


def finite(gradient: Tensor, which: str) -> Tensor:
    """DivergedError for a gradient that is not finite."""
    if not torch.isfinite(gradient).all():
        raise DivergedError(f"The {which} gradient is not finite", "NaN or infinity", "Take an earlier checkpoint")
    return gradient


def largest_weight(strategy: Strategy, told: Sequence[dict[str, float]]) -> float | None:
    """The largest weight told; 1 for a strategy that tells none and does not draw."""
    weights = [info["weight"] for info in told if "weight" in info]
    return max(weights) if weights else None if strategy.random else 1.0


def averages(told: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each fact over the estimates that tell it."""
    names = dict.fromkeys(name for info in told for name in info if name != "weight")
    return {name: _mean([float(info[name]) for info in told if name in info]) for name in names}


def learning(strategy: Strategy, told: Sequence[dict[str, float]]) -> list[str]:
    """A note if k changed on the way without chance: then the strategy was measured while it still learnt."""
    lengths = [info["k"] for info in told if "k" in info]
    if strategy.random or len(set(lengths)) < 2:
        return []
    return [f"it was still learning, its k went from {lengths[0]:g} to {lengths[-1]:g} within a probe"]

"""The credit map: the weight that an estimator gives the credit of loss t at lag k, measured, not quoted.

Knows the contract of strategies and a model of one unit; must not know any strategy by name, nor how a map is drawn.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bptt.diagnostics.estimator import redrawn
from bptt.diagnostics.shades import shaded
from bptt.errors import InputError
from bptt.gradients.settings import require_strategy, step_count
from bptt.models import Unroll
from bptt.types import Strategy, Window

LARGEST = 512  # steps of a map: the integrator has T² parameters
DRAWS = 256


@dataclasses.dataclass(frozen=True, eq=False)
class CreditMap:
    """The weight w(t, k) of the credit of loss t at lag k: 1 in the exact gradient, 0 where an estimator cuts.

    E ĝ = Σ_t Σ_k w(t, k) c(t, k),  c(t, k) = q_t D_t … D_{t−k+1} I_{t−k}

    strategy  what was measured, as text
    weights   [T, T] float64, row = loss t, column = lag k: the mean over the draws; NaN where k > t, before the first step
    error     [T, T] standard error of that mean: 0 without chance, NaN for one draw of a strategy with chance
    by_draw   [draws, T] for each draw, the mean weight of a lag over the losses that have it
    largest   the largest weight in any one draw
    window    steps of the windows that the strategy was handed; None where window borders leave no trace
    """

    strategy: str
    weights: Tensor
    error: Tensor
    by_draw: Tensor
    largest: float
    window: int | None

    @property
    def title(self) -> str:
        """The strategy, and the windows if they matter."""
        return self.strategy + (f", windows of {self.window}" if self.window and self.window < self.steps else "")

    @property
    def steps(self) -> int:
        """T."""
        return len(self.weights)

    @property
    def draws(self) -> int:
        """How many draws the mean is over."""
        return len(self.by_draw)

    def by_lag(self) -> tuple[Tensor, Tensor]:
        """The mean weight [T] of each lag over the losses that have it, and its standard error [T]."""
        return self.by_draw.mean(0), self._error(self.by_draw)

    def overall(self) -> tuple[float, float]:
        """The mean weight over all credits at lags that any draw reached, and its standard error."""
        losses = torch.arange(self.steps, 0, -1, dtype=torch.float64)[: max(self.reach()) + 1]
        by_draw = (self.by_draw[:, : len(losses)] * losses).sum(1) / losses.sum()
        return float(by_draw.mean()), float(self._error(by_draw))

    def reach(self) -> list[int]:
        """For every loss the largest lag whose weight is not 0; −1 if there is none."""
        reached = (self.weights.nan_to_num() != 0) * torch.arange(1, self.steps + 1)
        return (reached.amax(1) - 1).tolist()

    def summary(self) -> str:
        """What one sees, in a sentence."""
        if self.draws == 1:
            said = self._one_draw_in_words()
            return f"One draw: {said}." if self.error[0, 0].isnan() else f"{said[0].upper()}{said[1:]}."
        mean, error = self.overall()
        lags = max(self.reach())
        limit = "" if lags == self.steps - 1 else f", none of which reached beyond lag {lags},"
        return (
            f"Over {self.draws} draws{limit} the mean weight is {mean:.2f} ± {error:.2f}; "
            f"in a single draw a weight is up to {self.largest:.3g}."
        )

    def text(self, columns: int = 80) -> str:
        """The map as shades of characters, no wider than `columns`: see `bptt.diagnostics.shades`."""
        return shaded(self.weights, self.by_lag()[0], columns)

    def __str__(self) -> str:
        return f"{self.title}: {self.summary()}\n{self.text()}"

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; row t of the weights has the lags 0 … t, None is an error that one draw cannot tell."""
        mean, error = self.by_lag()
        return {
            "strategy": self.strategy,
            "steps": self.steps,
            "window": self.window,
            "draws": self.draws,
            "largest": self.largest,
            "summary": self.summary(),
            "by_lag": mean.tolist(),
            "by_lag_error": _numbers(error),
            "weights": [row[: t + 1].tolist() for t, row in enumerate(self.weights)],
            "error": [_numbers(row[: t + 1]) for t, row in enumerate(self.error)],
        }

    def _error(self, values: Tensor) -> Tensor:
        """Standard error of the mean over draws; one draw tells it only where there is no chance: 0, else NaN."""
        if self.draws == 1:
            return self.error[0, 0].expand(values[0].shape)
        return values.std(0) / self.draws**0.5

    def _one_draw_in_words(self) -> str:
        known = self.weights[~self.weights.isnan()]
        if not set(known.unique().tolist()) <= {0.0, 1.0}:
            share = float((known != 0).double().mean())
            return f"{share:.0%} of the credits count, with weights up to {self.largest:.3g}"
        reached = self.reach()
        cut = [lag for t, lag in enumerate(reached) if lag < t]
        if not cut:
            return "every loss reaches back to the first step, with weight 1"
        least, most = min(cut), max(reached)
        lags = f"{most} step{'s' * (most != 1)}" if least == most else f"{least} to {most} steps"
        return f"a loss reaches back {lags}, with weight 1; what lies before gets nothing"


class NoMap(InputError):
    """A strategy whose credits cannot be measured, and why."""


def credit(
    strategy: Strategy,
    T: int,
    *,
    draws: int | None = None,
    window: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CreditMap:
    """Measure the weight that a strategy gives the credit of every loss at every lag.

    h_t = h_{t−1} + p[b, t],  row b keeps only its loss l_b = h_b:  ∂L/∂p[b, s] = w(b, b − s)

    The strategy runs as it does in training, through its contract, on a model whose every Jacobian is 1, with one parameter per
    row and step; the weights are read off `.grad`. A strategy that draws is run with the seeds seed, seed + 1, …

    Arguments:
        strategy  any gradient strategy
        T         losses and lags of the map, at most 512
        draws     how many draws to average; None: 256. Without chance there is one, whatever is asked
        window    steps of the windows that the strategy is handed; None: T. It matters only if the strategy is `per_window`
        progress  called with (draws done, draws wanted)

    InputError for what is no strategy and for a T too large; of these NoMap for an online rule with a bias of its own, whose
    gradient is no weighted sum of credits, and for a rule that does not take the model.

    >>> import bptt
    >>> bptt.credit(bptt.Truncated(2), 4).by_lag()[0]
    tensor([1.0000, 0.6667, 0.0000, 0.0000], dtype=torch.float64)
    """
    _measurable(strategy, T)
    window = T if window is None else step_count("window", window)
    asked = DRAWS if draws is None else step_count("draws", draws)
    count = asked if strategy.random else 1
    mean, squares = torch.zeros(2, T, T, dtype=torch.float64)
    by_draw, largest = [], -math.inf
    for number in range(count):
        weights = _one_draw(redrawn(strategy, getattr(strategy, "seed", 0) + number), T, window)
        by_draw.append(weights.nanmean(0))
        largest = max(largest, float(weights[~weights.isnan()].max()))
        # Welford's update: the difference of two sums would leave rounding where every draw is the same.
        step = weights - mean
        mean = mean + step / (number + 1)
        squares = squares + step * (weights - mean)
        if progress is not None:
            progress(number + 1, count)
    unknown = math.nan if strategy.random and count == 1 else 0.0
    error = (squares / max(count - 1, 1) / count).sqrt() + unknown
    return CreditMap(repr(strategy), mean, error, torch.stack(by_draw), largest, window if strategy.per_window else None)


def has_map(strategy: Strategy) -> bool:
    """Whether the gradient of a strategy is a weighted sum of credits."""
    return strategy.unbiased or not strategy.online


def _measurable(strategy: Strategy, steps: int) -> None:
    """InputError where a map would have no meaning, or no end."""
    require_strategy(strategy)
    if not has_map(strategy):
        raise NoMap(
            f"{type(strategy).__name__} has no credit map: its gradient is not a weighted sum of credits",
            f"an online rule that leaves out {strategy.omits}",
            "Compare its gradient with the exact one instead: bptt compare",
        )
    if step_count("T", steps) > LARGEST:
        raise InputError("A credit map of T steps takes T² parameters", f"T={steps}", f"Give at most {LARGEST}")


class Integrator(nn.Module):
    """h' = h + x, one number."""

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, 1, dtype=torch.float64)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = h + x
        return h, h


def _one_draw(strategy: Strategy, steps: int, window: int) -> Tensor:
    """The weights [T, T] by loss and lag that one draw gives, NaN where the lag is longer than the past."""
    parameters = nn.Embedding.from_pretrained(torch.zeros(steps**2, 1, dtype=torch.float64), freeze=False)
    unroll = Unroll(parameters, Integrator(), None, lambda outputs, targets: outputs.squeeze(2))
    index = torch.arange(steps**2).view(steps, steps)
    own = torch.eye(steps, dtype=torch.bool)
    stream = Window.of(index, index, mask=own, noise=torch.zeros_like(index))
    with warnings.catch_warnings():
        # What a strategy has to say of the growth of Jacobians, it says here of the integrator.
        warnings.simplefilter("ignore", UserWarning)
        try:
            carry = strategy.start(unroll, steps)
            for start in range(0, steps + window, window):
                for estimate in strategy.gradients(unroll, stream[:, start : start + window], carry):
                    carry = estimate.carry
        except InputError as error:
            name = type(strategy).__name__
            wrong = f"{name} has no credit map: it refuses the integrator that weights are measured on"
            raise NoMap(wrong, error.wrong, "Compare its gradient with the exact one instead: bptt compare") from error
    by_step = parameters.weight.grad
    assert by_step is not None
    lag = torch.arange(steps).view(-1, 1) - torch.arange(steps)
    return by_step.view(steps, steps).gather(1, lag.clamp_min(0)).masked_fill(lag < 0, torch.nan)


def _numbers(values: Tensor) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]

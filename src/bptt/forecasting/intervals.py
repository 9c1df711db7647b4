"""Prediction intervals from what a model got wrong on steps that it was not trained on, horizon by horizon.

    [ŷ + r_(⌊(n+1) a/2⌋), ŷ + r_(⌈(n+1)(1 − a/2)⌉)],  a = 1 − level,  r_(1) ≤ … ≤ r_(n) the residuals y − ŷ of that horizon

Residuals are taken in the transformed scale, so that the interval of a logarithm grows with the level of the series. Each side
is a split conformal bound: where residuals are exchangeable, it is passed with probability a/2 at most. Those of a series are
not quite, so the coverage is measured in every backtest. Source: Vovk, Gammerman, Shafer (2005), Algorithmic Learning in a
Random World; Lei et al. (2018), Distribution-free predictive inference for regression, section 2.2, here for both tails apart.

Knows residuals; must not know models.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

Scale = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Intervals:
    """What to add to a forecast.

    levels  of the intervals
    offsets [levels, 2, horizon, targets]: lower and upper, in the transformed scale
    count   [horizon] residuals behind them
    """

    levels: tuple[float, ...]
    offsets: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, residuals: np.ndarray, levels: tuple[float, ...]) -> Intervals:
        """From residuals [origins, horizon, targets], NaN where nothing was observed.

        Where there are too few for a level, n < 2/a − 1, the largest residual stands in, and the interval covers less.
        """
        offsets = np.full((len(levels), 2, *residuals.shape[1:]), np.nan)
        for k in range(residuals.shape[1]):
            for i in range(residuals.shape[2]):
                known = np.sort(residuals[:, k, i][~np.isnan(residuals[:, k, i])])
                for number, level in enumerate(levels):
                    if len(known):
                        low, high = ranks(len(known), level)
                        offsets[number, :, k, i] = known[low - 1], known[high - 1]
        return cls(levels, offsets, (~np.isnan(residuals)).any(2).sum(0))

    def short(self) -> list[float]:
        """The levels that need more residuals than some horizon has."""
        return [level for level in self.levels if self.count.min() < 2 / (1 - level) - 1 - 1e-9]

    def around(self, forecast: np.ndarray, scale: Scale, back: Scale) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds [levels, …, horizon, targets] around a forecast [..., horizon, targets]."""
        scaled, steps = scale(forecast), forecast.shape[-2]
        lower, upper = (self.offsets[:, side, :steps] for side in (0, 1))
        room = (slice(None), *(None,) * (forecast.ndim - 2))
        return back(scaled[None] + lower[room]), back(scaled[None] + upper[room])


def ranks(count: int, level: float) -> tuple[int, int]:
    """Which of `count` sorted residuals, from 1 on, bound an interval.

    >>> ranks(99, 0.9), ranks(5, 0.9)
    ((5, 95), (1, 5))
    """
    tail = (1 - level) / 2
    low, high = math.floor((count + 1) * tail + 1e-9), math.ceil((count + 1) * (1 - tail) - 1e-9)
    return max(low, 1), min(high, count)

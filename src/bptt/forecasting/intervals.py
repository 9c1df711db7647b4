"""Prediction intervals from what a model got wrong on steps that it was not trained on, horizon by horizon.

    [ŷ − q, ŷ + q],  q = |r|_(⌈(n+1)(1−α)⌉),  1 − α the level,  |r|_(1) ≤ … ≤ |r|_(n) the sizes of that horizon's y − ŷ

Split conformal prediction: where residuals are exchangeable, the next value lies inside with probability 1 − α at least, and
1 − α + 1/(n+1) at most if no two residuals are equally large. Those of a series are not quite exchangeable, so the coverage is
measured in every backtest. The interval lies around the forecast, whatever the residuals: a bias that they show belongs into
the model, and on a stretch of time as short as a validation part it is as often the stretch's own. Residuals are taken in the
transformed scale, so that the interval of a logarithm grows with the level of the series. Source: Vovk, Gammerman, Shafer
(2005), Algorithmic Learning in a Random World; Lei et al. (2018), Distribution-free predictive inference for regression,
algorithm 2; for every horizon apart Stankevičiūtė, Alaa, van der Schaar (2021), Conformal time-series forecasting.

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
    """How far around a forecast they reach.

    levels  of the intervals
    reach   [levels, horizon, targets]: q, in the transformed scale
    count   [horizon] residuals behind them
    """

    levels: tuple[float, ...]
    reach: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, residuals: np.ndarray, levels: tuple[float, ...]) -> Intervals:
        """From residuals [origins, horizon, targets], NaN where nothing was observed.

        Where there are too few for a level, n < 1/α − 1, no finite interval covers what it says; the largest residual stands
        in, the interval covers less, and `short` names the level.
        """
        reach = np.full((len(levels), *residuals.shape[1:]), np.nan)
        for k in range(residuals.shape[1]):
            for i in range(residuals.shape[2]):
                sizes = np.sort(np.abs(residuals[:, k, i][~np.isnan(residuals[:, k, i])]))
                for number, level in enumerate(levels):
                    if len(sizes):
                        reach[number, k, i] = sizes[min(rank(len(sizes), level), len(sizes)) - 1]
        return cls(levels, reach, (~np.isnan(residuals)).any(2).sum(0))

    def short(self) -> list[float]:
        """The levels that need more residuals than some horizon has."""
        fewest = int(self.count.min())
        return [level for level in self.levels if rank(fewest, level) > fewest]

    def around(self, forecast: np.ndarray, scale: Scale, back: Scale) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds [levels, …, horizon, targets] around a forecast [..., horizon, targets], within them."""
        scaled = scale(forecast)[None]
        reach = self.reach[:, : forecast.shape[-2]][(slice(None), *(None,) * (forecast.ndim - 2))]
        # A forecast that has left the scale stands at its edge, and still lies within its interval.
        return np.minimum(back(scaled - reach), forecast), np.maximum(back(scaled + reach), forecast)


def rank(count: int, level: float) -> int:
    """Which of `count` sizes, sorted and counted from 1, bounds an interval: ⌈(n+1)(1−α)⌉; above n there are too few.

    >>> rank(99, 0.9), rank(9, 0.9), rank(8, 0.9)
    (90, 9, 9)
    """
    return math.ceil((count + 1) * level - 1e-9)

"""A method that has been fitted: its forecasts, and the intervals around them.

Knows a method by its contract, and residuals; must not know which method it is.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bptt.data.series import Scaling, Series
from bptt.forecasting.intervals import Intervals
from bptt.forecasting.method import Method

MOST = 2000  # origins behind the intervals: more of them change nothing that shows


@dataclasses.dataclass(eq=False)
class Fitted:
    """`method`, fitted on the first `train` steps of `series`; the steps behind those are for its intervals."""

    method: Method
    series: Series
    train: int
    found: dict[int, Intervals | None] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, method: Method, series: Series) -> Fitted:
        """Fit on all but the last share of the series that the settings set aside."""
        train = training_steps(len(series), method.s.valid)
        method.fit(series, train)
        return cls(method, series, train)

    @property
    def levels(self) -> tuple[float, ...]:
        """Of the intervals."""
        return self.method.s.levels

    def ahead(self, series: Series, origins: np.ndarray, horizon: int) -> np.ndarray:
        """Forecasts [origins, horizon, targets]."""
        return self.method.forecasts(series, origins, horizon)

    def bounds(self, forecast: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Lower and upper [levels, …, horizon, targets] around a forecast [..., horizon, targets]; None without residuals."""
        intervals = self.intervals(forecast.shape[-2])
        return None if intervals is None else intervals.around(forecast, self._scaled, self._scaling.back)

    def intervals(self, horizon: int) -> Intervals | None:
        """From forecasts within the steps that were set aside; None where there are none, or no levels."""
        if horizon not in self.found:
            self.found[horizon] = self._intervals(horizon)
        return self.found[horizon]

    def _intervals(self, horizon: int) -> Intervals | None:
        series = self.series
        first = max(self.train, self.method.reach(series))
        # A forecast may end beyond the series, where nothing is observed, but not beyond what is known beforehand.
        last = min(len(series) - 1, len(series) + series.future - horizon) if series.knowns else len(series) - 1
        if last < first or not self.levels or self.train == len(series):
            return None
        origins = np.unique(np.linspace(first, last, min(last - first + 1, MOST)).astype(np.int64))
        said = self.ahead(series, origins, horizon)
        return Intervals.of(self._scaled(actual(series, origins, horizon)) - self._scaled(said), self.levels)

    @property
    def _scaling(self) -> Scaling:
        """The transformed scale, in which residuals are of one kind."""
        return Scaling.fit(self.series[: self.train].target_values, "none", self.method.s.transform)

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        """Values in that scale; a forecast that has left it (a line that falls below 0) stands at its edge."""
        if self.method.s.transform == "none":
            return values
        seen = self.series.target_values
        positive = seen[seen > 0] if self.method.s.transform == "log" else np.zeros(1)
        return self._scaling(np.where(np.isnan(values), np.nan, np.maximum(values, positive.min())))


def training_steps(count: int, valid: float) -> int:
    """How many of `count` steps train when the share `valid` is set aside at the end; at least one does."""
    return max(1, count - round(valid * count))


def actual(series: Series, origins: np.ndarray, horizon: int) -> np.ndarray:
    """What came [origins, horizon, targets]; NaN where nothing was observed, or beyond the end."""
    values = np.concatenate([series.target_values, np.full((horizon, len(series.targets)), np.nan)])
    return values[np.minimum(origins[:, None] + np.arange(horizon), len(values) - 1)]

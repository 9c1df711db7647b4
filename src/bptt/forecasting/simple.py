"""Forecasts without parameters: what every model has to beat.

    naive            x̂_{t+k} = x_t
    seasonal naive   x̂_{t+k} = x_{t+k−m⌈k/m⌉}, the last value seen at the same place of the season
    drift            x̂_{t+k} = x_t + k (x_t − x_1) / (t − 1), the line through the first value and the last

Source: Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., section 5.2. Knows series; must not know
networks.
"""

from __future__ import annotations

import numpy as np

from bptt.data.series import Series
from bptt.forecasting.method import Method, gather


class Simple(Method):
    """Nothing to learn."""

    def fit(self, series: Series, train: int) -> None:
        """Nothing."""


class Naive(Simple):
    """The last value goes on."""

    about: str = "the last value"

    def ahead(self, series: Series, origins: np.ndarray, horizon: int) -> np.ndarray:
        """x_t for every step."""
        return np.repeat(gather(past(series), origins, 1), horizon, 1)


class SeasonalNaive(Simple):
    """The last season repeats; without a period, the last value."""

    about: str = "the value one season before"

    def reach(self, series: Series) -> int:
        """One season."""
        return series.period or 1

    def ahead(self, series: Series, origins: np.ndarray, horizon: int) -> np.ndarray:
        """The last m values, over and over."""
        period = series.period or 1
        return gather(past(series), origins, period)[:, np.arange(horizon) % period]


class Drift(Simple):
    """The mean change so far goes on."""

    about: str = "the line through the first value and the last"

    def reach(self, series: Series) -> int:
        """Two points make a line."""
        return 2

    def ahead(self, series: Series, origins: np.ndarray, horizon: int) -> np.ndarray:
        """x_t + k · (x_t − x_1) / (t − 1)."""
        values = past(series)
        last = values[origins - 1]
        slope = (last - values[0]) / (origins - 1)[:, None]
        return last[:, None] + np.arange(1, horizon + 1)[:, None] * slope[:, None]


def past(series: Series) -> np.ndarray:
    """The targets [N, targets], holes bridged by the value before them, so that nothing of a later step shows."""
    return series.filled()[:, : len(series.targets)]

"""Autoregression on a fixed number of values: the next step from the τ before it, fed back for those behind.

    y_t = f(y_{t−τ}, …, y_{t−1}),  in scaled values, all columns together; what is known of step t beforehand is read as well

Knows lags and scaling; must not know what f is. Here f is linear, found by least squares; `bptt.forecasting.mlp` has another.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt.data.series import Scaling, Series
from bptt.errors import InputError
from bptt.forecasting.method import Method, gather

ENOUGH = 3  # training examples for every lag, before a season's worth of lags is taken unasked
FEW = 4


class Autoregression(Method):
    """The next step as a function of the lags before it."""

    takes = Method.takes | {"scale", "lags"}

    scaling: Scaling
    lags: int

    def fit(self, series: Series, train: int) -> None:
        """Learn from every window of τ + 1 steps of the training part that has no hole at its end."""
        part = series[:train]
        self.lags = self._lags(part)
        part.require(self.lags + 2, f"{self.lags} lags")
        self.scaling = Scaling.fit(part.values, self.s.scale, self.s.transform, len(part.targets))
        values = self.scaling(part.filled("linear" if part.missing == "linear" else "previous"))
        at = np.arange(self.lags, len(part))
        seen = ~np.isnan(part.values[at]).any(1) | (part.missing == "linear")
        if not seen.any():
            raise InputError("No window of the training part is without a hole", f"{self.lags} lags", "Use fewer lags")
        self.learn(self._rows(values, series, at)[seen], values[at][seen])

    def _lags(self, part: Series) -> int:
        if self.s.lags is not None:
            return self.s.lags
        wanted = (part.period or 0) + 1
        return wanted if wanted > FEW and len(part) >= (ENOUGH + 1) * wanted else FEW

    def _rows(self, values: np.ndarray, series: Series, at: np.ndarray) -> np.ndarray:
        """What is read for the steps `at`: [n, τ·D + K], oldest first, then what is known of that step."""
        lags = gather(values, at, self.lags).reshape(len(at), -1)
        return np.concatenate([lags, self._known(series, at)], 1)

    def _known(self, series: Series, at: np.ndarray) -> np.ndarray:
        assert series.known is not None
        return series.known[np.minimum(at, len(series.known) - 1)]  # beyond its end, where there are no columns, nothing

    def reach(self, series: Series) -> int:
        """τ."""
        return self.lags

    def ahead(self, series: Series, origins: np.ndarray, horizon: int) -> np.ndarray:
        """One step after the other; from the second on, what was said is read."""
        values = self.scaling(series.filled())
        path = gather(values, origins, self.lags)
        for k in range(horizon):
            row = np.concatenate([path[:, k:].reshape(len(origins), -1), self._known(series, origins + k)], 1)
            path = np.concatenate([path, self.tell(row)[:, None]], 1)
        return self.scaling.back(path[:, self.lags :])[..., : len(series.targets)]

    @abc.abstractmethod
    def learn(self, rows: np.ndarray, following: np.ndarray) -> None:
        """Find f from rows [n, τ·D + K] and what followed them [n, D]."""

    @abc.abstractmethod
    def tell(self, rows: np.ndarray) -> np.ndarray:
        """f of rows [n, τ·D + K]: what follows them [n, D]."""

    def to_json(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Lags and scaling; f is the subclass's."""
        return {"lags": self.lags, "scaling": self.scaling.to_json()}, {}

    def restore(self, series: Series, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self.lags, self.scaling = plain["lags"], Scaling.from_json(plain["scaling"])


class Linear(Autoregression):
    """y_t = c + Σ_i φ_i y_{t−i}, the coefficients by least squares."""

    about: str = "linear autoregression by least squares"

    weights: np.ndarray

    def learn(self, rows: np.ndarray, following: np.ndarray) -> None:
        """min ‖[1 X] W − Y‖², the smallest W where several are equal."""
        self.weights = np.linalg.lstsq(with_one(rows), following, rcond=None)[0]

    def tell(self, rows: np.ndarray) -> np.ndarray:
        """[1 X] W."""
        return with_one(rows) @ self.weights

    def to_json(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return super().to_json()[0], {"weights": self.weights}

    def restore(self, series: Series, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        super().restore(series, plain, arrays)
        self.weights = np.asarray(arrays["weights"])


def with_one(rows: np.ndarray) -> np.ndarray:
    """The rows, each with a 1 before it for the constant."""
    return np.concatenate([np.ones((len(rows), 1)), rows], 1)

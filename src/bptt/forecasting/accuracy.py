"""How good forecasts are: MAE, RMSE, sMAPE, MASE, coverage, each with its definition and source.

Knows numbers only. Arrays are [..., targets]: whatever lies before is averaged over; what was not observed (NaN) is
passed over.
"""

from __future__ import annotations

import warnings

import numpy as np

# Name → what it is, for tables and reports.
DEFINITIONS = {
    "MAE": "mean absolute error, (1/n) Σ |y − ŷ|, in the units of the series",
    "RMSE": "root mean squared error, √((1/n) Σ (y − ŷ)²), in the units of the series",
    "sMAPE": "symmetric mean absolute percentage error, (200/n) Σ |y − ŷ| / (|y| + |ŷ|), from 0 to 200 "
    "(Makridakis 1993; as in the M4 competition)",
    "MASE": "mean absolute scaled error: MAE divided by that of the one-step seasonal naive forecast within the training part, "
    "(1/(n−m)) Σ |y_t − y_{t−m}| (Hyndman & Koehler 2006)",
    "coverage": "share of values that lie within the prediction interval; near its level is right",
}


def mae(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Mean absolute error: (1/n) Σ |y − ŷ|.

    >>> mae(np.array([[1.0], [3.0]]), np.array([[2.0], [3.0]]))
    0.5
    """
    return mean(np.abs(actual - forecast))


def rmse(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Root mean squared error: √((1/n) Σ (y − ŷ)²).

    >>> rmse(np.array([[1.0], [3.0]]), np.array([[1.0], [1.0]])) ** 2
    2.0000000000000004
    """
    return float(np.sqrt(mean((actual - forecast) ** 2)))


def smape(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Symmetric mean absolute percentage error: (200/n) Σ |y − ŷ| / (|y| + |ŷ|); where both are 0, nothing is wrong.

    Source: Makridakis, S. (1993), Accuracy measures: theoretical and practical concerns, International Journal of
    Forecasting 9; in the form of the M4 competition (Makridakis, Spiliotis, Assimakopoulos 2020).

    >>> smape(np.array([[3.0], [0.0]]), np.array([[1.0], [0.0]]))
    50.0
    """
    size = np.abs(actual) + np.abs(forecast)
    return 200 * mean(np.abs(actual - forecast) / np.where(size == 0, 1.0, size))


def mase(actual: np.ndarray, forecast: np.ndarray, scale: np.ndarray) -> float:
    """Mean absolute scaled error: (1/n) Σ |y − ŷ| / q, with q [targets] from `mase_scale`. Below 1: better than it.

    Source: Hyndman, R. J., Koehler, A. B. (2006), Another look at measures of forecast accuracy, International Journal of
    Forecasting 22, equation for q_t; with the seasonal difference as in Forecasting: Principles and Practice, section 5.8.

    >>> mase(np.array([[1.0], [3.0]]), np.array([[2.0], [3.0]]), np.array([0.25]))
    2.0
    """
    return mean(np.abs(actual - forecast) / scale)


def mase_scale(training: np.ndarray, period: int | None) -> np.ndarray:
    """q = (1/(n−m)) Σ |y_t − y_{t−m}| of every column of the training part [N, targets]; m = 1 where there is no season.

    NaN where it is 0 or nothing is known: such a scale can measure nothing.

    >>> mase_scale(np.array([[1.0], [2.0], [4.0]]), None)
    array([1.5])
    """
    lag = period if period is not None and period < len(training) else 1
    steps = np.abs(training[lag:] - training[:-lag])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = np.nanmean(steps, 0)
    return np.where(found > 0, found, np.nan)


def coverage(actual: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """The share of values with lower ≤ y ≤ upper.

    >>> coverage(np.array([[1.0], [5.0]]), np.array([[0.0], [0.0]]), np.array([[2.0], [2.0]]))
    0.5
    """
    inside = ((lower <= actual) & (actual <= upper)).astype(float)
    return mean(np.where(np.isnan(actual) | np.isnan(lower), np.nan, inside))


def mean(values: np.ndarray) -> float:
    """The mean of what is known; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def accuracies(actual: np.ndarray, forecast: np.ndarray, scale: np.ndarray) -> dict[str, float]:
    """The four errors by name."""
    return {
        "MAE": mae(actual, forecast),
        "RMSE": rmse(actual, forecast),
        "sMAPE": smape(actual, forecast),
        "MASE": mase(actual, forecast, scale),
    }

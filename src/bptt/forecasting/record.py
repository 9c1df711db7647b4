"""What a forecast run says of itself: forecast.json, for pages and pictures.

Knows forecasts, backtests and series; must not know files or how anything is drawn. Plain values, one list per target.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bptt.data.series import Series
from bptt.data.series.times import month_numbers, show
from bptt.forecasting.accuracy import DEFINITIONS
from bptt.forecasting.backtest import Backtest, Curves
from bptt.forecasting.forecast import Forecast
from bptt.forecasting.forecaster import Forecaster

TAIL = 4  # horizons, or two seasons if that is more, of the past to show beside a forecast
SHOWN = 1500  # steps of history at most


def record(
    forecaster: Forecaster, series: Series, backtest: Backtest, curves: dict[str, Curves], forecast: Forecast
) -> dict[str, Any]:
    """Everything that is shown, as plain JSON.

    curves  the k-step-ahead forecasts of every model that has some, the forecaster's first
    """
    judged = backtest.models[0]
    return {
        "model": forecaster.model,
        "about": judged.about,
        "series": {
            "name": series.name,
            "source": series.facts.get("source", ""),
            "targets": list(series.targets),
            "steps": len(series),
            "period": series.period,
            "notes": list(series.notes),
            "train": forecaster.fitted.train,
            "valid": len(forecaster.fitted.series) - forecaster.fitted.train,
            "test": len(series) - int(backtest.origins[0]),
            "dated": series.times is not None,
        },
        "history": history(series, backtest, len(forecast)),
        "forecast": {
            "times": shown(forecast.times, series),
            "start": len(series),
            "mean": by_target(forecast.mean),
            "bounds": [
                {"level": level, "lower": by_target(forecast.lower[level]), "upper": by_target(forecast.upper[level])}
                for level in forecast.lower
            ],
            "notes": list(forecast.notes),
        },
        "backtest": {
            "rows": backtest.rows(),
            "by_target": backtest.by_target(),
            "origins": backtest.origins.tolist(),
            "horizon": backtest.horizon,
            "refit": backtest.refit,
            "period": backtest.period,
            "scale": numbers(backtest.scale),
            "said": [by_target(fold) for fold in judged.forecasts],
            "bounds": bounds(backtest),
            "by_step": {model.name: numbers(model.by_step) for model in backtest.models},
            "definitions": DEFINITIONS,
        },
        "curves": told(curves, forecaster.model),
    }


def history(series: Series, backtest: Backtest, horizon: int) -> dict[str, Any]:
    """The end of the series: what the backtest was judged by, and some of what lies before it."""
    tail = max(TAIL * horizon, 2 * (series.period or 0)) + len(series) - int(backtest.origins[0])
    start = max(0, len(series) - min(tail, SHOWN))
    times = [] if series.times is None else shown(series.times[start:], series)
    return {"start": start, "times": times, "values": by_target(series.target_values[start:])}


def shown(times: np.ndarray, series: Series) -> list[str]:
    """Times as texts; of months that begin on the first, no days."""
    texts = [show(time) for time in times]
    monthly = series.times is not None and month_numbers(series.times) is not None
    return [text[:7] for text in texts] if monthly and all(text[7:] == "-01" for text in texts) else texts


def bounds(backtest: Backtest) -> list[dict[str, Any]]:
    """The widest interval of the first model, fold by fold."""
    judged = backtest.models[0]
    if judged.lower is None or judged.upper is None or not judged.covered:
        return []
    return [
        {"lower": by_target(low), "upper": by_target(high)}
        for low, high in zip(judged.lower[-1], judged.upper[-1], strict=True)
    ]


def told(curves: dict[str, Curves], model: str) -> dict[str, Any]:
    """The k-step-ahead curves of one model, and the errors of all."""
    if model not in curves:
        return {}
    own = curves[model]
    return {
        "first": own.first,
        "steps": list(own.steps),
        "actual": by_target(own.actual),
        "said": {str(k): by_target(said) for k, said in own.said.items()},
        "errors": {name: {str(k): plain(error) for k, error in found.errors.items()} for name, found in curves.items()},
    }


def by_target(values: np.ndarray) -> list[list[float | None]]:
    """[H, targets] as one list per target."""
    return [numbers(column) for column in values.T]


def numbers(values: np.ndarray) -> list[float | None]:
    """As JSON has them: null where there is none; six digits are more than a picture shows."""
    return [plain(float(value)) for value in values]


def plain(value: float) -> float | None:
    """One number."""
    return float(f"{value:.6g}") if math.isfinite(value) else None

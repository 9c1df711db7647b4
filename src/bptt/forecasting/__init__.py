"""Forecasting: models of series, the baselines that they have to beat, and how both are judged.

    Series ──Forecaster.fit──▶ fitted method ──predict──▶ Forecast
                                             ──backtest──▶ Backtest: a table against the baselines

Knows series, models and training; must not know the command line, pages or pictures.
"""

from bptt.forecasting.accuracy import DEFINITIONS
from bptt.forecasting.backtest import STEPS, Backtest, Curves
from bptt.forecasting.forecast import Forecast
from bptt.forecasting.forecaster import Forecaster
from bptt.forecasting.settings import TRAINING, ForecastSettings
from bptt.forecasting.table import BASELINES, METHODS

__all__ = [
    "BASELINES",
    "DEFINITIONS",
    "METHODS",
    "STEPS",
    "TRAINING",
    "Backtest",
    "Curves",
    "Forecast",
    "ForecastSettings",
    "Forecaster",
]

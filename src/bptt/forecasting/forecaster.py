"""`Forecaster`: fit, predict, backtest; parameters in and out; save and load.

Knows the table of methods and what a user may ask; must not know how any of it is done.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from bptt.data.series import Series
from bptt.errors import InputError, did_you_mean
from bptt.forecasting.backtest import STEPS, Backtest, Curves, k_steps, origins_of, rolled, scale_of
from bptt.forecasting.fitted import Fitted, actual
from bptt.forecasting.forecast import Forecast
from bptt.forecasting.method import How, Method
from bptt.forecasting.settings import ForecastSettings
from bptt.forecasting.table import BASELINES, METHODS, check_name, check_takes, make
from bptt.gradients import STRATEGIES
from bptt.models import SeriesSettings
from bptt.training.settings import TrainSettings

KINDS = {"forecast": ForecastSettings, "model": SeriesSettings, "training": TrainSettings}
HOME = {field.name: kind for kind, owner in KINDS.items() for field in dataclasses.fields(owner)}


class Forecaster:
    """A model of series: naive, seasonal-naive, drift, linear, mlp, or a network: rnn, lstm, gru, lru, mingru, tdnn, …

    Arguments:
        model     its name
        settings  by name: horizon, transform, scale, anchor, head, harmonics, lags, valid, levels (`ForecastSettings`);
                  hidden_size, layers, dropout, loss, teacher_forcing … (`SeriesSettings`); and for what is trained gradient,
                  epochs, batch_size, steps, lr, seed … (`TrainSettings`; what is left out is the model's choice)

    A setting that the model has no use for is refused. Nothing is checked or done before `fit`. A forecaster behaves as
    scikit-learn's estimators do: `get_params`, `set_params`, and `Forecaster(**other.get_params())` is an unfitted copy.

        forecaster = bptt.Forecaster("gru", horizon=48, hidden_size=64, gradient=bptt.Truncated(48))
        forecaster.fit(series)
        print(forecaster.predict(48).to_csv())
        for row in forecaster.backtest(series, folds=4).rows(): print(row)

    >>> line = Series([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    >>> Forecaster("drift", valid=0.0).fit(line).predict(2).mean.ravel().tolist()
    [7.0, 8.0]
    """

    def __init__(self, model: str = "gru", **settings: Any) -> None:
        self.model, self.settings = model, settings
        self._fitted: Fitted | None = None

    def __repr__(self) -> str:
        said = "".join(f", {name}={value!r}" for name, value in self.settings.items())
        return f"Forecaster({self.model!r}{said})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The model's name and every setting that was given."""
        return {"model": self.model, **self.settings}

    def set_params(self, **params: Any) -> Forecaster:
        """Change some of them; what was fitted is forgotten. InputError for a name that is none."""
        for name in params:
            if name != "model" and name not in HOME:
                raise InputError("There is no such setting", f"{name}={params[name]!r}", did_you_mean(name, ["model", *HOME]))
        self.model = params.pop("model", self.model)
        self.settings = {**self.settings, **params}
        self._fitted = None
        return self

    @property
    def fitted(self) -> Fitted:
        """What was fitted; InputError before that."""
        if self._fitted is None:
            raise InputError("This forecaster is not fitted", repr(self), "Call fit(series) first")
        return self._fitted

    def check(self) -> Forecaster:
        """Itself, if there is such a model and its settings can be; InputError else, as from `fit`."""
        self._made({})
        return self

    def settled(self, train: int) -> Forecaster:
        """An unfitted copy that is told everything which this one would choose by itself for `train` steps of training."""
        return Forecaster(self.model, **self._made({}).settled(train))

    @property
    def forecasting(self) -> ForecastSettings:
        """The settings of the forecast, checked."""
        return self._how({}).forecast

    def _made(self, fitting: Mapping[str, Any]) -> Method:
        how = self._how(fitting)
        check_takes(self.model, self.settings)
        return make(self.model, how)

    def _how(self, fitting: Mapping[str, Any]) -> How:
        parts: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        for name, value in self.settings.items():
            if name not in HOME:
                raise InputError("There is no such setting", f"{name}={value!r}", did_you_mean(name, list(HOME)))
            parts[HOME[name]][name] = value
        SeriesSettings(**parts["model"])
        TrainSettings(**parts["training"])
        return How(ForecastSettings(**parts["forecast"]), parts["model"], parts["training"], fitting)

    def fit(self, series: Series, **fitting: Any) -> Forecaster:
        """Learn from a series: all but the share `valid` at its end, which chooses the epoch and gives the intervals.

        fitting  for recurrent models, what `bptt.fit` takes besides settings: out, resume, overwrite, config, listeners

        Returns itself. Raises InputError for a series that is constant, too short, or has no number in the transform.
        """
        check_series(series).check_variation()
        method = self._made(fitting)
        if (threads := self.settings.get("threads")) is not None:
            torch.set_num_threads(threads)
        self._fitted = Fitted.of(method, series)
        return self

    def predict(self, horizon: int | None = None, *, after: Series | None = None) -> Forecast:
        """The steps after the end of the series that it was fitted on.

        Arguments:
            horizon  how many; None: the setting
            after    forecast from the end of this series instead, without learning from it: the same one, grown longer, or
                     another of its kind

        Raises InputError before `fit`, for a horizon that is none, and beyond what is known beforehand.
        """
        fitted = self.fitted
        series = check_series(fitted.series if after is None else after)
        if series.columns != fitted.series.columns or series.knowns != fitted.series.knowns:
            given = f"{', '.join(series.columns)} there, {', '.join(fitted.series.columns)} when it was fitted"
            raise InputError("The series has other columns than the one it was fitted on", given, "Give the same columns")
        horizon = fitted.method.s.horizon if horizon is None else horizon
        if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 1:
            raise InputError("A horizon is a whole number of steps, at least 1", f"horizon={horizon!r}", "Give for example 24")
        said = fitted.ahead(series, np.array([len(series)]), horizon)[0]
        bounds, notes = fitted.bounds(said), []
        intervals = fitted.intervals(horizon)
        if intervals is not None and intervals.short():
            words = ", ".join(f"{level:.0%}" for level in intervals.short())
            notes.append(
                f"only {int(intervals.count.min())} residuals at the longest horizon: "
                f"intervals of {words} cover less than they say"
            )
        lower, upper = ({} if bounds is None else dict(zip(fitted.levels, bounds[side], strict=True)) for side in (0, 1))
        return Forecast(series.clock().ahead(horizon), said, lower, upper, series.targets, tuple(notes))

    def backtest(
        self,
        series: Series,
        *,
        horizon: int | None = None,
        folds: int = 4,
        stride: int | None = None,
        refit: bool = False,
        against: Iterable[str] = BASELINES,
        progress: Callable[[str, int], None] | None = None,
    ) -> Backtest:
        """Forecasts from the last origins of a series, judged by what came, beside the baselines.

        Arguments:
            horizon   steps of each forecast; None: the setting
            folds     how many forecasts
            stride    steps from one origin to the next; None: the horizon, so that no step is forecast twice
            refit     fit anew on all that lies before each origin; False: fit once, on what lies before the first, and only
                      read on from there
            against   further models, fitted with the same settings of the forecast
            progress  called with (model, fits done)

        A forecaster that has been fitted on exactly the steps before the first origin is used as it is; else copies are fitted,
        and it stays what it was. Raises InputError where the series is too short for it.
        """
        check_series(series).check_variation()
        horizon = self.forecasting.horizon if horizon is None else horizon
        origins = origins_of(series, horizon, folds, horizon if stride is None else stride)
        first = int(origins[0])
        scale = scale_of(series, first)
        judged = []
        for name in dict.fromkeys([self.model, *against]):
            own = name == self.model
            one = self if own else self.like(name)
            ready = self._fitted if own and self._fitted is not None and len(self._fitted.series) == first else None
            report = None if progress is None else lambda done, name=name: progress(name, done)
            judged.append(rolled(one.fits, name, series, origins, horizon, scale, refit=refit, fitted=ready, progress=report))
        came = actual(series, origins, horizon)
        return Backtest(origins, came, scale, series.period, series.targets, tuple(judged), refit)

    def fits(self, series: Series) -> Fitted:
        """A copy, fitted on `series`."""
        return Forecaster(**self.get_params()).fit(series).fitted

    def like(self, model: str) -> Forecaster:
        """Another model with the same settings of the forecast, as far as it has them; its own choice of everything else."""
        takes = METHODS[check_name(model)].takes
        ours = {name: value for name, value in self.settings.items() if HOME.get(name) == "forecast" or name == "seed"}
        shared = {name: value for name, value in ours.items() if name in takes}
        return Forecaster(model, **shared)

    def ahead(self, series: Series, steps: Sequence[int] = STEPS) -> Curves:
        """k-step-ahead forecasts over what comes in `series` after the part that this forecaster was fitted on."""
        return k_steps(self.fitted, check_series(series), len(self.fitted.series), steps)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Everything that `load` needs, into a folder; see `bptt.forecasting.keeping`."""
        from bptt.forecasting.keeping import save

        save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], strategies: Mapping[str, type] | None = None) -> Forecaster:
        """A saved forecaster, fitted as it was: from `save`, or from the run directory of `bptt forecast`.

        strategies  your own gradient strategies by name, if it was trained by one
        """
        from bptt.forecasting.keeping import load

        return load(path, {**STRATEGIES, **(strategies or {})})


def check_series(series: Any) -> Series:
    """The series; InputError for anything else."""
    if not isinstance(series, Series):
        todo = 'Read one: bptt.read_series("demand.csv", "load"), or bptt.Series(array)'
        raise InputError("This is no Series", type(series).__name__, todo)
    return series

"""Backtests: forecasts from origins in the past, judged by what came.

Knows fitted methods and accuracies; must not know any model. Only steps before an origin are handed on by a refit, and
only they may shape a forecast without one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bptt.data.series import Series
from bptt.errors import InputError, did_you_mean
from bptt.forecasting.accuracy import accuracies, coverage, mase_scale, rmse
from bptt.forecasting.fitted import Fitted, actual

STEPS = (1, 4, 16, 64)  # k of the k-step-ahead curves


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """One model in a backtest.

    forecasts     [folds, horizon, targets]
    lower, upper  [levels, folds, horizon, targets], or None
    errors        the accuracies over all folds, by name
    covered       {level: coverage}
    by_step       [horizon] RMSE of each step ahead over the folds
    fitted        as it was for the last fold: without refit, on what lies before the first origin
    """

    name: str
    about: str
    forecasts: np.ndarray
    lower: np.ndarray | None
    upper: np.ndarray | None
    errors: dict[str, float]
    covered: dict[float, float]
    by_step: np.ndarray
    fitted: Fitted


@dataclasses.dataclass(frozen=True, eq=False)
class Backtest:
    """Forecasts from several origins, for several models.

    origins  [folds] how many steps lie before each forecast
    actual   [folds, horizon, targets]
    scale    [targets] the denominator of MASE: from the steps before the first origin
    period   its lag, or None for 1
    targets  names of the columns
    models   the results, the first one being what was asked about
    refit    whether every fold was fitted anew
    """

    origins: np.ndarray
    actual: np.ndarray
    scale: np.ndarray
    period: int | None
    targets: tuple[str, ...]
    models: tuple[Judged, ...]
    refit: bool

    @property
    def horizon(self) -> int:
        """Steps of each forecast."""
        return self.actual.shape[1]

    def __getitem__(self, name: str) -> Judged:
        """The results of the model of that name."""
        for model in self.models:
            if model.name == name:
                return model
        raise InputError("This model is not in the backtest", repr(name), f"There are {', '.join(m.name for m in self.models)}")

    def rows(self, target: str | None = None) -> list[dict[str, Any]]:
        """A table: one dict per model, the best by MASE first; models without a MASE behind, by MAE.

        target  the one that is looked at; None: all of them together, every value counting alike. Of targets in different
                units, MAE and RMSE then follow the largest; sMAPE, MASE and coverage have none
        """
        found = [{"model": m.name, **(self._all(m) if target is None else self._of(m, target))} for m in self.models]
        return sorted(found, key=lambda row: (np.isnan(row["MASE"]), row["MASE"] if not np.isnan(row["MASE"]) else row["MAE"]))

    def by_target(self) -> dict[str, list[dict[str, Any]]]:
        """The table of every target, by its name; nothing where there is one, whose table is `rows()`."""
        return {name: self.rows(name) for name in self.targets} if len(self.targets) > 1 else {}

    def _all(self, model: Judged) -> dict[str, float]:
        return {**model.errors, **{f"coverage {level:g}": share for level, share in model.covered.items()}}

    def _of(self, model: Judged, target: str) -> dict[str, float]:
        if target not in self.targets:
            raise InputError("There is no such target", repr(target), did_you_mean(target, list(self.targets)))
        i = self.targets.index(target)
        only, came = slice(i, i + 1), self.actual[..., i : i + 1]
        found = accuracies(came, model.forecasts[..., only], self.scale[only])
        if model.lower is not None and model.upper is not None:
            for number, level in enumerate(model.covered):
                low, high = (bound[number, ..., only] for bound in (model.lower, model.upper))
                found[f"coverage {level:g}"] = coverage(came, low, high)
        return found


def origins_of(series: Series, horizon: int, folds: int, stride: int) -> np.ndarray:
    """The last `folds` origins, `stride` steps apart, whose forecasts end within the series; InputError if there is no room."""
    for name, value in (("horizon", horizon), ("folds", folds), ("stride", stride)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} must be a whole number, at least 1", f"{name}={value!r}", "Give a larger number")
    first = len(series) - horizon - (folds - 1) * stride
    if first < 2:
        given = f"{len(series)} steps, {folds} folds of {horizon}"
        raise InputError("The series is too short for this backtest", given, "Give a shorter horizon or fewer folds")
    return first + stride * np.arange(folds)


def rolled(
    fit: Callable[[Series], Fitted],
    name: str,
    series: Series,
    origins: np.ndarray,
    horizon: int,
    scale: np.ndarray,
    *,
    refit: bool = False,
    fitted: Fitted | None = None,
    progress: Callable[[int], None] | None = None,
) -> Judged:
    """One model over all folds.

    fit     what fits it on a series: the steps before the first origin, with `refit` those before each
    fitted  on the steps before the first origin, if that is done already
    """
    said: list[np.ndarray] = []
    bounds: list[tuple[np.ndarray, np.ndarray] | None] = []
    levels: tuple[float, ...] = ()
    fit_anew = [origins[i : i + 1] for i in range(len(origins))] if refit else [origins]
    for number, some in enumerate(fit_anew):
        one = fitted if number == 0 and fitted is not None else fit(series[: int(some[0])])
        seen = series[: int(some[0])] if refit else series
        said.append(one.ahead(seen, some, horizon))
        bounds.append(one.bounds(said[-1]))
        levels, about = one.levels, one.method.about
        if progress is not None:
            progress(number + 1)
    forecasts, came = np.concatenate(said), actual(series, origins, horizon)
    lower = upper = None
    if all(each is not None for each in bounds):
        lower, upper = (np.concatenate([each[side] for each in bounds if each is not None], 1) for side in (0, 1))
    covered = (
        {} if lower is None or upper is None else {level: coverage(came, lower[i], upper[i]) for i, level in enumerate(levels)}
    )
    by_step = np.array([rmse(came[:, k], forecasts[:, k]) for k in range(horizon)])
    return Judged(name, about, forecasts, lower, upper, accuracies(came, forecasts, scale), covered, by_step, one)


def scale_of(series: Series, first: int) -> np.ndarray:
    """The denominator of MASE from the steps before the first origin."""
    return mase_scale(series[:first].target_values, series.period)


@dataclasses.dataclass(frozen=True, eq=False)
class Curves:
    """k-step-ahead forecasts over the same steps for several k.

    steps  the k
    first  number of the first step forecast
    said   {k: [n, targets]} the forecast of every step from `first` on, made k steps before it
    actual [n, targets]
    errors {k: RMSE}
    """

    steps: tuple[int, ...]
    first: int
    said: dict[int, np.ndarray]
    actual: np.ndarray
    errors: dict[int, float]


def k_steps(fitted: Fitted, series: Series, first: int, steps: Sequence[int] = STEPS) -> Curves:
    """Forecasts k steps ahead of every step of the series from `first` + max k − 1 on, each from k steps before it.

    All curves cover the same steps, so that their errors compare. Origins begin at `first`: fit on what lies before it.
    """
    longest = max(steps)
    if len(series) - first < longest:
        given = f"{len(series) - first} steps behind the training, k = {longest}"
        raise InputError("There are too few steps to look so far ahead", given, "Give smaller k, or a longer series")
    origins = np.arange(first, len(series))
    if series.knowns:
        origins = origins[origins + longest <= len(series) + series.future]
    said = fitted.ahead(series, origins, longest)
    begin = first + longest - 1
    curves = {}
    for k in steps:
        index = np.arange(begin, len(series)) - (k - 1) - first
        curves[k] = said[index[index < len(said)], k - 1]
    came = series.target_values[begin:]
    return Curves(tuple(steps), begin, curves, came, {k: rmse(came[: len(c)], c) for k, c in curves.items()})

"""Everything that `bptt forecast` is asked for, as flat keys and as the dataclasses that they become.

Knows the settings of forecasting; must not know argparse, terminals or exit codes. Only what was given is handed on: each model
has its own choice of the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from bptt.config.table import Setting, known, normal, settings_of
from bptt.config.values import Table, convert, plain
from bptt.data.series import Series, read_series, sine
from bptt.data.source import table_of
from bptt.errors import InputError
from bptt.forecasting import BASELINES, TRAINING, Forecaster, ForecastSettings
from bptt.forecasting.settings import TEXT_ONLY
from bptt.forecasting.table import METHODS, check_name
from bptt.gradients import STRATEGIES
from bptt.models import SeriesSettings
from bptt.models.series import CELLS
from bptt.training.settings import TrainSettings

SINE = "sine"
TEXTBOOK: dict[str, Any] = {"horizon": 64}


@dataclasses.dataclass(frozen=True)
class TableSettings:
    """How a series is read.

    Arguments:
        target: column to forecast; none: the only one that is left
        time: column of times, dates such as 2024-05-31 18:00 or numbers; none: rows are steps
        covariates: column that is read beside the targets, and not known ahead
        known: column that is known beforehand; rows without a target at the end give its future
        period: steps in a season, for seasonal forecasts and for MASE; none: no season
        missing: holes are an error, filled with the value before (previous), or in training by straight lines (linear)
    """

    target: tuple[str, ...] = ()
    time: str | None = None
    covariates: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    period: int | None = None
    missing: Literal["error", "previous", "linear"] = "error"

    def read(self, name: str) -> Series:
        """The series of that name: a file, `$BPTT_DATA/NAME.csv`, or the textbook's sine."""
        path = table_of(name)
        if path is not None:
            return read_series(path, **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)})
        if name == SINE:
            self._refuse_columns()
            return dataclasses.replace(sine(), period=self.period)
        return read_series(name)  # which says what is wrong

    def _refuse_columns(self) -> None:
        """InputError for what only a file has."""
        for key in ("target", "time", "covariates", "known"):
            if value := getattr(self, key):
                named = value if isinstance(value, str) else ", ".join(value)
                raise InputError("The sine has one column and no file", f"{key} {named}", f"Leave {key} out, or name a file")


@dataclasses.dataclass(frozen=True)
class JudgeSettings:
    """What forecasts, and how it is judged.

    Arguments:
        model: naive, seasonal-naive, drift, linear, mlp, rnn, lstm, gru, lru, mingru, tdnn or output-to-hidden
        folds: forecasts from so many origins in the past, none of which the model is trained on
        stride: steps from one origin to the next; none: the horizon
        refit: train anew before every fold, on all that lies before it
        against: model to compare with; none alone: no comparison
    """

    model: str = "gru"
    folds: int = 4
    stride: int | None = None
    refit: bool = False
    against: tuple[str, ...] = BASELINES

    def __post_init__(self) -> None:
        for name in (self.model, *self.against):
            check_name(name)
        for key in ("folds", "stride"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise InputError(f"{key} must be a whole number, at least 1", f"{key}={value}", "Give a larger number")


def _settings() -> dict[str, Setting]:
    owners = (TableSettings, JudgeSettings, ForecastSettings, SeriesSettings, TrainSettings)
    found = {s.key: s for owner in owners for s in settings_of(owner) if not (owner is TrainSettings and s.key in TEXT_ONLY)}
    for key, value in TRAINING.items():
        found[key] = dataclasses.replace(found[key], default=value)
    simple = ", ".join(name for name in METHODS if name not in CELLS)
    networks = f"{simple}, or a network trained through time: {', '.join(CELLS)}"
    found["model"] = dataclasses.replace(found["model"], help=networks)
    return found


FORECAST_SETTINGS = _settings()
OTHERS = ("series", "series_at")
INNER = (ForecastSettings, SeriesSettings, TrainSettings)


@dataclasses.dataclass(frozen=True)
class ForecastConfig:
    """Everything that `bptt forecast` is asked for, apart from where the run goes.

    given  the settings of model, forecast and training that were given, by name

    >>> ForecastConfig.from_flat({"series": "demand", "horizon": "12", "hidden-size": 8}).given
    {'horizon': 12, 'hidden_size': 8}
    """

    series: str = SINE
    table: TableSettings = TableSettings()
    judge: JudgeSettings = JudgeSettings()
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_flat(cls, flat: Mapping[str, Any], table: Table = STRATEGIES) -> ForecastConfig:
        """From flat keys to values; InputError naming the key for any other."""
        named = {normal(key): value for key, value in flat.items()}
        series = named.pop("series", SINE)
        named.pop("series_at", None)
        if not isinstance(series, str):
            raise InputError("series must be one name", f"series={series!r}", "Give for example series: demand.csv")
        parts: dict[Any, dict[str, Any]] = {TableSettings: {}, JudgeSettings: {}}
        given: dict[str, Any] = {}
        for key, value in named.items():
            setting = known(key, FORECAST_SETTINGS, OTHERS)
            where = given if setting.owner in INNER else parts[setting.owner]
            where[key] = convert(setting, value, table)
        if series == SINE:  # as the textbook looks at it: up to 64 steps ahead
            given = {**TEXTBOOK, **given}
        made = cls(series, TableSettings(**parts[TableSettings]), JudgeSettings(**parts[JudgeSettings]), given)
        made.forecaster.check()
        return made

    @property
    def forecaster(self) -> Forecaster:
        """The model, unfitted."""
        return Forecaster(self.judge.model, **self.given)

    @property
    def forecast(self) -> ForecastSettings:
        """The settings of the forecast."""
        return self.forecaster.forecasting

    @property
    def train(self) -> TrainSettings:
        """The settings of the training, as a recurrent model takes them."""
        fields = {field.name for field in dataclasses.fields(TrainSettings)}
        return TrainSettings(**{**TRAINING, **{key: value for key, value in self.given.items() if key in fields}})

    def settled(self, train: int) -> ForecastConfig:
        """The same with nothing left to choose for `train` steps of training, so that later defaults change nothing."""
        return dataclasses.replace(self, given=self.forecaster.settled(train).settings)

    def to_flat(self, table: Table = STRATEGIES) -> dict[str, Any]:
        """Every setting that was given or belongs to the data, as a plain value, such that `from_flat` gives this again."""
        flat: dict[str, Any] = {"series": self.series}
        for part in (self.table, self.judge):
            flat |= {field.name: plain(getattr(part, field.name), table) for field in dataclasses.fields(part)}
        return {**flat, **{key: plain(value, table) for key, value in self.given.items()}}

"""What every way of forecasting offers: it is fitted once, and forecasts from any origin of any series of its kind.

Knows series and settings; must not know how forecasts are judged or shown. The past of an origin is all that a method
may look at: `bptt.forecasting.backtest` and the tests rely on it.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from bptt.data.series import Series
from bptt.errors import InputError
from bptt.forecasting.settings import ForecastSettings


@dataclasses.dataclass(frozen=True)
class How:
    """What a method is told besides the series: settings by kind, the run directory, and who listens.

    model, training  settings of the network and of its training that were given; what is left out is the method's choice
    fitting          further arguments of `bptt.fit`: out, resume, overwrite, config, listeners
    """

    forecast: ForecastSettings
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fitting: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Method(abc.ABC):
    """One way of forecasting.

    about  in a line, for tables; of the class, or of its settings
    takes  names of the settings that it has a use for; given another one, a user is told so
    """

    about: str
    takes: ClassVar[frozenset[str]] = frozenset({"horizon", "transform", "valid", "levels", "threads"})

    def __init__(self, how: How) -> None:
        self.how, self.s = how, how.forecast

    @abc.abstractmethod
    def fit(self, series: Series, train: int) -> None:
        """Learn from the first `train` steps; what lies behind them may choose when to stop, and nothing else."""

    @abc.abstractmethod
    def ahead(self, series: Series, origins: np.ndarray, horizon: int) -> np.ndarray:
        """Forecasts [origins, horizon, targets]: from origin o, of the steps o … o + horizon − 1, given those before o
        alone."""

    def settled(self, train: int) -> dict[str, Any]:
        """Every setting that it has, given or its own choice, by name, as it is for a training part of `train` steps."""
        return self._taken(vars(self.s), self.how.model, self.how.training)

    def _taken(self, *settings: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for each in settings for name, value in each.items() if name in self.takes}

    def reach(self, series: Series) -> int:
        """How many steps there must be before an origin."""
        return 1

    def longest(self) -> int | None:
        """The longest horizon that it can be asked for; None: any."""
        return None

    def to_json(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What was learnt: plain values, and arrays by name."""
        return {}, {}

    def restore(self, series: Series, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Be as `to_json` described, for the series that it was fitted on."""
        return

    def forecasts(self, series: Series, origins: Sequence[int] | np.ndarray, horizon: int) -> np.ndarray:
        """`ahead`, once its arguments make sense."""
        origins = np.asarray(origins, dtype=np.int64)
        least, most = self.reach(series), self.longest()
        if len(origins) and origins.min() < least:
            given = f"{int(origins.min())} steps, {least} needed"
            raise InputError("There is too little before the first forecast", given, "Give a longer series, or fewer folds")
        if most is not None and horizon > most:
            todo = f"Ask for {most} at most, fit with a longer horizon, or use the recursive head"
            raise InputError("The direct head was fitted for a shorter horizon", f"horizon {horizon}", todo)
        beyond = int(origins.max()) + horizon - len(series) if len(origins) else 0
        if series.knowns and beyond > series.future:
            given = f"{', '.join(series.knowns)}: {series.future} steps beyond the end, {beyond} needed"
            raise InputError("What is known beforehand does not reach to the end of the forecast", given, "Give more of it")
        return self.ahead(series, origins, horizon)


def gather(values: np.ndarray, origins: np.ndarray, count: int) -> np.ndarray:
    """The `count` steps before each origin, oldest first: [N, D] → [origins, count, D]; before the beginning, the first one."""
    at = origins[:, None] + np.arange(-count, 0)
    return values[np.maximum(at, 0)]

"""A series: columns of numbers at equal steps of time, with its holes as they are.

Knows numbers, names and times; must not know files, models or how it will be cut into windows. A series is a value, and
a slice of one knows nothing of the rest: whatever is computed from `series[:t]` cannot have looked beyond t.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from bptt.data.series.times import Clock, check_times
from bptt.errors import InputError, did_you_mean

FILLS = ("error", "previous", "linear")


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """N steps of D columns: first the targets, which are forecast, then the covariates, which are only observed.

    Arguments:
        values      [N, D] float64; NaN is a hole. One column may be given as [N]
        targets     names of the first columns
        covariates  names of the others: known up to now, and no further
        known       [N + F, K]: what is known beforehand (a price plan, holidays); F rows of it lie beyond the end
        knowns      names of its columns
        times       [N] datetime64 or numbers, increasing, or None
        period      steps in a season, for what repeats; None: nothing is known to
        missing     what to do with holes. "error": refuse them; "previous": a model reads the last value in its place, and
                    is neither trained nor judged on it; "linear": as that, but training takes straight lines across holes
        name        for people
        start       the number of the first step, counted from the beginning of the whole series

    Raises InputError for values that are not finite, for holes if they are errors, and for times that do not increase.

    >>> series = Series([1.0, 2.0, 4.0], period=2)
    >>> len(series), series.targets, len(series[:2])
    (3, ('value',), 2)
    """

    values: np.ndarray
    targets: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    known: np.ndarray | None = None
    knowns: tuple[str, ...] = ()
    times: np.ndarray | None = None
    period: int | None = None
    missing: str = "error"
    name: str = "series"
    start: int = 0
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = matrix(self.values, "values")
        known = np.zeros((len(values), 0)) if self.known is None else matrix(self.known, "known")
        put = {"values": values, "known": known, "targets": tuple(self.targets), "covariates": tuple(self.covariates)}
        put["knowns"] = tuple(self.knowns) or tuple(f"known_{i + 1}" for i in range(known.shape[1]))
        if not put["targets"]:
            count = values.shape[1] - len(self.covariates)
            put["targets"] = ("value",) if count == 1 else tuple(f"value_{i + 1}" for i in range(count))
        for key, value in put.items():
            object.__setattr__(self, key, value)
        self._check()

    def _check(self) -> None:
        if self.missing not in FILLS:
            raise InputError(
                "There is no such way with holes", f"missing={self.missing!r}", did_you_mean(self.missing, list(FILLS))
            )
        if len(self.columns) != self.values.shape[1] or not self.targets:
            given = f"{self.values.shape[1]} columns, names {', '.join(self.columns) or 'none'}"
            raise InputError("Every column needs a name, and one must be a target", given, "Give targets and covariates")
        if self.known is not None and (len(self.known) < len(self) or len(self.knowns) != self.known.shape[1]):
            given = f"{len(self.known)} rows for {len(self)} steps, names {', '.join(self.knowns) or 'none'}"
            raise InputError("What is known beforehand must reach to the end of the series", given, "Give a row for every step")
        for name, column in zip((*self.columns, *self.knowns), (*self.values.T, *self.known.T), strict=True):  # type: ignore[union-attr]
            if np.isinf(column).any():
                where = int(np.flatnonzero(np.isinf(column))[0])
                raise InputError(f"{name} is infinite", f"row {where + 1}", "Correct it, or leave it empty and choose missing")
        if self.known is not None and np.isnan(self.known).any():
            row, column = (int(i[0]) for i in np.nonzero(np.isnan(self.known)))
            given = f"{self.knowns[column]}, row {row + 1}"
            raise InputError("What is known beforehand has a hole", given, "Fill it in, or make it a covariate")
        if self.period is not None and (isinstance(self.period, bool) or not isinstance(self.period, int) or self.period < 1):
            raise InputError("A period is a whole number of steps", f"period={self.period!r}", "Give for example period=24")
        if self.times is not None:
            check_times(self.times, len(self))
        if self.missing == "error" and self.holes:
            column, row = next(
                (c, int(np.flatnonzero(h)[0])) for c, h in zip(self.columns, np.isnan(self.values).T, strict=True) if h.any()
            )
            given = f"{self.holes} of {self.values.size} values, the first in {column}, row {row + 1}"
            raise InputError("The series has holes", given, 'Choose missing="previous" or missing="linear"')

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, cut: slice) -> Series:
        """The steps of a slice; what is known beforehand stays known, up to its end."""
        first, last, step = cut.indices(len(self))
        if step != 1 or last <= first:
            raise InputError("A part of a series is some steps in a row", f"{cut}", "Write series[a:b]")
        known = None if self.known is None else self.known[first:]
        times = None if self.times is None else self.times[first:last]
        return dataclasses.replace(self, values=self.values[first:last], known=known, times=times, start=self.start + first)

    @property
    def columns(self) -> tuple[str, ...]:
        """Targets and covariates."""
        return (*self.targets, *self.covariates)

    @property
    def future(self) -> int:
        """F: how many steps beyond the end something is known of."""
        return 0 if self.known is None else len(self.known) - len(self)

    @property
    def holes(self) -> int:
        """How many values are missing."""
        return int(np.isnan(self.values).sum())

    @property
    def target_values(self) -> np.ndarray:
        """The targets [N, targets], holes and all: what a forecast is judged by."""
        return self.values[:, : len(self.targets)]

    def filled(self, way: str = "previous") -> np.ndarray:
        """The values [N, D] without holes: the last value before a hole, or straight lines across it.

        Before the first value of a column stands that value.
        """
        return np.stack([fill(column, way) for column in self.values.T], 1)

    def clock(self) -> Clock:
        """How the times go on."""
        return Clock.of(self.times, self.start, len(self))

    def require(self, steps: int, what: str) -> Series:
        """Itself if it has at least `steps` steps; InputError else, saying for `what`."""
        if len(self) < steps:
            raise InputError(
                f"The series is too short for {what}",
                f"{len(self)} steps, at least {steps} needed",
                "Give a longer one, or ask for less",
            )
        return self

    def check_variation(self) -> Series:
        """Itself unless a target never changes: then there is nothing to learn, and errors have no scale."""
        for name, column in zip(self.targets, self.target_values.T, strict=True):
            seen = column[~np.isnan(column)]
            if not len(seen):
                raise InputError(f"{name} has no values", f"{len(column)} holes", "Give another target")
            if seen.min() == seen.max():
                raise InputError(
                    f"{name} is constant: there is nothing to forecast", f"always {seen[0]:g}", "Give another target"
                )
        return self


def matrix(values: Any, what: str) -> np.ndarray:
    """[N, D] float64, a copy of its own; InputError for what is no table of numbers."""
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"The {what} are not numbers", str(error), "Give an array of floats") from error
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or not len(array):
        raise InputError(f"The {what} are steps by columns", f"shape {array.shape}", "Give an array [N] or [N, D]")
    array.flags.writeable = False
    return array


def fill(column: np.ndarray, way: str) -> np.ndarray:
    """One column [N] without holes."""
    seen = np.flatnonzero(~np.isnan(column))
    if len(seen) == len(column):
        return column
    if not len(seen):
        return np.zeros_like(column)  # nothing was ever seen; `check_variation` refuses it as a target
    if way == "linear":
        return np.interp(np.arange(len(column)), seen, column[seen])
    last = np.maximum.accumulate(np.where(np.isnan(column), seen[0], np.arange(len(column))))
    return column[np.maximum(last, seen[0])]


def names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """One name or several as a tuple."""
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)

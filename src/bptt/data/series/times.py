"""Times: read from texts, checked, and continued beyond the end.

Knows dates and numbers; must not know values. A calendar month counts as one step although months differ in length.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from bptt.errors import InputError

UNIT = "datetime64[us]"


def parse_times(cells: Sequence[Any] | np.ndarray, column: str) -> np.ndarray:
    """Times [N] as datetime64 or float64; InputError naming the first cell that is neither a date nor a number.

    >>> parse_times(["1949-01", "1949-02"], "Month").astype("datetime64[M]").tolist()[0].year
    1949
    """
    array = np.asarray(cells)
    if array.dtype.kind == "M":
        found = array.astype(UNIT)
        if np.isnat(found).any():
            refuse(column, int(np.flatnonzero(np.isnat(found))[0]), "nothing")
        return found
    if array.dtype.kind in "iuf":
        return numbers(array, column)
    texts = [str(cell).strip() for cell in cells]
    try:
        return numbers(np.array(texts, dtype=np.float64), column)
    except ValueError:
        pass
    return np.array([date(text, column, row) for row, text in enumerate(texts)], dtype=UNIT)


def numbers(array: np.ndarray, column: str) -> np.ndarray:
    """Times that are numbers."""
    found = array.astype(np.float64)
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found))[0])
        refuse(column, row, repr(float(found[row])))
    return found


def date(text: str, column: str, row: int) -> np.datetime64:
    """One date in the ISO form: 2024-05, 2024-05-31, 2024-05-31 18:00, with Z for UTC."""
    iso = text.removesuffix("Z").replace("/", "-")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = np.datetime64(iso.replace(" ", "T", 1)).astype(UNIT)
    except (ValueError, Warning):
        refuse(column, row, repr(text))
    if np.isnat(found):
        refuse(column, row, repr(text))
    return found


def refuse(column: str, row: int, given: str) -> None:
    """InputError for a cell that is no time."""
    todo = "Write dates as 2024-05-31 18:00, or numbers, or leave --time out"
    raise InputError(f"The time column {column} holds something that is no time", f"row {row + 1}: {given}", todo)


def check_times(times: np.ndarray, count: int) -> None:
    """InputError unless there are `count` times, and each is later than the one before."""
    if times.shape != (count,) or times.dtype.kind not in "Mf":
        raise InputError(
            "Times are one for every step", f"{times.dtype} of shape {times.shape}", f"Give {count} dates or numbers"
        )
    back = np.flatnonzero(np.diff(times) <= np.zeros(1, np.diff(times).dtype)) if count > 1 else np.empty(0, int)
    if not len(back):
        return
    row = int(back[0])
    here, there = show(times[row]), show(times[row + 1])
    if here == there or times[row] == times[row + 1]:
        again = int((np.diff(times) == np.zeros(1, np.diff(times).dtype)).sum())
        given = f"rows {row + 1} and {row + 2} are both at {here}" + (f", and {again - 1} more" if again > 1 else "")
        raise InputError("Two rows have the same time", given, "Keep one row for each time")
    raise InputError(
        "The times are out of order", f"row {row + 1} is at {here}, row {row + 2} at {there}", "Sort the rows by time"
    )


def gaps(times: np.ndarray) -> tuple[int, int, str] | None:
    """How many steps are longer or shorter than the usual one, after which row the first comes, and what is usual."""
    months = month_numbers(times)
    steps = np.diff(times if months is None else months)
    if not len(steps):
        return None
    kinds, counts = np.unique(steps, return_counts=True)
    usual = kinds[np.argmax(counts)]
    odd = np.flatnonzero(np.abs((steps - usual).astype(np.float64)) > 1e-6 * abs(float(usual.astype(np.float64))))
    unit = span(usual) if months is None else f"{int(usual)} month{'' if usual == 1 else 's'}"
    return (len(odd), int(odd[0]), unit) if len(odd) else None


def month_numbers(times: np.ndarray) -> np.ndarray | None:
    """Months since 1970 [N] if every time is the same moment of its month, and there is no step below one; else None."""
    if times.dtype.kind != "M" or len(times) < 2:
        return None
    months = times.astype("datetime64[M]")
    within = times - months.astype(UNIT)
    if (within != within[0]).any() or (np.diff(months.astype(np.int64)) < 1).any():
        return None
    return months.astype(np.int64)


def span(step: Any) -> str:
    """The length of a step for people."""
    if not isinstance(step, np.timedelta64):
        return f"{float(step):g}"
    seconds = step / np.timedelta64(1, "s")
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % size == 0:
            return f"{seconds / size:g} {unit}{'' if seconds == size else 's'}"
    return f"{seconds:g} s"


def show(time: Any) -> str:
    """One time for people: no more of it than is needed."""
    if not isinstance(time, np.datetime64):
        return f"{float(time):g}"
    text = str(time.astype("datetime64[s]")).replace("T", " ")
    return text.removesuffix(":00").removesuffix(" 00:00")


@dataclasses.dataclass(frozen=True)
class Clock:
    """Times that go on: the last one and the step, in months if `months`; without times, step numbers from 0."""

    last: Any
    step: Any
    months: bool = False

    @classmethod
    def of(cls, times: np.ndarray | None, start: int, count: int) -> Clock:
        """The clock of a series."""
        if times is None:
            return cls(float(start + count - 1), 1.0)
        months = month_numbers(times)
        steps = np.diff(times if months is None else months)
        if not len(steps):
            return cls(times[-1], 1.0 if times.dtype.kind == "f" else np.timedelta64(1, "s"))
        kinds, counts = np.unique(steps, return_counts=True)
        return cls(times[-1], kinds[np.argmax(counts)], months is not None)

    def ahead(self, horizon: int) -> np.ndarray:
        """The `horizon` times after the last."""
        if not self.months:
            return np.array([self.last + self.step * k for k in range(1, horizon + 1)])
        month = self.last.astype("datetime64[M]")
        within = self.last - month.astype(UNIT)
        return np.array([(month + int(self.step) * k).astype(UNIT) + within for k in range(1, horizon + 1)])

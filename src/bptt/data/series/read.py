"""`read_series`: a table with names becomes a series.

Knows columns and what they are for; must not know how a table is stored, nor models.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bptt.data.series.series import Series, names
from bptt.data.series.table import Columns, open_table, to_numbers
from bptt.data.series.times import gaps, parse_times, show
from bptt.errors import InputError, did_you_mean


def read_series(
    source: Any,
    target: str | Sequence[str] | None = None,
    *,
    time: str | None = None,
    covariates: str | Sequence[str] = (),
    known: str | Sequence[str] = (),
    period: int | None = None,
    missing: str = "error",
) -> Series:
    """The series in a CSV or Parquet file, a data frame (pandas, polars, pyarrow, …) or an array.

    Arguments:
        source      path, frame or array
        target      the column or columns to forecast; may be left out where only one column is left
        time        the column of times: dates in ISO form, or numbers, increasing; None: rows are steps
        covariates  columns that are read beside the targets, and known no further than they are
        known       columns that are known beforehand; rows at the end without any target give their future values
        period      steps in a season
        missing     "error", "previous" or "linear": see `Series`

    Holes, and steps of time that are not the usual one, are reported in `series.notes`. Raises InputError, naming what there
    is, for a missing column, for cells that are no numbers or times, and for times that repeat or are out of order.

        series = bptt.read_series("demand.csv", "load", time="ts", period=48)
    """
    columns, facts = open_table(source)
    wanted = names(target) or (only_column(columns, {time, *names(covariates), *names(known)}),)
    for name in (*wanted, *names(covariates), *names(known), *(() if time is None else (time,))):
        if name not in columns:
            todo = (
                f"The columns are {', '.join(columns)}. {did_you_mean(name, list(columns))}"
                if near(name, columns)
                else f"The columns are {', '.join(columns)}"
            )
            raise InputError(f"There is no column {name!r}", str(facts["source"]), todo)
    roles = [*wanted, *names(covariates), *names(known), *(() if time is None else (time,))]
    twice = next((name for name in roles if roles.count(name) > 1), None)
    if twice is not None:
        raise InputError("A column has two roles", repr(twice), "Give each column once, as target, covariate, known or time")
    values = np.stack([to_numbers(columns[name], name) for name in (*wanted, *names(covariates))], 1)
    beforehand = np.stack([to_numbers(columns[name], name) for name in names(known)], 1) if known else None
    end = len(values) if beforehand is None else last_observed(values, len(wanted))
    times = None if time is None else parse_times(columns[time], time)[:end]
    notes = tuple(remarks(values[:end], (*wanted, *names(covariates)), times, missing))
    name = Path(source).stem if isinstance(source, str | os.PathLike) else wanted[0]
    facts = {**facts, "steps": end, "targets": list(wanted), "covariates": list(names(covariates)), "known": list(names(known))}
    return Series(
        values[:end], wanted, names(covariates), beforehand, names(known), times, period, missing, name, 0, facts, notes
    )


def near(name: str, columns: Columns) -> bool:
    """Whether a column is spelled much like `name`."""
    return did_you_mean(name, list(columns)).startswith("Did you")


def only_column(columns: Columns, used: set[str | None]) -> str:
    """The one column that is left; InputError if there are several."""
    left = [name for name in columns if name not in used]
    if len(left) != 1:
        raise InputError("Which column shall be forecast?", f"the columns are {', '.join(columns)}", "Give target")
    return left[0]


def last_observed(values: np.ndarray, targets: int) -> int:
    """Where the series ends: behind the last row in which a target is seen."""
    seen = np.flatnonzero(~np.isnan(values[:, :targets]).all(1))
    return int(seen[-1]) + 1 if len(seen) else len(values)


def remarks(values: np.ndarray, columns: Sequence[str], times: np.ndarray | None, missing: str) -> list[str]:
    """What is odd about the series, in words."""
    said = []
    for name, holes in zip(columns, np.isnan(values).T, strict=True):
        if holes.any():
            longest = max(len(run) for run in "".join(map("01".__getitem__, holes.astype(int))).split("0"))
            said.append(
                f"{name}: {int(holes.sum())} of {len(holes)} values are missing, at most {longest} in a row (missing={missing})"
            )
    odd = None if times is None else gaps(times)
    if odd is not None and times is not None:
        count, row, usual = odd
        said.append(f"{count} steps of time are not {usual}, the first after {show(times[row])}: rows are taken as equal steps")
    return said

"""Columns by name out of whatever holds a table: CSV, Parquet, a data frame of any library, an array.

Knows files and frames; must not know times, targets or what a number means. Frames come through narwhals, so none of their
libraries is needed, or loaded, unless the user has one.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from bptt.errors import InputError, did_you_mean

Columns = dict[str, np.ndarray]
EMPTY = ("", "na", "n/a", "nan", "null", "none", "?", "-")


def open_table(source: Any) -> tuple[Columns, dict[str, Any]]:
    """The columns of a path, a frame or an array, and facts about where they came from; InputError for anything else."""
    if isinstance(source, str | os.PathLike):
        return from_file(Path(source))
    if isinstance(source, np.ndarray | list | tuple):
        array = np.asarray(source)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2:
            raise InputError("A series is steps by columns", f"shape {array.shape}", "Give an array [N] or [N, D]")
        names = ["value"] if array.shape[1] == 1 else [f"value_{i + 1}" for i in range(array.shape[1])]
        return dict(zip(names, array.T, strict=True)), {"source": "an array"}
    return from_frame(source), {"source": f"a {type(source).__module__.partition('.')[0]} frame"}


def from_file(path: Path) -> tuple[Columns, dict[str, Any]]:
    """A CSV or Parquet file, by its ending."""
    if path.is_dir():
        raise InputError("A series is read from a file", f"{path} is a folder", "Give a CSV or Parquet file")
    if not path.exists():
        raise InputError("There is no such file", str(path), near(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError("The file cannot be read", f"{path}: {error.strerror}", "Check its permissions") from error
    facts = {"source": str(path), "sha256": hashlib.sha256(data).hexdigest()}
    if path.suffix.lower() in (".parquet", ".pq") or data[:4] == b"PAR1":
        return from_parquet(data, path), facts
    return from_csv(data, path), facts


def near(path: Path) -> str:
    """What may have been meant."""
    folder = path.parent if path.parent.is_dir() else Path()
    others = sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in (".csv", ".parquet", ".tsv", ".txt"))
    return did_you_mean(path.name, [*others, "sine"]) if others else "Give a CSV or Parquet file, or sine"


def from_csv(data: bytes, path: Path) -> Columns:
    """Columns of texts, divided by whichever of , ; tab | the first line has most of; a first line of numbers is no heading."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("The file is not UTF-8 text", f"{path}, byte {error.start}", "Convert it, or give Parquet") from error
    head = text.partition("\n")[0]
    delimiter = max(",;\t|", key=head.count)
    try:
        rows = [
            row
            for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
            if any(map(str.strip, row))
        ]
    except csv.Error as error:
        raise InputError("The file is not a readable CSV", f"{path}: {error}", "Check its quotes") from error
    if not rows:
        raise InputError("The file is empty", str(path), "Give a CSV with a heading and rows of numbers")
    names = [cell.strip() for cell in rows[0]]
    if all(map(is_number, names)):
        names = [f"column_{i + 1}" for i in range(len(names))]
    else:
        rows = rows[1:]
    if len(set(names)) < len(names) or "" in names:
        names = [name or f"column_{i + 1}" for i, name in enumerate(names)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError("Two columns have the same name", repr(twice), "Rename one of them")
    for number, row in enumerate(rows):
        if len(row) != len(names):
            given = f"{path}, row {number + 1}: {len(row)} values, {len(names)} columns"
            raise InputError("A row has another number of values than there are columns", given, "Mend that row")
    if not rows:
        raise InputError("The file has a heading and no rows", str(path), "Give rows of numbers")
    return {name: np.array(column, dtype=object) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def from_parquet(data: bytes, path: Path) -> Columns:
    """Columns of a Parquet file, through pyarrow."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError("Reading Parquet needs pyarrow", str(path), 'Run pip install "bptt[parquet]", or give CSV') from error
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(data))
    except pyarrow.ArrowException as error:
        given = f"{path}: {' '.join(str(error).split())}"
        raise InputError("The file is not readable Parquet", given, "Give a whole Parquet file, or CSV") from error
    return from_frame(table)


def from_frame(frame: Any) -> Columns:
    """Columns of a frame of pandas, polars, pyarrow or another library that narwhals knows."""
    try:
        import narwhals
    except ImportError as error:
        raise InputError(
            "Reading data frames needs narwhals", str(error), 'Run pip install "bptt[frames]", or give an array'
        ) from error
    try:
        known = narwhals.from_native(frame)
    except TypeError as error:
        given = type(frame).__name__
        raise InputError("This is no table that can be read", given, "Give a path, an array or a data frame") from error
    if isinstance(known, narwhals.LazyFrame):
        known = known.collect()
    return {str(name): known[name].to_numpy() for name in known.columns}


def is_number(text: str) -> bool:
    """True for what float understands."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def to_numbers(cells: np.ndarray, column: str) -> np.ndarray:
    """A column [N] as float64, NaN where it is empty; InputError naming the first cell that is no number."""
    if cells.dtype.kind in "iufb":
        return cells.astype(np.float64)
    if cells.dtype.kind not in "OUS":
        raise InputError(f"The column {column} holds no numbers", str(cells.dtype), "Give another column")
    found = np.empty(len(cells))
    for row, cell in enumerate(cells):
        text = "" if cell is None else str(cell).strip()
        try:
            found[row] = np.nan if text.lower() in (*EMPTY, "<na>", "nat") else float(text)
        except ValueError as error:
            todo = "Give a column of numbers, with a point for decimals, empty where nothing is known"
            raise InputError(
                f"The column {column} holds something that is no number", f"row {row + 1}: {text!r}", todo
            ) from error
    return found

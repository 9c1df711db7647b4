"""Token files: ids too many for memory, as raw little-endian integers on disk, and a JSON file beside them.

Knows arrays and files; must not know text or vocabularies (what it keeps about the ids is a dict to it).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from bptt.data.disk import writing
from bptt.data.spool import IN_MEMORY
from bptt.errors import CheckpointError
from bptt.files import replacing, write_durably

FORMAT = "bptt-tokens-1"
DTYPES = ("|u1", "<u2", "<i4", "<i8")


def store(pieces: Iterable[np.ndarray], count: int, dtype: np.dtype, path: Path | None) -> np.ndarray:
    """The `count` ids of `pieces` as one array: in the file `path`, else in memory, else (many) in an unnamed file."""
    if path is not None:
        write_whole(path, pieces)
        return np.memmap(path, dtype=dtype, mode="r", shape=(count,))
    if count * dtype.itemsize <= IN_MEMORY:
        return np.concatenate([*pieces, np.empty(0, dtype)])
    with writing(tempfile.gettempdir()), tempfile.TemporaryFile() as file:
        write(pieces, file)
        return np.memmap(file, dtype=dtype, mode="r", shape=(count,))  # keeps the file, which has no name, after its handle


def write(pieces: Iterable[np.ndarray], file: IO[bytes]) -> None:
    """Write the ids one after another."""
    for piece in pieces:
        file.write(piece.tobytes())
    file.flush()


def write_whole(path: Path, pieces: Iterable[np.ndarray]) -> None:
    """Write the ids into `path` whole or not at all; what described an earlier file of this name goes first."""
    with writing(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        about_path(path).unlink(missing_ok=True)
        with replacing(path) as file:
            write(pieces, file)


def about_path(path: Path) -> Path:
    """Where the JSON file of a token file lies."""
    return path.with_name(path.name + ".json")


def write_about(path: Path, ids: np.ndarray, about: dict[str, Any]) -> None:
    """Describe the token file `path`; written last, so that a token file with a description is whole."""
    whole = {"format": FORMAT, "dtype": ids.dtype.str, "count": len(ids), **about}
    with writing(str(path)):
        write_durably(about_path(path), json.dumps(whole))


def load(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The ids of a token file, memory-mapped, and what is said about them; CheckpointError unless both agree."""
    try:
        about = json.loads(about_path(path).read_text(encoding="utf-8"))
        dtype, count = about["dtype"], about["count"]
        if about["format"] != FORMAT or dtype not in DTYPES or type(count) is not int or count < 1:
            raise ValueError(f"format {about['format']!r}, dtype {dtype!r}, count {count!r}")
        if path.stat().st_size != count * np.dtype(dtype).itemsize:
            raise ValueError(f"{path.stat().st_size} bytes do not hold {count} tokens of type {dtype}")
    except (OSError, RecursionError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError("This is not a whole token file", f"{path}: {error}"[:300], "Read the corpus again") from error
    return np.memmap(path, dtype=dtype, mode="r", shape=(count,)), about


def extremes(path: Path, dtype: np.dtype) -> tuple[int, int]:
    """The smallest and the largest id of a token file; read in blocks, because pages of a mapping would stay in memory."""
    ranges = []
    with path.open("rb") as file:
        while len(block := np.fromfile(file, dtype, count=1 << 22)):
            ranges.append((int(block.min()), int(block.max())))
    return min(low for low, _ in ranges), max(high for _, high in ranges)

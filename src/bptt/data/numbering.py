"""Numbers for tokens in the order of their first appearance, before anyone knows how often they occur.

Knows tokens and integers; must not know vocabularies or files. A text can be numbered while it is read, once, whatever its
length (standard input cannot be read twice); sorting by frequency is then a renumbering of a short table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from bptt.data.tokenizer import BYTES, utf8

CODE_POINTS = 0x110000


class Numbering(Protocol):
    """Gives each distinct token the next number."""

    def number(self, chunk: Sequence[str]) -> np.ndarray:
        """The numbers of the tokens of `chunk`."""
        ...

    @property
    def tokens(self) -> list[str]:
        """The tokens numbered so far, by number."""
        ...


def numbering(unit: str) -> Numbering:
    """A fresh numbering, the fastest that the unit allows."""
    if unit == "byte":
        return ByteNumbering()
    return CharNumbering() if unit == "char" else WordNumbering()


class WordNumbering:
    """Any tokens, through a dictionary whose default value is its own length."""

    def __init__(self) -> None:
        self._index: defaultdict[str, int] = defaultdict()
        self._index.default_factory = self._index.__len__

    def number(self, chunk: Sequence[str]) -> np.ndarray:
        return np.fromiter(map(self._index.__getitem__, chunk), dtype=np.int64, count=len(chunk))

    @property
    def tokens(self) -> list[str]:
        return list(self._index)


class CharNumbering:
    """Characters, through a table of all code points; many times faster than a dictionary."""

    def __init__(self) -> None:
        self._table = np.full(CODE_POINTS, -1, dtype=np.int32)
        self._codes: list[int] = []

    def number(self, chunk: Sequence[str]) -> np.ndarray:
        codes = np.frombuffer("".join(chunk).encode("utf-32-le", "surrogatepass"), dtype="<u4")
        fresh = codes[self._table[codes] < 0]
        if len(fresh):
            distinct, first = np.unique(fresh, return_index=True)
            ordered = distinct[np.argsort(first)]
            self._table[ordered] = np.arange(len(self._codes), len(self._codes) + len(ordered))
            self._codes.extend(ordered.tolist())
        return self._table[codes]

    @property
    def tokens(self) -> list[str]:
        return [chr(code) for code in self._codes]


class ByteNumbering:
    """Bytes: numbered by their values, all 256 of them known from the start."""

    def __init__(self) -> None:
        self.tokens = list(BYTES)

    def number(self, chunk: Sequence[str]) -> np.ndarray:
        return np.frombuffer(utf8("".join(chunk)), dtype=np.uint8)


def smallest_dtype(size: int) -> np.dtype:
    """The smallest little-endian integer type that holds the ids 0 … size - 1 (uint8, uint16, then int32, int64)."""
    for name in ("u1", "<u2", "<i4"):
        if size - 1 <= np.iinfo(name).max:
            return np.dtype(name)
    return np.dtype("<i8")

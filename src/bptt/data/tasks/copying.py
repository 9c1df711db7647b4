"""Copying: hold some symbols over a gap, then say them again. The length of the gap is the memory that is asked for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from bptt.data.tasks.task import START, Words, whole

BLANK, CUE = ".", ":"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copy(Words):
    """Read some symbols, then blanks, then a cue, then say the symbols again: only that counts.

    abca ...... : abca

    Arguments:
        length: symbols to remember
        lag: blanks between the symbols and the cue
        kinds: how many different symbols there are, up to 26
        size, fresh, seed: as of every task

    The first copy cannot be guessed and the blanks need no memory, so their losses do not count. Of the others one that
    remembers nothing loses ln kinds each; one that remembers everything loses nothing. From a symbol to its copy there are
    length + lag + 1 steps.

    Source: the memory task of Hochreiter & Schmidhuber 1997, in the form of Arjovsky, Shah & Bengio 2016, section 5.1.

    >>> Copy(kinds=8).floor, round(Copy(kinds=8).levels()["nothing remembered"], 4)
    (0.0, 2.0794)
    """

    length: int = 5
    lag: int = 10
    kinds: int = 8

    name: ClassVar[str] = "copy"
    about: ClassVar[str] = "symbols to be said again after a gap; only the second time counts"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("kinds", self.kinds, 2, 26)

    @property
    def tokens(self) -> tuple[str, ...]:
        """START, blank, cue, and the symbols."""
        return (START, BLANK, CUE, *(chr(ord("a") + kind) for kind in range(self.kinds)))

    def levels(self) -> dict[str, float]:
        """By what is remembered."""
        return {"nothing remembered": math.log(self.kinds), "everything remembered": 0.0}

    def words(self, generator: np.random.Generator) -> Iterator[np.ndarray]:
        """Symbols, blanks, the cue, the symbols."""
        gap = np.array([1] * self.lag + [2])
        while True:
            symbols = generator.integers(3, 3 + self.kinds, self.length)
            yield np.concatenate([symbols, gap, symbols])

    def counted(self, word: np.ndarray) -> np.ndarray:
        """The symbols behind the cue."""
        counts = np.zeros(len(word) + 1, bool)
        counts[len(word) - self.length : len(word)] = True
        return counts

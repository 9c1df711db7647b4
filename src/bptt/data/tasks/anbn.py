"""aⁿbⁿ: as many b as there were a. Who counts knows where every word ends; nobody knows how long the next one is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from bptt.data.tasks.task import START, Words, entropy


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnBn(Words):
    """Words aⁿbⁿ, n even among 1 … longest, each behind a line end.

    Arguments:
        longest: the largest n
        size, fresh, seed: as of every task

    A word and its line end are 2n + 1 steps, N + 2 on average (N = longest), and all that is open in them is n: the floor is
    ln N / (N + 2) nats per step. Who knows how often each token comes, and nothing else, loses the entropy of that.

    >>> round(AnBn(longest=10).floor, 4)
    0.1919
    """

    longest: int = 10

    name: ClassVar[str] = "anbn"
    about: ClassVar[str] = "as many b as there were a"

    @property
    def tokens(self) -> tuple[str, ...]:
        """The line end, a, b."""
        return (START, "a", "b")

    def levels(self) -> dict[str, float]:
        """From the frequencies of the tokens to counting."""
        steps = self.longest + 2
        letters = (self.longest + 1) / 2 / steps
        return {"frequencies alone": entropy(letters, letters, 1 / steps), "counting": math.log(self.longest) / steps}

    def words(self, generator: np.random.Generator) -> Iterator[np.ndarray]:
        """n times a, n times b."""
        while True:
            yield np.repeat([1, 2], int(generator.integers(1, self.longest + 1)))

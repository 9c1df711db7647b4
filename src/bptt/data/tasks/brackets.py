"""Brackets: well-nested words over several kinds. A closing one must match the last that is open: a stack is asked for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from bptt.data.tasks.task import START, Words, entropy, whole

OPENING, CLOSING = "([{<", ")]}>"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Brackets(Words):
    """Well-nested words of `pairs` pairs of brackets, each as likely as every other, behind a line end.

    Arguments:
        pairs: pairs of brackets m in a word
        kinds: kinds of brackets k, up to 4
        size, fresh, seed: as of every task

    There are C_m kᵐ such words, C_m = (2m)! / (m! (m + 1)!), so the floor is (ln C_m + m ln k) / (2m + 1) nats per step. Who
    counts what is open and what is left, and forgets of which kind it is, guesses the kind of every closing one: m ln k more.

    >>> round(Brackets(pairs=6, kinds=2).floor, 4)
    0.6955
    """

    pairs: int = 6
    kinds: int = 2

    name: ClassVar[str] = "brackets"
    about: ClassVar[str] = "well-nested brackets of several kinds"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("kinds", self.kinds, 1, len(OPENING))

    @property
    def tokens(self) -> tuple[str, ...]:
        """The line end, the opening brackets, the closing ones."""
        return (START, *OPENING[: self.kinds], *CLOSING[: self.kinds])

    def levels(self) -> dict[str, float]:
        """From the frequencies of the tokens over counting to a stack."""
        m, steps, kind = self.pairs, 2 * self.pairs + 1, math.log(self.kinds)
        shapes = math.lgamma(2 * m + 1) - math.lgamma(m + 1) - math.lgamma(m + 2)
        each = [m / self.kinds / steps] * (2 * self.kinds)
        return {
            "frequencies alone": entropy(*each, 1 / steps),
            "counting, kinds forgotten": (shapes + 2 * m * kind) / steps,
            "a stack": (shapes + m * kind) / steps,
        }

    def words(self, generator: np.random.Generator) -> Iterator[np.ndarray]:
        """One token after the other, each by its share of the words that begin so.

        With d open and r tokens left a share of d (r + d + 2) / (2 r (d + 1)) of them closes next.

        Source: Arnold & Sleep 1980, Uniform random generation of balanced parenthesis strings.
        """
        while True:
            chances, kinds = generator.random(2 * self.pairs), generator.integers(0, self.kinds, 2 * self.pairs)
            stack: list[int] = []
            word = []
            for left, chance, kind in zip(range(2 * self.pairs, 0, -1), chances, kinds.tolist(), strict=True):
                depth = len(stack)
                if chance < depth * (left + depth + 2) / (2 * left * (depth + 1)):
                    word.append(1 + self.kinds + stack.pop())
                else:
                    stack.append(kind)
                    word.append(1 + kind)
            yield np.array(word)

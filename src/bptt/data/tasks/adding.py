"""Adding: two marked numbers among many, and their sum at the end. A memory for values, not for symbols."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from bptt.data.tasks.task import Drawn, Task, last, whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adding(Task):
    """Read pairs (number, mark), and say at the last step of a sequence the sum of the two numbers that were marked.

    Arguments:
        length: steps of a sequence
        size, fresh, seed: as of every task

    Numbers are drawn evenly from [0, 1); one mark stands in the first half, one in the second. Only the last step counts. The
    least mean squared error: 1/6 = 0.1667 for who always says 1, 1/12 for who knows one of the two, 0 for who knows both.

    Source: Hochreiter & Schmidhuber 1997, Long short-term memory, section 5.4, with numbers in [0, 1).

    >>> {name: round(loss, 4) for name, loss in Adding().levels().items()}
    {'nothing known': 0.1667, 'one summand': 0.0833, 'both summands': 0.0}
    """

    length: int = 20

    name: ClassVar[str] = "adding"
    about: ClassVar[str] = "two marked numbers among many, their sum at the end"
    unit: ClassVar[str] = "squared error"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("length", self.length, 2)

    def levels(self) -> dict[str, float]:
        """By the summands that are known: a number drawn evenly from [0, 1) has the variance 1/12."""
        return {"nothing known": 1 / 6, "one summand": 1 / 12, "both summands": 0.0}

    def draw(self, generator: np.random.Generator, count: int) -> Drawn:
        """Whole sequences, the last one cut."""
        number, half = -(-count // self.length), self.length // 2
        values, rows = generator.random((number, self.length)), np.arange(number)
        marks = np.zeros((number, self.length))
        places = (generator.integers(0, half, number), generator.integers(half, self.length, number))
        for place in places:
            marks[rows, place] = 1.0
        ends = np.zeros((number, self.length), bool)
        ends[:, -1] = True
        sums = np.where(ends, (values * marks).sum(1, keepdims=True), 0.0)
        inputs = np.stack([values, marks], -1).reshape(-1, 2)[:count]
        # As a series has it: each value beside a 1 where it is known.
        targets = np.stack([sums, ends], -1).reshape(-1, 1, 2)[:count]
        reset = np.arange(count) % self.length == 0
        return Drawn(inputs, targets, ends.ravel()[:count], reset, last(reset))

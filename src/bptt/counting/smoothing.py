"""What a smoothing is told, and what it answers.

Knows arrays of counts; must not know texts, trees or files. Every smoothing is a frozen value whose `probabilities` is its
formula, written once over arrays of any shape: one token of a text, a row over the vocabulary, all nodes of a tree.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from bptt.counting.grams import Grams
from bptt.errors import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What the text says of a token x after the last k − 1 tokens c before it; arrays of one shape, or that broadcast.

    count     n(c, x); in lower orders of Kneser-Ney the number of distinct tokens seen before (c, x)
    total     Σ_x of those: how often c is followed by a token
    kinds     [..., 3] how many distinct x have count 1, 2, and 3 or more; only where a smoothing asks for it
    discount  [3] what is taken off such counts
    """

    count: np.ndarray
    total: np.ndarray
    kinds: np.ndarray | None = None
    discount: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """The same for all nodes of a level (`count`) and all their parents (`total`, `kinds`).

    Each array has one entry more, at index −1: the zeros of what never occurs.
    """

    count: np.ndarray
    total: np.ndarray
    kinds: np.ndarray | None = None
    discount: np.ndarray | None = None

    def at(self, node: np.ndarray, parent: np.ndarray) -> Evidence:
        """The evidence of nodes and their parents, −1 for those that never occur."""
        kinds = None if self.kinds is None else self.kinds[parent]
        return Evidence(self.count[node], self.total[parent], kinds, self.discount)


@runtime_checkable
class Smoothing(Protocol):
    """How counts become probabilities."""

    def tables(self, grams: Grams) -> list[Table]:
        """What is to be known of each order, the first order first."""
        ...

    def probabilities(self, evidence: Sequence[Evidence], size: int) -> np.ndarray:
        """P(x | the k − 1 tokens before), from the evidence of orders 1 … k, among `size` tokens."""
        ...

    def remainder(self, evidence: Evidence, order: int, top: int, size: int) -> np.ndarray:
        """λ(c) with P(x | c) = λ(c) P(x | c without its first token) for every x that never follows c.

        evidence of contexts c of `order` − 1 tokens, which are all that is known of a longer one where `order` < `top`.
        """
        ...


def plain_table(grams: Grams, order: int) -> Table:
    """The counts themselves."""
    return Table(with_zero(grams.levels[order - 1].counts), with_zero(grams.totals(order)))


def with_zero(values: np.ndarray) -> np.ndarray:
    """`values` and a zero behind them, for index −1."""
    return np.concatenate([values, np.zeros((1, *values.shape[1:]), values.dtype)])


def ratio(above: np.ndarray, below: np.ndarray, otherwise: np.ndarray | float) -> np.ndarray:
    """above / below, and `otherwise` where below is 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), otherwise)


def pseudocount(name: str, value: object) -> float:
    """`value` if it can be added to a count: a finite number, at least 0; else an InputError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InputError(f"{name} is a finite number of at least 0", f"{name}={value!r}", f"Give for example {name}=1")
    return float(value)

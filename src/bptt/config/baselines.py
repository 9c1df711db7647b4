"""Counting models as text: "trigram", "kneser-ney:order=4,discount=0.7", "markov:3"; the same in flags, tables and files.

Knows a plain table of names; must not know texts or terminals.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, ClassVar

from bptt.config.strategies import parse_value
from bptt.counting import AddK, KneserNey, Laplace, NGram, Smoothing
from bptt.counting.grams import check_order
from bptt.data import Vocabulary
from bptt.errors import InputError


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A counting model that is asked for: how it is written, its order n, and its smoothing."""

    name: str
    order: int
    smoothing: Smoothing

    def model(self, vocab: Vocabulary | int, reverse: bool = False) -> NGram:
        """The model, before it has counted anything."""
        return NGram(self.order, self.smoothing, vocab=vocab, reverse=reverse)


@dataclasses.dataclass(frozen=True)
class Unigram:
    """Laplace smoothing of the order that the name says; epsilon: one number, or one per order, written 1/0.5/0.1."""

    epsilon: Any = 1.0
    order: ClassVar[int] = 1

    def parts(self) -> tuple[int, Smoothing]:
        """The order n and the smoothing."""
        return self.order, laplace(self.epsilon)


class Bigram(Unigram):
    order = 2


class Trigram(Unigram):
    order = 3


@dataclasses.dataclass(frozen=True)
class AnyOrder:
    """Laplace smoothing of any order."""

    order: int
    epsilon: Any = 1.0

    def parts(self) -> tuple[int, Smoothing]:
        return self.order, laplace(self.epsilon)


@dataclasses.dataclass(frozen=True)
class Chain:
    """A Markov chain: `order` tokens are remembered, so it counts n-grams of one more."""

    order: int = 1
    epsilon: Any = 1.0

    def parts(self) -> tuple[int, Smoothing]:
        return self.order + 1, laplace(self.epsilon)


@dataclasses.dataclass(frozen=True)
class Additive:
    """k is added to every count."""

    order: int = 3
    k: float = 1.0

    def parts(self) -> tuple[int, Smoothing]:
        return self.order, AddK(self.k)


@dataclasses.dataclass(frozen=True)
class Discounted:
    """Interpolated Kneser-Ney."""

    order: int = 3
    discount: float | None = None
    modified: bool = False

    def parts(self) -> tuple[int, Smoothing]:
        return self.order, KneserNey(self.discount, self.modified)


BASELINES = {
    "unigram": Unigram,
    "bigram": Bigram,
    "trigram": Trigram,
    "ngram": AnyOrder,
    "add-k": Additive,
    "kneser-ney": Discounted,
    "markov": Chain,
}


def parse_baseline(written: str) -> Baseline:
    """The counting model that a text means; a number alone is its order. InputError for an unknown name or a wrong value.

    >>> parse_baseline("markov:3").order, parse_baseline("trigram:epsilon=1/0.5/0.1").smoothing
    (4, Laplace(epsilon=(1.0, 0.5, 0.1)))
    """
    made = parse_value(re.sub(r":(\d+)$", r":order=\1", written), BASELINES, "counting model", "3")
    check_order(made.order)
    return Baseline(written, *made.parts())


def laplace(epsilon: Any) -> Laplace:
    """The smoothing of a number, or of numbers between slashes."""
    if not isinstance(epsilon, str):
        return Laplace(epsilon)
    try:
        return Laplace(tuple(float(part) for part in epsilon.split("/")))
    except ValueError as error:
        given = f"epsilon={epsilon!r}"
        raise InputError("epsilon is a number, or one per order", given, "Give for example 1 or 1/0.5/0.1") from error

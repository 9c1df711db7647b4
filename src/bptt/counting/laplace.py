"""Laplace smoothing with one ε per order, and additive smoothing.

Knows evidence; must not know how it is gathered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bptt.counting.grams import Grams
from bptt.counting.smoothing import Evidence, Table, plain_table, pseudocount, ratio
from bptt.errors import InputError


@dataclasses.dataclass(frozen=True)
class Laplace:
    """Every context is given ε occurrences of the unigram distribution, and that is given ε₁ of the uniform one.

    P̂(x)       = (n(x) + ε₁/m) / (n + ε₁)
    P̂(x | c)   = (n(c, x) + ε_k P̂(x)) / (n(c) + ε_k)          c: k − 1 tokens, k = 2, 3, …

    n(c) counts the occurrences of c that are followed by a token and m all tokens of the vocabulary, <unk> with them, so each
    row sums to 1. ε = 0 gives relative frequencies; a context that then has no row takes that of the context without its
    first token. ε₁ → ∞ is uniform.

    epsilon  one number for all orders, or one per order; the last one serves all higher orders

    Source: Zhang, Lipton, Li, Smola, "Dive into Deep Learning", section on language models.

    >>> evidence = [Evidence(np.array([2, 1, 0]), np.array(3)), Evidence(np.array([1, 0, 0]), np.array(1))]
    >>> Laplace(1).probabilities(evidence, 3).round(4).tolist()
    [0.7917, 0.1667, 0.0417]
    """

    epsilon: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        for value in self.values:
            pseudocount("epsilon", value)
        if not self.values:
            raise InputError("epsilon is empty", "()", "Give one number, or one per order")

    @property
    def values(self) -> tuple[float, ...]:
        """ε of the orders that have one of their own."""
        return tuple(self.epsilon) if isinstance(self.epsilon, list | tuple) else (self.epsilon,)

    def of(self, order: int) -> float:
        """ε of an order."""
        return self.values[min(order, len(self.values)) - 1]

    def tables(self, grams: Grams) -> list[Table]:
        return [plain_table(grams, order) for order in range(1, grams.order + 1)]

    def probabilities(self, evidence: Sequence[Evidence], size: int) -> np.ndarray:
        first, *others = evidence
        unigram = ratio(first.count + self.of(1) / size, first.total + self.of(1), 1 / size)
        p = unigram
        for order, e in enumerate(others, 2):
            p = ratio(e.count + self.of(order) * unigram, e.total + self.of(order), p)
        return p

    def remainder(self, evidence: Evidence, order: int, top: int, size: int) -> np.ndarray:
        # A longer context that was never seen has the unigram row where its ε is positive: shorter ones add nothing to it.
        if any(self.of(longer) > 0 for longer in range(order + 1, top + 1)):
            return np.ones(evidence.total.shape)
        return ratio(np.full(evidence.total.shape, self.of(order)), evidence.total + self.of(order), 1.0)


@dataclasses.dataclass(frozen=True)
class AddK:
    """k is added to every count; k = 1 is Laplace's rule of succession, also called Lidstone's for other k.

    P̂(x | c) = (n(c, x) + k) / (n(c) + k m)

    Contexts share nothing, so a rare one is nearly uniform over the vocabulary: the baseline to beat. k = 0 gives relative
    frequencies, and a context without a row takes that of the context without its first token.

    Source: Chen and Goodman (1999), "An empirical study of smoothing techniques for language modeling", section 2.1.

    >>> AddK(1).probabilities([Evidence(np.array([2, 1, 0]), np.array(3))], 3).tolist()
    [0.5, 0.3333333333333333, 0.16666666666666666]
    """

    k: float = 1.0

    def __post_init__(self) -> None:
        pseudocount("k", self.k)

    def tables(self, grams: Grams) -> list[Table]:
        return [plain_table(grams, order) for order in range(1, grams.order + 1)]

    def probabilities(self, evidence: Sequence[Evidence], size: int) -> np.ndarray:
        p: np.ndarray = np.array(1 / size)
        for e in evidence:
            p = ratio(e.count + self.k, e.total + self.k * size, p)
        return p

    def remainder(self, evidence: Evidence, order: int, top: int, size: int) -> np.ndarray:
        if self.k > 0 and order < top:  # a longer context that was never seen has the uniform row
            return np.ones(evidence.total.shape)
        return ratio(np.full(evidence.total.shape, self.k * size), evidence.total + self.k * size, 1.0)

"""Counting models once more, slowly, by dictionaries and recursion: the oracle of the vectorised ones."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction


def counts(ids: Sequence[int], n: int) -> Counter[tuple[int, ...]]:
    """How often each n-gram occurs."""
    return Counter(tuple(ids[start : start + n]) for start in range(len(ids) - n + 1))


def followed(ids: Sequence[int], context: tuple[int, ...]) -> int:
    """How often a context occurs with a token after it."""
    return sum(tuple(ids[s : s + len(context)]) == context for s in range(len(ids) - len(context)))


def laplace(ids: Sequence[int], size: int, epsilon: Sequence[Fraction], context: tuple[int, ...], x: int) -> Fraction:
    """The formula of Laplace smoothing, word for word, in exact fractions."""
    unigram = Fraction(counts(ids, 1)[(x,)] + epsilon[0] / size) / (len(ids) + epsilon[0])
    if not context:
        return unigram
    e, n = epsilon[len(context)], followed(ids, context)
    if n + e == 0:
        return laplace(ids, size, epsilon, context[1:], x)
    return (counts(ids, len(context) + 1)[(*context, x)] + e * unigram) / (n + e)


def additive(ids: Sequence[int], size: int, k: Fraction, context: tuple[int, ...], x: int) -> Fraction:
    """k added to every count."""
    below = followed(ids, context) + k * size
    return (counts(ids, len(context) + 1)[(*context, x)] + k) / below if below else additive(ids, size, k, context[1:], x)


class KneserNey:
    """Interpolated Kneser-Ney of order n, by the definition, with discounts [order][1, 2, 3 or more]."""

    def __init__(self, ids: Sequence[int], size: int, order: int, discounts: Sequence[Sequence[float]]) -> None:
        self.ids, self.size, self.order, self.discounts = ids, size, order, discounts

    def a(self, gram: tuple[int, ...]) -> int:
        """The count in the highest order; below it the number of distinct tokens before the n-gram."""
        if len(gram) == self.order:
            return counts(self.ids, self.order)[gram]
        return sum(longer[1:] == gram for longer in counts(self.ids, len(gram) + 1))

    def p(self, context: tuple[int, ...], x: int) -> float:
        """P(x | context)."""
        shorter = self.p(context[1:], x) if context else 1 / self.size
        each = [self.a((*context, y)) for y in range(self.size)]
        if not sum(each):
            return shorter
        d = self.discounts[len(context)]
        taken = [d[min(count, 3) - 1] if count else 0.0 for count in each]
        return (max(each[x] - taken[x], 0) + sum(taken) * shorter) / sum(each)


def estimated(values: Sequence[int], modified: bool) -> list[float]:
    """Discounts from counts of counts."""
    n = [sum(value == i for value in values) for i in range(1, 5)]
    y = n[0] / (n[0] + 2 * n[1])
    return [i - (i + 1) * y * n[i] / n[i - 1] for i in (1, 2, 3)] if modified else [y] * 3


def contexts(size: int, longest: int) -> list[tuple[int, ...]]:
    """All contexts of up to so many tokens, seen or not."""
    return [c for length in range(longest + 1) for c in itertools.product(range(size), repeat=length)]

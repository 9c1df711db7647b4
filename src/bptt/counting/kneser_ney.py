"""Interpolated Kneser-Ney smoothing, plain and modified.

Knows counted n-grams and evidence; must not know texts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from bptt.counting.grams import Grams
from bptt.counting.smoothing import Evidence, Table, ratio, with_zero
from bptt.errors import InputError

USUAL = 0.75  # the discount where the counts say nothing: no n-gram, or no two kinds of rare ones, to estimate it from


@dataclasses.dataclass(frozen=True)
class KneserNey:
    """A discount is taken off every count, and what is gained goes to the shorter context.

    P(x | c)  = max(a(c, x) − D, 0) / a(c) + λ(c) P(x | c′)        c′: c without its first token
    λ(c)      = D · N₁₊(c •) / a(c),   a(c) = Σ_x a(c, x),   N₁₊(c •) = the number of x with a(c, x) > 0

    In the highest order a(c, x) is the count; below it the number of distinct tokens that stand before (c, x), for a shorter
    context is asked only where the longer one does not know x. The last P is the uniform one, 1/V, so a token that was never
    seen has a probability too. A context that is never followed by a token gives way to the shorter one. A text that begins,
    with less before it than the order asks for, is read by the lower orders.

    discount  D of all orders, from 0 to 1; none: of each order D = n₁ / (n₁ + 2 n₂), where n_i is the number of its n-grams
              with a = i, and 0.75 where there are none of one of them
    modified  one D each for a = 1, 2 and 3 or more: D_i = i − (i + 1) Y n_{i+1} / n_i, Y = n₁ / (n₁ + 2 n₂); an order whose
              rare n-grams do not give D_i in [0, i] takes the plain D. Better on most texts.
    uniform   False: the unigram row ends the recursion as it is, without discount, so unseen tokens have probability 0

    Source: Kneser and Ney (1995), "Improved backing-off for m-gram language modeling"; Chen and Goodman (1999), "An empirical
    study of smoothing techniques for language modeling", equations 2.48 to 2.52 and section 3.
    """

    discount: float | None = None
    modified: bool = False
    uniform: bool = True

    def __post_init__(self) -> None:
        d = self.discount
        if d is not None and (isinstance(d, bool) or not isinstance(d, int | float) or not 0 <= d <= 1):
            raise InputError("A discount is a number from 0 to 1", f"discount={d!r}", "Leave it out to estimate it")
        for name, value in (("modified", self.modified), ("uniform", self.uniform)):
            if not isinstance(value, bool):
                raise InputError(f"{name} is true or false", f"{name}={value!r}", f"Leave it out, or give {name}=true")
        if self.modified and d is not None:
            given = f"modified=True, discount={d!r}"
            raise InputError("Modified discounts are estimated, three for each order", given, "Give one of the two")

    def tables(self, grams: Grams) -> list[Table]:
        return [self._table(grams, order) for order in range(1, grams.order + 1)]

    def probabilities(self, evidence: Sequence[Evidence], size: int) -> np.ndarray:
        p: np.ndarray = np.array(1 / size)
        for e in evidence:
            assert e.discount is not None and e.kinds is not None
            kept = np.maximum(e.count - np.where(e.count > 0, e.discount[np.minimum(e.count, 3) - 1], 0), 0)
            p = ratio(kept + e.kinds @ e.discount * p, e.total, p)
        return p

    def remainder(self, evidence: Evidence, order: int, top: int, size: int) -> np.ndarray:
        assert evidence.discount is not None and evidence.kinds is not None
        return ratio(evidence.kinds @ evidence.discount, evidence.total, 1.0)

    def _table(self, grams: Grams, order: int) -> Table:
        level = grams.levels[order - 1]
        counts = level.counts if order == grams.order else continuations(grams, order)
        parents, contexts = level.parents, 1 if order == 1 else len(grams.levels[order - 2])
        total = np.bincount(parents, weights=counts, minlength=contexts).astype(np.int64)
        kinds = [np.bincount(parents[own], minlength=contexts) for own in (counts == 1, counts == 2, counts >= 3)]
        discount = np.zeros(3) if order == 1 and not self.uniform else self._discount(counts)
        return Table(with_zero(counts), with_zero(total), with_zero(np.stack(kinds, axis=-1)), discount)

    def _discount(self, counts: np.ndarray) -> np.ndarray:
        """D of counts of 1, 2, and 3 or more."""
        if self.discount is not None:
            return np.full(3, float(self.discount))
        n = [int(np.count_nonzero(counts == i)) for i in (1, 2, 3, 4)]
        y = n[0] / (n[0] + 2 * n[1]) if n[0] and n[1] else math.nan
        plain = np.full(3, USUAL if math.isnan(y) else y)
        if not self.modified or math.isnan(y) or not n[2]:
            return plain
        own = np.array([i - (i + 1) * y * n[i] / n[i - 1] for i in (1, 2, 3)])
        return own if ((own >= 0) & (own <= [1, 2, 3])).all() else plain


def continuations(grams: Grams, order: int) -> np.ndarray:
    """N₁₊(• g) of every g of an order: how many distinct tokens stand before it."""
    return np.bincount(grams.levels[order].suffixes, minlength=len(grams.levels[order - 1]))

"""What a smoothing makes of the tail: the probability it gives to rare and unseen n-grams, beside how often they then occur.

Knows ids and n-gram models; must not know text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from bptt.counting.grams import Grams
from bptt.counting.ngram import NGram
from bptt.counting.smoothing import Smoothing

CLASSES = ("never", "once", "twice", "3 to 5 times", "more often")
BOUNDS = np.array([0, 1, 2, 5])  # the largest count of each class but the last


@dataclasses.dataclass(frozen=True)
class Tail:
    """How the n-grams of a held-out text divide by how often the counted text has them.

    order      n
    tokens     n-grams of the held-out text
    actual     their share that was seen never, once, twice, 3 to 5 times, more often
    predicted  by the name of a smoothing, the shares that it expects: Σ over the held-out positions of P(x | context), added
               up over the tokens x that make an n-gram of that class
    """

    order: int
    tokens: int
    actual: tuple[float, ...]
    predicted: dict[str, tuple[float, ...]]


def tail(grams: Grams, held: np.ndarray, order: int, smoothings: Mapping[str, Smoothing]) -> Tail:
    """Compare smoothings on held-out ids [M], M ≥ order, by the counts of another text.

    A smoothing that overestimates the tail expects more n-grams that were never seen than there are: it has taken too much
    from those that were. Time grows with the number of distinct n-grams and M.

    >>> from bptt.counting import AddK, count
    >>> found = tail(count([0, 1, 0, 1, 2], 2, 4), np.array([0, 1, 0, 2]), 2, {"add 1": AddK(1)})
    >>> [[round(share, 3) for share in shares] for shares in (found.actual, found.predicted["add 1"])]
    [[0.333, 0.333, 0.333, 0.0, 0.0], [0.444, 0.222, 0.333, 0.0, 0.0]]
    """
    walked = [np.zeros(len(held), np.int64), *grams.walk(held)]
    total = len(held) - order + 1
    nodes, contexts = walked[order][:total], walked[order - 1][:total]
    classes = np.searchsorted(BOUNDS, grams.levels[order - 1].counts)
    seen = np.bincount(classes[nodes[nodes >= 0]], minlength=len(CLASSES))
    seen[0] += np.count_nonzero(nodes < 0)
    parents = grams.levels[order - 1].parents
    visits = np.bincount(contexts[contexts >= 0], minlength=int(parents.max()) + 1)
    predicted = {}
    for name, smoothing in smoothings.items():
        p = NGram(order, smoothing, vocab=grams.size).use(grams).known(order)
        expected = np.bincount(classes, p * visits[parents], minlength=len(CLASSES))
        expected[0] = total - expected[1:].sum()
        predicted[name] = tuple((expected / total).tolist())
    return Tail(order, total, tuple((seen / total).tolist()), predicted)

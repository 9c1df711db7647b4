"""Zipf's law: the count of the i-th most frequent item falls as 1 / i^α.

Knows counts; must not know tokens.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bptt.errors import InputError

FIRST = 10  # the ranks before it are function words and separators, which lie below the line
POINTS = 100  # ranks that the line is fitted to
FEWEST = 5  # ranks below which no line is fitted


@dataclasses.dataclass(frozen=True)
class Zipf:
    """A line through log n_i over log i, n_i ∝ i^(−exponent), between two ranks.

    exponent     α
    error        its standard error as least squares give it; ranks are not independent, so it is too small
    scale        the count that the line has at rank 1
    first, last  the ranks, both included, that it is fitted to
    fit          R², the share of the variance of log n_i that the line explains
    """

    exponent: float
    error: float
    scale: float
    first: int
    last: int
    fit: float

    def at(self, ranks: np.ndarray) -> np.ndarray:
        """The counts that the line has at some ranks."""
        return self.scale * np.asarray(ranks, np.float64) ** -self.exponent


def ranked(counts: np.ndarray) -> np.ndarray:
    """Counts from the largest to the smallest: element i − 1 is n_i."""
    return np.sort(counts[counts > 0])[::-1]


def zipf(counts: np.ndarray, first: int = FIRST, last: int | None = None) -> Zipf | None:
    """Fit Zipf's law to the counts of distinct items.

    counts  in any order
    first   the most frequent item that is fitted; those before it do not follow the law
    last    the rarest; by default the last one that occurs twice or more, as half of all items occur once and are one step

    Least squares of log n_i over log i at up to 100 ranks that lie evenly on the axis of log i, so that the many rare items
    weigh as much as the line is long there and no more. Returns None where fewer than five ranks are left. Raises InputError
    for ranks out of order.

    Source: Zipf (1949), "Human behavior and the principle of least effort".

    >>> round(zipf(1e6 / np.arange(1, 1000) ** 0.8).exponent, 12)
    0.8
    """
    if isinstance(first, bool) or not isinstance(first, int) or first < 1 or (last is not None and last < first):
        raise InputError(
            "The fitted ranks run from first ≥ 1 to last ≥ first", f"first={first!r}, last={last!r}", "Leave them out"
        )
    counts = ranked(np.asarray(counts))
    last = min(len(counts), int(np.count_nonzero(counts >= 2)) if last is None else last)
    if last - first + 1 < FEWEST:
        return None
    ranks = np.unique(np.round(np.geomspace(first, last, POINTS)).astype(np.int64))
    x, y = np.log(ranks), np.log(counts[ranks - 1])
    dx, dy = x - x.mean(), y - y.mean()
    slope = float(dx @ dy / (dx @ dx))
    rest = dy - slope * dx
    error = float(np.sqrt(rest @ rest / max(len(x) - 2, 1) / (dx @ dx)))
    fit = 1.0 - float(rest @ rest / (dy @ dy)) if y.max() > y.min() else 1.0
    return Zipf(-slope, error, float(np.exp(y.mean() - slope * x.mean())), first, last, fit)

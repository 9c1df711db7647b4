"""The facts of a text by counting: its most frequent n-grams, Zipf exponents, and how few of all n-grams it has.

Knows counts and a vocabulary; must not know files or pictures.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bptt.counting.grams import Grams, count
from bptt.counting.kneser_ney import KneserNey
from bptt.counting.laplace import AddK, Laplace
from bptt.counting.smoothing import Smoothing
from bptt.counting.stopwords import is_stop_word
from bptt.counting.tail import CLASSES, Tail, tail
from bptt.counting.zipf import FIRST, Zipf, ranked, zipf
from bptt.data import Tokens, Vocabulary

HELD = 0.1  # share of the text, at its end, that the tail is judged by
SMOOTHINGS: dict[str, Smoothing] = {"add 1": AddK(1.0), "Laplace, ε = 1": Laplace(1.0), "Kneser-Ney": KneserNey()}
CURVE = 300  # ranks of a curve that are kept for plots


@dataclasses.dataclass(frozen=True)
class Order:
    """The n-grams of one order.

    order     n
    total     n-grams of the text, N − n + 1
    distinct  different ones
    possible  V^n, inf beyond any float
    once      different ones that occur once
    half      so many of the most frequent ones are half of all n-grams of the text
    top       the most frequent, as tokens, with their counts
    curve     (rank, count) of up to 300 ranks, even on a logarithmic axis
    zipf      the fitted law; None where there are too few n-grams
    """

    order: int
    total: int
    distinct: int
    possible: float
    once: int
    half: int
    top: list[tuple[tuple[str, ...], int]]
    curve: list[tuple[int, int]]
    zipf: Zipf | None


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What counting says of a text.

    unit        what a token is
    tokens      N
    vocabulary  distinct tokens of the text, V
    orders      one `Order` each for n = 1, 2, …
    content     the most frequent tokens with a letter or digit that are no stop words, with their counts
    stop_share  share of the tokens that are stop words
    tails       one `Tail` for each order; empty for a text too short to hold some of it out
    """

    unit: str
    tokens: int
    vocabulary: int
    orders: list[Order]
    content: list[tuple[str, int]]
    stop_share: float
    tails: list[Tail]

    def words(self) -> list[str]:
        """What the figures say, in sentences."""
        return sentences(self)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {**dataclasses.asdict(self), "classes": list(CLASSES), "words": self.words()}


def statistics(
    text: Tokens | np.ndarray,
    vocab: Vocabulary,
    *,
    order: int = 3,
    top: int = 20,
    first: int = FIRST,
    last: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Statistics:
    """Count a text and say what is there.

    text      ids [N] of the vocabulary
    order     n-grams up to this length
    top       so many of the most frequent ones
    first, last  ranks that Zipf's law is fitted to, as for `zipf`
    progress  called with (n-grams counted so far, in all), for the whole text, then for what the tail is judged by

    The tail is judged on the last tenth of the text by the counts of the rest, all with the vocabulary of the whole.
    Raises InputError for an empty text and for settings out of range.
    """
    ids = text.ids if isinstance(text, Tokens) else np.asarray(text)
    zipf(np.ones(1), first, last)  # ranks out of order are refused before anything is counted
    grams = count(ids, order, len(vocab), progress)
    once = grams.levels[0]
    stops = np.array([is_stop_word(vocab.tokens(token), vocab.unit) for token in once.tokens.tolist()])
    telling = [any(map(str.isalnum, vocab.tokens(token))) for token in once.tokens.tolist()]
    content = np.flatnonzero(~stops & np.array(telling))
    content = content[np.argsort(-once.counts[content], kind="stable")][:top]
    return Statistics(
        vocab.unit,
        len(ids),
        len(once),
        [facts(grams, n, vocab, top, first, last) for n in range(1, order + 1) if len(grams.levels[n - 1])],
        [(vocab.tokens(int(once.tokens[node])), int(once.counts[node])) for node in content],
        float(once.counts[stops].sum() / len(ids)),
        tails(ids, order, len(vocab), progress),
    )


def facts(grams: Grams, n: int, vocab: Vocabulary, top: int, first: int, last: int | None) -> Order:
    """Everything about the n-grams of one order."""
    level = grams.levels[n - 1]
    nodes = np.argsort(-level.counts, kind="stable")[:top]
    counts = ranked(level.counts)
    ranks = np.unique(np.round(np.geomspace(1, len(counts), CURVE)).astype(np.int64))
    return Order(
        n,
        grams.length - n + 1,
        len(level),
        power(len(grams.levels[0]), n),
        int(np.count_nonzero(counts == 1)),
        int(np.searchsorted(np.cumsum(counts), counts.sum() / 2)) + 1,
        [(tuple(vocab.tokens(gram)), int(often)) for gram, often in zip(grams.ids(n, nodes), level.counts[nodes], strict=True)],
        list(zip(ranks.tolist(), counts[ranks - 1].tolist(), strict=True)),
        zipf(counts, first, last),
    )


def tails(ids: np.ndarray, order: int, size: int, progress: Callable[[int, int], None] | None = None) -> list[Tail]:
    """The tails of all orders, judged on the end of the text; none for a text without room for it."""
    cut = len(ids) - int(HELD * len(ids))
    if min(cut, len(ids) - cut) < max(order, 10):
        return []
    counted = count(ids[:cut], order, size, progress)
    return [tail(counted, ids[cut:], n, SMOOTHINGS) for n in range(1, order + 1)]


def sentences(found: Statistics) -> list[str]:
    """What the figures say."""
    said = []
    fits = [(row.order, row.zipf) for row in found.orders if row.zipf is not None]
    if fits:
        each = ", ".join(f"{law.exponent:.2f} for {named(n)} (ranks {law.first:,} to {law.last:,})" for n, law in fits)
        said.append(f"Zipf exponents: {each}.")
    for row in found.orders[1:]:
        share, most = row.distinct / row.possible, row.once / row.distinct
        said.append(
            f"Of {large(row.possible)} possible {named(row.order)} the text has {row.distinct:,}, "
            f"one in {large(1 / share) if share else large(math.inf)}; {100 * most:.0f} % of them occur once."
        )
    for held in found.tails[-1:]:
        new, once = ([f"{name}: {100 * shares[i]:.0f} %" for name, shares in held.predicted.items()] for i in (0, 1))
        said.append(
            f"Of the {named(held.order)} in the last tenth of the text {100 * held.actual[0]:.0f} % are new "
            f"(expected: {'; '.join(new)}) and {100 * held.actual[1]:.0f} % were seen once before ({'; '.join(once)})."
        )
    return said


def named(order: int) -> str:
    """What n-grams of an order are called."""
    return {1: "single tokens", 2: "pairs", 3: "triples"}.get(order, f"{order}-grams")


def power(base: int, exponent: int) -> float:
    """base^exponent, inf beyond any float."""
    try:
        return float(base) ** exponent
    except OverflowError:
        return math.inf


def large(value: float) -> str:
    """A number that may be huge, for people: 12,345 or 5.59·10⁸."""
    if value < 10**6 or math.isinf(value):
        return f"{value:,.0f}" if value < 10**6 else "more than 10³⁰⁸"
    digits, exponent = f"{value:.2e}".split("e+")
    return f"{digits}·10" + str(int(exponent)).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))

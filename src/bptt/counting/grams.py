"""All n-grams of a text up to some order, counted.

Knows ids and integers; must not know probabilities, text or vocabularies. One sorted table per order, each a level of one
tree, so that counting is sorting and looking up is bisection, both by NumPy over all positions at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from bptt.errors import InputError

PIECE = 1 << 22  # positions that are sorted together: bounds the memory beyond the tables and one number per token


@dataclasses.dataclass(frozen=True, eq=False)
class Level:
    """The distinct k-grams of a text in the order of their ids, one node each.

    keys      parent · V + last token, sorted; the parent is the node of the first k − 1 tokens
    counts    how often each occurs
    suffixes  the node, one level up, of the last k − 1 tokens
    size      V
    """

    keys: np.ndarray
    counts: np.ndarray
    suffixes: np.ndarray
    size: int

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def parents(self) -> np.ndarray:
        """The node, one level up, of the first k − 1 tokens."""
        return self.keys // self.size

    @property
    def tokens(self) -> np.ndarray:
        """The last token."""
        return self.keys % self.size

    def child(self, parents: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """The nodes of `parents`, each followed by a token; −1 where that never occurs."""
        wanted = parents.astype(np.int64) * self.size + tokens.astype(np.int64)
        if not len(self.keys):
            return np.full(wanted.shape, -1)
        found = np.searchsorted(self.keys, wanted)
        found[found == len(self.keys)] = 0
        return np.where((parents >= 0) & (self.keys[found] == wanted), found, -1)

    def below(self, parent: int) -> slice:
        """The nodes whose first k − 1 tokens are `parent`."""
        start, end = np.searchsorted(self.keys, [parent * self.size, (parent + 1) * self.size])
        return slice(int(start), int(end)) if parent >= 0 else slice(0, 0)


@dataclasses.dataclass(frozen=True, eq=False)
class Grams:
    """How often each n-gram of a text occurs, for n = 1 … order.

    levels  of order 1, 2, …; above the first stands the root, node 0, the empty gram
    length  tokens N of the text, which are N − n + 1 n-grams
    size    V, the number of different ids there may be

    >>> grams = count([0, 1, 0, 1, 2], order=2, size=3)
    >>> grams.ids(2).tolist(), grams.levels[1].counts.tolist(), grams.totals(2).tolist()
    ([[0, 1], [1, 0], [1, 2]], [2, 1, 1], [2, 2, 0])
    """

    levels: tuple[Level, ...]
    length: int
    size: int

    @property
    def order(self) -> int:
        """The longest n-grams that are counted."""
        return len(self.levels)

    def totals(self, order: int) -> np.ndarray:
        """For each gram of `order` − 1 tokens, how many of its occurrences are followed by a token."""
        level = self.levels[order - 1]
        contexts = 1 if order == 1 else len(self.levels[order - 2])
        # Sums of whole numbers below 2⁵³ are exact in float64.
        return np.bincount(level.parents, weights=level.counts, minlength=contexts).astype(np.int64)

    def find(self, gram: Sequence[int]) -> int:
        """The node of one gram in the level of its length; −1 if it never occurs, 0 (the root) for the empty one."""
        node = np.zeros(1, np.int64)
        for level, token in zip(self.levels, gram, strict=False):
            node = level.child(node, np.array([token]))
        return int(node[0])

    def walk(self, ids: np.ndarray) -> list[np.ndarray]:
        """For n = 1 … order the nodes of all n-grams of `ids` [N]: element n − 1 has one for each start, N − n + 1 in all."""
        nodes, found = np.zeros(len(ids), np.int64), []
        for n, level in enumerate(self.levels, 1):
            nodes = level.child(nodes[: max(len(ids) - n + 1, 0)], ids[n - 1 :])
            found.append(nodes)
        return found

    def ids(self, order: int, nodes: np.ndarray | None = None) -> np.ndarray:
        """The tokens [M, order] of nodes of a level, of all of them by default."""
        nodes = np.arange(len(self.levels[order - 1])) if nodes is None else np.asarray(nodes)
        columns = []
        for level in self.levels[order - 1 :: -1]:
            columns.append(level.keys[nodes] % self.size)
            nodes = level.keys[nodes] // self.size
        return np.stack(columns[::-1], axis=-1)


def count(
    ids: Sequence[int] | np.ndarray,
    order: int,
    size: int,
    progress: Callable[[int, int], None] | None = None,
    piece: int = PIECE,
) -> Grams:
    """Count all n-grams of `ids` [N] for n = 1 … order.

    ids       in memory or memory-mapped, each from 0 to size − 1
    size      V
    progress  called with (n-grams counted so far, in all)
    piece     positions that are sorted together; a matter of memory alone

    Time grows as order · N log(piece). Beyond the tables it holds two node numbers per token (4 bytes each below two billion
    tokens) and about 50 bytes per position of a piece.

    Raises InputError for an empty text, an id out of range, an order below 1 or above N.
    """
    ids = np.asarray(ids)
    check(ids, order, size)
    dtype = np.int32 if len(ids) < 2**31 else np.int64
    levels: list[Level] = []

    def report(done: int) -> Callable[[int], None]:
        return lambda at: None if progress is None else progress(done + at, total)

    nodes, total = np.zeros(len(ids), dtype), sum(max(len(ids) - n, 0) for n in range(order))
    for n in range(1, order + 1):
        before, nodes = nodes, nodes[: max(len(ids) - n + 1, 0)].copy()
        done = sum(max(len(ids) - k, 0) for k in range(n - 1))
        keys, counts = number(nodes, ids[n - 1 :], size, piece, report(done))
        suffixes = np.zeros(len(keys), dtype)
        if n > 1:
            suffixes[nodes] = before[1:]
        levels.append(Level(keys, counts, suffixes, size))
    return Grams(tuple(levels), len(ids), size)


def number(
    nodes: np.ndarray, tokens: np.ndarray, size: int, piece: int, progress: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray]:
    """The distinct pairs of node and token as sorted keys, with their counts; `nodes` becomes the index of each pair's key.

    Pieces are sorted one by one, then their distinct keys are merged.
    """
    starts = range(0, len(nodes), piece)
    distinct, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in starts:
        part = slice(start, start + piece)
        pairs = nodes[part].astype(np.int64) * size + tokens[part].astype(np.int64)
        found, nodes[part], often = np.unique(pairs, return_inverse=True, return_counts=True)
        distinct.append(found)
        counts.append(often)
        progress(min(start + piece, len(nodes)))
    if len(starts) == 1:
        return distinct[1], counts[1]
    keys, inverse = np.unique(np.concatenate(distinct), return_inverse=True)
    for start, found in zip(starts, distinct[1:], strict=True):
        part = slice(start, start + piece)
        nodes[part] = np.searchsorted(keys, found)[nodes[part]]
    return keys, np.bincount(inverse, weights=np.concatenate(counts), minlength=len(keys)).astype(np.int64)


def check(ids: np.ndarray, order: int, size: int) -> None:
    """InputError unless n-grams of such ids can be counted."""
    check_order(order)
    if ids.ndim != 1 or not len(ids) or ids.dtype.kind not in "iu":
        given = f"{ids.dtype} of shape {ids.shape}"
        raise InputError("n-grams are counted in one row of ids, at least one", given, "Give the ids of a text")
    if order > len(ids):
        given = f"{len(ids)} tokens, order {order}"
        raise InputError("The text is shorter than one n-gram", given, "Give a longer text, or a lower order")
    least, most = int(ids.min()), int(ids.max())
    if least < 0 or most >= size:
        raise InputError("An id is none of the vocabulary's", f"ids from {least} to {most}, {size} tokens", "Use its own ids")


def check_order(order: object) -> None:
    """InputError unless `order` is the length of an n-gram."""
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise InputError("The order is a whole number of tokens, at least 1", f"order={order!r}", "Give for example order=3")

"""An n-gram language model: which token comes next, given the n − 1 before it.

Knows counted n-grams, a smoothing and a vocabulary; must not know files, neural models or training. It is read like a neural
language model: the same targets, the same units, the same functions for sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bptt.counting.grams import Grams, check_order, count
from bptt.counting.laplace import Laplace
from bptt.counting.smoothing import Evidence, Smoothing, Table
from bptt.data import Tokens, Vocabulary
from bptt.errors import InputError
from bptt.inference.evaluate import ids_of, tokens_of
from bptt.inference.extent import extent
from bptt.inference.generate import generate
from bptt.inference.score import TokenScore
from bptt.inference.text import known, pieces, read
from bptt.metrics import Score

PIECE = 1 << 18  # targets that are looked up together
Text = Tokens | Sequence[int] | np.ndarray | str


class NGram:
    """P(x_1 … x_T) = Π_t P(x_t | x_{t−n+1} … x_{t−1}), each factor by counting.

    order      n: 1 a unigram, 2 a bigram, 3 a trigram model, and so on
    smoothing  `Laplace`, `AddK`, `KneserNey`, or your own (see `Smoothing`)
    vocab      a `Vocabulary`, or its size (then text methods are not available); all of it, <unk> included, can be predicted
    reverse    read from the end: P(x_1 … x_T) = Π_t P(x_t | x_{t+1} … x_{t+n−1})

    Where fewer than n − 1 tokens stand before a token, the model of that lower order is asked; before the first one nothing
    stands. Raises InputError for an order below 1.

    >>> model = NGram(2, Laplace(0), vocab=3).fit([0, 1, 0, 2, 0, 1])
    >>> model.probabilities([0]).round(3).tolist(), round(model.evaluate([0, 1, 0]).perplexity, 3)
    ([0.0, 0.667, 0.333], 1.225)
    """

    grams: Grams

    def __init__(
        self, order: int = 3, smoothing: Smoothing | None = None, *, vocab: Vocabulary | int, reverse: bool = False
    ) -> None:
        check_order(order)
        self.order = order
        self.smoothing: Smoothing = Laplace() if smoothing is None else smoothing
        self.vocab = vocab if isinstance(vocab, Vocabulary) else None
        self.size = vocab if isinstance(vocab, int) else len(vocab)
        self.reverse = reverse
        self.tables: list[Table] = []

    def fit(self, text: Text, progress: Callable[[int, int], None] | None = None) -> NGram:
        """Count a text, ids or tokens, in place of what was counted before; returns the model itself.

        progress  called with (n-grams counted so far, in all)
        """
        return self.use(count(self._forward(self._ids(text)), self.order, self.size, progress))

    def use(self, grams: Grams) -> NGram:
        """Take n-grams that are counted already, of this order or a higher one, read in this model's direction."""
        if grams.order < self.order or grams.size != self.size:
            given = f"order {grams.order} of {grams.size} tokens for order {self.order} of {self.size}"
            raise InputError(
                "These counts are of other n-grams than the model's", given, "Count the text with bptt.counting.count"
            )
        self.grams = Grams(grams.levels[: self.order], grams.length, grams.size)
        self.tables = self.smoothing.tables(self.grams)
        return self

    def probabilities(self, context: Sequence[int] = ()) -> np.ndarray:
        """The row P(· | context) [V] of ids that stand before (in reverse: after, as the text has them) the token.

        Only the n − 1 nearest count.
        """
        return self._row(tuple(self._forward(np.asarray(context, np.int64).reshape(-1)).tolist()))

    def nats(self, ids: Text) -> np.ndarray:
        """−log P of every token [N] given those before it (in reverse: after it), infinite where that is 0."""
        return self._forward(self._nats(self._forward(self._ids(ids))))

    def evaluate(self, text: Text, *, progress: Callable[[int, int], None] | None = None) -> Score:
        """How well the model predicts the N − 1 tokens of `text` after the first one (in reverse: before the last one).

        The same targets, perplexity and bits per character as those of a neural model (`bptt.inference.evaluate_text`).
        """
        tokens = tokens_of(known(self.vocab), text) if isinstance(text, str) else text
        ids = self._forward(self._ids(tokens))
        nats = float(self._nats(ids, progress)[1:].sum())
        return Score(nats, max(len(ids) - 1, 0), *self._extent(tokens, ids))

    def score(self, text: str) -> list[TokenScore]:
        """The probability of every token of `text`, in the order of the text, the first one read included.

        P(x_1 … x_T) = P(x_1) P(x_2 | x_1) P(x_3 | x_1, x_2) …: the product, or `bptt.inference.total`, is the probability
        of the text, and those of all texts of T tokens sum to 1. Unknown tokens are <unk>, with one warning.
        """
        vocab = known(self.vocab)
        ids = read(vocab, text)
        return [
            TokenScore(vocab.tokens(token), float(nats), float(np.exp(-nats)))
            for token, nats in zip(ids.tolist(), self.nats(ids), strict=True)
        ]

    def initial_state(self, batch_size: int) -> Tensor:
        """What stands before a text: nothing, [B, n − 1] times −1."""
        return torch.full((batch_size, self.order - 1), -1)

    def step(self, ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One token per row, as `LanguageModel.step`: ids [B] → log P of the next [B, V], and the last n − 1 tokens.

        The id V stands for nothing: before any token, `step([V], initial_state(1))` gives the distribution of the first one.
        """
        return self._step(ids, state)

    def stream(self, prefix: str = "", *, length: int = 200, allow_reserved: bool = False, **sampling: Any) -> Iterator[str]:
        """The continuation of `prefix` by `length` tokens, in pieces of text as they come, drawn as a neural model's are.

        In reverse the text grows to the left, so it comes in one piece, which ends where `prefix` begins. A context that only
        reserved tokens ever followed gives way to the shorter one, unless they are allowed.
        `sampling` may hold temperature, top_k, top_p and seed, as in `bptt.inference.generate`.
        """
        vocab = known(self.vocab)
        self._need_counts()
        forbidden = () if allow_reserved else tuple(vocab.reserved.values())
        begin = self._forward(read(vocab, prefix)).tolist() or [self.size]
        step = partial(self._step, without=forbidden)
        drawn = generate(step, self.initial_state(1), begin, length=length, forbidden=forbidden, **sampling)
        return self._backwards(vocab, drawn, prefix) if self.reverse else pieces(vocab, prefix, drawn)

    def generate(self, prefix: str = "", **settings: Any) -> str:
        """The whole text: `prefix` as it was given, and its continuation (in reverse: what leads to it); see `stream`."""
        drawn = "".join(self.stream(prefix, **settings))
        return drawn + prefix if self.reverse else prefix + drawn

    def read(self, text: Text) -> np.ndarray:
        """The ids [N] of a text, in the order in which this model reads them."""
        self._need_counts()
        return self._forward(self._ids(text))

    def known(self, order: int) -> np.ndarray:
        """P(x | c) of all n-grams (c, x) of `order` that were seen, [M] in the order of their nodes.

        Below the highest order these are the probabilities after an unseen context that ends with c.
        """
        self._need_counts()
        chain: list[Evidence] = []
        nodes = np.arange(len(self.grams.levels[order - 1]))
        for k in range(order, 0, -1):
            chain.append(self.tables[k - 1].at(nodes, self.grams.levels[k - 1].keys[nodes] // self.size))
            nodes = self.grams.levels[k - 1].suffixes[nodes]
        return self.smoothing.probabilities([*chain[::-1], *self._silence(order)], self.size)

    def remainder(self, order: int) -> np.ndarray:
        """λ(c) of all contexts c of `order` − 1 tokens: P(x | c) = λ(c) P(x | c without its first token) for a new x."""
        table = self.tables[order - 1]
        kinds = None if table.kinds is None else table.kinds[:-1]
        own = Evidence(np.zeros(1, np.int64), table.total[:-1], kinds, table.discount)
        return self.smoothing.remainder(own, order, self.order, self.size)

    def unseen(self) -> float:
        """P of one token that was never seen, after a context no part of which was."""
        nowhere, root = np.array([-1]), np.array([0])
        first = self.tables[0].at(nowhere, root)
        return float(self.smoothing.probabilities([first, *self._silence(1)], self.size)[0])

    def _silence(self, order: int) -> list[Evidence]:
        """What is known of contexts that were never seen, of all orders above `order`: nothing."""
        nowhere = np.array([-1])
        return [table.at(nowhere, nowhere) for table in self.tables[order:]]

    def _step(self, ids: Tensor, state: Tensor, without: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        self._need_counts()
        longer = torch.cat([state, torch.where(ids < self.size, ids, -1)[:, None]], 1)
        kept = longer[:, longer.shape[1] - self.order + 1 :]
        rows = [self._row_without(without, tuple(token for token in row if token >= 0)) for row in kept.tolist()]
        with np.errstate(divide="ignore"):
            return torch.from_numpy(np.log(np.stack(rows))), kept

    def _row_without(self, tokens: tuple[int, ...], context: tuple[int, ...]) -> np.ndarray:
        """The row of the longest end of `context` that some other token than these may follow; it has 0 for them."""
        row = self._row(context)
        row[list(tokens)] = 0.0
        return row if row.any() or not context else self._row_without(tokens, context[1:])

    def _row(self, context: tuple[int, ...]) -> np.ndarray:
        """P(· | context) [V], the context in the order of reading."""
        self._need_counts()
        evidence = []
        for k in range(1, min(self.order, len(context) + 1) + 1):
            parent, level = self.grams.find(context[len(context) - k + 1 :]), self.grams.levels[k - 1]
            nodes = np.full(self.size, -1)
            below = level.below(parent)
            nodes[level.keys[below] % self.size] = np.arange(below.start, below.stop)
            evidence.append(self.tables[k - 1].at(nodes, np.array([parent])))
        return self.smoothing.probabilities(evidence, self.size)

    def _nats(self, ids: np.ndarray, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """−log P of every token of ids in the order of reading, piece by piece."""
        self._need_counts()
        found = np.empty(len(ids))
        # The first tokens have fewer before them than the order asks for: one by one by the lower orders.
        for t in range(min(self.order - 1, len(ids))):
            found[t] = self._probabilities(ids[: t + 1], t + 1)[0]
        for start in range(self.order - 1, len(ids), PIECE):
            part = ids[start - self.order + 1 : start + PIECE]
            found[start : start + PIECE] = self._probabilities(part, self.order)
            if progress is not None:
                progress(min(start + PIECE, len(ids)), len(ids))
        with np.errstate(divide="ignore"):
            return -np.log(found)

    def _probabilities(self, ids: np.ndarray, order: int) -> np.ndarray:
        """P of each token of ids [M] that has `order` − 1 others before it, given those: [M − order + 1]."""
        walked = [np.zeros(len(ids), np.int64), *self.grams.walk(ids)]
        evidence = []
        for k in range(1, order + 1):
            begin, stop = order - k, len(ids) - k + 1  # where the n-grams of the last k tokens begin
            evidence.append(self.tables[k - 1].at(walked[k][begin:stop], walked[k - 1][begin:stop]))
        return self.smoothing.probabilities(evidence, self.size)

    def _forward(self, ids: np.ndarray) -> np.ndarray:
        """From the order of the text to the order of reading, and back."""
        return ids[::-1] if self.reverse else ids

    def _ids(self, text: Text) -> np.ndarray:
        if isinstance(text, str):
            text = read(known(self.vocab), text)
        ids = ids_of(text, self.vocab)
        if len(ids) and not 0 <= ids.min() <= ids.max() < self.size:
            given = f"ids from {ids.min()} to {ids.max()}, {self.size} tokens"
            raise InputError("The text has ids that the model does not have", given, "Give the model a larger vocabulary")
        return ids

    def _extent(self, text: Text, ids: np.ndarray) -> tuple[int, int]:
        """Characters and bytes of all tokens but the first one read."""
        if self.vocab is None or len(ids) < 2:
            return 0, 0
        whole = text if isinstance(text, Tokens) and text.characters else None
        if whole is None:
            return extent(self.vocab, ids[1:])
        if not self.reverse:
            return whole.characters, whole.bytes
        # What was read knows the length after its first token: exchange that one for the last.
        (first, first_bytes), (last, last_bytes) = extent(self.vocab, ids[-1:]), extent(self.vocab, ids[:1])
        return whole.characters + first - last, whole.bytes + first_bytes - last_bytes

    def _backwards(self, vocab: Vocabulary, drawn: Iterator[int], prefix: str) -> Iterator[str]:
        joint = " " if vocab.unit == "word" and prefix and not prefix[0].isspace() else ""
        text = vocab.decode(list(drawn)[::-1])
        if text:
            yield text + joint

    def _need_counts(self) -> None:
        if not self.tables:
            raise InputError("The model has not counted anything yet", f"order {self.order}", "Call fit(corpus.train) first")

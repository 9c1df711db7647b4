"""Markov chains: where an n-gram model is after k steps, exactly, without drawing.

Knows an n-gram model and its tree of n-grams; must not know text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bptt.counting.grams import check_order
from bptt.counting.ngram import NGram, Text
from bptt.counting.smoothing import Smoothing
from bptt.data import Vocabulary
from bptt.errors import InputError


class MarkovChain:
    """A chain of order τ: the next token depends on the last τ. Its transitions are the rows of a (τ + 1)-gram model.

    P(x_{t+k} | x_{t−τ+1} … x_t) = Σ over x_{t+1} … x_{t+k−1} of the product of all transitions, by dynamic programming. For
    τ = 1 that is the k-th power of the matrix of transitions, P(x_{t+1} | x_{t−1}) = Σ_{x_t} P(x_{t+1} | x_t) P(x_t | x_{t−1}).

    order      τ ≥ 1
    smoothing, vocab, reverse  as for `NGram`; `Laplace(0)` gives the relative frequencies

    `model` is the n-gram model: rows, perplexity, probability of a text, generation.

    >>> from bptt.counting import Laplace
    >>> chain = MarkovChain(1, Laplace(0), vocab=2).fit([0, 1, 0, 0])
    >>> [row.tolist() for row in chain.ahead([0], 2)]
    [[0.5, 0.5], [0.75, 0.25]]
    """

    def __init__(
        self, order: int = 1, smoothing: Smoothing | None = None, *, vocab: Vocabulary | int, reverse: bool = False
    ) -> None:
        check_order(order)
        self.order = order
        self.model = NGram(order + 1, smoothing, vocab=vocab, reverse=reverse)

    def fit(self, text: Text, progress: Callable[[int, int], None] | None = None) -> MarkovChain:
        """Count a text, as `NGram.fit`; returns the chain itself."""
        self.model.fit(text, progress)
        return self

    def ahead(self, context: Text, steps: int) -> Iterator[np.ndarray]:
        """The distributions of the token 1, 2, …, `steps` steps after `context`, as the function `ahead`."""
        return ahead(self.model, context, steps)


def ahead(model: NGram, context: Text, steps: int) -> Iterator[np.ndarray]:
    """The distributions [V] of the token 1, 2, …, `steps` steps after `context`, in reverse before it; exact, any smoothing.

    Arguments:
        model    of order n: a chain of order τ = n − 1
        context  a text, tokens or ids, at least τ of them; the last τ count (in reverse the first)
        steps    at least 1

    A state of the chain is the longest suffix of the last τ tokens that was ever seen: nothing else about them matters, for a
    longer context that was not seen has no row of its own. So a step costs as much as there are distinct n-grams, not V^(τ+1).
    Raises InputError for a shorter context or a wrong number of steps.
    """
    ids = model.read(context)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InputError("The number of steps is a whole number of at least 1", f"steps={steps!r}", "Give for example 4")
    if len(ids) < model.order - 1:
        given = f"{len(ids)} tokens for a chain of order {model.order - 1}"
        raise InputError("The context is shorter than what the chain remembers", given, "Give a longer one")
    return distributions(Flow(model), ids[len(ids) - model.order + 1 :].tolist(), steps)


def distributions(flow: Flow, context: Sequence[int], steps: int) -> Iterator[np.ndarray]:
    """`ahead` after its arguments are checked."""
    mass = flow.start(context)
    for _ in range(steps):
        tokens, mass = flow.step(mass)
        yield tokens


class Flow:
    """How probability moves from state to state. A state is a node of level 0 … τ; `mass` has one array per level.

    Let t be a state with row P(· | t), t′ = t without its first token, λ(t) the share that t leaves to t′. Every x that was
    seen after t leads to (t, x); any other x leads to where it leads from t′, with λ(t) times its probability there. So with
    A(t) = mass(t) + Σ_{u: u′ = t} λ(u) A(u), what comes to (t, x) is
        P(x | t) · (A(t) − Σ λ(u) A(u) over the u with u′ = t that know x themselves).
    """

    def __init__(self, model: NGram) -> None:
        self.levels, self.size = model.grams.levels, model.size
        self.parents = [level.parents for level in self.levels]
        self.known = [model.known(order) for order in range(1, model.order + 1)]
        self.share = [model.remainder(order) for order in range(1, model.order + 1)]  # λ of nodes of levels 0 … τ
        self.unseen = model.unseen()
        self.widths = [1, *(len(level) for level in self.levels)]

    def start(self, context: Sequence[int]) -> list[np.ndarray]:
        """All mass on the longest suffix of `context` that was seen."""
        mass = [np.zeros(width) for width in self.widths[:-1]]
        for begin in range(len(context) + 1):
            node = np.zeros(1, np.int64)
            for level, token in zip(self.levels, context[begin:], strict=False):
                node = level.child(node, np.array([token]))
            if node[0] >= 0:
                mass[len(context) - begin][node[0]] = 1.0
                break
        return mass

    def step(self, mass: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """The distribution [V] of the next token, and where the mass is then."""
        reach, passed = self._reach(mass)
        arrived = [np.zeros(1)]
        for k, known in enumerate(self.known):
            weight = reach[k][self.parents[k]]
            if k + 1 < len(self.known):
                longer = self.levels[k + 1].suffixes
                weight -= np.bincount(longer, passed[k + 1][self.parents[k + 1]], minlength=len(weight))
            arrived.append(known * np.maximum(weight, 0.0))  # below 0 by rounding alone
        tokens = np.full(self.size, self.unseen * reach[0][0])
        tokens[self.levels[0].tokens] = 0.0
        arrived[0][0] = tokens.sum()
        for level, amounts in zip(self.levels, arrived[1:], strict=True):
            tokens += np.bincount(level.tokens, amounts, minlength=self.size)
        last = arrived.pop()
        arrived[-1] += np.bincount(self.levels[-1].suffixes, last, minlength=len(arrived[-1]))
        return tokens, arrived

    def _reach(self, mass: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """A of every state, and λ A, what it passes on."""
        reach, passed = list(mass), [share * 0.0 for share in self.share]
        for k in range(len(mass) - 1, -1, -1):
            passed[k] = self.share[k] * reach[k]
            if k:
                reach[k - 1] = reach[k - 1] + np.bincount(self.levels[k - 1].suffixes, passed[k], minlength=self.widths[k - 1])
        return reach, passed

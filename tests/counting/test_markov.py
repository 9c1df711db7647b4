"""k steps ahead: matrix powers, the sum over what stands between, and all contexts written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bptt import InputError, Vocabulary
from bptt.counting import AddK, KneserNey, Laplace, MarkovChain, NGram, ahead

V = 5
IDS = np.random.default_rng(1).choice(4, size=71, p=[0.5, 0.3, 0.15, 0.05])
SMOOTHINGS = [
    *(Laplace(1), Laplace(0), Laplace((1, 0.5, 2)), Laplace((0.0, 0.5, 0.0)), Laplace((1.0, 0, 0.5, 0))),
    *(AddK(1), AddK(0), KneserNey(), KneserNey(modified=True), KneserNey(0.5, uniform=False)),
]


@pytest.mark.parametrize("smoothing", SMOOTHINGS, ids=str)
def test_k_steps_are_the_power_of_the_matrix(smoothing):
    chain = MarkovChain(1, smoothing, vocab=V).fit(IDS)
    matrix = np.stack([chain.model.probabilities([x]) for x in range(V)])
    for x in range(V):
        rows = list(chain.ahead([x], 9))
        for k, row in enumerate(rows, 1):
            assert row == pytest.approx(np.linalg.matrix_power(matrix, k)[x], rel=0, abs=1e-13)
            assert row.sum() == pytest.approx(1, abs=1e-12)


def test_two_steps_are_the_sum_over_the_token_between():
    chain = MarkovChain(1, Laplace((1, 0.5)), vocab=V).fit(IDS)
    p = chain.model.probabilities
    for before in range(V):
        expected = [sum(p([between])[after] * p([before])[between] for between in range(V)) for after in range(V)]
        assert list(chain.ahead([before], 2))[1] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("smoothing", SMOOTHINGS, ids=str)
def test_longer_memory_is_a_matrix_over_all_contexts(smoothing, order):
    chain = MarkovChain(order, smoothing, vocab=V).fit(IDS)
    contexts = list(itertools.product(range(V), repeat=order))
    rows = np.stack([chain.model.probabilities(context) for context in contexts])
    number = {context: i for i, context in enumerate(contexts)}
    after = np.array([[number[(*context[1:], x)] for x in range(V)] for context in contexts])
    for context in contexts[:: order * 3]:
        mass = np.zeros(len(contexts))
        mass[number[context]] = 1
        for found in chain.ahead(context, 5):
            assert found == pytest.approx(mass @ rows, rel=0, abs=1e-13)
            mass = np.bincount(after.ravel(), (mass[:, None] * rows).ravel(), minlength=len(contexts))


def test_all_ways_of_three_steps_by_hand():
    model = NGram(3, KneserNey(0.5), vocab=4).fit([0, 1, 2, 0, 1, 1, 0, 2, 2, 0, 1, 2])
    expected = np.zeros(4)
    for x, y, z in itertools.product(range(4), repeat=3):
        ways = model.probabilities([2, 0])[x] * model.probabilities([0, x])[y] * model.probabilities([x, y])[z]
        expected[z] += ways
    assert list(ahead(model, [1, 2, 0], 3))[-1] == pytest.approx(expected, rel=1e-13)


def test_a_unigram_model_remembers_nothing():
    model = NGram(1, Laplace(1), vocab=V).fit(IDS)
    for row in ahead(model, [], 3):
        assert row == pytest.approx(model.probabilities(), rel=1e-13)


def test_far_ahead_is_the_stationary_distribution():
    chain = MarkovChain(1, Laplace((1, 0.5)), vocab=V).fit(IDS)
    *_, row = chain.ahead([0], 300)
    matrix = np.stack([chain.model.probabilities([x]) for x in range(V)])
    assert row @ matrix == pytest.approx(row, rel=1e-12)
    *_, other = chain.ahead([3], 300)
    assert other == pytest.approx(row, rel=1e-12)


def test_from_the_end_the_steps_go_back():
    backward = MarkovChain(2, Laplace(1), vocab=V, reverse=True).fit(IDS)
    forward = MarkovChain(2, Laplace(1), vocab=V).fit(IDS[::-1])
    for ours, theirs in zip(backward.ahead([1, 0, 3], 3), forward.ahead([3, 0, 1], 3), strict=True):
        assert ours.tolist() == theirs.tolist()


def test_text_is_a_context_too():
    vocab = Vocabulary.from_text("abracadabra")
    chain = MarkovChain(2, Laplace(0), vocab=vocab).fit("abracadabra")
    assert next(chain.ahead("abr", 1))[vocab["a"]] == 1
    assert chain.order == 2 and chain.model.order == 3


@pytest.mark.parametrize(
    "context, steps, named",
    [
        ([0], 2, "1 tokens for a chain of order 2"),
        ([0, 1], 0, "steps=0"),
        ([0, 1], 1.5, "steps=1.5"),
        ([0, 9], 1, "ids from 0 to 9"),
    ],
)
def test_what_cannot_be_looked_ahead_is_said_at_once(context, steps, named):
    with pytest.raises(InputError, match=named):
        MarkovChain(2, Laplace(1), vocab=V).fit(IDS).ahead(context, steps)
    with pytest.raises(InputError, match="order=0"):
        MarkovChain(0, vocab=3)
    with pytest.raises(InputError, match="fit"):
        MarkovChain(1, vocab=3).ahead([0], 1)

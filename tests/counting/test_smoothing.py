"""Smoothed probabilities: by hand, by an independent reference, by nltk; every row sums to 1."""

from __future__ import annotations

from fractions import Fraction

import naive
import numpy as np
import pytest

from bptt import InputError
from bptt.counting import AddK, KneserNey, Laplace, NGram

V = 5  # one more token than the text has
IDS = np.random.default_rng(0).choice(4, size=83, p=[0.5, 0.3, 0.15, 0.05])
SMOOTHINGS = [
    Laplace(1),
    Laplace(0),
    Laplace((1, 0.5, 2)),
    Laplace((0.0, 0.5, 0.0)),
    Laplace((1.0, 0, 0.5)),
    AddK(1),
    AddK(0),
    AddK(0.1),
    KneserNey(),
    KneserNey(0.5),
    KneserNey(0),
    KneserNey(1),
    KneserNey(modified=True),
    KneserNey(0.5, uniform=False),
]


def five_tokens(smoothing, order):
    """the cat the dog the: three different tokens and <unk>, so m = 4; ids 0 <unk>, 1 the, 2 cat, 3 dog."""
    return NGram(order, smoothing, vocab=4).fit([1, 2, 1, 3, 1])


def test_laplace_by_hand():
    model = five_tokens(Laplace((1.0, 0.5, 2.0)), 3)
    # n = 5, ε₁ = 1, m = 4: P̂(the) = (3 + 1/4)/6, P̂(cat) = P̂(dog) = (1 + 1/4)/6, P̂(<unk>) = (0 + 1/4)/6
    p = np.array([0.25, 3.25, 1.25, 1.25]) / 6
    assert model.probabilities([]) == pytest.approx(p, rel=1e-14)
    # n(the) = 2: the third "the" is followed by nothing. ε₂ = 1/2.
    assert model.probabilities([1]) == pytest.approx((np.array([0, 0, 1, 1]) + 0.5 * p) / 2.5, rel=1e-14)
    assert model.probabilities([2]) == pytest.approx((np.array([0, 1, 0, 0]) + 0.5 * p) / 1.5, rel=1e-14)
    # n(the, cat) = 1, ε₃ = 2, and the numerator has the unigram P̂(x''), not the bigram.
    assert model.probabilities([1, 2]) == pytest.approx((np.array([0, 1, 0, 0]) + 2 * p) / 3, rel=1e-14)
    # Never seen: the unigram row.
    assert model.probabilities([3, 3]) == pytest.approx(p, rel=1e-14)


def test_without_smoothing_relative_frequencies_and_shorter_contexts():
    model = five_tokens(Laplace(0), 3)
    assert model.probabilities([]).tolist() == [0, 0.6, 0.2, 0.2]
    assert model.probabilities([1]).tolist() == [0, 0, 0.5, 0.5]
    assert model.probabilities([3, 1]).tolist() == [0, 0, 0.5, 0.5]  # (dog, the) ends the text: as after (the)
    assert model.probabilities([2, 3]).tolist() == [0, 1, 0, 0]
    assert model.probabilities([2, 0]).tolist() == [0, 0.6, 0.2, 0.2]


def test_ever_larger_epsilon_is_uniform():
    assert NGram(3, Laplace(1e14), vocab=V).fit(IDS).probabilities([0, 1]) == pytest.approx(np.full(V, 0.2), abs=1e-10)


def test_the_last_epsilon_serves_higher_orders():
    two, four = NGram(4, Laplace((1, 0.5)), vocab=V).fit(IDS), NGram(4, Laplace((1, 0.5, 0.5, 0.5)), vocab=V).fit(IDS)
    for context in ([], [0], [0, 1], [0, 1, 0]):
        assert two.probabilities(context).tolist() == four.probabilities(context).tolist()


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("smoothing", SMOOTHINGS, ids=str)
def test_every_row_sums_to_one(smoothing, order):
    model = NGram(order, smoothing, vocab=V).fit(IDS)
    for context in naive.contexts(V, order):
        row = model.probabilities(context)
        assert row.sum() == pytest.approx(1, abs=1e-12) and (row >= 0).all()


@pytest.mark.parametrize("epsilon", [(1, 1, 1), (3, 1, 2), (0, 0, 0), (0, 2, 0), (2, 0, 1)])
def test_laplace_is_the_formula_in_fractions(epsilon):
    model, ids = NGram(3, Laplace(tuple(map(float, epsilon))), vocab=V).fit(IDS), IDS.tolist()
    for context in naive.contexts(V, 2):
        expected = [naive.laplace(ids, V, [Fraction(e) for e in epsilon], context, x) for x in range(V)]
        assert model.probabilities(context) == pytest.approx([float(p) for p in expected], rel=1e-13, abs=0)


@pytest.mark.parametrize("k", ["0", "1", "1/3"])
def test_add_k_is_the_formula_in_fractions(k):
    model, ids = NGram(3, AddK(float(Fraction(k))), vocab=V).fit(IDS), IDS.tolist()
    for context in naive.contexts(V, 2):
        expected = [naive.additive(ids, V, Fraction(k), context, x) for x in range(V)]
        assert model.probabilities(context) == pytest.approx([float(p) for p in expected], rel=1e-13, abs=0)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("modified", [False, True])
def test_kneser_ney_is_its_definition_with_estimated_discounts(order, modified):
    size = 9
    ids = np.minimum(np.random.default_rng(7).geometric(0.35, 260) - 1, size - 2)
    model = NGram(order, KneserNey(modified=modified), vocab=size).fit(ids)
    reference = naive.KneserNey(ids.tolist(), size, order, [])
    discounts, plain = [], 0
    for n in range(1, order + 1):
        values = [reference.a(gram) for gram in naive.counts(ids.tolist(), n)]
        seen = [values.count(i) for i in (1, 2, 3, 4)]
        if not seen[0] or not seen[1]:
            discounts.append([0.75] * 3)
            continue
        own = naive.estimated(values, modified and seen[2] > 0)
        fits = all(0 <= d <= i for i, d in enumerate(own, 1))
        discounts.append(own if fits else naive.estimated(values, False))
        plain += not (modified and seen[2] > 0 and fits)
    assert not (modified and order == 3) or plain < order  # some order has three discounts of its own
    reference.discounts = discounts
    for table, expected in zip(model.tables, discounts, strict=True):
        assert table.discount == pytest.approx(expected, rel=1e-13)
    some = [c for c in naive.contexts(size, order - 1) if sum(c) % 3 == 0]
    for context in some:
        assert model.probabilities(context) == pytest.approx([reference.p(context, x) for x in range(size)], rel=1e-12)


def test_the_first_token_of_the_text_has_nothing_before_it():
    """The pair (3, 0) stands only at the beginning: no token precedes it, so no trigram continues into it."""
    model = NGram(3, KneserNey(0.5), vocab=4).fit([3, 0, 1, 0, 1, 2, 0])
    reference = naive.KneserNey([3, 0, 1, 0, 1, 2, 0], 4, 3, [[0.5] * 3] * 3)
    assert reference.a((3, 0)) == 0
    for context in naive.contexts(4, 2):
        assert model.probabilities(context) == pytest.approx([reference.p(context, x) for x in range(4)], rel=1e-13)


def nltk_model(kind, order, *arguments):
    """A model of nltk, counted on the same text as one long sentence without padding."""
    lm = pytest.importorskip("nltk.lm", reason="nltk is not installed")
    from nltk.util import everygrams

    model = getattr(lm, kind)(*arguments, order=order)
    words = [str(i) for i in IDS.tolist()]
    model.fit([list(everygrams(words, max_len=order))], [str(i) for i in range(4)])  # its <UNK> is our token 4
    return model


def nltk_row(model, context):
    names = [*map(str, range(4)), "<UNK>"]
    return [model.score(name, [names[c] for c in context]) for name in names]


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 0.25])
def test_add_k_agrees_with_nltk(order, k):
    theirs, ours = nltk_model("Lidstone", order, k), NGram(order, AddK(k), vocab=V).fit(IDS)
    for context in naive.contexts(V, order - 1):
        assert ours.probabilities(context) == pytest.approx(nltk_row(theirs, context), rel=1e-12)


@pytest.mark.parametrize("order", [2, 3])
def test_kneser_ney_agrees_with_nltk_wherever_its_rows_are_distributions(order):
    """nltk ends with the continuation counts of single tokens, without the uniform distribution: uniform=False here.

    It takes the number of kinds from the raw counts also in lower orders. Where a pair stands at the very beginning of the
    text, and nowhere else, that is one more than its continuation counts have, and its rows do not sum to 1. Ours do.
    """
    pytest.importorskip("nltk.lm", reason="nltk is not installed")
    from nltk.lm import KneserNeyInterpolated

    theirs = nltk_model("KneserNeyInterpolated", order)
    theirs.estimator.discount = 0.4
    assert isinstance(theirs, KneserNeyInterpolated)
    ours = NGram(order, KneserNey(0.4, uniform=False), vocab=V).fit(IDS)
    compared = 0
    for context in naive.contexts(V, order - 1):
        if context and order - 1 == len(context) and not ours.grams.totals(order)[ours.grams.find(context)]:
            continue  # a context that nothing follows: nltk divides by nothing
        row = nltk_row(theirs, context)
        assert sum(row) == pytest.approx(1, abs=1e-12)
        assert ours.probabilities(context) == pytest.approx(row, rel=1e-12, abs=1e-15)
        compared += 1
    assert compared > V


@pytest.mark.parametrize("words, theirs_sum", [("3 0 1 3 1 2 0", 1.5), ("3 0 1 0 1 2 0", None)])
def test_where_rows_of_nltk_do_not_sum_to_one(words, theirs_sum):
    """(3, 0) stands at the beginning alone. In the first text 3 is followed by 1 as well: nltk counts two kinds of which one
    has a continuation count, and the row after 3 sums to 1.5. In the second text nothing is left, and nltk divides by 0."""
    lm = pytest.importorskip("nltk.lm", reason="nltk is not installed")
    from nltk.util import everygrams

    theirs = lm.KneserNeyInterpolated(order=3, discount=0.5)
    theirs.fit([list(everygrams(words.split(), max_len=3))], ["0", "1", "2", "3"])
    names = ["0", "1", "2", "3", "<UNK>"]
    assert sum(theirs.score(name) for name in names) == pytest.approx(1)
    if theirs_sum is None:
        with pytest.raises(ZeroDivisionError):
            theirs.score("0", ["3"])
    else:
        assert sum(theirs.score(name, ["3"]) for name in names) == pytest.approx(theirs_sum)
    ours = NGram(3, KneserNey(0.5, uniform=False), vocab=5).fit([int(word) for word in words.split()])
    for context in naive.contexts(5, 2):
        assert ours.probabilities(context).sum() == pytest.approx(1, abs=1e-12)
    assert ours.probabilities([3]).tolist() != ours.probabilities([]).tolist() or theirs_sum is None


def test_discounts_where_rare_n_grams_are_missing():
    model = NGram(2, KneserNey(), vocab=2).fit([0, 0, 0, 0, 0, 0])
    assert model.tables[1].discount.tolist() == [0.75] * 3
    assert NGram(1, KneserNey(0.5), vocab=3).fit([0]).probabilities().sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "make, named",
    [
        (lambda: Laplace(-1), "epsilon=-1"),
        (lambda: Laplace((1.0, float("nan"))), "epsilon=nan"),
        (lambda: Laplace(()), "empty"),
        (lambda: Laplace("x"), "epsilon='x'"),
        (lambda: Laplace(True), "epsilon=True"),
        (lambda: AddK(float("inf")), "k=inf"),
        (lambda: KneserNey(1.5), "discount=1.5"),
        (lambda: KneserNey(float("nan")), "discount=nan"),
        (lambda: KneserNey(modified=1), "modified=1"),
        (lambda: KneserNey(0.5, modified=True), "Give one of the two"),
    ],
)
def test_settings_that_make_no_sense(make, named):
    with pytest.raises(InputError, match=named):
        make()

"""Zipf's law, the tail, stop words, and the facts of a text."""

from __future__ import annotations

import doctest
import importlib
import math
import pkgutil

import numpy as np
import pytest

import bptt.counting
from bptt import InputError, Tokens, Vocabulary
from bptt.counting import AddK, KneserNey, Laplace, NGram, count, is_stop_word, ranked, statistics, tail, zipf
from bptt.counting.statistics import large, power
from bptt.counting.tail import CLASSES

MODULES = [f"bptt.counting.{found.name}" for found in pkgutil.iter_modules(bptt.counting.__path__)]
TEXT = "the cat sat on the mat and the dog sat on the cat ; a dog is a dog , the mat is a mat . " * 6 + "so it was new things"


@pytest.mark.parametrize("name", [*MODULES, "bptt.config.baselines", "bptt.config.strategies", "bptt.cli.plot"])
def test_the_examples_run(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert not failed


@pytest.mark.parametrize("alpha", [0.4, 1.0, 1.7])
def test_an_exact_power_law_is_found(alpha):
    counts = np.random.default_rng(0).permutation(3e9 / np.arange(1, 5001) ** alpha)
    law = zipf(counts, first=3, last=4000)
    assert law.exponent == pytest.approx(alpha, rel=1e-12) and law.fit == pytest.approx(1) and law.error < 1e-9
    assert law.scale == pytest.approx(3e9, rel=1e-9) and (law.first, law.last) == (3, 4000)
    assert law.at([10, 100]) == pytest.approx([3e9 / 10**alpha, 3e9 / 100**alpha], rel=1e-9)


def test_the_line_is_that_of_polyfit_with_its_error():
    counts = np.random.default_rng(2).zipf(1.8, 4000)
    law = zipf(counts)
    n = np.sort(counts)[::-1]
    assert law.last == (counts >= 2).sum() and law.first == 10
    ranks = np.unique(np.round(np.geomspace(10, law.last, 100)).astype(int))
    (slope, level), covariance = np.polyfit(np.log(ranks), np.log(n[ranks - 1]), 1, cov=True)
    assert (-law.exponent, math.log(law.scale)) == pytest.approx((slope, level), rel=1e-9)
    assert law.error == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-9)
    assert law.fit == pytest.approx(np.corrcoef(np.log(ranks), np.log(n[ranks - 1]))[0, 1] ** 2, rel=1e-9)


def test_rare_items_do_not_outweigh_the_line():
    """Half of all items occur once: a fit over all ranks alike would be a fit of them."""
    counts = np.round(1e5 / np.arange(1, 200_000) ** 1.0)
    assert zipf(counts).exponent == pytest.approx(1, abs=0.02)


def test_no_line_where_there_are_too_few():
    assert zipf(np.array([9, 8, 7])) is None and zipf(np.ones(1000)) is None and zipf(np.array([])) is None
    assert abs(zipf(np.full(40, 7)).exponent) < 1e-15 and zipf(np.full(40, 7)).fit == 1
    assert zipf(np.arange(1, 9), first=1, last=100).last == 8
    assert ranked(np.array([0, 3, 1, 3])).tolist() == [3, 3, 1]


@pytest.mark.parametrize("first, last", [(0, None), (5, 4), (True, None), (1.5, None)])
def test_ranks_out_of_order(first, last):
    with pytest.raises(InputError, match=f"first={first}"):
        zipf(np.arange(100), first, last)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_tail_is_a_sum_over_all_tokens_at_all_places(order):
    rng = np.random.default_rng(4)
    ids, held = (np.minimum(rng.geometric(0.3, n) - 1, 8) for n in (120, 50))
    smoothings = {"a": AddK(0.5), "l": Laplace((1, 0.5, 0.2)), "k": KneserNey(0.6)}
    found = tail(count(ids, 3, 10), held, order, smoothings)
    grams = [tuple(ids[s : s + order]) for s in range(len(ids) - order + 1)]

    def kind(gram):
        return sum(grams.count(gram) > bound for bound in (0, 1, 2, 5))

    actual, expected = np.zeros(5), {name: np.zeros(5) for name in smoothings}
    for t in range(order - 1, len(held)):
        context = tuple(held[t - order + 1 : t])
        actual[kind((*context, held[t]))] += 1
        for name, smoothing in smoothings.items():
            row = NGram(order, smoothing, vocab=10).fit(ids).probabilities(context)
            for x in range(10):
                expected[name][kind((*context, x))] += row[x]
    total = len(held) - order + 1
    assert found.tokens == total and found.actual == pytest.approx(actual / total)
    for name in smoothings:
        assert found.predicted[name] == pytest.approx(expected[name] / total, rel=1e-11, abs=1e-13)
        assert sum(found.predicted[name]) == pytest.approx(1, abs=1e-12) and found.predicted[name][0] > 0


def test_stop_words_of_two_languages():
    assert all(map(is_stop_word, ("the", "The", "and,", "“of", "don’t", "我们", "的", "'s")))
    assert not any(map(is_stop_word, ("king", "", ",", "红楼", "then-unknown")))
    assert is_stop_word("了", "char") and not is_stop_word("i", "char") and not is_stop_word("a", "byte")


def facts(text=TEXT, **settings):
    vocab = Vocabulary.from_text(text, "word", reserved=())
    return statistics(Tokens(vocab.encode(text)), vocab, **settings)


def test_the_facts_of_a_text():
    words = TEXT.split()
    found = facts(top=4)
    assert (found.tokens, found.vocabulary) == (len(words), len(set(words)))
    for row in found.orders:
        grams = [tuple(words[s : s + row.order]) for s in range(len(words) - row.order + 1)]
        times = sorted((grams.count(gram) for gram in set(grams)), reverse=True)
        assert (row.total, row.distinct, row.once) == (len(grams), len(times), times.count(1))
        assert row.possible == len(set(words)) ** row.order
        assert sum(times[: row.half]) >= len(grams) / 2 > sum(times[: row.half - 1])
        assert [c for _, c in row.top] == times[:4] and all(grams.count(gram) == c for gram, c in row.top)
        assert all(times[rank - 1] == c for rank, c in row.curve) and row.curve[-1][0] == len(times)
    stops = {"the", "on", "and", "a", "is", "so", "it", "was"}
    assert found.stop_share == pytest.approx(sum(word in stops for word in words) / len(words))
    assert found.content[0] == ("mat", 18) and not {word for word, _ in found.content} & {*stops, ",", ";", "."}
    assert [held.order for held in found.tails] == [1, 2, 3]


def test_the_tail_is_judged_on_the_last_tenth_by_the_counts_of_the_rest():
    words = TEXT.split()
    held = facts().tails[1]
    cut = len(words) - len(words) // 10
    before = {tuple(words[s : s + 2]) for s in range(cut - 1)}
    pairs = [tuple(words[s : s + 2]) for s in range(cut, len(words) - 1)]
    assert held.tokens == len(pairs)
    assert held.actual[0] == pytest.approx(sum(pair not in before for pair in pairs) / len(pairs)) and held.actual[0] > 0


def test_a_text_too_short_for_a_tail_or_a_line():
    found = facts("one two three one")
    assert found.tails == [] and all(row.zipf is None for row in found.orders)
    told = found.to_json()
    assert told["classes"] == list(CLASSES) and told["words"] == found.words() and "4" not in found.words()[0]


def test_what_is_said_has_the_figures():
    said = facts(first=1).words()
    assert said[0].startswith("Zipf exponents: ") and "single tokens (ranks 1 to" in said[0]
    assert "possible pairs" in said[1] and "occur once" in said[1] and "are new (expected: add 1:" in said[-1]


def test_large_numbers():
    assert large(12345) == "12,345" and large(5.589e8) == "5.59·10⁸" and large(3e120) == "3.00·10¹²⁰"
    assert power(7, 3) == 343 and power(10**4, 100) == math.inf and "10³⁰⁸" in large(math.inf)

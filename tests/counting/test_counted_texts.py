"""What counting says of real texts: Zipf exponents of two languages, and which models predict them better."""

from __future__ import annotations

import os

import pytest

import bptt
from bptt.counting import KneserNey, Laplace, NGram, statistics, zipf

pytestmark = pytest.mark.skipif("BPTT_DATA" not in os.environ, reason="BPTT_DATA is not set")


@pytest.mark.parametrize(
    "name, unit, distinct, exponents",
    [("wikitext2-valid", "word", 13_776, (0.990, 0.786, 0.605)), ("hongloumeng", "char", 4_529, (1.320, 0.849, 0.694))],
)
def test_zipf_exponents_fall_with_n(name, unit, distinct, exponents):
    corpus = bptt.read_text(name, unit=unit, valid=0, reserved=())
    found = statistics(corpus.train, corpus.vocab)
    assert found.vocabulary == distinct
    fitted = [row.zipf for row in found.orders]
    assert [law.exponent for law in fitted] == pytest.approx(exponents, abs=0.001)
    assert all(law.fit > 0.95 and law.first == 10 for law in fitted)
    assert zipf([count for _, count in found.orders[0].top]).exponent > 0


@pytest.mark.parametrize("unit, limits", [("char", (22, 11.5, 7.4, 7.2)), ("word", (700, 400, 600, 200))])
def test_more_context_helps_characters_and_only_kneser_ney_helps_words(unit, limits):
    clean = {"clean": "time-machine", "min_freq": 2} if unit == "word" else {}
    corpus = bptt.read_text("time-machine", unit=unit, **clean)
    smoothings = [(1, Laplace(1)), (2, Laplace(1)), (3, Laplace(1)), (3, KneserNey())]
    models = [NGram(order, smoothing, vocab=corpus.vocab).fit(corpus.train) for order, smoothing in smoothings]
    found = [model.evaluate(corpus.valid).perplexity for model in models]
    assert all(value < limit for value, limit in zip(found, limits, strict=True)), found
    assert found[3] == min(found)
    if unit == "char":
        assert sorted(found, reverse=True) == found

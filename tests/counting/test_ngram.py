"""n-gram models as language models: the same targets and units as a network, sentences, generation, reading from the end."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

import bptt
from bptt import InputError
from bptt.counting import AddK, KneserNey, Laplace, NGram, count, ngram
from bptt.inference import total

TEXT = "the cat saw the dog; the dog saw a cat. 猫看见了狗。\n" * 3 + "so it goes"
SMOOTHINGS = [Laplace(0.5), Laplace(0), AddK(0.3), KneserNey(0.6), KneserNey(modified=True)]


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT + "\nthe cat, ünïcode, goes 狗", encoding="utf-8")
    return bptt.read_text(tmp_path / "text.txt", valid=0.2)


def words(tmp_path, **settings):
    (tmp_path / "words.txt").write_text(TEXT + " the zebra saw it", encoding="utf-8")
    return bptt.read_text(tmp_path / "words.txt", unit="word", valid=0.3, **settings)


def uniform(vocab):
    """A network that gives every token the same probability."""
    model = bptt.LanguageModel("rnn", vocab=vocab, hidden_size=3).double()
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    return model


@pytest.mark.filterwarnings("ignore:.* tokens are not in the vocabulary")
@pytest.mark.parametrize("unit", ["char", "word", "byte"])
def test_a_uniform_model_has_the_score_of_a_uniform_network(tmp_path, unit):
    (tmp_path / "t.txt").write_text(TEXT + " the zebra saw 狗", encoding="utf-8")
    corpus = bptt.read_text(tmp_path / "t.txt", unit=unit, valid=0.3)
    ours = NGram(2, AddK(1e15), vocab=corpus.vocab).fit(corpus.train)
    theirs = uniform(corpus.vocab)
    for text in (corpus.valid, corpus.train, TEXT, corpus.valid.ids, corpus.valid.ids.tolist()):
        a, b = ours.evaluate(text), theirs.evaluate(text)
        assert a.nats == pytest.approx(b.nats, rel=1e-9) and a.nats > 1
        assert (a.tokens, a.characters, a.bytes) == (b.tokens, b.characters, b.bytes) and a.bytes > 1


@pytest.mark.parametrize("smoothing", SMOOTHINGS, ids=str)
@pytest.mark.parametrize("order", [1, 2, 5])
def test_a_score_is_the_sum_of_the_rows(corpus, smoothing, order, monkeypatch):
    model = NGram(order, smoothing, vocab=corpus.vocab).fit(corpus.train)
    ids = corpus.valid.ids.tolist()
    rows = [model.probabilities(ids[max(0, t - order + 1) : t])[ids[t]] for t in range(len(ids))]
    with np.errstate(divide="ignore"):
        expected = -np.log(rows)
    for piece in (1, 7, len(ids), 10**6):
        monkeypatch.setattr(ngram, "PIECE", piece)
        assert model.nats(ids) == pytest.approx(expected, rel=1e-12)
        assert model.evaluate(corpus.valid).nats == pytest.approx(expected[1:].sum(), rel=1e-12)


def test_counting_again_forgets_what_was_counted(corpus):
    model = NGram(2, Laplace(1), vocab=corpus.vocab).fit(corpus.valid)
    once = NGram(2, Laplace(1), vocab=corpus.vocab).fit(corpus.train)
    assert model.fit(corpus.train).probabilities([3]).tolist() == once.probabilities([3]).tolist()


def test_counts_of_a_higher_order_serve_a_lower_one(corpus):
    grams = count(corpus.train.ids, 5, len(corpus.vocab))
    for smoothing in SMOOTHINGS:
        own = NGram(3, smoothing, vocab=corpus.vocab).fit(corpus.train)
        lent = NGram(3, smoothing, vocab=corpus.vocab).use(grams)
        assert own.nats(corpus.valid).tolist() == lent.nats(corpus.valid).tolist()
    with pytest.raises(InputError, match="order 5"):
        NGram(6, vocab=corpus.vocab).use(grams)
    with pytest.raises(InputError, match="of 4"):
        NGram(2, vocab=4).use(grams)


def test_the_probability_of_a_sentence_token_by_token(tmp_path):
    corpus = words(tmp_path)
    model = NGram(3, Laplace((1, 0.5, 0.25)), vocab=corpus.vocab).fit(corpus.train)
    scores = model.score("the cat saw")
    the, cat, saw = (corpus.vocab[word] for word in ("the", "cat", "saw"))
    expected = [model.probabilities([])[the], model.probabilities([the])[cat], model.probabilities([the, cat])[saw]]
    assert [s.probability for s in scores] == pytest.approx(expected, rel=1e-12)
    assert [s.token for s in scores] == ["the", "cat", "saw"]
    assert total(scores).nats == pytest.approx(-math.log(math.prod(expected)), rel=1e-12)
    with pytest.warns(UserWarning, match="'zzz'"):
        assert model.score("the zzz")[1].token == "<unk>"
    assert model.score("") == []


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("smoothing", SMOOTHINGS, ids=str)
def test_all_texts_of_a_length_have_probability_one(smoothing, reverse):
    model = NGram(3, smoothing, vocab=4, reverse=reverse).fit([0, 1, 2, 1, 0, 1, 1, 2, 0, 2, 1])
    every = [model.nats(list(text)).sum() for text in itertools.product(range(4), repeat=4)]
    assert np.exp(-np.array(every)).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("smoothing", SMOOTHINGS, ids=str)
def test_reading_from_the_end_is_reading_the_text_turned_round(corpus, smoothing):
    backward = NGram(3, smoothing, vocab=corpus.vocab, reverse=True).fit(corpus.train)
    forward = NGram(3, smoothing, vocab=corpus.vocab).fit(corpus.train.ids[::-1])
    ids = corpus.valid.ids
    assert backward.nats(ids).tolist() == forward.nats(ids[::-1])[::-1].tolist()
    assert backward.probabilities([5, 2]).tolist() == forward.probabilities([2, 5]).tolist()
    assert backward.evaluate(corpus.valid).nats == forward.evaluate(ids[::-1]).nats
    ahead = NGram(3, smoothing, vocab=corpus.vocab).fit(corpus.train).evaluate(corpus.train).nats
    assert abs(backward.evaluate(corpus.train).nats - ahead) > 1e-6


def test_a_pair_taken_apart_in_both_ways_by_hand():
    """P(x) P(y | x) and P(y) P(x | y): n(x)/N · n(x, y)/n(x •) and n(y)/N · n(x, y)/n(• y)."""
    ids = [0, 1, 2, 0, 0, 1, 0, 2]  # the 0s: 4, all followed, 3 preceded; the 1s: 2 and 2, 2; the 2s: 2, 1 followed, 2 preceded
    forward, backward = (NGram(2, Laplace(0), vocab=3, reverse=reverse).fit(ids) for reverse in (False, True))
    for pair, ahead, back in (([0, 1], 4 / 8 * 2 / 4, 2 / 8 * 2 / 2), ([2, 0], 2 / 8 * 1 / 1, 4 / 8 * 1 / 3)):
        assert math.exp(-forward.nats(pair).sum()) == pytest.approx(ahead, rel=1e-12)
        assert math.exp(-backward.nats(pair).sum()) == pytest.approx(back, rel=1e-12)


@pytest.mark.parametrize("unit", ["char", "word"])
def test_from_the_end_the_extent_is_that_of_all_tokens_but_the_last(tmp_path, unit):
    (tmp_path / "t.txt").write_text("ab cd 狗 efg hi ab cd " * 5 + "ab klmn 狗", encoding="utf-8")
    corpus = bptt.read_text(tmp_path / "t.txt", unit=unit, valid=0.2)
    model = NGram(2, vocab=corpus.vocab, reverse=True).fit(corpus.train)
    text = "狗 efg hi cd"
    score = model.evaluate(text)
    gone = " cd" if unit == "word" else "d"
    added = (" " if unit == "word" else "") + text.removesuffix(gone)
    assert (score.characters, score.bytes) == (len(added), len(added.encode())) and score.tokens == len(model.read(text)) - 1
    ids_alone = model.evaluate(corpus.valid.ids)
    assert ids_alone.tokens == len(corpus.valid) - 1 and ids_alone.characters > 0


def test_a_step_is_a_row_and_the_tokens_that_stand_before_the_next(corpus):
    model = NGram(3, KneserNey(0.5), vocab=corpus.vocab).fit(corpus.train)
    state = model.initial_state(2)
    scores, state = model.step(torch.tensor([model.size, model.size]), state)
    assert scores.exp().numpy() == pytest.approx(np.stack([model.probabilities()] * 2), rel=1e-12)
    for pair in ([3, 4], [1, 5], [7, 2]):
        scores, state = model.step(torch.tensor(pair), state)
    expected = np.stack([model.probabilities([1, 7]), model.probabilities([5, 2])])
    assert scores.exp().numpy() == pytest.approx(expected, rel=1e-12) and state.tolist() == [[1, 7], [5, 2]]


def test_generation_is_repeatable_streams_and_follows_its_rows(corpus):
    model = NGram(3, Laplace(0), vocab=corpus.vocab).fit(corpus.train)
    text = model.generate("the ", length=60, seed=5)
    assert text == model.generate("the ", length=60, seed=5) != model.generate("the ", length=60, seed=6)
    assert text.startswith("the ") and len(text) == 64
    ids = model.vocab.encode(text)
    assert np.isfinite(model.nats(ids)).all()  # relative frequencies draw only what was seen
    first = Counter(model.generate(length=1, seed=seed) for seed in range(400))
    expected = model.probabilities()[model.vocab["t"]]
    assert first["t"] / 400 == pytest.approx(expected, abs=0.08) and "<unk>" not in first
    assert model.generate("the d", length=2, temperature=0) == "the dog"


def test_from_the_end_the_text_leads_to_the_prefix(tmp_path):
    corpus = words(tmp_path)
    model = NGram(2, Laplace(0), vocab=corpus.vocab, reverse=True).fit(corpus.train)
    text = model.generate("dog", length=4, seed=2)
    assert text.endswith(" dog") and len(text.split()) == 5
    assert np.isfinite(model.nats(text)).all()
    assert len(model.generate(length=3, seed=1).split()) == 3


def test_a_context_that_only_unknown_tokens_follow_gives_way(tmp_path):
    (tmp_path / "t.txt").write_text("a b a b a once b a b a b twice b b a b", encoding="utf-8")
    corpus = bptt.read_text(tmp_path / "t.txt", unit="word", min_freq=2, valid=0)
    model = NGram(3, Laplace(0), vocab=corpus.vocab).fit(corpus.vocab[["a", "b", "<unk>", "a", "b", "<unk>", "b"]])
    assert model.generate("a b", length=1, seed=0) in ("a b a", "a b b")
    assert model.generate("a b", length=1, seed=0, allow_reserved=True) == "a b <unk>"


def test_what_cannot_be_read_is_said(corpus):
    model = NGram(3, vocab=corpus.vocab)
    for call in (
        lambda: model.probabilities([1]),
        lambda: model.nats([1]),
        lambda: model.generate("a"),
        lambda: model.score("a"),
    ):
        with pytest.raises(InputError, match="fit"):
            call()
    model.fit(corpus.train)
    with pytest.raises(InputError, match=r"ids from 0 to 999"):
        model.evaluate([0, 999])
    with pytest.raises(InputError, match="order=0"):
        NGram(0, vocab=3)
    with pytest.raises(InputError, match="shorter"):
        NGram(5, vocab=3).fit([1, 2])
    with pytest.raises(InputError, match="no vocabulary"):
        NGram(1, vocab=3).fit([1, 2]).generate("a")
    with pytest.raises(InputError, match="length"):
        model.generate("a", length=-1)
    assert model.evaluate([1]).tokens == 0

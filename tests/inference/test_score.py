"""The probability of a sentence: a distribution over texts, by enumeration."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from bptt.data import Tokenizer, Vocabulary
from bptt.errors import InputError
from bptt.inference import score, total
from bptt.models import LanguageModel


@pytest.fixture
def model() -> LanguageModel:
    torch.manual_seed(4)
    vocab = Vocabulary.from_text("abcde", reserved=("<unk>", "<eos>"), map_reserved=True)
    model = LanguageModel("lstm", vocab=vocab, hidden_size=5, layers=2, dropout=0.5).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


@pytest.mark.parametrize("length", [1, 2])
def test_the_probabilities_of_all_texts_of_one_length_sum_to_1(length: int) -> None:
    words = Vocabulary(["a", "b", "c"], reserved=("<unk>", "<eos>"), tokenizer=Tokenizer("word"), map_reserved=True)
    speaker = LanguageModel("gru", vocab=words, hidden_size=3).double()
    texts = [" ".join(text) for text in itertools.product(words.spellings, repeat=length)]
    probabilities = [math.exp(-total(speaker.score(text)).nats) for text in texts]
    assert len(texts) == 5**length and sum(probabilities) == pytest.approx(1, abs=1e-12)


def test_each_token_is_scored_given_all_before_it(model: LanguageModel) -> None:
    ids = model.vocab.encode("badce")
    model.eval()
    with torch.no_grad():
        scores = model(torch.tensor([[0, *ids.tolist()]]))[0][0]
    expected = [-float(torch.log_softmax(row, 0)[token]) for row, token in zip(scores, ids.tolist(), strict=False)]
    model.train()
    got = model.score("badce")
    assert [token.token for token in got] == list("badce")
    assert [token.nats for token in got] == pytest.approx(expected, abs=1e-12)
    assert [token.probability for token in got] == pytest.approx([math.exp(-nats) for nats in expected], abs=1e-12)
    assert total(got).nats == pytest.approx(sum(expected), abs=1e-12) and total(got).tokens == 5
    assert model.training


def test_after_a_first_token_the_score_adds_up_to_the_evaluation_that_reads_the_same(model: LanguageModel) -> None:
    ids = [0, *model.vocab.encode("badce").tolist()]
    assert model.evaluate(ids).nats == pytest.approx(total(model.score("badce")).nats, abs=1e-9)  # type: ignore[arg-type]


def test_generation_from_nothing_draws_from_the_scored_distribution(model: LanguageModel) -> None:
    best = max("abcde", key=lambda token: model.score(token)[0].probability)
    assert model.generate("", length=1, temperature=0.0) == best


def test_unknown_tokens_are_scored_as_unk_with_one_warning(model: LanguageModel) -> None:
    with pytest.warns(UserWarning, match="1 of 2") as caught:
        got = model.score("é" + "a")
    assert len(caught) == 1 and [token.token for token in got] == ["<unk>", "a"]


def test_probabilities_too_small_for_a_number_keep_their_nats() -> None:
    vocab = Vocabulary.from_text("ab")
    got = score(lambda ids, state: (torch.tensor([[0.0, -2000.0, -torch.inf]]), state), None, vocab, "ab")
    assert [token.nats for token in got] == [2000.0, math.inf] and [token.probability for token in got] == [0.0, 0.0]


def test_an_empty_text_has_nothing_to_score_and_a_model_without_vocabulary_no_text(model: LanguageModel) -> None:
    assert model.score("") == [] and total([]).tokens == 0
    with pytest.raises(InputError, match="vocabulary"):
        LanguageModel("rnn", vocab=4, hidden_size=2).score("a")

"""Text in and out of a language model: pieces as they come, unknown characters, starts from nothing."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from bptt.data import Tokenizer, Vocabulary
from bptt.errors import InputError
from bptt.inference import stream
from bptt.inference.text import pieces, start_token
from bptt.models import LanguageModel


def says(vocab: Vocabulary, text: str, fed: list[int] | None = None) -> Any:
    """A step that spells out `text`, whatever it reads first; the state counts what it has read."""
    ids = vocab.encode(text).tolist()

    def step(read: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        if fed is not None:
            fed.append(int(read))
        return torch.eye(len(vocab))[[ids[int(state) % len(ids)]]] * 1000, state + 1

    return step


def spoken(vocab: Vocabulary, text: str, prefix: str = "", **settings: Any) -> list[str]:
    settings = {"length": len(vocab.encode(text)), **settings}
    return list(stream(says(vocab, text), torch.zeros(1), vocab, prefix, **settings))


def test_bytes_come_as_whole_characters() -> None:
    vocab = Vocabulary.from_text("", "byte")
    assert spoken(vocab, "a時间é!") == ["a", "時", "间", "é", "!"]


def test_bytes_that_are_no_utf_8_show_as_replacement_characters() -> None:
    vocab = Vocabulary.from_text("", "byte")
    assert spoken(vocab, "a時", length=3) == ["a", "\ufffd"]
    ids = [0xFF, 65, 0xE6, 66, 0xC3]
    assert "".join(pieces(vocab, "", ids)) == "\ufffdA\ufffdB\ufffd" == vocab.decode(ids)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", ["time", " machine"]),
        ("the", [" time", " machine"]),
        ("the ", ["time", " machine"]),
        ("the\n", ["time", " machine"]),
    ],
)
def test_words_bring_the_space_that_joins_them(prefix: str, expected: list[str]) -> None:
    vocab = Vocabulary.from_text("the time machine", "word")
    step = says(vocab, "time machine")
    start = torch.zeros(1)
    assert list(stream(step, start, vocab, prefix, length=2)) == expected


def test_characters_and_words_of_chinese_join_without_spaces() -> None:
    assert spoken(Vocabulary.from_text("深度学习"), "学习") == ["学", "习"]
    vocab = Vocabulary(["深度", "学习"], tokenizer=Tokenizer("chinese-word"))
    assert list(pieces(vocab, "深度", [2, 1])) == ["学习", "深度"]


def test_the_prefix_is_read_as_the_corpus_was_and_returned_as_it_was_given() -> None:
    vocab = Vocabulary(list("abc "), tokenizer=Tokenizer("char", lower=True))
    fed: list[int] = []
    list(stream(says(vocab, "abc", fed), torch.zeros(1), vocab, "A Ca", length=1))
    assert fed == vocab.encode("a ca").tolist()
    torch.manual_seed(0)
    model = LanguageModel("rnn", vocab=vocab, hidden_size=3)
    text = model.generate("A Ca", length=5, seed=0)
    assert text == "A Ca" + "".join(model.stream("A Ca", length=5, seed=0)) and len(text) == 9


def test_unknown_characters_are_read_as_unk_with_one_warning() -> None:
    vocab, fed = Vocabulary.from_text("abc"), []
    with pytest.warns(UserWarning, match=r"3 of 5 tokens .* '\?', 'é'") as caught:
        list(stream(says(vocab, "a", fed), torch.zeros(1), vocab, "aé?éb", length=1))
    assert len(caught) == 1
    assert fed == [vocab["a"], 0, 0, 0, vocab["b"]]
    with pytest.warns(UserWarning) as caught:
        stream(says(vocab, "a"), torch.zeros(1), vocab, "0123456789", length=1)
    assert str(caught[0].message).endswith("'4', …")


def test_known_characters_bring_no_warning() -> None:
    vocab = Vocabulary.from_text("a <unk>", "word", map_reserved=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spoken(vocab, "a", "a <unk>")


def test_without_unk_an_unknown_character_is_refused() -> None:
    vocab = Vocabulary.from_text("ab", reserved=())
    with pytest.raises(InputError, match="é"):
        stream(says(vocab, "a"), torch.zeros(1), vocab, "é", length=1)


@pytest.mark.parametrize(
    ("vocab", "start"),
    [
        (Vocabulary.from_text("ab", reserved=("<unk>", "<bos>")), 1),
        (Vocabulary.from_text("ab", reserved=("<pad>", "<unk>")), 1),
        (Vocabulary.from_text("", "byte"), 10),
        (Vocabulary.from_text("aab\n", reserved=()), 2),
        (Vocabulary.from_text("ab", reserved=()), 0),
    ],
)
def test_an_empty_prefix_starts_from_a_token_that_means_nothing_before(vocab: Vocabulary, start: int) -> None:
    assert start_token(vocab) == start
    fed: list[int] = []
    assert list(stream(says(vocab, "a", fed), torch.zeros(1), vocab, length=1)) == ["a"]
    assert fed == [start]


def test_reserved_tokens_are_generated_on_request_only() -> None:
    vocab = Vocabulary.from_text("ab", reserved=("<unk>", "<eos>"))

    def step(ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return torch.tensor([[9.0, 8.0, 1.0, 0.0]]), state

    settings: dict[str, Any] = {"length": 3, "temperature": 0.0}
    assert list(stream(step, torch.zeros(1), vocab, "b", **settings)) == ["a"] * 3
    assert list(stream(step, torch.zeros(1), vocab, "b", allow_reserved=True, **settings)) == ["<unk>"] * 3


def test_settings_and_missing_vocabularies_are_refused_at_once() -> None:
    with pytest.raises(InputError, match="temperature"):
        LanguageModel("rnn", vocab=Vocabulary.from_text("ab"), hidden_size=2).stream("a", temperature=-1.0)
    with pytest.raises(InputError, match="vocabulary"):
        LanguageModel("rnn", vocab=4, hidden_size=2).stream("a")


def test_between_pieces_the_model_keeps_its_own_mode() -> None:
    torch.manual_seed(0)
    model = LanguageModel("gru", vocab=Vocabulary.from_text("abcdefgh"), hidden_size=8, layers=2, dropout=0.5)
    model.eval()
    expected = model.generate("ab", length=30, seed=1)
    model.train()
    model.recurrent.eval()
    random, walk, got = torch.get_rng_state(), model.stream("ab", length=30, seed=1), "ab"
    for piece in walk:
        got += piece
        assert model.training and model.readout.training and not model.recurrent.training and torch.is_grad_enabled()
    assert got == expected and torch.equal(torch.get_rng_state(), random)

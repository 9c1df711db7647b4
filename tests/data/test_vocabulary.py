"""The vocabulary: order, limits, reserved tokens, round trips, saving."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bptt.data import Tokenizer, Vocabulary
from bptt.data.numbering import smallest_dtype
from bptt.errors import CheckpointError, InputError


def test_tokens_are_sorted_by_frequency_and_ties_by_first_appearance() -> None:
    vocab = Vocabulary.from_text("b a c c a d", "word")
    assert vocab.tokens([0, 1, 2, 3, 4]) == ["<unk>", "a", "c", "b", "d"]


def test_a_limit_counts_the_reserved_tokens() -> None:
    vocab = Vocabulary.from_text("a a a b b c", "word", limit=4, reserved=("<unk>", "<pad>"))
    assert vocab.spellings == ("<unk>", "<pad>", "a", "b")
    assert vocab.encode("a c").tolist() == [2, 0]
    with pytest.raises(InputError, match="limit"):
        Vocabulary.from_text("a", limit=1)


def test_rare_tokens_are_unknown() -> None:
    assert Vocabulary.from_text("a a a b b c", "word", min_freq=2).spellings == ("<unk>", "a", "b")


def test_reserved_tokens_are_no_data_of_the_same_spelling() -> None:
    text = "the <unk> <unk> <pad>"
    apart = Vocabulary.from_text(text, "word", reserved=("<unk>", "<pad>", "<bos>"))
    assert apart.encode(text).min() >= 3
    assert apart["<unk>"] >= 3 and apart.reserved["<unk>"] == 0 and apart["<bos>"] == 2
    assert apart.encode("<bos> unheard").tolist() == [0, 0]
    mapped = Vocabulary.from_text(text, "word", reserved=("<unk>", "<pad>", "<bos>"), map_reserved=True)
    assert mapped.encode(text).tolist() == [3, 0, 0, 1] and len(mapped) == 4


def test_both_ways_for_single_tokens_lists_and_nested_lists() -> None:
    vocab = Vocabulary.from_text("banana")
    assert vocab["a"] == 1 and vocab[["a", ["n", "?"]]] == [1, [2, 0]]
    assert vocab.tokens(1) == "a" and vocab.tokens([1, [2, 0]]) == ["a", ["n", "<unk>"]]
    assert vocab.tokens(torch.tensor([[1, 2]])) == [["a", "n"]] and vocab.tokens(np.int64(1)) == "a"
    assert "a" in vocab and "<unk>" in vocab and "z" not in vocab
    for outside in (-1, 4):
        with pytest.raises(InputError, match="id"):
            vocab.tokens(outside)


@given(st.text(max_size=60))
def test_text_comes_back(text: str) -> None:
    for unit in ("char", "byte"):
        vocab = Vocabulary.from_text(text, unit)
        assert vocab.decode(vocab.encode(text)) == text


@given(st.text(max_size=60), st.text(max_size=20))
def test_ids_of_words_come_back(text: str, other: str) -> None:
    vocab = Vocabulary.from_text(text, "word")
    ids = vocab.encode(text + " " + other).tolist()
    assert vocab.encode(vocab.decode(ids)).tolist() == ids


def test_bytes_are_their_own_ids_and_none_is_unknown() -> None:
    vocab = Vocabulary.from_text("", "byte")
    assert len(vocab) == 256 and vocab.unknown is None
    assert vocab.encode("é").tolist() == [0xC3, 0xA9] and vocab.decode([0xC3]) == "\ufffd"
    with pytest.raises(InputError, match="256"):
        Vocabulary.from_text("", "byte", limit=100)


def test_without_unk_an_unknown_token_is_an_error_that_names_it() -> None:
    vocab = Vocabulary.from_text("ab", reserved=())
    assert vocab.encode("ba").tolist() == [1, 0]
    with pytest.raises(InputError, match="'z'"):
        vocab.encode("abz")


@pytest.mark.parametrize("size", [1, 255, 256, 257, 65_535, 65_536, 65_537, 70_001])
def test_ids_never_wrap(size: int) -> None:
    assert np.arange(size)[-1] == np.arange(size).astype(smallest_dtype(size))[-1]
    words = [f"w{i}" for i in range(size)]
    vocab = Vocabulary(words, reserved=(), tokenizer=Tokenizer("word"))
    assert vocab.encode(" ".join(words)).tolist() == list(range(size))
    assert vocab.dtype.itemsize == (1 if size <= 256 else 2 if size <= 65_536 else 4)


def test_a_hundred_thousand_distinct_characters() -> None:
    text = "".join(chr(code) for code in range(0x10000, 0x10000 + 100_000))
    vocab = Vocabulary.from_text(text)
    assert vocab.decode(vocab.encode(text)) == text and len(vocab) == 100_001


def test_saved_and_loaded_it_is_the_same() -> None:
    vocab = Vocabulary.from_text("Ünder <unk> \ud800", "word", reserved=("<unk>", "<bos>"))
    loaded = Vocabulary.from_json(json.loads(json.dumps(vocab.to_json())))
    assert loaded == vocab and loaded.fingerprint == vocab.fingerprint and loaded.spellings == vocab.spellings
    others = [Vocabulary.from_text("a b", unit, map_reserved=mapped) for unit in ("char", "word") for mapped in (False, True)]
    assert len({other.fingerprint for other in [vocab, *others]}) == 5


def damaged(**changes: Any) -> Any:
    return {**Vocabulary.from_text("ab").to_json(), **changes}


@pytest.mark.parametrize(
    "saved",
    [
        None,
        [],
        {},
        damaged(format="other"),
        damaged(tokens="ab"),
        damaged(tokens=["a", 1]),
        damaged(tokens=["a", "a"]),
        damaged(tokens=["a", "bc"]),
        damaged(tokens=["a", ""]),
        damaged(reserved=["<unk>", "<unk>"]),
        damaged(unit="word", tokens=["a b"]),
        damaged(unit="byte"),
        damaged(unit="__class__"),
        damaged(unit=["char"]),
        damaged(clean="rot13"),
        damaged(lower=1),
        damaged(lower=[]),
        damaged(map_reserved="yes"),
        damaged(newline=None),
    ],
)
def test_damaged_content_is_refused(saved: Any) -> None:
    with pytest.raises(CheckpointError, match="vocabulary"):
        Vocabulary.from_json(saved)


def test_many_ties_keep_the_order_of_first_appearance() -> None:
    """Enough of them that an unstable sort would show."""
    words = [f"w{i * 37 % 500}" for i in range(500)]
    assert list(Vocabulary.from_text(" ".join([*words, *words[::3]]), "word").spellings[1:168]) == words[::3]
    assert list(Vocabulary.from_text(" ".join(words), "word").spellings[1:]) == words


def test_a_vocabulary_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="min_freq"):
        Vocabulary.from_text("abc abc", min_freq=100)


def test_an_opening_is_empty_where_it_would_be_read_otherwise() -> None:
    words = Vocabulary.from_text("a a b", "word", limit=2)
    assert words.opening(words.encode("a a")) == "a a" and words.opening(words.encode("a b")) == ""
    octets = Vocabulary.from_text("", "byte")
    assert octets.opening(octets.encode("楼")) == "楼" and octets.opening(octets.encode("楼")[:2]) == ""

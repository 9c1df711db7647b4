"""An argument of another kind than it must be is named, before anything is done with it."""

from __future__ import annotations

from pathlib import Path

import pytest

import bptt


@pytest.fixture
def corpus(tmp_path: Path) -> bptt.Corpus:
    (tmp_path / "text.txt").write_text("one cat saw two dogs; " * 60)
    return bptt.read_text(tmp_path / "text.txt")


@pytest.mark.parametrize(
    ("gradient", "named"),
    [
        (bptt.Full(), "several strategies"),
        ("full", "several strategies"),
        (None, "several strategies"),
        (["full"], "no gradient strategy"),
        ([bptt.Truncated], "no gradient strategy"),
    ],
)
def test_what_is_no_list_of_strategies(corpus: bptt.Corpus, gradient: object, named: str) -> None:
    model = bptt.LanguageModel("gru", vocab=corpus.vocab, hidden_size=4)
    with pytest.raises(bptt.InputError, match=named):
        bptt.compare(model, corpus, gradient)  # type: ignore[arg-type]


def test_what_is_no_model_or_no_corpus(corpus: bptt.Corpus) -> None:
    with pytest.raises(bptt.InputError, match="no model"):
        bptt.compare("x", corpus, [bptt.Full()])  # type: ignore[arg-type]
    with pytest.raises(bptt.InputError, match="no corpus"):
        bptt.compare(bptt.LanguageModel("gru", vocab=corpus.vocab, hidden_size=4), "y", [bptt.Full()])  # type: ignore[arg-type]

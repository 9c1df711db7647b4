"""Tokenizers: round trips, chunks cut anywhere, and the clean-ups."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bptt.data import Tokenizer
from bptt.data.cleanup import MOST_HELD, fold_newlines, regroup
from bptt.data.tokenizer import chinese_cutter, utf8
from bptt.errors import InputError

lively = st.text(st.sampled_from("ab Zé\r\n\t9中。，\u2028\u3000\x00Σς."), max_size=40) | st.text(max_size=40)


@given(lively)
@example("\ufeff\x00\u2028\U0010ffff")
def test_characters_and_bytes_come_back(text: str) -> None:
    for unit in ("char", "byte"):
        tokenizer = Tokenizer(unit)
        assert tokenizer.join(tokenizer.split(text)) == text


@given(lively)
def test_words_hold_no_white_space_and_come_back_as_words(text: str) -> None:
    tokenizer = Tokenizer("word")
    words = tokenizer.split(text)
    assert words == text.split()
    assert tokenizer.split(tokenizer.join(words)) == words


def chunked(tokenizer: Tokenizer, text: str, size: int) -> list[str]:
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    return [token for chunk in tokenizer.chunks(pieces) for token in chunk]


@given(lively, st.integers(1, 7), st.sampled_from(["keep", "fold"]), st.booleans(), st.sampled_from([None, "time-machine"]))
@example("aΣ b", 2, "keep", True, None)
@example("a\r\nb", 2, "fold", False, None)
def test_tokens_do_not_depend_on_where_the_text_was_cut(
    text: str, size: int, newline: str, lower: bool, clean: str | None
) -> None:
    for unit in ("char", "word"):
        tokenizer = Tokenizer(unit, clean, lower, newline)
        assert chunked(tokenizer, text, size) == tokenizer.split(text)


@given(lively, st.integers(1, 7))
def test_the_time_machine_clean_up_is_done_line_by_line(text: str, size: int) -> None:
    folded = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = [re.sub("[^A-Za-z]+", " ", line).strip().lower() for line in folded.split("\n")]
    assert chunked(Tokenizer("char", "time-machine"), text, size) == [char for line in lines for char in line]
    assert chunked(Tokenizer("word", "time-machine"), text, size) == [word for line in lines for word in line.split()]


@given(lively, st.integers(1, 7))
def test_folding_touches_cr_and_crlf_alone(text: str, size: int) -> None:
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    assert "".join(fold_newlines(pieces)) == text.replace("\r\n", "\n").replace("\r", "\n")


def test_a_stretch_without_a_mark_does_not_pile_up() -> None:
    pieces = list(regroup(["x" * 1000] * (MOST_HELD // 1000 + 2), "\n"))
    assert max(map(len, pieces)) <= MOST_HELD + 1000 and sum(map(len, pieces)) == (MOST_HELD // 1000 + 2) * 1000


def test_bytes_are_spelled_one_to_one_and_broken_ones_show_as_such() -> None:
    tokenizer = Tokenizer("byte")
    assert tokenizer.split("aé") == ["a", "\\xc3", "\\xa9"]
    assert tokenizer.join(["a", "\\xc3", "b"]) == "a\ufffdb"
    with pytest.raises(InputError, match="surrogate"):
        utf8("a\ud800")


def test_the_time_machine_has_its_known_length() -> None:
    if "BPTT_DATA" not in os.environ:
        pytest.skip("BPTT_DATA is not set")
    text = (Path(os.environ["BPTT_DATA"]) / "time-machine.txt").read_text(encoding="utf-8")
    characters = Tokenizer("char", "time-machine").split(text)
    assert len(characters) == 170_580 and len(set(characters)) == 27


def test_chinese_words_come_back_and_do_not_depend_on_the_cut() -> None:
    pytest.importorskip("jieba")
    tokenizer = Tokenizer("chinese-word")
    text = "此开卷第一回也。作者自云：\r\n因曾历过一番梦幻之后，故将真事隐去 abc\t1.5。"
    assert tokenizer.join(tokenizer.split(text)) == text
    assert "梦幻" in tokenizer.split(text)
    assert chunked(tokenizer, text, 3) == tokenizer.split(text)


def test_without_jieba_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jieba", None)
    chinese_cutter.cache_clear()
    with pytest.raises(InputError, match=re.escape('pip install "bptt[chinese]"')):
        Tokenizer("chinese-word").split("中文")
    chinese_cutter.cache_clear()


@pytest.mark.parametrize(
    ("setting", "hint"), [({"unit": "chars"}, "char"), ({"clean": "timemachine"}, "time-machine"), ({"newline": "x"}, "fold")]
)
def test_a_misspelled_setting_gets_a_hint(setting: dict[str, str], hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        Tokenizer(**setting)  # type: ignore[arg-type]

"""read_text: parts, vocabulary, facts, odd corpora, large corpora."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bptt.data import Corpus, TextStream, Vocabulary, open_corpus, read_text, source, spool, tokenfile
from bptt.errors import CheckpointError, InputError


def put(folder: Path, content: bytes | str, name: str = "text.txt") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def everything(corpus: Corpus) -> np.ndarray:
    return np.concatenate([part.ids for part in (corpus.train, corpus.valid, corpus.test) if part])


def text_of(corpus: Corpus) -> str:
    return corpus.vocab.decode(everything(corpus))


def test_parts_follow_each_other_and_share_the_vocabulary_of_the_first(tmp_path: Path) -> None:
    corpus = read_text(put(tmp_path, "a b c a d e f a g h"), unit="word", valid=0.2, test=0.2)
    assert corpus.valid is not None and corpus.test is not None
    assert corpus.vocab.decode(corpus.train.ids) == "a b c a d e"
    assert corpus.vocab.decode(corpus.valid.ids) == "<unk> a" and corpus.vocab.decode(corpus.test.ids) == "<unk> <unk>"
    assert corpus.facts["unknown"] == {"train": 0.0, "valid": 0.5, "test": 1.0}
    assert corpus.facts["parts"] == {"train": 6, "valid": 2, "test": 2} and corpus.facts["distinct"] == 8


def test_a_share_of_nothing_is_none(tmp_path: Path) -> None:
    corpus = read_text(put(tmp_path, "hello there"), valid=0)
    assert corpus.valid is None and corpus.test is None and len(corpus.train) == 11 and not corpus.notes


def test_facts_are_plain_and_right(tmp_path: Path) -> None:
    content = "\ufeffhéllo\r\n".encode()
    facts = read_text([put(tmp_path, content), put(tmp_path, "x", "b.txt")], valid=0).facts
    assert json.loads(json.dumps(facts)) == facts
    assert facts["bytes"] == len(content) + 1 and facts["characters"] == 8 and facts["tokens"] == 8
    assert facts["sha256"] == hashlib.sha256(content + b"x").hexdigest() and len(facts["sources"]) == 2


def test_a_given_vocabulary_brings_its_reading_along(tmp_path: Path) -> None:
    path = put(tmp_path, "The Time, the time")
    vocab = read_text(path, unit="word", clean="time-machine", valid=0).vocab
    other = read_text(put(tmp_path, "TIME flies", "b.txt"), vocab=vocab, valid=0)
    assert other.vocab is vocab and vocab.decode(other.train.ids) == "time <unk>"


def test_max_tokens_reads_no_further(tmp_path: Path) -> None:
    path = put(tmp_path, "abcdé")
    assert text_of(read_text(path, max_tokens=3, valid=0, reserved=())) == "abc"
    assert everything(read_text(path, unit="byte", max_tokens=5, valid=0)).tolist() == [97, 98, 99, 100, 0xC3]
    assert read_text(path, max_tokens=3, valid=0).facts["distinct"] == 3


def test_words_do_not_join_across_files(tmp_path: Path) -> None:
    files = [put(tmp_path, "one two", "a"), put(tmp_path, "three", "b")]
    assert text_of(read_text(files, unit="word", valid=0)) == "one two three"


@given(content=st.binary(max_size=300))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_bytes(tmp_path: Path, content: bytes) -> None:
    path = put(tmp_path, b"ab" + content)
    assert everything(read_text(path, unit="byte", valid=0)).astype(np.uint8).tobytes() == b"ab" + content


@given(content=st.text(min_size=2, max_size=200).filter(lambda text: text[0] != "\ufeff"))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back_wherever_the_blocks_fall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(source, "BLOCK", 3)
    for encoding in ("utf-8", "gb18030", "utf-16"):
        path = put(tmp_path, content.encode(encoding))
        assert text_of(read_text(path, encoding=encoding, valid=0)) == content


@pytest.mark.parametrize(
    ("content", "back", "how"),
    [
        ("\ufeffab", "ab", {}),
        ("a\r\nb\rc\u2028d\x00", "a\r\nb\rc\u2028d\x00", {}),
        ("a\r\nb\rc\u2028d\x00", "a\nb\nc\u2028d\x00", {"newline": "fold"}),
        ("\ufeffa\r\nb", "a\nb", {"newline": "fold", "unit": "byte"}),
        ("ÄB\x00", "äb\x00", {"lower": True}),
    ],
)
def test_odd_characters(tmp_path: Path, content: str, back: str, how: dict[str, object]) -> None:
    assert text_of(read_text(put(tmp_path, content), valid=0, **how)) == back  # type: ignore[arg-type]


@pytest.mark.parametrize("content", ["", "a", "\ufeff", "\ufeffa"])
def test_too_little_to_predict_is_an_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match=r"empty|one token"):
        read_text(put(tmp_path, content))


def test_a_text_shorter_than_a_window_streams_and_says_what_was_left_out(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="too few for a validation part"):
        corpus = read_text(put(tmp_path, "abc"))
    assert corpus.valid is None and "validation" in corpus.notes[0]
    with pytest.warns(UserWarning, match=r"shrinks|that short"):
        assert sum(window.count for window in corpus.train.stream(offset=False)) == 2


def test_noise_is_refused_as_text_and_read_as_bytes(tmp_path: Path) -> None:
    path = put(tmp_path, np.random.default_rng(0).bytes(1 << 20))
    with pytest.raises(InputError, match="byte offset"):
        read_text(path)
    assert len(everything(read_text(path, unit="byte"))) == 1 << 20


@pytest.mark.parametrize("offset", [0, 3, 7, 8, 9, 5_000])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_invalid_utf8_is_named_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int, start: bytes) -> None:
    monkeypatch.setattr(source, "BLOCK", 8)
    head = start + ("é" * offset).encode()[: offset // 2 * 2] + b"a" * (offset % 2)
    with pytest.raises(InputError, match=f"byte offset {len(head)}:.*gb18030"):
        read_text(put(tmp_path, head + b"\xff" + b"abc"))


def test_a_text_that_breaks_off_within_a_character_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="byte offset 2"):
        read_text(put(tmp_path, b"ab\xe4\xb8"))
    with pytest.raises(InputError, match="utf-16"):
        read_text(put(tmp_path, "ab".encode("utf-16")))


@pytest.mark.parametrize(("encoding", "content", "place"), [("gb18030", "红楼梦" * 5, 30), ("shift_jis", "ああa" * 3, 15)])
def test_other_encodings_name_the_place_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, content: str, place: int
) -> None:
    monkeypatch.setattr(source, "BLOCK", 7)
    with pytest.raises(InputError, match=f"byte offset {place}:"):
        read_text(put(tmp_path, content.encode(encoding) + b"\xff\xffa"), encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-9", "hex", "rot13", "", "gb1803"])
def test_no_such_encoding(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(InputError, match="encoding"):
        read_text(put(tmp_path, "ab"), encoding=encoding)


def test_a_hundred_thousand_distinct_characters(tmp_path: Path) -> None:
    text = "".join(map(chr, range(0x20000, 0x20000 + 100_000)))
    corpus = read_text(put(tmp_path, text), valid=0)
    assert text_of(corpus) == text and corpus.train.ids.dtype == np.int32


def test_a_folder_a_pipe_and_a_missing_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPTT_DATA", str(tmp_path))
    put(tmp_path, "the own corpus", "mine.txt")
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        (tmp_path, "folder"),
        (tmp_path / "pipe", "regular file.*-"),
        ("time-machin", "time-machine"),
        ("mime", "mine"),
        ("", "No such"),
        ("a\x00b", "No such"),
        ("x" * 5000, "No such"),
        ([], "no corpus"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            read_text(name)
        assert len(str(caught.value)) < 500
    assert text_of(read_text("mine", valid=0)) == "the own corpus"


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = put(tmp_path, "abc")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        read_text(path)


def test_standard_input_is_read_once_and_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO("héllo".encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    piped = read_text("-", valid=0)
    assert text_of(piped) == "héllo" and piped.fleeting and not stdin.buffer.closed


@pytest.mark.parametrize(
    "shares", [{"valid": -0.1}, {"valid": 0.5, "test": 0.5}, {"valid": float("nan")}, {"valid": 0.7}, {"max_tokens": 1}]
)
def test_bad_shares(tmp_path: Path, shares: dict[str, float]) -> None:
    with pytest.raises(InputError):
        read_text(put(tmp_path, "abc"), **shares)  # type: ignore[arg-type]


def test_a_token_file_holds_the_corpus(tmp_path: Path) -> None:
    path, kept = put(tmp_path, "in memory or on disk, the same ids " * 9), tmp_path / "run" / "tokens.bin"
    plain, mapped = read_text(path, test=0.2), read_text(path, test=0.2, token_file=kept)
    opened = open_corpus(kept)
    for other in (mapped, opened):
        assert isinstance(other.train.ids, np.memmap) and (everything(other) == everything(plain)).all()
        assert other.facts == plain.facts and other.vocab == plain.vocab and other.valid is not None
    assert sorted(entry.name for entry in kept.parent.iterdir()) == ["tokens.bin", "tokens.bin.json"]
    assert kept.stat().st_size == len(everything(plain))


@pytest.mark.parametrize("shares", [{"valid": 0.2, "test": 0.1}, {"valid": 0.0}, {"valid": 0.0, "test": 0.3}])
def test_a_corpus_is_saved_and_opened(tmp_path: Path, shares: dict[str, float]) -> None:
    plain = read_text(put(tmp_path, "what came through a pipe " * 9), **shares)
    plain.save(tmp_path / "run" / "tokens.bin")
    opened = open_corpus(tmp_path / "run" / "tokens.bin")
    assert opened.facts == plain.facts and opened.vocab == plain.vocab
    for ours, theirs in ((opened.train, plain.train), (opened.valid, plain.valid), (opened.test, plain.test)):
        assert (ours is None) == (theirs is None) and (ours is None or (ours.ids == theirs.ids).all())


def test_many_ids_go_to_disk_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, "红楼梦" * 500)
    plain = read_text(path)
    monkeypatch.setattr(tokenfile, "IN_MEMORY", 100)
    monkeypatch.setattr(spool.Spool.__init__, "__defaults__", (100,))
    monkeypatch.setattr(source, "BLOCK", 64)
    large = read_text(path)
    assert isinstance(large.train.ids, np.memmap) and (everything(large) == everything(plain)).all()
    assert len(list(large.train.stream(4, 10))) > 1


def spoil_about(path: Path, **changes: object) -> None:
    about = path.with_name(path.name + ".json")
    about.write_text(json.dumps({**json.loads(about.read_text()), **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "x"},
        {"dtype": "<f8"},
        {"dtype": "|O"},
        {"count": 5},
        {"count": -1},
        {"count": "9"},
        {"ends": [1, 2]},
        {"ends": [-1, 50, 50]},
        {"ends": 5},
        {"vocab": None},
        {"vocab": Vocabulary.from_text("ab").to_json()},
        {"facts": 3},
    ],
)
def test_a_damaged_token_file_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    kept = tmp_path / "tokens"
    read_text(put(tmp_path, "some text with many letters"), token_file=kept)
    spoil_about(kept, **changes)
    with pytest.raises(CheckpointError):
        open_corpus(kept)


def test_a_token_file_that_was_cut_short_or_is_not_there(tmp_path: Path) -> None:
    kept = tmp_path / "tokens"
    with pytest.raises(CheckpointError):
        open_corpus(kept)
    read_text(put(tmp_path, "some text"), token_file=kept, valid=0)
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="do not hold"):
        open_corpus(kept)


class FullDisk(io.BytesIO):
    """A temporary file on a disk without room."""

    def __init__(self, **_: object) -> None:
        super().__init__()

    def write(self, _: object) -> int:
        raise OSError(28, "No space left on device")


def test_a_token_file_that_is_a_folder_or_a_full_disk_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, "some text")
    with pytest.raises(InputError, match="cannot be written"):
        read_text(path, token_file=tmp_path, valid=0)
    monkeypatch.setattr(spool.tempfile, "SpooledTemporaryFile", FullDisk)
    with pytest.raises(InputError, match=r"No space left.*TMPDIR"):
        read_text(path)


@pytest.mark.parametrize("unit", ["char", "byte"])
def test_memory_does_not_grow_with_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    """One line of 90 MB passes through less than half of that (blocks of 1 MB, tables, and 1 MB of spool)."""
    path = put(tmp_path, b"no line ends here " * (90_000_000 // 18))
    monkeypatch.setattr(tokenfile, "IN_MEMORY", 1 << 20)
    monkeypatch.setattr(spool.Spool.__init__, "__defaults__", (1 << 20,))
    tracemalloc.start()
    corpus = read_text(path, unit=unit)
    next(iter(corpus.train.stream()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 45_000_000 and corpus.facts["tokens"] == path.stat().st_size


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tokenfile, "write", fail)
    with pytest.raises(InputError, match="No space left"):
        read_text(put(tmp_path, "some text"), token_file=tmp_path / "run" / "tokens", valid=0)
    assert not list((tmp_path / "run").iterdir())


def test_a_chinese_novel_is_read_quickly() -> None:
    if "BPTT_DATA" not in os.environ:
        pytest.skip("BPTT_DATA is not set")
    start = time.perf_counter()
    corpus = read_text("hongloumeng")
    assert time.perf_counter() - start < 1.5
    assert len(everything(corpus)) == 841_553 and corpus.facts["distinct"] == 4_529


def test_the_time_machine_as_the_field_counts_it() -> None:
    if "BPTT_DATA" not in os.environ:
        pytest.skip("BPTT_DATA is not set")
    corpus = read_text("time-machine", clean="time-machine")
    assert len(everything(corpus)) == 170_580 and len(corpus.vocab) == 28
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(corpus.train.stream(), TextStream)

"""R10: odd corpora. R14: the vocabulary belongs to the model."""

from __future__ import annotations

import collections
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzzing
import numpy as np
from long_runs import forget_peak, high_water
from racing import forked
from work import Work

import bptt

B, T = 4, 16
TRAINED, REFUSED = 0, 2
SOME = "the cat sat on the mat. "


def text(length: int) -> Callable[[random.Random], bytes]:
    return lambda draw: (SOME * (length // len(SOME) + 1))[:length].encode()


def invalid(draw: random.Random) -> bytes:
    content = bytearray((SOME * 50).encode())
    content[draw.randrange(len(content))] = 0xFF
    return bytes(content)


# What is in the file, how the command ends, and a word of what it says when it refuses.
ODD: dict[str, tuple[Callable[[random.Random], bytes], int, str]] = {
    "empty": (text(0), REFUSED, "empty"),
    "one character": (text(1), REFUSED, "one token"),
    "two characters": (text(2), TRAINED, ""),
    **{f"{n} tokens": (text(n), TRAINED, "") for n in (3, T - 1, T, T + 1, T + 2, B * T, B * T + 1, B * T + 2)},
    "NUL bytes": (lambda draw: b"\0" * 300 + b"a\0b" * 50, TRAINED, ""),
    "noise": (lambda draw: b"\xff" + draw.randbytes(1 << 20), REFUSED, "byte offset"),
    "invalid UTF-8": (invalid, REFUSED, "gb18030"),
    "GB18030": (lambda draw: "红楼梦满纸荒唐言".encode("gb18030") * 40, REFUSED, "--encoding gb18030"),
    "UTF-16": (lambda draw: (SOME * 9).encode("utf-16"), REFUSED, "utf-16"),
    "a byte-order mark": (lambda draw: b"\xef\xbb\xbf" + SOME.encode() * 9, TRAINED, ""),
    "CRLF": (lambda draw: b"one line\r\n" * 60, TRAINED, ""),
    "CR": (lambda draw: b"one line\r" * 60, TRAINED, ""),
    "U+2028": (lambda draw: "one line\u2028\u2029\x85".encode() * 60, TRAINED, ""),
    "one line": (lambda draw: b"x" * 30_000, TRAINED, ""),
    "combining marks": (lambda draw: ("e" + "\u0301" * 200).encode() * 5, TRAINED, ""),
    "right to left": (lambda draw: "שלום עולם مرحبا ".encode() * 20, TRAINED, ""),
    "many distinct characters": (
        lambda draw: "".join(chr(c) for c in range(0x20, 0x1B000) if not 0xD800 <= c < 0xE000)[:5000].encode(),
        TRAINED,
        "",
    ),
}
PLACES = {"a folder": "folder", "a pipe": "regular file", "a broken link": "No such file"}
QUICK = ("--hidden-size", "4", "--batch-size", str(B), "--steps", str(T), "--gradient", f"truncated:k1={T}", "--epochs", "1")
FLAGS = (*QUICK, "--threads", "1", "--sample-length", "3", "--valid", "0", "--quiet")


def odd(work: Work) -> None:
    """A round is a file: it trains, or is refused by exit code 2 and one line within 2 s; and what was read comes back."""
    names, slowest = [*ODD, *PLACES], 0.0
    for round in work.rounds():
        name = names[round.number % len(names)]
        path = round.folder / "text.txt"
        if name in PLACES:
            ends, named = REFUSED, PLACES[name]
            {
                "a folder": path.mkdir,
                "a pipe": lambda p=path: os.mkfifo(p),
                "a broken link": lambda p=path: p.symlink_to("nowhere"),
            }[name]()
        else:
            make, ends, named = ODD[name]
            path.write_bytes(make(round.random))
        begun = time.process_time()
        code, said = fuzzing.call("train", str(path), *FLAGS, "--out", str(round.folder / "run"))
        took = time.process_time() - begun
        with work.naming((name, said)):
            assert code == ends and "unexpected" not in said
            if ends == REFUSED:
                assert named in said and len(said.splitlines()) == 1 and took < 2
                assert not (round.folder / "run" / "config.yaml").exists()
                slowest = max(slowest, took)
            else:
                content = path.read_bytes().decode().removeprefix("\ufeff")
                corpus = bptt.read_text(path, valid=0)
                assert corpus.vocab.decode(corpus.train.ids) == content
                raw = bptt.read_text(path, unit="byte", valid=0)
                assert bytes(raw.train.ids.astype(np.uint8)) == content.encode()
    work.reached["ended"] = f"{work.done} as they should"
    work.reached["slowest refusal"] = f"{1000 * slowest:.0f} ms"


def long_line(work: Work) -> None:
    """One round: a single line of `size` MiB is read, in a process of its own, with its tokens on disk."""
    path, told = work.folder / "line.txt", work.folder / "told"
    (work.folder / "spool").mkdir()
    piece = ("x" + SOME * 43691)[: 1 << 20].encode()
    with open(path, "wb") as file:
        for _ in range(work.size):
            file.write(piece)
    _, status = os.waitpid(forked(lambda: read_line(path, work.folder, told)), 0)
    assert os.waitstatus_to_exitcode(status) == 0
    tokens, peak = told.read_text().split()
    assert int(tokens) == work.size << 20 and int(peak) < 1 << 20
    work.done = work.size
    work.reached["peak memory"] = f"{int(peak) // 1024} MiB for a line of {work.size} MiB (the program itself included)"


def read_line(path: Path, folder: Path, told: Path) -> int:
    import tempfile

    forget_peak()
    tempfile.tempdir = str(folder / "spool")
    corpus = bptt.read_text(path, valid=0, token_file=folder / "tokens.bin")
    told.write_text(f"{len(corpus.train)} {high_water() >> 10}")
    return 0


def vocabulary(work: Work) -> None:
    """A round: a text of words, some of them spelled like reserved ones, against counting in plain Python."""
    most = 0
    for round in work.rounds():
        draw = round.random
        size = draw.choice([3, 50, 65_534, 65_535, 65_536, 65_537, 70_000]) if round.number % 4 == 0 else draw.randrange(2, 60)
        words = [f"w{draw.randrange(10**6)}-{n}" for n in range(size)] + ["<unk>", "<bos>"]
        draw.shuffle(words)
        drawn = words + (draw.choices(words, k=200) if size > 100 else draw.choices(words, k=3 * size))
        path = round.folder / "words.txt"
        path.write_text(" ".join(drawn), encoding="utf-8")
        limit = draw.choice([None, None, max(3, size // 2)])
        reserved = draw.choice([("<unk>",), ("<unk>", "<bos>")])
        corpus = bptt.read_text(path, unit="word", valid=0, limit=limit, reserved=reserved)
        check_vocabulary(corpus, drawn, reserved, limit)
        most = max(most, len(corpus.vocab))
    work.reached["right"] = f"{work.done} of {work.done}, up to {most:,} tokens"


def check_vocabulary(corpus: Any, drawn: list[str], reserved: tuple[str, ...], limit: int | None) -> None:
    vocab = corpus.vocab
    first = {word: n for n, word in reversed(list(enumerate(drawn)))}
    counts = collections.Counter(drawn)
    wanted = sorted(counts, key=lambda word: (-counts[word], first[word]))
    kept = wanted if limit is None else wanted[: limit - len(reserved)]
    assert len(vocab) == len(reserved) + len(kept) <= (limit or 10**9)
    assert list(vocab.spellings[len(reserved) :]) == kept
    ids = corpus.train.ids.tolist()
    number = {word: len(reserved) + n for n, word in enumerate(kept)}
    assert ids == [number.get(word, vocab.unknown) for word in drawn]
    assert len(set(vocab.reserved.values()) & set(number.values())) == 0
    known = [word for word in drawn if word in number]
    assert vocab.decode(vocab.encode(" ".join(known))) == " ".join(known)

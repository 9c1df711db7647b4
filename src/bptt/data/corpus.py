"""A corpus: a text read, split and numbered, ready for streams.

Knows the whole way from a name to ids, each step of which is another file of this folder; must not know models or training.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bptt.data import tokenfile
from bptt.data.numbering import numbering
from bptt.data.source import STANDARD_INPUT, Reader, find_sources
from bptt.data.spool import Spool
from bptt.data.tokenizer import Tokenizer
from bptt.data.tokens import Tokens
from bptt.data.vocabulary import Vocabulary
from bptt.errors import CheckpointError, InputError

PIECE = 1 << 22  # ids to write at a time
Names = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """The parts of a text, the vocabulary that they share, and facts about them.

    train, valid, test  consecutive parts of the text; valid and test are None where their share is 0
    vocab               made from the training part
    facts               plain numbers and strings: sources, bytes, characters, tokens, distinct tokens, share of unknown …
    notes               what was not as asked
    continues           False where what is to be said is not what is read next, so that there is nothing to go on with
    """

    train: Tokens
    valid: Tokens | None
    test: Tokens | None
    vocab: Vocabulary
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()
    continues: bool = True

    @property
    def fleeting(self) -> bool:
        """True if the text cannot be read again (standard input), or only at length (ids too many for memory)."""
        return STANDARD_INPUT in self.facts.get("sources", ()) or isinstance(self.train.ids, np.memmap)

    def save(self, token_file: str | os.PathLike[str]) -> None:
        """Keep everything in a token file, with a JSON file beside it, for `open_corpus`; InputError if the disk refuses."""
        parts = [part.ids for part in (self.train, self.valid, self.test) if part is not None]
        ends = np.cumsum([0 if part is None else len(part) for part in (self.train, self.valid, self.test)]).tolist()
        pieces = (part[start : start + PIECE] for part in parts for start in range(0, len(part), PIECE))
        ids = tokenfile.store(pieces, ends[-1], self.train.ids.dtype, Path(token_file))
        tokenfile.write_about(Path(token_file), ids, _about(ends, self.vocab, self.facts, self.notes))


def _about(ends: Sequence[int], vocab: Vocabulary, facts: dict[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    """What a token file says of its ids."""
    return {"ends": list(ends), "vocab": vocab.to_json(), "facts": facts, "notes": list(notes)}


def read_text(
    source: Names,
    *,
    unit: str = "char",
    valid: float = 0.1,
    test: float = 0.0,
    clean: str | None = None,
    lower: bool = False,
    encoding: str = "utf-8",
    newline: str = "keep",
    max_tokens: int | None = None,
    min_freq: int = 0,
    limit: int | None = None,
    reserved: Sequence[str] = ("<unk>",),
    vocab: Vocabulary | None = None,
    map_reserved: bool = False,
    token_file: str | os.PathLike[str] | None = None,
) -> Corpus:
    """Read a text, split it by position, and number its tokens.

    source        path, or several paths to join as they are; "-" for standard input; else `$BPTT_DATA/NAME.txt`; else a
                  named corpus: "python-docs" (in every Python), "time-machine", "tiny-shakespeare" (downloaded once, checked)
    unit          "char", "word", "byte" or "chinese-word"; `clean`, `lower`, `newline` as in `Tokenizer`
    valid, test   shares of the tokens: the text is training, then validation, then test part
    encoding      of the files; a byte-order mark is dropped; with unit "byte" invalid bytes are tokens like all others
    max_tokens    read only the first so many tokens
    min_freq, limit, reserved, map_reserved
                  as in `Vocabulary.from_counts`. The vocabulary is made from the training part alone, so that the loss on the
                  validation part is an honest one: what occurs there only is <unk>. (Many recipes count the whole text.)
    vocab         use this vocabulary, with its unit and clean-up, in place of making one
    token_file    keep the ids in this file, memory-mapped, with a JSON file beside it that `open_corpus` reads. Without it,
                  ids beyond 256 MiB go to an unnamed temporary file.

    The text is read once, in pieces: memory does not grow with its length for characters and bytes.
    Raises InputError where a source cannot be found, read or decoded, or has fewer than two tokens to train on.

    >>> corpus = read_text("python-docs", unit="word", limit=1000, max_tokens=5000)
    >>> len(corpus.vocab), len(corpus.train), len(corpus.valid)
    (1000, 4500, 500)
    """
    check_shares(valid, test, max_tokens)
    tokenizer = Tokenizer(unit, clean, lower, newline) if vocab is None else vocab.tokenizer
    reader = Reader(find_sources(source), encoding, lenient=tokenizer.unit == "byte")
    spool, tokens = number_all(reader, tokenizer, max_tokens)
    count = min(spool.count, max_tokens or spool.count)
    ends, notes = split(count, valid, test)
    counts = [count_each(spool, start, end, len(tokens)) for start, end in zip((0, *ends), ends, strict=False)]
    if vocab is None:
        settings: dict[str, Any] = {"min_freq": min_freq, "limit": limit, "reserved": reserved, "map_reserved": map_reserved}
        vocab = Vocabulary.from_counts(tokens, counts[0], tokenizer=tokenizer, **settings)
    table = vocab.ids_of(tokens)
    path = None if token_file is None else Path(token_file)
    ids = tokenfile.store((table[piece] for piece in spool.pieces(0, count)), count, table.dtype, path)
    facts = {**reader.facts(), **count_facts(counts, vocab, table), "targets": lengths(spool, ends, tokens, counts, vocab)}
    if path is not None:
        tokenfile.write_about(path, ids, _about(ends, vocab, facts, notes))
    return assemble(ids, ends, vocab, facts, notes)


def open_corpus(token_file: str | os.PathLike[str]) -> Corpus:
    """The corpus that `read_text(…, token_file=…)` kept; CheckpointError where that is damaged."""
    ids, about = tokenfile.load(Path(token_file))
    try:
        vocab, ends, facts, notes = Vocabulary.from_json(about["vocab"]), about["ends"], about["facts"], about["notes"]
        if [type(end) for end in ends] != [int] * 3 or not 2 <= ends[0] <= ends[1] <= ends[2] == len(ids):
            raise ValueError(f"parts end at {ends!r}")
        sizes = [size for part in facts.get("targets", {}).values() for size in part.values()]
        if not all(type(size) is int and size >= 0 for size in sizes) or not all(isinstance(note, str) for note in notes):
            raise ValueError("its facts are of no type that was written")
        least, most = tokenfile.extremes(Path(token_file), ids.dtype)
        if least < 0 or most >= len(vocab):
            raise ValueError(f"ids from {least} to {most} for {len(vocab)} tokens")
        return assemble(ids, (ends[0], ends[1], ends[2]), vocab, dict(facts), tuple(notes))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError("The token file is damaged", f"{token_file}: {error}"[:300], "Read the corpus again") from error


def number_all(reader: Reader, tokenizer: Tokenizer, most: int | None) -> tuple[Spool, list[str]]:
    """All tokens, numbered in order of first appearance, and what each number stands for."""
    spool, index = Spool(), numbering(tokenizer.unit)
    for source in reader.sources:
        for chunk in tokenizer.chunks(reader.texts(source)):
            if most is not None:
                chunk = chunk[: most - spool.count]
            spool.append(index.number(chunk))
            if most is not None and spool.count >= most:
                return spool, index.tokens
    return spool, index.tokens


def count_each(spool: Spool, start: int, stop: int, size: int) -> np.ndarray:
    """How often each of `size` numbers is among those from `start` to `stop`."""
    counts = np.zeros(size, np.int64)
    for piece in spool.pieces(start, stop):
        counts += np.bincount(piece, minlength=size)
    return counts


def count_facts(counts: list[np.ndarray], vocab: Vocabulary, table: np.ndarray) -> dict[str, Any]:
    """What the counts of each part's numbers tell: tokens, distinct ones, the share of each part that is <unk>."""
    sizes = {name: int(part.sum()) for name, part in zip(("train", "valid", "test"), counts, strict=True)}
    unknown = table == (-1 if vocab.unknown is None else vocab.unknown)
    shares = {name: int(part[unknown].sum()) / sizes[name] for name, part in zip(sizes, counts, strict=True) if sizes[name]}
    total = np.sum(counts, axis=0)
    own = {"unit": vocab.unit, "vocabulary": len(vocab), "distinct": int(np.count_nonzero(total)), "tokens": int(total.sum())}
    return {**own, "parts": sizes, "unknown": shares}


def lengths(
    spool: Spool, ends: Sequence[int], spellings: Sequence[str], counts: Sequence[np.ndarray], vocab: Vocabulary
) -> dict[str, dict[str, int]]:
    """Characters and bytes of each part's text after its first token; for bytes, which are never <unk>, ids tell it."""
    if vocab.unit == "byte":
        return {}
    joint = int(vocab.unit == "word")  # the space before a word
    sizes = np.array([(len(token), len(token.encode("utf-8", "surrogatepass"))) for token in spellings], np.int64) + joint
    found = {}
    for name, start, count in zip(("train", "valid", "test"), (0, *ends), counts, strict=False):
        if count.any():
            first = int(next(spool.pieces(start, start + 1))[0])
            characters, octets = (count @ sizes - sizes[first]).tolist()
            found[name] = {"characters": characters, "bytes": octets}
    return found


def check_shares(valid: float, test: float, max_tokens: int | None) -> None:
    """InputError unless the shares leave something to train on."""
    if not (valid >= 0 and test >= 0 and valid + test < 1):
        raise InputError(
            "The shares of a text are at least 0 and leave some to train on",
            f"valid {valid}, test {test}",
            "Leave some to training",
        )
    if max_tokens is not None and max_tokens < 2:
        raise InputError("max_tokens must be at least 2", repr(max_tokens), "Leave it out to read everything")


def split(count: int, valid: float, test: float) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """Where the training, validation and test part end. A part too short to hold one target is left to training, and noted."""
    if count < 2:
        wrong = "The corpus is empty" if count == 0 else "The corpus has one token, and nothing to predict from it"
        raise InputError(wrong, f"{count} tokens", "Give a text of two tokens or more")
    sizes, notes = [], []
    for name, share in (("validation", valid), ("test", test)):
        size = int(count * share)
        if share and size < 2:
            notes.append(f"{count} tokens are too few for a {name} part of {share:g}: there is none.")
        sizes.append(size if size >= 2 else 0)
    if count - sum(sizes) < 2:
        given = f"valid {valid:g} and test {test:g} of {count} tokens"
        raise InputError("The shares leave fewer than two tokens to train on", given, "Lower them, or give a longer text")
    for note in notes:
        warnings.warn(note, stacklevel=3)
    return (count - sum(sizes), count - sizes[1], count), tuple(notes)


def assemble(
    ids: np.ndarray, ends: tuple[int, int, int], vocab: Vocabulary, facts: dict[str, Any], notes: tuple[str, ...]
) -> Corpus:
    """Cut the ids into parts; an empty part is None."""
    cuts = zip(("train", "valid", "test"), (0, *ends), ends, strict=False)
    parts = {name: Tokens(ids[start:end], **facts.get("targets", {}).get(name, {})) for name, start, end in cuts}
    valid, test = (parts[name] if len(parts[name]) else None for name in ("valid", "test"))
    return Corpus(parts["train"], valid, test, vocab, facts, notes)

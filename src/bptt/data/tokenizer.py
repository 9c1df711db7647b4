"""How text becomes tokens, and tokens text: characters, words, bytes, Chinese words.

Knows spelling; must not know ids, vocabularies or files. A tokenizer is a plain value, so a vocabulary can keep it and read
a prompt in the way in which the corpus was read.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from bptt.data.cleanup import CLEANS, NEWLINES, fold_newlines, lower_case, regroup, time_machine
from bptt.errors import InputError, did_you_mean

UNITS = ("char", "word", "byte", "chinese-word")

# One spelling for each byte: ASCII as itself, the others as in a Python bytes literal (no ASCII token has four characters).
BYTES = tuple(chr(value) if value < 128 else f"\\x{value:02x}" for value in range(256))
_BYTE_OF = {spelling: value for value, spelling in enumerate(BYTES)}


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """The unit of a text and what is done to the text before it is cut.

    unit     "char"; "word": what white space separates; "byte": of the UTF-8 text; "chinese-word": as jieba cuts them
             (`pip install "bptt[chinese]"`), white space and punctuation kept as tokens
    clean    "time-machine": line by line, non-letters to one space, strip, lower case; lines are joined without anything
             between them for characters and bytes (adjacent lines touch)
    lower    lower case
    newline  "keep" line ends as they are, or "fold" CRLF and CR to LF

    `join(split(text)) == text` for characters and bytes without clean-up; words join by one space, so there
    `split(join(tokens)) == tokens`.

    >>> Tokenizer("word", lower=True).split("The  time machine")
    ['the', 'time', 'machine']
    """

    unit: str = "char"
    clean: str | None = None
    lower: bool = False
    newline: str = "keep"

    def __post_init__(self) -> None:
        check_choice("unit", self.unit, UNITS)
        check_choice("newline", self.newline, NEWLINES)
        if self.clean is not None:
            check_choice("clean", self.clean, CLEANS)

    def split(self, text: str) -> list[str]:
        """The tokens of `text`."""
        chunks = self.chunks([text])
        if self.unit == "byte":
            return [BYTES[value] for chunk in chunks for value in utf8(str(chunk))]
        return [token for chunk in chunks for token in chunk]

    def join(self, tokens: Sequence[str]) -> str:
        """The text of `tokens`; bytes that are no UTF-8 show as U+FFFD."""
        if self.unit == "byte":
            return b"".join(bytes([_BYTE_OF[t]]) if t in _BYTE_OF else t.encode() for t in tokens).decode(errors="replace")
        return (" " if self.unit == "word" else "").join(tokens)

    def chunks(self, texts: Iterable[str]) -> Iterator[Sequence[str]]:
        """The tokens of a text that comes in pieces, in pieces. For "char" and "byte" a piece is a str, not yet taken apart."""
        texts = self.prepare(texts)
        if self.unit == "word":
            return (text.split() for text in regroup(texts, " \n\t\r\u3000"))
        if self.unit == "chinese-word":
            cut = chinese_cutter()
            return (cut(text) for text in regroup(texts, "\n。，"))
        return iter(texts)

    def prepare(self, texts: Iterable[str]) -> Iterable[str]:
        """The text as it is right before it is cut into tokens."""
        if self.newline == "fold" or self.clean:
            texts = fold_newlines(texts)
        if self.clean:
            return time_machine(texts, "" if self.unit in ("char", "byte") else "\n")
        return lower_case(texts) if self.lower else texts


def check_choice(name: str, value: Any, known: Sequence[str]) -> None:
    """InputError unless `value` is one of `known`."""
    if value not in known:
        raise InputError(f"No such {name}", repr(value), did_you_mean(str(value), list(known)))


def utf8(text: str) -> bytes:
    """The bytes of `text`; bytes that a lenient reader passed on as they were (surrogate escapes) come back as they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        given = f"{text[error.start]!r} at character {error.start}"
        raise InputError("A lone surrogate is no character and has no bytes", given, "Remove it from the text") from error


@functools.cache
def chinese_cutter() -> Callable[[str], list[str]]:
    """jieba's cut, with the dictionary read from jieba's own text file.

    jieba would otherwise load a compiled dictionary from a file of a known name in the shared temporary folder, where any
    user of the machine could have put another.
    """
    try:
        import jieba
    except ImportError as error:
        raise InputError("Chinese words need jieba", "unit 'chinese-word'", 'pip install "bptt[chinese]"') from error
    jieba.setLogLevel(logging.WARNING)
    cutter = jieba.Tokenizer()
    cutter.FREQ, cutter.total = cutter.gen_pfdict(cutter.get_dict_file())
    cutter.initialized = True
    return cutter.lcut

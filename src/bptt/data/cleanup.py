"""Text before it is cut into tokens: line ends, case, the Time Machine clean-up.

Knows characters; must not know tokens, files or vocabularies. Every step maps chunks of text to chunks of text and gives the
same result wherever the chunks were cut, so that a text of any length passes through little memory.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator

CLEANS = ("time-machine",)
NEWLINES = ("keep", "fold")
MOST_HELD = 1 << 22  # characters to hold back while waiting for a place to cut

_GAP = re.compile("[^A-Za-z]+")
_LETTER = re.compile("[A-Za-z]")


def regroup(chunks: Iterable[str], marks: str) -> Iterator[str]:
    """The same text in chunks that end after one of the `marks`; a stretch of `MOST_HELD` without any is cut where it is."""
    held = ""
    for chunk in chunks:
        held += chunk
        end = max(held.rfind(mark) for mark in marks) + 1
        if not end and len(held) >= MOST_HELD:
            end = len(held)
        if end:
            yield held[:end]
            held = held[end:]
    if held:
        yield held


def fold_newlines(chunks: Iterable[str]) -> Iterator[str]:
    """CRLF and CR become LF; other line separators (U+2028, U+0085) stay as they are."""
    decoder = io.IncrementalNewlineDecoder(None, translate=True)
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode("", final=True)


def lower_case(chunks: Iterable[str]) -> Iterator[str]:
    """Lower case. Cut at white space, because the lower case of Σ depends on its neighbours in the word."""
    return (chunk.lower() for chunk in regroup(chunks, " \n\t"))


def time_machine(chunks: Iterable[str], between_lines: str) -> Iterator[str]:
    """Line by line: each run of characters outside A–Z, a–z becomes a space, ends are stripped, letters lowered.

    A run that holds a line feed is the end of one line and the start of the next, so it becomes `between_lines` instead of a
    space; that is all that "line by line" and "strip" amount to, and it needs no whole line in memory.
    """
    gap, start = "", True
    for chunk in chunks:
        text = gap + chunk
        last = _LETTER.search(text[::-1])
        end = len(text) - last.start() if last else 0
        body, tail = text[:end], text[end:]
        gap = "\n" if "\n" in tail else tail[:1]
        if body:
            body = _GAP.sub("", body, count=1) if start and not _LETTER.match(body) else body
            yield _GAP.sub(lambda run: between_lines if "\n" in run[0] else " ", body).lower()
            start = False

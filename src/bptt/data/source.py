"""From the name of a corpus to its bytes and its text.

Knows files, standard input and encodings; must not know tokens. Reads in blocks: no file is ever in memory as a whole.
"""

from __future__ import annotations

import codecs
import dataclasses
import hashlib
import io
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from bptt.data.corpora import CORPORA, open_named
from bptt.errors import InputError, did_you_mean

BLOCK = 1 << 20  # bytes read at a time
STANDARD_INPUT = "standard input"
SYNTHETIC = ("adding", "anbn", "brackets", "coin", "copy")  # names that `bptt.data.tasks` draws, for hints


@dataclasses.dataclass(frozen=True)
class Source:
    """A named supply of bytes. `encoding` is set where it is known, and then stands above what the user says."""

    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]]
    encoding: str | None = None


def find_sources(names: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Source]:
    """The sources of one name or several; InputError for a name that means nothing."""
    several = [names] if isinstance(names, str | os.PathLike) else list(names)
    if not several:
        raise InputError("There is no corpus to read", "an empty list", "Give a path or the name of a corpus")
    return [find_source(os.fspath(name)) for name in several]


def find_source(name: str) -> Source:
    """An existing path, else "-" (standard input), else `$BPTT_DATA/NAME.txt`, else a named corpus."""
    if name == "-":
        return Source(STANDARD_INPUT, lambda: nullcontext(sys.stdin.buffer))  # stays open: it is not ours
    path = file_of(name)
    if path is not None:
        return Source(name, lambda: open_file(path))
    if name in CORPORA:
        return Source(name, lambda: open_named(name), encoding="utf-8")
    folder = os.environ.get("BPTT_DATA")
    own = [entry.stem for entry in Path(folder).glob("*.txt")] if folder else []
    known = sorted({*CORPORA, *own, *SYNTHETIC})
    raise InputError("No such file or corpus", repr(name[:100]), did_you_mean(name[:100], known))


def table_of(name: str) -> Path | None:
    """The existing path that `name` is, else the file `$BPTT_DATA/NAME.csv`, else None."""
    folder = os.environ.get("BPTT_DATA")
    for path in (Path(name), *([Path(folder) / f"{name}.csv"] if folder else [])):
        if name and path.exists():
            return path
    return None


def file_of(name: str) -> Path | None:
    """The existing path that `name` is, else the file `$BPTT_DATA/NAME.txt`, else None."""
    if name and os.path.exists(name):
        return Path(name)
    folder = os.environ.get("BPTT_DATA")
    local = Path(folder, f"{name}.txt") if folder else None
    return local if local and name != "-" and os.path.isfile(local) else None


def open_file(path: Path) -> BinaryIO:
    """Open a regular file; InputError for anything else (a pipe without a writer would hang) or one that cannot be read."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError("This is a folder, not a text", str(path), f"Give the files in it: {path}/*.txt")
        if not stat.S_ISREG(mode):
            raise InputError("This is not a regular file", str(path), f"Pipe it through standard input: cat {path} | … -")
        return path.open("rb")
    except OSError as error:
        raise InputError("The file cannot be read", f"{path}: {error.strerror}", "Check its permissions") from error


class Reader:
    """Reads sources as text, one after another, and counts what passes: bytes, characters, SHA-256 of the bytes.

    encoding  of the sources that do not know their own
    lenient   pass invalid bytes on as surrogate escapes (for byte tokens) instead of raising InputError
    """

    def __init__(self, sources: Sequence[Source], encoding: str, lenient: bool = False) -> None:
        self.sources, self.encoding, self.lenient = sources, check_encoding(encoding), lenient
        self.bytes = self.characters = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of all bytes read so far."""
        return self._hash.hexdigest()

    def facts(self) -> dict[str, Any]:
        """What was read, for reports: names, encoding, bytes, characters, checksum."""
        names = [source.name for source in self.sources]
        read = {"bytes": self.bytes, "characters": self.characters, "sha256": self.sha256}
        return {"sources": names, "encoding": self.encoding, **read}

    def texts(self, source: Source) -> Iterator[str]:
        """The text of one source in pieces, without a byte-order mark."""
        encoding = source.encoding or self.encoding
        decoder = codecs.getincrementaldecoder(encoding)("surrogateescape" if self.lenient else "strict")
        start = True
        for offset, block in self._blocks(source):
            waiting = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                raise not_text(source, encoding, offset - waiting + error.start, error) from error
            text, start = (text.removeprefix("\ufeff"), False) if start and text else (text, start)
            self.characters += len(text)
            yield text

    def _blocks(self, source: Source) -> Iterator[tuple[int, bytes]]:
        """Blocks with their offsets; the last one is empty."""
        offset, block = 0, b" "
        with source.open() as file:
            while block:
                block = read_block(file, source.name)
                self._hash.update(block)
                self.bytes += len(block)
                yield offset, block
                offset += len(block)


def read_block(file: BinaryIO, name: str) -> bytes:
    """The next bytes of `file`; InputError where the device fails."""
    try:
        return file.read(BLOCK)
    except OSError as error:
        raise InputError("The file cannot be read to its end", f"{name}: {error.strerror}", "Check the disk") from error


def check_encoding(encoding: str) -> str:
    """The name of a text encoding as Python spells it; InputError if there is none."""
    try:
        info = codecs.lookup(encoding)
        io.TextIOWrapper(io.BytesIO(), encoding=encoding)  # refuses codecs that do not make text, such as hex
        return info.name
    except (LookupError, ValueError) as error:
        known = ["utf-8", "gb18030", "big5", "shift_jis", "euc-kr", "cp1252", "latin-1", "utf-16"]
        raise InputError("No such text encoding", repr(encoding), did_you_mean(encoding, known)) from error


def not_text(source: Source, encoding: str, offset: int, error: UnicodeDecodeError) -> InputError:
    """The error for bytes that the encoding does not allow."""
    given = f"byte offset {offset}: {error.reason}"
    wide = error.object[:2] in (b"\xff\xfe", b"\xfe\xff")
    hint = "--encoding utf-16" if wide else "--encoding gb18030 (Chinese), cp1252 (Western), …"
    return InputError(f"{source.name} is not {encoding} text", given, f'Name its encoding ({hint}), or use unit "byte"')

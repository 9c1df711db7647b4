"""The named corpora: one inside every Python, two that are downloaded once and checked.

Knows addresses, checksums and the cache folder; must not know text or tokens.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

from bptt.errors import InputError
from bptt.files import write_durably


class Download(NamedTuple):
    """Where a corpus lies, and what it must be."""

    url: str
    sha256: str


CORPORA: dict[str, Download | None] = {
    "python-docs": None,
    "time-machine": Download(
        "https://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt",
        "8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516",
    ),
    "tiny-shakespeare": Download(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
}
MOST_BYTES = 64 << 20  # no named corpus is nearly as large: a server that sends more sends something else
PATIENCE = 30.0  # seconds without an answer


def open_named(name: str) -> BinaryIO:
    """The bytes (UTF-8) of a named corpus, from Python itself, the cache, or its address; InputError where none has it."""
    download = CORPORA[name]
    return io.BytesIO(python_docs() if download is None else cached(name, download))


def python_docs() -> bytes:
    """The text of Python's own documentation, as far as the interpreter carries it: topics in the order of their names."""
    from pydoc_data.topics import topics

    return "".join(topics[key] for key in sorted(topics)).encode()


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/bptt`, else `~/.cache/bptt`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bptt"


def cached(name: str, download: Download) -> bytes:
    """The corpus from the cache if it is there and undamaged, else from its address, kept in the cache."""
    path = cache_folder() / f"{name}.txt"
    if path.is_file() and matches(content := path.read_bytes(), download):
        return content
    content = fetch(name, download, path)
    if not matches(content, download):
        given = f"{download.url}, SHA-256 {hashlib.sha256(content).hexdigest()}, expected {download.sha256}"
        raise InputError(f"The download of {name!r} is not what it should be", given, f"Put the right file at {path}")
    keep(content, path)
    return content


def matches(content: bytes, download: Download) -> bool:
    """True if `content` has the checksum of `download`."""
    return hashlib.sha256(content).hexdigest() == download.sha256


def fetch(name: str, download: Download, path: Path) -> bytes:
    """The bytes at the address; InputError naming the place in the cache where they can be put by hand."""
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        with urlopen(download.url, timeout=PATIENCE) as answer:
            return answer.read(MOST_BYTES)
    except (OSError, HTTPException) as error:
        todo = f"Check the network, put the file at {path}, or use 'python-docs', which needs no download"
        raise InputError(f"{name!r} could not be downloaded", f"{download.url}: {error}", todo) from error


def keep(content: bytes, path: Path) -> None:
    """Write the file whole or not at all. A cache that cannot be written costs the next run a download, nothing else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, content)
    except OSError:
        return

"""Files that are whole or absent: written beside their place, flushed to the disk, then renamed.

Knows the file system only. Every file that must survive a crash is written through here.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of `path` when the block ends well, and vanishes when it does not.

    After a crash `path` is old or new, never half.
    """
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        raise
    sync_directory(path.parent)


def write_durably(path: Path, content: bytes | str) -> None:
    """Make `path` hold `content`, text as UTF-8; see `replacing`."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def sync_directory(path: Path) -> None:
    """Flush the names in a directory to the disk, where the system can."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no directories
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON that every reader accepts: no NaN, no Infinity, Chinese as Chinese."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

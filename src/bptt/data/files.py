"""Writing files: whole or not at all, and with errors that say where.

Knows paths; must not know what is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bptt.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` when the block ends well, and vanishes when it does not."""
    pending = path.with_name(f"{path.name}.{os.getpid()}.pending")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with pending.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # or a power cut may leave the new name on an empty file
        os.replace(pending, path)
    finally:
        pending.unlink(missing_ok=True)


@contextmanager
def writing(place: str) -> Iterator[None]:
    """Turn a failing disk into an InputError that names the `place`."""
    try:
        yield
    except OSError as error:
        given = f"{place}: {error.strerror or error}"
        raise InputError("The tokens cannot be written", given, "Choose another token file, or a TMPDIR with room") from error

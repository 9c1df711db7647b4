"""A disk that fails while tokens are written: an error that says where, and what to do.

Knows places; must not know what is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bptt.errors import InputError


@contextmanager
def writing(place: str) -> Iterator[None]:
    """Turn a failing disk into an InputError that names the `place`."""
    try:
        yield
    except OSError as error:
        given = f"{place}: {error.strerror or error}"
        raise InputError("The tokens cannot be written", given, "Choose another token file, or a TMPDIR with room") from error

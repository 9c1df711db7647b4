"""A spool: integers that are written once in pieces and read back in pieces, in memory while they are few, then on disk.

Knows arrays and temporary files; must not know what the integers mean.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np

from bptt.data.disk import writing
from bptt.data.numbering import smallest_dtype

IN_MEMORY = 256 << 20  # bytes to hold before moving to disk


class Spool:
    """Pieces of non-negative integers, each in the smallest type that holds it."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115 - lives as long as the spool
        self._pieces: list[tuple[np.dtype, int]] = []
        self.count = 0

    def append(self, piece: np.ndarray) -> None:
        """Add integers at the end."""
        if len(piece):
            kept = piece.astype(smallest_dtype(int(piece.max()) + 1), copy=False)
            with writing(tempfile.gettempdir()):
                self._file.write(kept.tobytes())
            self._pieces.append((kept.dtype, len(kept)))
            self.count += len(kept)

    def pieces(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """The integers `start` to `stop`, in pieces."""
        first = offset = 0
        for dtype, count in self._pieces:
            if first < stop and start < first + count:
                self._file.seek(offset)
                piece = np.frombuffer(self._file.read(count * dtype.itemsize), dtype)
                yield piece[max(0, start - first) : stop - first]
            first, offset = first + count, offset + count * dtype.itemsize

"""Tokens: the ids of one part of a text, and the streams over them.

Knows ids; must not know text, vocabularies or files.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bptt.data.stream import TextStream, whole


@dataclasses.dataclass(frozen=True, eq=False)
class Tokens:
    """The ids [N] of a text, in memory or memory-mapped.

    characters, bytes  of the text that the tokens after the first one add to it, as it was read, before any of them became
                       <unk>; 0: unknown

    >>> len(Tokens(np.arange(10)).stream(batch_size=1, steps=4, offset=False))
    3
    """

    ids: np.ndarray
    characters: int = 0
    bytes: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def head(self, most: int) -> Tokens:
        """The first `most` of them."""
        return Tokens(self.ids[:most])

    def stream(self, batch_size: int = 32, steps: int = 35, sampling: str = "sequential", **settings: Any) -> TextStream:
        """Windows of `batch_size` rows and `steps` steps; further settings (seed, offset, drop_last, block) as `TextStream`."""
        return TextStream(self.ids, batch_size, steps, sampling, **settings)

    def whole(self, steps: int = 1024) -> TextStream:
        """One lane over all N - 1 targets in order, each once: for evaluation."""
        return whole(self.ids, steps)

"""Prepared series: what is read and what shall be said at every step, in parts, and the streams over them.

Knows arrays and positions; must not know what the numbers mean, nor models.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bptt.data.stream import Stream


class SeriesStream(Stream):
    """Windows of B rows and T steps over a prepared series: lanes with carried state, as for text.

    inputs  [N, I] float; targets [N, …] float; counts [N] bool: where a loss counts. All else as `bptt.data.stream.Stream`.

    The last step has nothing after it, so it is never read. Holes are no NaN here: see `SeriesPart`.

    >>> steps = np.arange(11.0)[:, None]
    >>> stream = SeriesStream(steps, steps + 1, np.ones(11, bool), batch_size=2, steps=3, offset=False)
    >>> [window.inputs[..., 0].tolist() for window in stream]
    [[[0.0, 1.0, 2.0], [5.0, 6.0, 7.0]], [[3.0, 4.0], [8.0, 9.0]]]
    """

    what, unit = "series", "steps"

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        counts: np.ndarray,
        batch_size: int = 8,
        steps: int = 64,
        *args: Any,
        **settings: Any,
    ) -> None:
        self.inputs, self.targets, self.counts = inputs, targets, counts
        super().__init__(len(inputs), batch_size, steps, *args, **settings)

    def read(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The row of each array there."""
        return self.inputs[at], self.targets[at], self.counts[at]


@dataclasses.dataclass(frozen=True, eq=False)
class SeriesPart:
    """N prepared steps.

    inputs   [N, I]     what is read at step t
    targets  [N, O, 2]  what shall be said then, each beside a 1, or a 0 where it is not known: a hole, or beyond the end
    counts   [N]        False where nothing of it counts: steps that only lead up to others

    Zeros stand in for what is not known: what waits in a checkpoint must be finite.
    """

    inputs: np.ndarray
    targets: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    def stream(self, batch_size: int = 8, steps: int = 64, sampling: str = "sequential", **settings: Any) -> SeriesStream:
        """Windows of `batch_size` rows and `steps` steps."""
        return SeriesStream(self.inputs, self.targets, self.counts, batch_size, steps, sampling, **settings)

    def counted(self) -> SeriesPart:
        """The steps from the first one that counts: without those that only lead up to it."""
        first = int(np.argmax(self.counts))
        return SeriesPart(self.inputs[first:], self.targets[first:], self.counts[first:])

    def whole(self, steps: int = 1024) -> SeriesStream:
        """One lane over all steps in order: for evaluation."""
        return self.stream(1, max(1, min(steps, len(self) - 1)), offset=False)


@dataclasses.dataclass(frozen=True, eq=False)
class SeriesData:
    """The parts of a series for training: what `bptt.fit` reads of a corpus, for numbers.

    valid  all steps, of which only those after the training part count: its state comes from what lies before
    """

    train: SeriesPart
    valid: SeriesPart | None = None
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    vocab: None = None
    fleeting: bool = False

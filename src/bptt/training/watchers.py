"""Whoever looks at a run from the side, once, before a window: what is seen, when it is due, what may be said of it.

Knows streams and strategies by their contracts; must not know what a watcher measures. A watcher changes nothing: a run is the
same bit for bit with and without.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

from bptt.data import Stream
from bptt.models import Unroll
from bptt.types import Carry, Strategy, Window


@dataclasses.dataclass(frozen=True)
class Moment:
    """A run before a window of its stream.

    unroll    the model, live: to be read, or copied, and left as it is
    strategy  how it is trained
    window    what the strategy is handed next
    carry     the strategy's carry before it
    stream    where windows come from; `windows` reads it without moving on
    """

    unroll: Unroll
    strategy: Strategy
    window: Window
    carry: Carry
    stream: Stream

    def windows(self, count: int) -> list[Window]:
        """At most `count` windows of this epoch in their order: those before this one and, if they are too few, from it on.

        A function of the place in the stream alone, so a resumed run sees the same.
        """
        start = max(0, min(self.stream.handed - 1, len(self.stream)) - count)
        return [self.stream.window(n).to(self.window.mask.device) for n in range(start, min(start + count, len(self.stream)))]


class Watcher(Protocol):
    """Called once in a run, before window `at`, counted from 0 over all epochs; a text that it returns is told as a notice."""

    @property
    def at(self) -> int:
        """Before which window of the run."""
        ...

    def __call__(self, moment: Moment) -> str | None:
        """What there is to say, if anything."""
        ...


def due(at: int, stream: Stream) -> bool:
    """True if the window just handed out is number `at` of the run.

    An epoch counts as many windows as the first one has: a drawn offset can make an epoch one window longer or shorter.
    """
    epoch, number = divmod(at, len(stream.layout.plan(0)))
    return stream.epoch == epoch and stream.handed - 1 == min(number, len(stream) - 1)

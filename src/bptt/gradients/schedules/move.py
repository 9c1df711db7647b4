"""The one question that a schedule answers: so many blocks ahead, so much memory free, what next?

Knows the shape of the answer; must not know any schedule.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Move(NamedTuple):
    """What to do with the blocks ahead, from the stored state before them.

    go   blocks to run without a graph; they are left for later, with the memory that is free now
    run  blocks to run after them with their graph, which is kept until everything behind it has been run backwards

    With run = 0 the state after `go` blocks is stored instead. Either way the blocks behind go on from there.
    """

    go: int
    run: int


class Schedule(Protocol):
    """A way to run blocks backwards; memory is counted in units, beyond the first state and the block at work."""

    @property
    def free(self) -> int:
        """The units there are."""
        ...

    def move(self, blocks: int, free: int) -> Move:
        """What to do when `blocks` are ahead and `free` units are left."""
        ...

    def price(self, run: int) -> int:
        """The units that are taken, for the blocks behind it, by a graph of `run` blocks, or by a state if `run` is 0."""
        ...

    def forwards(self, blocks: int) -> int:
        """How many blocks are run forwards in all, with the one run of each that has a graph."""
        ...

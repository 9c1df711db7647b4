"""The optimal schedule that stores carried states and nothing else.

Knows the closed form; needs no table, so any number of blocks will do.
"""

from __future__ import annotations

import dataclasses
import math

from bptt.gradients.schedules.move import Move


@dataclasses.dataclass(frozen=True)
class Revolve:
    """The fewest forward steps with `slots` stored states, the first one included.

    With r the smallest number for which C(s + r, s) ≥ n, reversing n steps with s slots takes

        n + r n − C(s + r, r − 1)        steps forwards

    n of them with a graph: each step is run r times at most before that.

    Arguments: slots, how many states are stored at a time, at least 1.

    >>> Revolve(3).forwards(16) - 16
    33

    Source: Griewank & Walther 2000.
    """

    slots: int

    @property
    def free(self) -> int:
        """All slots but the one of the first state."""
        return self.slots - 1

    def move(self, blocks: int, free: int) -> Move:
        """Store a state so that neither side needs more repetitions than the whole."""
        if blocks == 1 or not free:
            return Move(blocks - 1, 1)
        slots = free + 1
        r = repetitions(blocks, slots)
        before = math.comb(slots + r - 1, slots)
        return Move(min(before, blocks - math.comb(slots + r - 2, slots - 1)), 0)

    def price(self, run: int) -> int:
        """A state takes a slot; nothing lies behind a graph."""
        return 1

    def forwards(self, blocks: int) -> int:
        """n + r n − C(s + r, r − 1)."""
        r = repetitions(blocks, self.slots)
        return blocks + r * blocks - (math.comb(self.slots + r, r - 1) if r else 0)


def repetitions(blocks: int, slots: int) -> int:
    """The smallest r for which C(slots + r, slots) ≥ blocks: how often a block is run at most before it has its graph."""
    if slots == 1:
        return blocks - 1
    r, reach = 0, 1
    while reach < blocks:
        r += 1
        reach = reach * (slots + r) // r
    return r

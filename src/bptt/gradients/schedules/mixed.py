"""The optimal schedule that stores states and also what a block keeps for its backward.

Knows the dynamic programme; quadratic in blocks, so a long window is cut into about a thousand of them.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from bptt.gradients.schedules.move import Move


@dataclasses.dataclass(frozen=True)
class Mixed:
    """The fewest forward blocks with `free` units, of which a state takes one and the internals of a block take α.

    E(n, m), the blocks run forwards to reverse n of them with m units, is the least of

        j + E(n−j, m−1) + E(j, m)            store the state after block j
        j + E(n−j, m−α) + E(j−1, m)          keep the internals of block j, which need no second run
        n + E(n−1, m)                        run the last block backwards at once

    over j < n, from E(0, m) = 0. The state before the first block and the internals of the block at work come on top of m.

    Arguments: blocks, the most that will be asked for; free, m; internals, α.

    >>> Mixed(1000, 50, 1).forwards(1000)
    1949

    Source: Gruslys et al. 2016.
    """

    blocks: int
    free: int
    internals: int

    def move(self, blocks: int, free: int) -> Move:
        """The move that E was made of; all at once where all internals fit."""
        if blocks <= 1 + free // self.internals:
            return Move(0, blocks)
        best = table(self.blocks, self.free, self.internals)
        choices = {Move(blocks - 1, 1): blocks + best[blocks - 1, free]}
        j = np.arange(1, blocks)
        if free >= 1:
            cost = j + best[blocks - j, free - 1] + best[j, free]
            choices[Move(int(j[cost.argmin()]), 0)] = cost.min()
        if free >= self.internals:
            cost = j + best[blocks - j, free - self.internals] + best[j - 1, free]
            choices[Move(int(j[cost.argmin()]) - 1, 1)] = cost.min()
        return min(choices, key=lambda move: choices[move])

    def price(self, run: int) -> int:
        """1 for a state, α for the internals of each block."""
        return self.internals * run or 1

    def forwards(self, blocks: int) -> int:
        """E(blocks, free)."""
        return int(table(self.blocks, self.free, self.internals)[blocks, self.free])


@functools.lru_cache(maxsize=8)
def table(blocks: int, free: int, internals: int) -> NDArray[np.int32]:
    """E(n, m) for n up to `blocks` and m up to `free`."""
    best = np.zeros((blocks + 1, free + 1), np.int32)
    onwards = best.copy()  # j + E(j, m), so that the loop adds twice per entry and not three times
    for n in range(1, blocks + 1):
        least = best[n - 1] + n
        behind = best[n - 1 : 0 : -1]
        if n > 1 and free >= 1:
            stored = (onwards[1:n, 1:] + behind[:, :-1]).min(0)
            least[1:] = np.minimum(least[1:], stored)
        if n > 1 and free >= internals:
            kept = (onwards[: n - 1, internals:] + behind[:, : free + 1 - internals]).min(0) + 1
            least[internals:] = np.minimum(least[internals:], kept)
        best[n], onwards[n] = least, least + n
    return best

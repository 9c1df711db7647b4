"""Where the rows of an epoch read: three ways to lay lanes or blocks over a text.

Knows token positions and random draws; must not know tokens, tensors or who reads them.

A *block* is a run of consecutive targets that one row reads without a reset. All three samplings are blocks: sequential
partitioning has one round of `batch_size` long ones (the lanes), random sampling has many as long as one window, shuffled
blocks are several windows long. A plan of an epoch is therefore only the position at which each block starts.
"""

from __future__ import annotations

import dataclasses

import numpy as np

SAMPLINGS = ("sequential", "random", "shuffled")


@dataclasses.dataclass(frozen=True)
class Layout:
    """The settings of a stream that fix its plans, after shrinking to the text.

    targets     how many tokens have a next one: N - 1
    batch_size  rows B
    steps       T
    block       length of a block in targets; None for lanes, whose length follows from the offset
    offset      draw one (True), none (False), or this one (int)
    drop_last   drop what does not fill a batch or window
    """

    targets: int
    batch_size: int
    steps: int
    block: int | None
    offset: bool | int
    drop_last: bool
    seed: int

    @property
    def room(self) -> int:
        """The largest offset that a draw may take: it must leave a full window to every row of one batch."""
        shortest = self.block or self.steps
        most = self.steps if self.block is None else self.block - 1
        return min(most, max(0, self.targets - self.batch_size * shortest))

    def plan(self, epoch: int) -> Plan:
        """The plan of one epoch: a pure function of the layout and `epoch`."""
        draw = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, epoch])))
        offset = int(draw.integers(0, self.room + 1)) if self.offset is True else int(self.offset)
        return self._lanes(offset) if self.block is None else self._blocks(offset, self.block, draw)

    def _lanes(self, offset: int) -> Plan:
        length = (self.targets - offset) // self.batch_size
        if self.drop_last and length >= self.steps:
            length -= length % self.steps
        starts = offset + length * np.arange(self.batch_size, dtype=np.int64)
        return Plan(starts[None], np.ones((1, self.batch_size), bool), length, self.steps)

    def _blocks(self, offset: int, block: int, draw: np.random.Generator) -> Plan:
        order = draw.permutation((self.targets - offset) // block)
        spare = len(order) % self.batch_size
        if self.drop_last:
            order, padding = order[: len(order) - spare], 0
        else:
            padding = -len(order) % self.batch_size
        live = np.arange(len(order) + padding) < len(order)
        starts = offset + block * np.concatenate([order, np.resize(order, padding)]).astype(np.int64)
        return Plan(starts.reshape(-1, self.batch_size), live.reshape(-1, self.batch_size), block, self.steps)


@dataclasses.dataclass(frozen=True)
class Plan:
    """One epoch: `starts` [rounds, B] of blocks of `block` targets, read in windows of `steps`; `live` marks real rows."""

    starts: np.ndarray
    live: np.ndarray
    block: int
    steps: int

    @property
    def windows_per_block(self) -> int:
        return -(-self.block // self.steps)

    def __len__(self) -> int:
        return len(self.starts) * self.windows_per_block

    def positions(self, window: int) -> np.ndarray:
        """The token positions [B, T] that window number `window` reads."""
        turn, piece = divmod(window, self.windows_per_block)
        first = piece * self.steps
        return self.starts[turn][:, None] + np.arange(first, min(first + self.steps, self.block))

    def rows(self, window: int) -> np.ndarray:
        """Which rows [B] of window number `window` are real and not padding."""
        return self.live[window // self.windows_per_block]

    def begins(self, window: int) -> bool:
        """True where window number `window` is the first of its blocks, so that its first step resets."""
        return window % self.windows_per_block == 0

"""Streams over a task: lanes over the steps of an epoch, which a fresh task draws anew each time.

Knows tasks and positions; must not know vocabularies or models. The steps of an epoch are a function of the task, the part
and the epoch alone, so the state of a stream is two numbers, as of any other.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import torch

from bptt.data.stream import Stream
from bptt.data.tasks.task import Drawn, Task
from bptt.types import Window

PARTS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Supply:
    """`count` steps of a part of a task, by epoch, numbers in `dtype`. Held-out parts are the same in every epoch."""

    task: Task
    part: str
    count: int
    dtype: str = "float32"

    def epoch(self, number: int) -> Drawn:
        """The steps of an epoch."""
        return drawn(self, number if self.task.fresh and self.part == "train" else 0)


@functools.lru_cache(maxsize=8)
def drawn(supply: Supply, number: int) -> Drawn:
    """Drawn once for all who look at the same epoch."""
    seeds = np.random.SeedSequence([supply.task.seed, PARTS.index(supply.part), number])
    steps = supply.task.draw(np.random.Generator(np.random.Philox(seeds)), supply.count)
    if steps.inputs.dtype.kind != "f":
        return steps
    return dataclasses.replace(steps, inputs=steps.inputs.astype(supply.dtype), targets=steps.targets.astype(supply.dtype))


class TaskStream(Stream):
    """Windows of B rows and T steps over a task; all else as `Stream`.

    Resets stand where lanes begin and where sequences do. A step whose loss hangs on something before its lane's beginning
    does not count: the floor is that of one who has read what matters.
    """

    what, unit = "task", "steps"

    def __init__(self, supply: Supply, batch_size: int = 32, steps: int = 64, *args: Any, **settings: Any) -> None:
        self.supply = supply
        super().__init__(supply.count, batch_size, steps, *args, **settings)
        self._settings: dict[str, Any] = {**self._settings, "task": repr(supply)}

    @property
    def counted(self) -> int:
        """How many losses of the current epoch count, read as one lane."""
        steps = self.supply.epoch(self.epoch)
        return int((steps.counts & (steps.since >= 0))[:-1].sum())

    def read(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs, targets, and what counts."""
        steps = self.supply.epoch(self.epoch)
        return steps.inputs[at], steps.targets[at], steps.counts[at]

    def window(self, number: int) -> Window:
        """Window `number` of the current epoch, without moving on."""
        window, at, steps = super().window(number), self._plan.positions(number), self.supply.epoch(self.epoch)
        begun = self._plan.positions(number - number % self._plan.windows_per_block)[:, :1]
        known, reset = steps.since[at] >= begun, steps.reset[at]
        return dataclasses.replace(
            window, reset=window.reset | torch.from_numpy(reset), mask=window.mask & torch.from_numpy(known)
        )

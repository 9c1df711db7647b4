"""What is known of a run so far: its epochs, the best of them, how long nothing was better, and the time it took.

Knows results; must not know how they came about.
"""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

from bptt.errors import CheckpointError


@dataclasses.dataclass(frozen=True)
class Best:
    """The best epoch so far: its update, its number from 1, and its figure on the validation part (else on training).

    value, measure  the figure, and what it is called: perplexity, or the error of a series
    A run that ends before any epoch was judged has its last one here, with a figure of NaN.
    """

    step: int
    epoch: int
    value: float
    measure: str = "perplexity"

    @property
    def perplexity(self) -> float:
        """The figure of a language model."""
        if self.measure != "perplexity":
            raise AttributeError(f"A model of a series is judged by {self.measure}: see value")
        return self.value

    def to_json(self) -> dict[str, Any]:
        """As plain values, the figure under its own name."""
        return {"step": self.step, "epoch": self.epoch, self.measure: self.value}


class Course:
    """The results of a run as they come.

    history  the "epoch" and "valid" events
    best     the best epoch so far, if there is one
    stalled  epochs since then
    seconds  spent on training, without validation and samples
    """

    def __init__(self, measure: str = "perplexity") -> None:
        self.measure = measure
        self.history: list[dict[str, Any]] = []
        self.best: Best | None = None
        self.stalled = 0
        self.seconds = 0.0
        self._clock = time.monotonic()

    def judge(self, step: int, epoch: int, value: float) -> None:
        """Take note of the result of an epoch; NaN, where there is none to judge by, counts neither for nor against it."""
        if math.isnan(value):
            return
        if self.best is None or value < self.best.value:
            self.best, self.stalled = Best(step, epoch, value, self.measure), 0
        else:
            self.stalled += 1

    def tick(self, training: bool = True) -> None:
        """Count the time since the last tick as training, or leave it out."""
        at = time.monotonic()
        self.seconds += (at - self._clock) * training
        self._clock = at

    def best_facts(self) -> dict[str, Any] | None:
        """The best epoch as plain JSON."""
        return None if self.best is None else self.best.to_json()

    def state_dict(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {"history": self.history, "best": self.best_facts(), "stalled": self.stalled, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.history, self.stalled, self.seconds = state["history"], state["stalled"], state["seconds"]
        best = state["best"]
        if best is not None and not isinstance(best.get(self.measure), int | float):
            raise CheckpointError(f"The best epoch has no {self.measure}", str(best)[:80], "Use another checkpoint")
        self.best = None if best is None else Best(best["step"], best["epoch"], best[self.measure], self.measure)
        self._clock = time.monotonic()

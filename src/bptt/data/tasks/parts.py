"""The parts of a task, as a text and as a series have them: what `bptt.fit` trains on and models are judged by.

Knows supplies and their streams; must not know models.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from bptt.data.series import SeriesPart
from bptt.data.tasks.stream import Supply, TaskStream
from bptt.data.tokens import Tokens


@dataclasses.dataclass(frozen=True, eq=False)
class TaskTokens(Tokens):
    """Steps of a task of tokens; `ids` are what is read in the first epoch."""

    supply: Supply = dataclasses.field(kw_only=True)

    @classmethod
    def of(cls, supply: Supply) -> TaskTokens:
        """The part that a supply fills."""
        steps = supply.epoch(0)
        return cls(steps.inputs, supply=supply)

    def head(self, most: int) -> TaskTokens:
        """At most so many steps, drawn alike."""
        return TaskTokens.of(dataclasses.replace(self.supply, count=min(most, len(self))))

    def stream(self, batch_size: int = 32, steps: int = 64, sampling: str = "sequential", **settings: Any) -> TaskStream:  # type: ignore[override]
        """Windows of `batch_size` rows and `steps` steps."""
        return TaskStream(self.supply, batch_size, steps, sampling, **settings)

    def whole(self, steps: int = 1024) -> TaskStream:  # type: ignore[override]
        """One lane over all steps but the last, in order: for evaluation."""
        return self.stream(1, max(1, min(steps, len(self) - 1)), offset=False)


@dataclasses.dataclass(frozen=True, eq=False)
class TaskNumbers(SeriesPart):
    """Steps of a task of numbers; the arrays are those of the first epoch."""

    supply: Supply = dataclasses.field(kw_only=True)

    @classmethod
    def of(cls, supply: Supply) -> TaskNumbers:
        """The part that a supply fills."""
        steps = supply.epoch(0)
        return cls(steps.inputs, steps.targets, steps.counts & (steps.since >= 0), supply=supply)

    def stream(self, batch_size: int = 8, steps: int = 64, sampling: str = "sequential", **settings: Any) -> TaskStream:  # type: ignore[override]
        """Windows of `batch_size` rows and `steps` steps."""
        return TaskStream(self.supply, batch_size, steps, sampling, **settings)

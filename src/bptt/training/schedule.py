"""Learning-rate schedules, as a factor on the base rate.

All but one are pure functions of how far the run is, so they need no state; on-plateau counts bad validations.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

SCHEDULES = ("constant", "cosine", "step", "plateau")


@dataclasses.dataclass
class Schedule:
    """The factor on the learning rate.

    kind      constant; cosine: ½(1 + cos π p), p from 0 after the warmup to 1 at the end; step: ×decay every `every` epochs;
              plateau: ×decay once validation has not improved for `every` epochs
    epochs    length of the run
    warmup    epochs (may be a fraction) over which the factor first rises linearly from 0
    """

    kind: str = "constant"
    epochs: float = 1.0
    warmup: float = 0.0
    decay: float = 0.5
    every: int = 1
    reached: float = 1.0
    best: float | None = None
    waited: int = 0

    def factor(self, epoch: float) -> float:
        """The factor after `epoch` epochs, a fraction within one."""
        rise = min(1.0, epoch / self.warmup) if self.warmup else 1.0
        if self.kind == "cosine":
            share = (epoch - self.warmup) / max(self.epochs - self.warmup, 1e-9)
            return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, share))))
        if self.kind == "step":
            return rise * self.decay ** int(epoch // self.every)
        return rise * self.reached

    def validated(self, result: float) -> None:
        """Take note of a validation result; NaN, where there is none, is not counted."""
        if math.isnan(result):
            return
        if self.best is None or result < self.best:
            self.best, self.waited = result, 0
            return
        self.waited += 1
        if self.kind == "plateau" and self.waited >= self.every:
            self.reached, self.waited = self.reached * self.decay, 0

    def state_dict(self) -> dict[str, Any]:
        """What `factor` depends on beside the settings."""
        return {"reached": self.reached, "best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.reached, self.best, self.waited = state["reached"], state["best"], state["waited"]

"""What is done with a gradient: clip it, step the optimiser, forget it.

Knows parameters and their `.grad`; must not know how the gradient was made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from bptt.training.clip import clip_gradients
from bptt.training.schedule import Schedule

OPTIMIZERS = ("sgd", "adam", "adamw")


@dataclasses.dataclass(frozen=True)
class Spent:
    """Facts about one update: the norm before clipping, whether it was clipped, the learning rate."""

    norm: float
    clipped: bool
    lr: float


class Update:
    """Clip, step, zero."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer, schedule: Schedule, limit: float | None
    ) -> None:
        self.parameters, self.optimizer, self.schedule, self.limit = list(parameters), optimizer, schedule, limit
        self.base = [group["lr"] for group in optimizer.param_groups]

    def clip(self) -> tuple[float, bool]:
        """Clip the gradient; its norm before, and whether that was above the limit."""
        return clip_gradients(self.parameters, self.limit)

    def spend(self, epoch: float, norm: float, clipped: bool) -> Spent:
        """One optimiser step after `epoch` epochs, at the rate that the schedule gives."""
        factor = self.schedule.factor(epoch)
        for group, base in zip(self.optimizer.param_groups, self.base, strict=True):
            group["lr"] = base * factor
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Spent(norm, clipped, self.base[0] * factor)

    def state_dict(self) -> dict[str, Any]:
        """Optimiser and schedule."""
        return {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`, on whatever device the parameters are now."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


def make_optimizer(
    name: str, parameters: Iterable[nn.Parameter], *, lr: float, momentum: float = 0.0, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """sgd (with momentum), adam or adamw, as torch has them, in one pass."""
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    # One pass over the parameters rather than a dozen: the result differs from the other ways by rounding.
    return kind(parameters, lr=lr, weight_decay=weight_decay, fused=True)

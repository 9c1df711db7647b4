"""What is done with a gradient: clip it, step the optimiser, forget it.

Knows parameters and their `.grad`; must not know how the gradient was made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from bptt.errors import CheckpointError
from bptt.training.clip import clip_gradients
from bptt.training.schedule import Schedule

OPTIMIZERS = ("sgd", "adam", "adamw")
# What each keeps of a parameter: numbers of its shape, but for the count of steps.
MOMENTS = ("exp_avg", "exp_avg_sq", "step")
KEEPS = {torch.optim.SGD: ("momentum_buffer",), torch.optim.Adam: MOMENTS, torch.optim.AdamW: MOMENTS}


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
        # The settings are the run's own; only the numbers, and the rate that was last used, come from the state.
        groups = self.optimizer.state_dict()["param_groups"]
        try:
            rates, kept = [group["lr"] for group in state["optimizer"]["param_groups"]], state["optimizer"]["state"]
            for number, values in kept.items():
                self._check_kept(self.parameters[number], values)
            groups = [{**group, "lr": float(rate)} for group, rate in zip(groups, rates, strict=True)]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            given = f"{type(error).__name__}: {error}"
            raise CheckpointError("The saved optimiser is of another run", given, "Use another checkpoint") from error
        self.optimizer.load_state_dict({"state": kept, "param_groups": groups})
        self.schedule.load_state_dict(state["schedule"])

    def _check_kept(self, parameter: nn.Parameter, values: Mapping[str, Any]) -> None:
        """ValueError unless these are the numbers that the optimiser keeps of a parameter: it would read past their end."""
        wanted = KEEPS.get(type(self.optimizer))
        if wanted is not None and sorted(values) != sorted(wanted):
            raise ValueError(f"{', '.join(map(str, values))} of a parameter")
        for name, value in values.items():
            shape = () if name == "step" else parameter.shape
            if value is not None and (not value.is_floating_point() or value.shape != shape):
                raise ValueError(f"{name} is {value.dtype} of shape {tuple(value.shape)}")


def make_optimizer(
    name: str, parameters: Iterable[nn.Parameter], *, lr: float, momentum: float = 0.0, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """sgd (with momentum), adam or adamw, as torch has them, in one pass."""
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    # One pass over the parameters rather than a dozen: the result differs from the other ways by rounding.
    return kind(parameters, lr=lr, weight_decay=weight_decay, fused=True)

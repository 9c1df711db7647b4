"""Strategies whose error is known because it was put there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch

from bptt import Full, InputError, nest
from bptt.types import Carry, Estimate, Unroll, Window


@dataclasses.dataclass(frozen=True)
class Scaled(Full):
    """The exact gradient of a window times a factor."""

    factor: float = 1.2

    def gradients(self, unroll: Unroll, window: Window, carry: Carry) -> Iterator[Estimate]:
        if not window.steps:
            yield from super().gradients(unroll, window, carry)
            return
        loss, state = unroll.segment(window, nest.detach(carry.state))
        unroll.backward(loss * self.drawn)
        yield Estimate(loss.detach(), window.count, Carry(nest.detach(state)), window.steps, info={"weight": self.drawn})

    @property
    def drawn(self) -> float:
        return self.factor


@dataclasses.dataclass(frozen=True)
class Coin(Scaled):
    """The exact gradient times 1 + a or 1 − a, each with probability ½: no bias, variance a²."""

    a: float = 0.5
    seed: int = 0

    random: ClassVar[bool] = True

    @property
    def drawn(self) -> float:
        return 1 + self.a if np.random.default_rng(self.seed).integers(2) else 1 - self.a


@dataclasses.dataclass(frozen=True)
class Tilted(Full):
    """The exact gradient, and in one parameter `by` times as much at a right angle to it."""

    parameter: str = "recurrent.layer.weight_hh_l0"
    by: float = 0.3

    def gradients(self, unroll: Unroll, window: Window, carry: Carry) -> Iterator[Estimate]:
        estimates = list(super().gradients(unroll, window, carry))
        if window.steps:
            grad = dict(unroll.named_parameters())[self.parameter].grad
            assert grad is not None
            pairs = grad.reshape(-1, 2)
            grad += self.by * torch.stack([-pairs[:, 1], pairs[:, 0]], 1).reshape(grad.shape)
        yield from estimates


@dataclasses.dataclass(frozen=True)
class Refusing(Full):
    """Cannot run on any model."""

    def start(self, unroll: Unroll, batch_size: int) -> Carry:
        raise InputError("This cannot run", "any model", "Take another")


@dataclasses.dataclass(frozen=True)
class Broken(Full):
    """Gives a gradient that is not finite."""

    def gradients(self, unroll: Unroll, window: Window, carry: Carry) -> Iterator[Estimate]:
        estimates = list(super().gradients(unroll, window, carry))
        for _, parameter in unroll.named_parameters():
            if parameter.grad is not None:
                parameter.grad.fill_(torch.nan)
        yield from estimates


@dataclasses.dataclass(frozen=True)
class Late(Full):
    """Refuses its 31st window."""

    def gradients(self, unroll: Unroll, window: Window, carry: Carry) -> Iterator[Estimate]:
        seen = carry.memory or 0
        if seen == 30:
            raise InputError("It has had enough", "so many windows", "Take another")
        for estimate in super().gradients(unroll, window, carry):
            yield dataclasses.replace(estimate, carry=Carry(estimate.carry.state, seen + 1))

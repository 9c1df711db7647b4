"""Truncated back-propagation through time: fixed stretches, state carried, gradient cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar, Literal

from bptt.errors import InputError, did_you_mean
from bptt.gradients.references import WILLIAMS_PENG_1990
from bptt.gradients.settings import step_count
from bptt.gradients.stretches import Memory, Stretches, together
from bptt.types import Carry, Estimate, Unroll, Window

UPDATES = ("stretch", "window")


@dataclasses.dataclass(frozen=True)
class Truncated(Stretches):
    """Every k1 steps, the losses of the last k1 steps go back through the last k2 steps.

    k2 = k1 (the default)  stretches of k1 steps: a loss at position p of its stretch (p = 0 first) has the lags 0 … p
    k2 > k1                overlapping: every loss has at least the lags 0 … k2 − k1, at most k2 − 1; k1 = 1 is "true"
                           truncation at k2 terms. The k2 − k1 steps before a stretch are run again, under the parameters of
                           now, from the carried state before them, so an update between two stretches is right.

    Arguments:
        k1      steps between two updates
        k2      steps that the gradient flows back over, at least k1; None: k1
        update  "stretch": one update per stretch; "window": the stretches that end in a window add up to one update

    Borders of windows do not matter: a stretch that a window leaves open waits in the carry. The bias is O(1/k) for k2 = k1 = k
    (the early losses of a stretch see few lags) and falls like βᵏ²⁻ᵏ¹ for k2 > k1 where Jacobians shrink by β per step.

    >>> Truncated(64)
    Truncated(k1=64, k2=None, update='stretch')
    """

    k1: int
    k2: int | None = None
    update: Literal["stretch", "window"] = "stretch"

    exact: ClassVar[bool] = False
    unbiased: ClassVar[bool] = False
    random: ClassVar[bool] = False
    omits: ClassVar[str] = "what lies before the last k2 steps: O(1/k) for k2 = k1 = k, O(βᵏ²⁻ᵏ¹⁺¹) for k2 > k1"
    cost: ClassVar[str] = "k2/k1 forwards and backwards"
    memory: ClassVar[str] = "O(k2)"
    reference: ClassVar[str] = WILLIAMS_PENG_1990

    def __post_init__(self) -> None:
        step_count("k1", self.k1)
        if self.k2 is not None and step_count("k2", self.k2) < self.k1:
            raise InputError(
                "k2, the steps that a gradient flows back over, is smaller than k1, the steps between two updates",
                f"k1={self.k1}, k2={self.k2}",
                f"Give k2 of at least {self.k1}, or leave it out",
            )
        if self.update not in UPDATES:
            raise InputError(
                "There is no such update", f"update={self.update!r}", did_you_mean(str(self.update), list(UPDATES))
            )

    @property
    def per_window(self) -> bool:
        """True if what is spent depends on where windows end."""
        return self.update == "window"

    def overlap(self, memory: Memory) -> int:
        """k2 − k1."""
        return (self.k2 or self.k1) - self.k1

    def nominal(self, steps: int) -> int:
        """k1, whatever the window: with update="window" the means of the stretches add up."""
        return self.k1

    def length(self, memory: Memory) -> float:
        """k1."""
        return self.k1

    def gradients(self, unroll: Unroll, window: Window, carry: Carry) -> Iterator[Estimate]:
        """One estimate per stretch, or one per window."""
        estimates = super().gradients(unroll, window, carry)
        if self.update == "stretch":
            yield from estimates
        else:
            yield together(list(estimates))

"""Exact back-propagation through the whole window."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

from bptt import nest
from bptt.gradients.idle import idle
from bptt.gradients.references import WERBOS_1990
from bptt.types import Carry, Estimate, Unroll, Window


@dataclasses.dataclass(frozen=True)
class Full:
    """The exact gradient over all steps of a window; the state is carried on, detached, to the next window.

    ∂L/∂θ = Σ_t Σ_{k ≤ t} q_t D_t … D_{t−k+1} I_{t−k}        (every lag within the window)

    Memory grows with the window, and so do the powers of the Jacobians D: gradients may vanish or explode with T. A model that
    looks ahead (bidirectional) has nothing to carry: each of its windows starts from the initial state.

    >>> Full().nominal(35)
    35
    """

    exact: ClassVar[bool] = True
    unbiased: ClassVar[bool] = True
    online: ClassVar[bool] = False
    per_window: ClassVar[bool] = True
    random: ClassVar[bool] = False
    omits: ClassVar[str] = "nothing within a window"
    cost: ClassVar[str] = "one forward and one backward"
    memory: ClassVar[str] = "O(T)"
    reference: ClassVar[str] = WERBOS_1990

    def nominal(self, steps: int) -> int:
        """One update spends the losses of a window."""
        return steps

    def start(self, unroll: Unroll, batch_size: int) -> Carry:
        """The initial state; no memory of its own."""
        return Carry(nest.detach(unroll.initial_state(batch_size)))

    def gradients(self, unroll: Unroll, window: Window, carry: Carry) -> Iterator[Estimate]:
        """One estimate per window."""
        if not window.steps:
            yield idle(window, carry)
            return
        start = nest.detach(carry.state) if unroll.causal else unroll.initial_state(window.batch_size)
        loss, state = unroll.segment(window, start)
        unroll.backward(loss)
        yield Estimate(loss.detach(), window.count, Carry(nest.detach(state)), window.steps)

"""One engine for every rule that cuts the stream of all rows at one place.

A stretch is run, forward and backward, only when its cut has arrived. Until then its steps wait in the carry as a window, so
that the borders of the windows that a loader hands out leave no trace: the same stretches, the same updates, bit for bit. A
rule says how long the stretch is that starts at a position of the stream, how many steps before it it looks back on, what
its edges weigh, and what it learns from the steps that pass; it needs no loop of its own.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from bptt import nest
from bptt.gradients.idle import idle
from bptt.gradients.settings import require_causal, require_repeatable
from bptt.types import Carry, Estimate, State, Unroll, Window

Memory = Mapping[str, Any]


class Stretches(abc.ABC):
    """Base of the strategies that cut all rows at one place. Memory: position (of the open stretch), open, past.

    past   the steps that the next stretch looks back on, their losses silenced; the carried state is the one before them
    open   the steps of the stretch whose end has not arrived yet
    """

    online: ClassVar[bool] = False

    @property
    def per_window(self) -> bool:
        """True if what one update spends depends on where windows end."""
        return False

    @abc.abstractmethod
    def length(self, memory: Memory) -> float:
        """How many steps the stretch that starts at `memory["position"]` has; infinity if only the end of the run closes it."""

    def overlap(self, memory: Memory) -> int:
        """How many steps before a stretch its gradient flows back into."""
        return 0

    def edges(self, run: Window) -> Tensor | None:
        """The edge weights [B, T] inside `run`; None for ones."""
        return None

    def first(self) -> Memory:
        """What else the rule remembers, before the first step."""
        return {}

    def learn(self, unroll: Unroll, stretch: Window, carry: Carry) -> Memory:
        """The memory, after a look at a stretch that is about to be run; `carry` has the state before the past."""
        return carry.memory

    def info(self, stretch: Window, memory: Memory) -> Mapping[str, float]:
        """Facts about the run of a stretch, for the progress line."""
        return {}

    def start(self, unroll: Unroll, batch_size: int) -> Carry:
        """The initial state, at position 0 of the stream, nothing open; InputError for a model that cannot be cut."""
        require_causal(unroll, type(self).__name__)
        memory = {"position": 0, "open": None, "past": None, **self.first()}
        if self.overlap(memory):
            require_repeatable(unroll, type(self).__name__)
        return Carry(nest.detach(unroll.initial_state(batch_size)), memory)

    def gradients(self, unroll: Unroll, window: Window, carry: Carry) -> Iterator[Estimate]:
        """One estimate per stretch that ends in `window`; one that is not ready if the window ends in an open stretch."""
        done = 0
        while True:
            state, memory = carry.state, dict(carry.memory)
            opened = memory["open"].steps if memory["open"] is not None else 0
            wanted = self.length(memory)
            taken = int(min(wanted - opened, window.steps - done))
            stretch = Window.cat(memory["open"], window[:, done : done + taken])
            done += taken
            closing = window.steps == 0
            if stretch.steps == 0 or (stretch.steps < wanted and not closing):
                yield idle(window, Carry(state, dict(memory, open=stretch if stretch.steps else None)))
                return
            loss, carry = self.spend(unroll, stretch, Carry(state, memory))
            yield Estimate(loss, stretch.count, carry, done, info=self.info(stretch, carry.memory))
            if done == window.steps:
                return

    def spend(self, unroll: Unroll, stretch: Window, carry: Carry) -> tuple[Tensor, Carry]:
        """Run `stretch` behind the past it looks back on, add its gradient, and say where the next one starts."""
        memory = self.learn(unroll, stretch, carry)
        run = Window.cat(memory["past"], stretch)
        drop = max(0, run.steps - self.overlap(memory))
        loss, state = _run(unroll, run, carry.state, self.edges(run), drop)
        position = memory["position"] + stretch.steps
        return loss, Carry(state, dict(memory, position=position, open=None, past=run.tail(drop)))


def _run(unroll: Unroll, run: Window, state: State, edge: Tensor | None, drop: int) -> tuple[Tensor, State]:
    """Gradient of all losses of `run`; returns their sum and the state after the first `drop` steps."""
    loss: Tensor | None = None
    middle = state = nest.detach(state)
    for a, b in ((0, drop), (drop, run.steps)):
        if a < b:
            part, state = unroll.segment(run[:, a:b], state, None if edge is None else edge[:, a:b])
            loss = part if loss is None else loss + part
        if b == drop:
            middle = nest.detach(state)
    assert loss is not None
    unroll.backward(loss)
    return loss.detach(), middle


def together(estimates: list[Estimate]) -> Estimate:
    """Several estimates of one window as one: what is spent once is what they add up to."""
    spent = [estimate for estimate in estimates if estimate.ready]
    last = estimates[-1]
    if not spent:
        return last
    loss = torch.stack([estimate.loss_sum for estimate in spent]).sum()
    count = sum(estimate.count for estimate in spent)
    return Estimate(loss, count, last.carry, last.steps, info=spent[-1].info)

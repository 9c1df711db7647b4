"""Run a window forwards and backwards as a schedule says: pieces of it, some of them again, from states that were stored.

Knows points, pieces and the order of a schedule; must not know where the schedule came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from bptt import nest
from bptt.gradients import randomness
from bptt.gradients.randomness import Random
from bptt.gradients.schedules import Plan
from bptt.types import State, Unroll, Window


class Point(NamedTuple):
    """Where a run can be taken up again: a step, the state before it, and the random state with which it began."""

    step: int
    state: State
    random: Random

    @classmethod
    def first(cls, window: Window, state: State) -> Point:
        """The point before the first step of `window`."""
        return cls(0, nest.detach(state), randomness.read(window.mask.device))


class Piece(NamedTuple):
    """Steps that were run with their graph: the sum of their losses, the leaves they began with, the state at their end."""

    loss: Tensor
    start: State
    end: State


class Ahead(NamedTuple):
    """Blocks that are still to be run backwards, from a point, with units of memory for it."""

    point: Point
    blocks: int
    free: int


class Outcome(NamedTuple):
    """What a run gives.

    loss      the sum of the losses
    state     the state after the last step
    forwards  steps that were run forwards, those with a graph included
    slots     the most points and graphs that waited at a time, the point at work included
    """

    loss: Tensor
    state: State
    forwards: int
    slots: int


class Replay:
    """A window on its way back, one move of the plan at a time."""

    def __init__(self, unroll: Unroll, window: Window, plan: Plan) -> None:
        self.unroll, self.window, self.plan = unroll, window, plan
        self.losses: list[Tensor] = []
        self.end: Point | None = None
        self.forwards = 0

    def run(self, point: Point) -> Outcome:
        """Everything: adds the gradient of the window's losses into `.grad`, and leaves the random state of one pass."""
        tasks: list[Ahead | Piece] = [Ahead(point, self.plan.blocks, self.plan.schedule.free)]
        adjoint, slots = None, 0
        while tasks:
            task = tasks.pop()
            if isinstance(task, Piece):
                adjoint = self.unroll.backward(task.loss, start=task.start, end=task.end, adjoint=adjoint)
            else:
                slots = max(slots, len(tasks) + 1)
                tasks += self.unfold(task)
        assert self.end is not None
        randomness.write(self.window.mask.device, self.end.random)
        return Outcome(torch.stack(self.losses).sum(), self.end.state, self.forwards, slots)

    def unfold(self, ahead: Ahead) -> list[Ahead | Piece]:
        """One move: what it leaves to be done, the last of it first."""
        go, run = self.plan.schedule.move(ahead.blocks, ahead.free)
        tasks: list[Ahead | Piece] = [Ahead(ahead.point, go, ahead.free)] if go else []
        point = self.go(ahead.point, go)
        for steps in self.calls(point, run):
            piece, point = record(self.unroll, steps, point)
            self.losses.append(piece.loss.detach())
            tasks.append(piece)
        behind = ahead.blocks - go - run
        if behind:
            tasks.append(Ahead(point, behind, ahead.free - self.plan.schedule.price(run)))
        elif self.end is None:
            self.end = point
        return tasks

    @torch.no_grad()
    def go(self, point: Point, blocks: int) -> Point:
        """Forwards without a graph."""
        for steps in self.calls(point, blocks):
            point = run(self.unroll, steps, point, point.state)[2]
        return point

    def calls(self, point: Point, blocks: int) -> Iterator[Window]:
        """The steps of `blocks` blocks from `point`, as many at a time as run in one call.

        Where torch's own generator draws, no call crosses the start of a block: the second time it may begin there, and a call
        on other steps would draw other masks.
        """
        stop = min(point.step + blocks * self.plan.length, self.window.steps)
        span = blocks * self.plan.length if self.unroll.repeatable else self.plan.length
        for start in range(point.step, stop, max(span, 1)):
            end = min(start + span, stop)
            for step in range(start, end, self.plan.reach):
                steps = self.window[:, step : min(step + self.plan.reach, end)]
                self.forwards += steps.steps
                yield steps


def record(unroll: Unroll, steps: Window, point: Point) -> tuple[Piece, Point]:
    """Run `steps`, which begin at `point`, with their graph."""
    start = nest.as_leaves(point.state)
    loss, end, after = run(unroll, steps, point, start)
    return Piece(loss, start, end), after


def run(unroll: Unroll, steps: Window, point: Point, start: State) -> tuple[Tensor, State, Point]:
    """One call of the model on `steps`, from the values at `point`: the loss, the state at the end, and the point there."""
    device = steps.mask.device
    randomness.write(device, point.random)
    loss, end = unroll.segment(steps, start)
    # A copy: a state that is a view of all outputs of a piece would keep them all.
    state = nest.map(lambda leaf: leaf.detach().clone(), end)
    return loss, end, Point(point.step + steps.steps, state, randomness.since(device, point.random))

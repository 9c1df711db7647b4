"""What a model holds for its backward, in bytes, measured on the first steps of a window.

Knows the tensors that autograd saves; must not know what is done with the figures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch
from torch import Tensor

from bptt import nest
from bptt.gradients import randomness
from bptt.gradients.replay import Point, record
from bptt.gradients.schedules import Cost
from bptt.types import Unroll, Window

STEPS = 8


def measure(unroll: Unroll, window: Window, point: Point) -> Cost:
    """The cost of a stored state, of a call with a graph and of each of its steps: a line through two short calls.

    Counted are the storages, each once, that autograd saves, and the states at both ends; not parameters and not the window.
    torch's random state is a part of the state only where the model draws from it. If any row of the window resets, the calls
    reset at every step: what is measured depends on the window in nothing else, so that windows of one shape get one plan.
    """
    long = min(STEPS, window.steps)
    short = long // 2
    steps = window[:, :long]
    steps = dataclasses.replace(steps, reset=window.reset.any().expand_as(steps.reset))
    state, more = held(unroll, steps, point)
    less = held(unroll, steps[:, :short], point)[1] if short else 0
    step = max(1, -(-(more - less) // (long - short)))
    return Cost(max(1, state), max(0, more - long * step), step)


def held(unroll: Unroll, steps: Window, point: Point) -> tuple[int, int]:
    """Bytes of the state after `steps`, and of what a run of them holds until its backward."""
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        piece, after = record(unroll, steps, point)
    randomness.write(steps.mask.device, point.random)
    for leaf in (*nest.leaves(piece.start), *nest.leaves(piece.end)):
        note(leaf)
    for tensor in _others(unroll, steps):
        saved.pop(tensor.untyped_storage().data_ptr(), None)
    drawn = () if after.random is point.random else after.random
    state = sum(leaf.nbytes for leaf in (*nest.leaves(after.state), *drawn))
    return state, sum(saved.values()) + state


def _others(unroll: Unroll, steps: Window) -> Iterable[Tensor]:
    """Tensors that are there in any case."""
    yield from (parameter for _, parameter in unroll.named_parameters())
    yield from (getattr(steps, field.name) for field in dataclasses.fields(steps))

"""The loop over steps that every readable recurrence shares, and what may happen to a state at the border of a step.

Knows states, resets, edge weights and lengths; must not know what a step computes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from bptt import nest
from bptt.nest import Nest

Step = Callable[[Any, Nest], tuple[Tensor, Nest]]
Columns = list[Tensor | None]


def walk(
    step: Step,
    inputs: Sequence[Any],
    state: Nest,
    *,
    initial: Nest = None,
    reset: Tensor | None = None,
    edge: Tensor | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Nest]:
    """Apply `step(x_t, state) -> (y_t, state)` to every input in turn: outputs [B, T, …] and the last state.

    On entering step t: state ← weigh(state, edge[:, t]); then rows with reset[:, t] take `initial` instead.
    Rows with t ≥ lengths have ended: they keep their state and put out zeros, without gradient.

    inputs   T items, whatever `step` reads
    state    nest of [B, …]
    initial  nest like `state` that reset rows take; None: zeros
    reset    [B, T] bool, edge [B, T] float, lengths [B] integers; absent ones cost nothing

    The outputs lie step after step in memory. Without any step they have the shape of the first leaf of the state.

        y, h = walk(lambda x, h: (x + h, x + h), [torch.ones(2, 3)] * 4, torch.zeros(2, 3))
    """
    outputs: list[Tensor] = []
    if reset is None and edge is None and lengths is None:
        for x in inputs:
            y, state = step(x, state)
            outputs.append(y)
    else:
        borders = Borders.of(len(inputs), state, initial=initial, reset=reset, edge=edge, lengths=lengths)
        for t, x in enumerate(inputs):
            before = borders.enter(t, state)
            y, after = step(x, before)
            y, state = borders.leave(t, y, before, after)
            outputs.append(y)
    return stack(outputs, state), state


def stack(outputs: list[Tensor], state: Nest) -> Tensor:
    """Outputs of the steps as one [B, T, …], stored step after step, so that the next layer reads them without a copy."""
    if outputs:
        return torch.stack(outputs).transpose(0, 1)
    leaf = nest.leaves(state)[0]
    return leaf.new_zeros(leaf.shape[0], 0, *leaf.shape[1:])


@dataclasses.dataclass(frozen=True)
class Borders:
    """For every step, the columns [B] that touch the state there; None at the steps where they would change nothing."""

    reset: Columns
    edge: Columns
    alive: Columns
    initial: Nest

    @classmethod
    def of(
        cls,
        steps: int,
        state: Nest,
        *,
        initial: Nest = None,
        reset: Tensor | None = None,
        edge: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Borders:
        """Read the masks once. A row that has ended is neither reset nor weighed: the gradient of its last state is whole."""
        absent: Columns = [None] * steps
        alive = None
        if lengths is not None:
            alive = living(lengths, steps)
            reset = None if reset is None else reset & alive
            edge = None if edge is None else edge.where(alive, torch.ones_like(edge))
        if reset is not None and initial is None:
            initial = nest.map(torch.zeros_like, state)
        if edge is not None:
            edge = edge.to(float_type(state, edge.dtype))
        return cls(
            absent if reset is None else columns(reset, reset),
            absent if edge is None else columns(edge, edge != 1),
            absent if alive is None else columns(alive, ~alive),
            initial,
        )

    def enter(self, t: int, state: Nest) -> Nest:
        """The state with which step t begins. Reset comes last, so it wins over an edge weight."""
        edge, reset = self.edge[t], self.reset[t]
        if edge is not None:
            state = nest.weigh(state, edge)
        if reset is not None:
            state = nest.where(reset, self.initial, state)
        return state

    def leave(self, t: int, y: Tensor, before: Nest, after: Nest) -> tuple[Tensor, Nest]:
        """The output and the state of step t, once rows that have ended are put back."""
        alive = self.alive[t]
        if alive is None:
            return y, after
        return y.masked_fill(~nest.align(alive, y), 0), nest.where(alive, after, before)


def living(lengths: Tensor, steps: int) -> Tensor:
    """[B, T] bool: which steps each row still has."""
    return torch.arange(steps, device=lengths.device) < lengths.unsqueeze(1)


def columns(values: Tensor, matters: Tensor) -> Columns:
    """The columns of `values` [B, T], None where no row of `matters` is true.

    Under vmap a mask has no single value to look at; then every column is kept, which gives the same result at more cost.
    """
    try:
        needed = matters.any(0).tolist()
    except RuntimeError:
        needed = [True] * values.shape[1]
    return [column if need else None for column, need in zip(values.unbind(1), needed, strict=True)]


def float_type(state: Nest, default: torch.dtype) -> torch.dtype:
    """The type of the first float leaf: an edge weight of another type would change the type of the state."""
    return next((leaf.dtype for leaf in nest.leaves(state) if nest.is_float(leaf)), default)

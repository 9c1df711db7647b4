"""k steps ahead: what a model says becomes what it reads next.

Knows a step function and a state; must not know models, scaling or series.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bptt.errors import DivergedError
from bptt.inference.step import Step
from bptt.types import State


@torch.no_grad()
def ahead(step: Step, state: State, first: Tensor, horizon: int, feed: Callable[[int, Tensor], Tensor]) -> Tensor:
    """The outputs of `horizon` steps, each fed back into the next.

    o_1 = step(x_1, s),  x_{k+1} = feed(k, o_k),  o_{k+1} = step(x_{k+1}, s_k)

    Arguments:
        step     function (x [B, I], state) → (o [B, O], state); see `quiet` for evaluation mode
        state    the state before the first step, of B rows
        first    x_1 [B, I]: the last that was really seen
        horizon  how many steps
        feed     function (k, o_k [B, O]) → x_{k+1} [B, I], with k from 0; also called for the last output

    Returns [B, horizon, O]. Raises DivergedError where an output is no longer finite.

    >>> halve = lambda x, state: (x / 2, state)
    >>> ahead(halve, None, torch.tensor([[8.0]]), 3, lambda k, said: said).flatten().tolist()
    [4.0, 2.0, 1.0]
    """
    said, x = [], first
    for k in range(horizon):
        output, state = step(x, state)
        if not torch.isfinite(output).all():
            given = f"step {k + 1} of {horizon}"
            raise DivergedError("What the model says, fed back, has grown beyond all numbers", given, "Use a shorter horizon")
        said.append(output)
        x = feed(k, output)
    return torch.stack(said, 1)

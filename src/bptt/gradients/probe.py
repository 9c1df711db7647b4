"""What the last loss of a window owes to each earlier step: the credits c(t, k), one after the other.

Knows the `Unroll` protocol; must not know which strategy asks. Adds nothing to `.grad`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bptt import nest
from bptt.types import State, Unroll, Window


def credits_of_last(unroll: Unroll, window: Window, state: State) -> tuple[Tensor, Tensor]:
    """Norms by lag for the losses of the last step, summed over the rows.

    c(t, k) = q_t D_t … D_{t−k+1} I_{t−k},   g_K = Σ_{k < K} c(t, k)        with t the last step of the window

    Arguments: state before the window, in which t + 1 lags can be seen. Returns ‖c(t, k)‖ for k = 0 … T − 1 and ‖g_K‖ for
    K = 1 … T, over all parameters, both [T] float64. Each step is run and pulled back alone, so memory is T states.
    """
    states = unroll.states(window, nest.detach(state))
    parameters: list[Tensor] = [parameter for _, parameter in unroll.named_parameters() if parameter.requires_grad]
    total = [torch.zeros_like(parameter) for parameter in parameters]
    credits, norms = [], []
    pulls: list[Tensor] | None = None
    for t in reversed(range(window.steps)):
        start = nest.as_leaves(nest.map(lambda leaf, t=t: leaf[:, t], states))
        loss, end = unroll.segment(window[:, t : t + 1], start)
        roots = [loss] if pulls is None else [leaf for leaf in nest.leaves(end) if nest.is_float(leaf)]
        credit, pulls = _pull(roots, pulls, parameters, [leaf for leaf in nest.leaves(start) if nest.is_float(leaf)])
        total = [a + b for a, b in zip(total, credit, strict=True)]
        credits.append(_norm(credit))
        norms.append(_norm(total))
    return torch.tensor(credits, dtype=torch.float64), torch.tensor(norms, dtype=torch.float64)


def _pull(
    roots: list[Tensor], pulls: list[Tensor] | None, parameters: list[Tensor], sources: list[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients at the parameters and at the state before the step, zeros where nothing arrives."""
    wanted = [*parameters, *sources]
    given = [None] * len(roots) if pulls is None else pulls
    live = [(root, pull) for root, pull in zip(roots, given, strict=True) if root.requires_grad]
    if not live:
        found = [torch.zeros_like(leaf) for leaf in wanted]
    else:
        outputs, weights = [root for root, _ in live], None if pulls is None else [pull for _, pull in live]
        grads = torch.autograd.grad(outputs, wanted, weights, allow_unused=True)
        found = [torch.zeros_like(leaf) if grad is None else grad for grad, leaf in zip(grads, wanted, strict=True)]
    return found[: len(parameters)], found[len(parameters) :]


def _norm(blocks: list[Tensor]) -> float:
    return float(np.sqrt(sum(float(block.double().square().sum()) for block in blocks)))

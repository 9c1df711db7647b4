"""What the last loss of a window owes to each earlier step: the credits c(t, k), one after the other.

Knows the `Unroll` protocol; must not know which strategy asks. Adds nothing to `.grad`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bptt import nest
from bptt.gradients.pull import pulled
from bptt.types import State, Unroll, Window


def credits_of_last(unroll: Unroll, window: Window, state: State) -> tuple[Tensor, Tensor]:
    """Norms by lag for the losses of the last step, summed over the rows, and meant over the processes where there are several.

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
        sources = [leaf for leaf in nest.leaves(start) if nest.is_float(leaf)]
        found = pulled(roots, [*parameters, *sources], pulls)
        credit, pulls = [unroll.agree(leaf) for leaf in found[: len(parameters)]], found[len(parameters) :]
        total = [a + b for a, b in zip(total, credit, strict=True)]
        credits.append(_norm(credit))
        norms.append(_norm(total))
    return torch.tensor(credits, dtype=torch.float64), torch.tensor(norms, dtype=torch.float64)


def _norm(blocks: list[Tensor]) -> float:
    return float(np.sqrt(sum(float(block.double().square().sum()) for block in blocks)))

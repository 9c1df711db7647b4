"""How fast products of Jacobians grow along a stretch.

Knows the `Unroll` protocol; must not know which strategy asks.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from bptt import nest
from bptt.types import State, Unroll, Window


def growth_rate(unroll: Unroll, window: Window, state: State, draws: np.random.Generator) -> float | None:
    """ρ ≈ ‖vᵀ D_T … D_1‖^(1/T), v a random unit vector: the growth per step that T steps show, averaged (log) over rows.

    Rows that reset on the way are left out. None if no row is left, or if the state has nothing that carries a gradient.
    Adds nothing to `.grad`.
    """
    start = nest.as_leaves(state)
    _, end = unroll.segment(window, start)
    sources = [leaf for leaf in nest.leaves(start) if nest.is_float(leaf)]
    ends = [leaf for leaf in nest.leaves(end) if nest.is_float(leaf) and leaf.requires_grad]
    alive = ~window.reset.any(1)
    if not sources or not ends or not alive.any():
        return None
    random = [torch.from_numpy(draws.standard_normal(leaf.shape)).to(leaf) for leaf in ends]
    pulled = torch.autograd.grad(ends, sources, random, allow_unused=True)
    before, after = _norms(random)[alive], _norms([leaf for leaf in pulled if leaf is not None])[alive]
    logs = (after.double() / before.double()).log() / window.steps
    return math.exp(float(logs.mean()))


def _norms(leaves: list[torch.Tensor]) -> torch.Tensor:
    """The norm of each row [B] over all leaves."""
    return torch.cat([leaf.flatten(1) for leaf in leaves], 1).norm(dim=1)

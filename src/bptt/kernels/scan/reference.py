"""The diagonal linear recurrence step by step: the definition that the parallel scan is compared with.

Knows coefficients and what is added at every step; must not know where they come from. Plain torch operations, so that jvp,
vmap and jacrev pass; complex numbers are pairs of real ones, as every transform and every carry takes those.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bptt.kernels.walk import walk


def sequential(
    a: Tensor,
    b: Tensor,
    state: Tensor,
    *,
    pairs: bool = False,
    reset: Tensor | None = None,
    edge: Tensor | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """h_t = a_t h_{t−1} + b_t, as `bptt.kernels.scan.recurrence.scan` defines it, one step after another.

    h, end = sequential(torch.rand(2, 7, 3), torch.randn(2, 7, 3), torch.zeros(2, 3))
    """
    times = product if pairs else torch.mul
    factors = [a[:, 0]] * b.shape[1] if a.shape[1] == 1 else a.unbind(1)

    def step(x: tuple[Tensor, Tensor], h: Tensor) -> tuple[Tensor, Tensor]:
        factor, added = x
        h = times(factor, h) + added
        return h, h

    inputs = list(zip(factors, b.unbind(1), strict=True))
    return walk(step, inputs, state, reset=reset, edge=edge, lengths=lengths)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Complex numbers multiplied, each a pair (real, imaginary) on the last axis."""
    (ar, ai), (br, bi) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ar * br - ai * bi, ar * bi + ai * br], -1)

"""Lyapunov exponents: the rates at which products of Jacobians stretch or shrink, direction by direction.

Knows an unrolled model and the states of a window; must not know strategies or losses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from bptt import nest
from bptt.diagnostics.jacobians import state_size
from bptt.diagnostics.steps import Steps, floats
from bptt.models import Unroll
from bptt.types import State, Window


def exponents(unroll: Unroll, window: Window, states: State, count: int, progress: Callable[[], None] = lambda: None) -> Tensor:
    """The `count` largest Lyapunov exponents [B, m] of the steps of a window, per row, in falling order; m ≤ n.

    D_tᵀ Q_t = Q_{t−1} R_t  (QR, t = T … 1),  λ_i = (1/T) Σ_t log |R_t,ii|

    Backwards in time, as the gradient travels: products have the same singular values as their transposes, and each step is m
    vector-Jacobian products in one call of the model on B·m rows, whatever n. With all n directions, Σ_i λ_i is exactly
    (1/T) Σ_t log |det D_t| at every T; fewer are the leading ones once Q has turned to them, which takes some tens of steps.
    Q_T is drawn, always the same. Steps at which a row resets are left out: nothing passes there. −inf is a direction that is
    lost, NaN a row of nothing but resets.

    Source: Benettin et al. 1980; Engelken, Wolf & Abbott 2023 for recurrent networks.
    """
    size, rows = state_size(states), window.batch_size
    count = min(count, size)
    first = floats(states)[0]
    draws = torch.randn(rows, size, count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    frame = torch.linalg.qr(draws.to(first)).Q
    total = first.new_zeros(rows, count)
    for t in reversed(range(window.steps)):
        step = Steps(
            unroll, _repeat(window[:, t : t + 1], count), nest.map(lambda leaf, t=t: _each(leaf[:, t : t + 1], count), states)
        )
        pulled = step.back(frame.mT.reshape(rows * count, 1, size)).view(rows, count, size).mT
        turned, stretch = torch.linalg.qr(pulled)
        live = ~window.reset[:, t]
        frame = torch.where(live[:, None, None], turned, frame)
        total += torch.where(live[:, None], stretch.diagonal(dim1=1, dim2=2).abs().log(), 0.0)
        progress()
    steps = (~window.reset).sum(1, keepdim=True)
    return torch.sort(total / steps, 1, descending=True).values


def _each(leaf: Tensor, count: int) -> Tensor:
    """Every row `count` times."""
    return leaf.repeat_interleave(count, 0)


def _repeat(window: Window, count: int) -> Window:
    return Window(*(_each(getattr(window, field.name), count) for field in dataclasses.fields(window)))

"""The leaky Elman recurrence in plain torch operations.

Knows one direction of one layer; must not know modules, several layers or where its weights come from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bptt.kernels.elman.reference import activation
from bptt.kernels.walk import walk


def leaky(
    projected: Tensor,
    state: Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    reset: Tensor | None = None,
    edge: Tensor | None = None,
    lengths: Tensor | None = None,
    nonlinearity: str = "tanh",
    leak: float = 0.1,
) -> tuple[Tensor, Tensor]:
    """h_t = (1 − α) h_{t-1} + α φ(p_t + h_{t-1} W_hhᵀ + b_hh) over a whole stretch, α = `leak`.

    The other arguments, the results and the errors are those of `bptt.kernels.elman.reference.elman`, which it is for α = 1.

        y, h = leaky(torch.randn(2, 5, 3), torch.zeros(2, 3), torch.randn(3, 3), leak=0.2)
    """
    phi, transposed = activation(nonlinearity), weight_hh.t()

    def step(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = (1 - leak) * h + leak * phi(torch.addmm(x, h, transposed))
        return h, h

    inputs = projected if bias_hh is None else projected + bias_hh
    return walk(step, inputs.unbind(1), state, initial=initial, reset=reset, edge=edge, lengths=lengths)

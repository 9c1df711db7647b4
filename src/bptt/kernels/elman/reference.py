"""The Elman recurrence in plain torch operations: the definition that every faster kernel is compared with.

Knows one direction of one layer; must not know modules, several layers or where its weights come from.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bptt.errors import InputError, did_you_mean
from bptt.kernels.walk import walk


def identity(value: Tensor) -> Tensor:
    """φ(a) = a, the linear recurrence."""
    return value


NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu, "identity": identity}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The function called `name`."""
    if name not in NONLINEARITIES:
        raise InputError("Unknown nonlinearity", repr(name), did_you_mean(str(name), list(NONLINEARITIES)))
    return NONLINEARITIES[name]


def elman(
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
) -> tuple[Tensor, Tensor]:
    """h_t = φ(p_t + h_{t-1} W_hhᵀ + b_hh) over a whole stretch.

    projected     p [B, T, H], the inputs already projected: x W_ihᵀ + b_ih
    state         h_0 [B, H]
    weight_hh     [H, H]
    bias_hh       [H] or None
    initial       [B, H], what reset rows take; None: zeros
    reset         [B, T] bool, edge [B, T] float, lengths [B]: see `bptt.kernels.walk.walk`
    nonlinearity  "tanh", "relu" or "identity"

    Returns the outputs h_1 … h_T [B, T, H] and the last state [B, H]. Raises InputError for an unknown nonlinearity.

        y, h = elman(torch.randn(2, 5, 3), torch.zeros(2, 3), torch.randn(3, 3))
    """
    phi, transposed = activation(nonlinearity), weight_hh.t()

    def step(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = phi(torch.addmm(x, h, transposed))
        return h, h

    inputs = projected if bias_hh is None else projected + bias_hh
    return walk(step, inputs.unbind(1), state, initial=initial, reset=reset, edge=edge, lengths=lengths)

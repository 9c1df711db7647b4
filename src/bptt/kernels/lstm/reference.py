"""The LSTM recurrence in plain torch operations: the definition that every faster kernel is compared with.

Knows one direction of one layer; must not know modules, several layers or where its weights come from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bptt.kernels.walk import walk

Pair = tuple[Tensor, Tensor]


def lstm(
    projected: Tensor,
    state: Pair,
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    *,
    initial: Pair | None = None,
    reset: Tensor | None = None,
    edge: Tensor | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Pair]:
    """Long short-term memory over a whole stretch, σ the logistic function:

        a = p_t + h_{t-1} W_hhᵀ + b_hh = [a_i a_f a_g a_o]
        c_t = σ(a_f) c_{t-1} + σ(a_i) tanh(a_g),   h_t = σ(a_o) tanh(c_t)

    projected  p [B, T, 4H], the inputs already projected: x W_ihᵀ + b_ih
    state      (h_0, c_0), each [B, H]
    weight_hh  [4H, H]
    bias_hh    [4H] or None
    initial    (h, c), what reset rows take; None: zeros
    reset      [B, T] bool, edge [B, T] float, lengths [B]: see `bptt.kernels.walk.walk`

    Returns the outputs h_1 … h_T [B, T, H] and the last state (h, c).

        y, (h, c) = lstm(torch.randn(2, 5, 12), (torch.zeros(2, 3), torch.zeros(2, 3)), torch.randn(12, 3))
    """
    transposed, hidden = weight_hh.t(), weight_hh.shape[1]
    sizes = [2 * hidden, hidden, hidden]

    def step(x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        h, c = state
        doors, new, out = torch.addmm(x, h, transposed).split_with_sizes(sizes, 1)
        enter, keep = doors.sigmoid().chunk(2, 1)
        c = keep * c + enter * new.tanh()
        h = out.sigmoid() * c.tanh()
        return h, (h, c)

    inputs = projected if bias_hh is None else projected + bias_hh
    return walk(step, inputs.unbind(1), state, initial=initial, reset=reset, edge=edge, lengths=lengths)

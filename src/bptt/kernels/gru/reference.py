"""The GRU recurrence in plain torch operations: the definition that every faster kernel is compared with.

Knows one direction of one layer; must not know modules, several layers or where its weights come from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bptt.kernels.walk import walk


def gru(
    projected: Tensor,
    state: Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    reset: Tensor | None = None,
    edge: Tensor | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Gated recurrent unit over a whole stretch, σ the logistic function:

        u = h_{t-1} W_hhᵀ + b_hh = [u_r u_z u_n],   p_t = [p_r p_z p_n]
        r = σ(p_r + u_r),   z = σ(p_z + u_z),   n = tanh(p_n + r u_n),   h_t = n + z (h_{t-1} − n)

    projected  p [B, T, 3H], the inputs already projected: x W_ihᵀ + b_ih
    state      h_0 [B, H]
    weight_hh  [3H, H]
    bias_hh    [3H] or None
    initial    [B, H], what reset rows take; None: zeros
    reset      [B, T] bool, edge [B, T] float, lengths [B]: see `bptt.kernels.walk.walk`

    Returns the outputs h_1 … h_T [B, T, H] and the last state [B, H].

        y, h = gru(torch.randn(2, 5, 9), torch.zeros(2, 3), torch.randn(9, 3))
    """
    transposed, hidden = weight_hh.t(), weight_hh.shape[1]
    sizes = [2 * hidden, hidden]

    def step(x: tuple[Tensor, Tensor], h: Tensor) -> tuple[Tensor, Tensor]:
        doors, new = x
        product = h @ transposed if bias_hh is None else torch.addmm(bias_hh, h, transposed)
        recurrent_doors, recurrent_new = product.split_with_sizes(sizes, 1)
        r, z = (doors + recurrent_doors).sigmoid().chunk(2, 1)
        n = torch.addcmul(new, r, recurrent_new).tanh()
        # Plain arithmetic rather than lerp: under autocast the gates are half precision and the state is not.
        h = n + z * (h - n)
        return h, h

    doors, new = projected.split_with_sizes(sizes, -1)
    inputs = list(zip(doors.unbind(1), new.unbind(1), strict=True))
    return walk(step, inputs, state, initial=initial, reset=reset, edge=edge, lengths=lengths)

"""The Jacobians of one step of one layer in closed form: D by products with W_hh, I by products with what each weight reads.

Knows torch's parameter names; must not know gates, or what a rule does with Jacobians.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from bptt import nest
from bptt.kernels.local import SLOPES
from bptt.types import State


class Local(NamedTuple):
    """Jacobians of one step of B rows whose state is m leaves [B, H], n = m·H numbers.

    before  D [B, n, n]
    direct  I by parameter, [B, m, …]: of entry e of row g·H + u, the derivative of number i of unit u, the one unit it moves
    """

    before: Tensor
    direct: dict[str, Tensor]

    def under(self, prefix: str) -> Local:
        """The same with `prefix` before every name."""
        return Local(self.before, {f"{prefix}{name}": block for name, block in self.direct.items()})


@torch.no_grad()
def local(
    cell: str, weights: Mapping[str, Tensor | None], x: Tensor, state: State, reset: Tensor | None, **extra: str
) -> Local:
    """Of a step from `state`, leaves [B, H], reading x [B, I].

    Arguments: weights, the parameters weight_ih, weight_hh, bias_ih, bias_hh by name, in this order, the biases may be None;
    reset [B], the rows that start from zeros.
    """
    if reset is not None:
        state = nest.where(reset, nest.map(torch.zeros_like, state), state)
    leaves = tuple(nest.leaves(state))
    (w_ih, w_hh, b_ih, b_hh), h = weights.values(), leaves[0]
    assert w_ih is not None and w_hh is not None
    slopes = SLOPES[cell](functional.linear(x, w_ih, b_ih), functional.linear(h, w_hh, b_hh), leaves, **extra)
    rows, numbers, gates, hidden = slopes.by_h.shape
    before = torch.diag_embed(slopes.leak).transpose(2, 3)  # [B, m, H, m, H]
    before[:, :, :, 0] += torch.einsum("bigu,guv->biuv", slopes.by_h, w_hh.view(gates, hidden, hidden))
    before = before.reshape(rows, numbers * hidden, numbers * hidden)
    if reset is not None:
        before = before.masked_fill(reset.view(-1, 1, 1), 0)
    by_x, by_h = slopes.by_x.flatten(2), slopes.by_h.flatten(2)
    read = x.unsqueeze(1).unsqueeze(1), h.unsqueeze(1).unsqueeze(1)
    blocks = (by_x.unsqueeze(3) * read[0], by_h.unsqueeze(3) * read[1], by_x, by_h)
    named = zip(weights.items(), blocks, strict=True)
    return Local(before, {name: block for (name, weight), block in named if weight is not None})

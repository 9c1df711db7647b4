"""MinGRU: a gated recurrent unit whose gate and candidate read the input alone.

Knows the gate; must not know how the recurrence is run.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bptt.nn.diagonal import Diagonal, Units
from bptt.nn.sizes import widths
from bptt.structure import Structure, rows


class MinGRU(Diagonal):
    """Minimal gated recurrent unit: a GRU without the reset gate, whose update gate does not read the state.

        z_t = σ(x_t W_zᵀ + b_z),   h̃_t = x_t W_hᵀ + b_h,   h_t = (1 − z_t) ∘ h_{t−1} + z_t ∘ h̃_t

    The recurrence is linear and each unit's own, so a stretch is one scan over time instead of T products one after another.
    In return a unit cannot tell by what it holds whether to keep it; only the layer above sees both the past and the input.
    So give it two layers or more where a GRU has one.

    input_size   I
    hidden_size  H, of every layer
    num_layers   layers on top of each other
    bias, dropout (between the layers, masks from `noise`), device, dtype    as in the recurrent layers

    `layers[l].linear` holds W_z above W_h, [2H, I]. The state is a tuple of h [B, H] per layer, zeros at first; the output is h
    of the last layer. `forward` is documented at `Layer`. Raises InputError for sizes that cannot be.

    >>> layer = MinGRU(3, 5, num_layers=2)
    >>> y, state = layer(torch.randn(2, 7, 3))
    >>> y.shape, [leaf.shape for leaf in state]
    (torch.Size([2, 7, 5]), [torch.Size([2, 5]), torch.Size([2, 5])])

    Source: Feng, Tung, Ahmed, Bengio, Hajimirsadeghi 2024, Were RNNs all we needed?, section 3.1, in the plain form:
    without the positive candidate that their scan over logarithms needs.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        sizes = widths(input_size, hidden_size, num_layers)
        extra: Any = {"bias": bias, "device": device, "dtype": dtype}
        super().__init__(input_size, [GatedUnits(below, above, **extra) for below, above in sizes], dropout)


class GatedUnits(Units):
    """One layer of a MinGRU."""

    def __init__(self, input_size: int, hidden_size: int, **extra: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, 2 * hidden_size, **extra)

    def coefficients(self, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        door, new = self.linear(x).to(dtype).chunk(2, -1)
        z = door.sigmoid()
        return 1 - z, z * new

    def read(self, h: Tensor, x: Tensor) -> Tensor:
        return h

    def zeros(self, rows: int) -> Tensor:
        return self.linear.weight.new_zeros(rows, self.linear.out_features // 2)

    def structure(self) -> Structure | None:
        if self.linear._forward_hooks:
            return None
        hidden = self.linear.out_features // 2
        # A weight that is pruned or parametrized bears another name, and may then move everything.
        named = self.linear.named_parameters(prefix="linear", recurse=False)
        moves = {name: rows(each, hidden) for name, each in named if name in ("linear.weight", "linear.bias")}
        return Structure(torch.arange(hidden), moves)

"""GRU: the gated recurrent unit behind torch's signature."""

from __future__ import annotations

import torch

from bptt.nn.layered import Layered


class GRU(Layered):
    """Gated recurrent unit, a drop-in for `torch.nn.GRU` that also takes resets, edge weights, lengths and noise.

        r_t = σ(x_t W_irᵀ + b_ir + h_{t-1} W_hrᵀ + b_hr)
        z_t = σ(x_t W_izᵀ + b_iz + h_{t-1} W_hzᵀ + b_hz)
        n_t = tanh(x_t W_inᵀ + b_in + r_t (h_{t-1} W_hnᵀ + b_hn)),   h_t = (1 − z_t) n_t + z_t h_{t-1}

    The weights are stacked in the order r, z, n. The arguments are torch's; `forward` is documented at `Layered.forward`.

        y, h = GRU(3, 5, num_layers=2)(torch.randn(7, 2, 3))               # [7, 2, 5], [2, 2, 5]
    """

    cell = "gru"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype
        )

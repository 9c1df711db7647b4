"""RNN: the Elman network behind torch's signature."""

from __future__ import annotations

from typing import Any

import torch

from bptt.kernels.elman.reference import activation
from bptt.nn.layered import Layered


class RNN(Layered):
    """Elman network, a drop-in for `torch.nn.RNN` that also takes resets, edge weights, lengths and noise.

        h_t = φ(x_t W_ihᵀ + b_ih + h_{t-1} W_hhᵀ + b_hh)

    which is the concatenated form [x_t h_{t-1} 1]·W with W the three blocks on top of each other. The same weights serve
    every step, so the number of parameters does not depend on T.

    input_size, hidden_size  I and H
    num_layers               layers on top of each other
    nonlinearity             φ: "tanh", "relu" or "identity" (the linear network)
    bias, batch_first, dropout, bidirectional, device, dtype    as in torch; dropout masks come from `noise`

    `forward` is documented at `Layered.forward`. Raises InputError for an unknown nonlinearity, torch's errors otherwise.

        y, h = RNN(3, 5)(torch.randn(7, 2, 3))               # [7, 2, 5], [1, 2, 5]
    """

    cell = "elman"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        activation(nonlinearity)
        mode = "RNN_RELU" if nonlinearity == "relu" else "RNN_TANH"
        super().__init__(
            mode, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype
        )
        self.nonlinearity = nonlinearity

    def _kind(self) -> str:
        return self.nonlinearity

    def _extra(self) -> dict[str, Any]:
        return {**super()._extra(), "nonlinearity": self.nonlinearity}

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")

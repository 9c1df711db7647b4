"""LSTM: long short-term memory behind torch's signature."""

from __future__ import annotations

import torch
from torch import Tensor

from bptt.errors import InputError
from bptt.nn.layered import Layered
from bptt.types import State


class LSTM(Layered):
    """Long short-term memory, a drop-in for `torch.nn.LSTM` that also takes resets, edge weights, lengths and noise.

        i_t, f_t, o_t = σ(x_t W_i·ᵀ + b_i· + h_{t-1} W_h·ᵀ + b_h·),   g_t = tanh(x_t W_igᵀ + b_ig + h_{t-1} W_hgᵀ + b_hg)
        c_t = f_t c_{t-1} + i_t g_t,   h_t = o_t tanh(c_t)

    The weights are stacked in the order i, f, g, o and the state is the pair (h, c). The arguments are torch's, except that
    `proj_size` must be 0; `forward` is documented at `Layered.forward`.

        y, (h, c) = LSTM(3, 5)(torch.randn(7, 2, 3))               # [7, 2, 5], [1, 2, 5] twice
    """

    cell = "lstm"
    leaves = 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if proj_size:
            raise InputError(
                "bptt.nn.LSTM has no projected states",
                f"proj_size={proj_size}",
                "Leave it out, or use torch.nn.LSTM, which bptt trains too",
            )
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype
        )

    def check_forward_args(self, input: Tensor, hidden: State, batch_sizes: Tensor | None) -> None:
        """torch's checks, one for each half of the pair."""
        self.check_input(input, batch_sizes)
        expected = self.get_expected_hidden_size(input, batch_sizes)
        self.check_hidden_size(hidden[0], expected, "Expected hidden[0] size {}, got {}")
        self.check_hidden_size(hidden[1], expected, "Expected hidden[1] size {}, got {}")

    def _wrong_state(self, batched: bool, hx: State) -> str:
        kind, dim = ("batched 3-D", 3) if batched else ("unbatched 2-D", 2)
        return f"For {kind} input, hx and cx should also be {dim}-D but got ({hx[0].dim()}-D, {hx[1].dim()}-D) tensors"

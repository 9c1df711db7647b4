"""LeakyRNN: the Elman network whose units keep a share of what they were."""

from __future__ import annotations

from typing import Any

import torch

from bptt.errors import InputError
from bptt.kernels.elman.reference import activation
from bptt.nn.layered import Layered


class LeakyRNN(Layered):
    """Leaky Elman network: units that move towards their new value by a share α of the way.

        h_t = (1 − α) h_{t-1} + α φ(x_t W_ihᵀ + b_ih + h_{t-1} W_hhᵀ + b_hh)

    1/α is the number of steps after which a unit by itself has forgotten all but 1/e of what it was. α = 1 is `RNN`.

    leak  α, above 0 and at most 1

    The other arguments, parameters, states and results are those of `RNN`; `forward` is documented at `Layered.forward`. It
    runs in plain torch operations. Raises InputError for an unknown nonlinearity or another leak.

    >>> y, h = LeakyRNN(3, 5, leak=0.2)(torch.randn(7, 2, 3))
    >>> y.shape, h.shape
    (torch.Size([7, 2, 5]), torch.Size([1, 2, 5]))

    Source: Murray 2019, Local online learning in recurrent networks with random feedback, equation 1.
    """

    cell = "leaky"

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
        *,
        leak: float = 0.1,
    ) -> None:
        activation(nonlinearity)
        super().__init__(
            "RNN_TANH",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
        self.nonlinearity, self.leak = nonlinearity, leak_share(leak)

    def _extra(self) -> dict[str, Any]:
        return {**super()._extra(), "nonlinearity": self.nonlinearity, "leak": self.leak}

    def extra_repr(self) -> str:
        shown = f", leak={self.leak}"
        return super().extra_repr() + shown + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


def leak_share(value: Any) -> float:
    """`value`, if a unit can move by that share of the way."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise InputError("leak must be a share above 0, at most 1", f"leak={value!r}", "Give for example leak=0.1")
    return float(value)

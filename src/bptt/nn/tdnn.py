"""TDNN: causal dilated convolutions over time, as a recurrent layer whose state is the past that it reads.

Knows the delay line and the convolution; must not know windows, models or losses.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bptt.errors import InputError
from bptt.kernels.elman.reference import activation
from bptt.nn.adapters import Layer
from bptt.nn.delays import Delays
from bptt.nn.dropout import dropout as drop
from bptt.nn.dropout import probability
from bptt.nn.masks import Masks
from bptt.nn.sizes import at_least, require_fit
from bptt.types import State


class TDNN(Layer):
    """Time-delay network: every step reads the last steps of the layer below, with the same weights at every step.

        y^l_t = φ(b^l + Σ_{k=0}^{K−1} W^l_k y^{l−1}_{t−k·d_l}),   y^0 = x,   y^l_t = 0 before the first step

    which is a causal convolution over time with dilation d_l. One step sees R = 1 + (K−1) Σ_l d_l inputs, `reach`. With one
    layer it is the neural n-gram: a hidden layer over the n−1 = K last inputs side by side.

    input_size   I
    hidden_size  H, of every layer
    num_layers   layers L on top of each other
    kernel_size  K, the number of steps that a layer reads
    dilations    d_1 … d_L, the steps between two of them; (): 1, 2, 4, …
    nonlinearity φ: "tanh", "relu" or "identity"
    bias, dropout (between the layers, masks from `noise`), device, dtype    as in the recurrent layers

    The weights are those of `layers[l]`, a `torch.nn.Conv1d` [H, I, K] whose last column reads the newest step; hooks on it do
    not run. The state is a tuple of [B, (K−1)·d_l, I_l] per layer, the oldest value first: what the next steps will read of the
    past. So a TDNN can be cut into stretches, carried, reset and run step by step like any recurrent layer; it forgets all that
    is older than R steps. `forward` is documented at `Layer`. Raises InputError for sizes that cannot be.

    >>> layer = TDNN(3, 5, num_layers=2, kernel_size=2)
    >>> y, state = layer(torch.randn(2, 7, 3))
    >>> y.shape, [leaf.shape for leaf in state], layer.reach
    (torch.Size([2, 7, 5]), [torch.Size([2, 1, 3]), torch.Size([2, 2, 5])], 4)

    Source: Waibel, Hanazawa, Hinton, Shikano, Lang 1989, Phoneme recognition using time-delay neural networks; one layer on
    embeddings: Bengio, Ducharme, Vincent, Jauvin 2003, A neural probabilistic language model, equation 1 without direct
    connections; dilations: van den Oord et al. 2016, WaveNet, section 2.1.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        kernel_size: int = 3,
        dilations: Sequence[int] = (),
        nonlinearity: str = "tanh",
        bias: bool = True,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.activation = activation(nonlinearity)
        self.nonlinearity, self.dropout = nonlinearity, probability(dropout)
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            at_least(1, name, size)
        self.kernel_size = at_least(1, "kernel_size", kernel_size)
        self.dilations = spread(num_layers, dilations)
        sizes = itertools.pairwise([input_size, *[hidden_size] * num_layers])
        extra: Any = {"bias": bias, "device": device, "dtype": dtype}
        self.layers = nn.ModuleList(
            nn.Conv1d(below, above, kernel_size, dilation=dilation, **extra)
            for (below, above), dilation in zip(sizes, self.dilations, strict=True)
        )

    @property
    def reach(self) -> int:
        """R, how many inputs an output depends on."""
        return 1 + (self.kernel_size - 1) * sum(self.dilations)

    def initial_state(self, batch_size: int) -> State:
        convolutions: Any = self.layers
        return tuple(
            conv.weight.new_zeros(batch_size, (self.kernel_size - 1) * dilation, conv.in_channels)
            for conv, dilation in zip(convolutions, self.dilations, strict=True)
        )

    def run(self, x: Tensor, state: State, masks: Masks) -> tuple[Tensor, State]:
        first: Any = self.layers[0]
        require_fit(self, x, state, first.in_channels)
        delays = Delays(masks, x.shape[1], (self.kernel_size - 1) * max(self.dilations))
        ends = []
        for depth, before in enumerate(state):
            if depth and self.training:
                x = drop(x, self.dropout, masks.noise, depth - 1)
            # Step after step in memory, so that every tap is a piece of it.
            values = torch.cat([before.transpose(0, 1), x.transpose(0, 1)])
            ends.append(delays.line(values, before.shape[1]))
            x = self._convolved(depth, values, delays).transpose(0, 1)
        return masks.silence(x), tuple(ends)

    def _convolved(self, depth: int, values: Tensor, delays: Delays) -> Tensor:
        """One layer [T, B, H] over `values` [D + T, B, I], the delay line before the first step and the inputs of the steps."""
        conv: Any = self.layers[depth]
        taps = conv.weight.permute(2, 0, 1).contiguous()
        total: Any = 0
        for tap, weight in enumerate(taps):
            start = tap * self.dilations[depth]
            age = (self.kernel_size - 1 - tap) * self.dilations[depth]
            read = delays.through(values[start : start + delays.steps], age)
            total = total + functional.linear(read, weight, None if age else conv.bias)
        return self.activation(total)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilations={self.dilations}, nonlinearity={self.nonlinearity}"


def spread(num_layers: int, dilations: Sequence[int]) -> tuple[int, ...]:
    """The dilation of every layer: as given, or 1, 2, 4, …; InputError for others than whole numbers, one per layer."""
    chosen = tuple(dilations) or tuple(2**layer for layer in range(num_layers))
    for dilation in chosen:
        at_least(1, "A dilation", dilation)
    if len(chosen) != num_layers:
        raise InputError(
            "There must be one dilation per layer", f"{len(chosen)} dilations, {num_layers} layers", "Give as many, or none"
        )
    return chosen

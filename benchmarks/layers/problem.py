"""What every peer is given: the same weights, inputs, first state and gradients of the outputs.

Knows tensors and torch's signature of a layer; must not know who computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from sizes import Size
from torch import Tensor, nn

Layer = Callable[[Tensor, Any], tuple[Tensor, Any]]


class Problem:
    """A layer of torch.nn with its parameters, and what it is differentiated at, in float32.

    x        [T, B, I]
    state    the first state, one leaf [1, B, H] or, of an LSTM, two; not zero: a wrong start would hide behind zeros
    inputs   all that gets a gradient: x, the leaves of the state, the four parameters
    weights  the gradients of the outputs [T, B, H] and of the leaves of the last state
    """

    def __init__(self, size: Size) -> None:
        torch.manual_seed(0)
        self.size = size
        self.layer = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[size.cell](size.inputs, size.units)
        self.x = torch.randn(size.steps, size.rows, size.inputs).requires_grad_()
        leaf = (1, size.rows, size.units)
        self.state = [torch.randn(leaf).mul_(0.5).requires_grad_() for _ in range(2 if size.cell == "lstm" else 1)]
        self.inputs = [self.x, *self.state, *self.layer.parameters()]
        self.weights = [torch.randn(size.steps, size.rows, size.units), *(torch.randn(leaf) for _ in self.state)]

    def forward(self, layer: Layer) -> list[Tensor]:
        """The outputs and the leaves of the last state."""
        y, last = layer(self.x, tuple(self.state) if len(self.state) == 2 else self.state[0])
        return [y, *(last if isinstance(last, tuple) else [last])]

    def derive(self, layer: Layer) -> tuple[list[Tensor], list[Tensor]]:
        """Forward and backward: what is checked and what is timed. Outputs, and one gradient per input."""
        ends = self.forward(layer)
        return ends, list(torch.autograd.grad(ends, self.inputs, self.weights))

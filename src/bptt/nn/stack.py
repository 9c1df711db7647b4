"""Stack: cells on top of each other.

Knows the layer contract; must not know what a cell computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn

from bptt import nest
from bptt.errors import ContractError
from bptt.nn.adapters import Layer
from bptt.nn.dropout import dropout as drop
from bptt.nn.dropout import inner, probability
from bptt.nn.masks import Masks
from bptt.nn.recurrent import adapt
from bptt.structure import Structure, stacked
from bptt.types import State


class Stack(Layer):
    """Recurrent modules layer by layer: each reads the whole output of the one below.

    cells    cells or layers, anything `adapt` takes; the output size of each is the input size of the next
    dropout  probability of a zero between two layers, in training; masks come from `noise`

    The state is a tuple, one entry per layer. Resets and edge weights reach every leaf of every layer.

        stack = Stack(torch.nn.GRUCell(3, 5), torch.nn.LSTMCell(5, 4), dropout=0.2)
        y, (lower, upper) = stack(torch.randn(2, 7, 3))
    """

    def __init__(self, *cells: nn.Module, dropout: float = 0.0) -> None:
        super().__init__()
        if not cells:
            raise ContractError("A stack needs at least one cell", "none", "Stack(cell, …)")
        self.layers = nn.ModuleList(adapt(cell) for cell in cells)
        self.dropout = probability(dropout)

    @property
    def causal(self) -> bool:  # type: ignore[override]
        return all(layer.causal for layer in self)

    def __iter__(self) -> Iterator[Layer]:
        return iter(cast(list[Layer], self.layers))

    def initial_state(self, batch_size: int) -> State:
        return tuple(layer.initial_state(batch_size) for layer in self)

    def structure(self) -> Structure:
        parts = []
        for depth, layer in enumerate(self):
            found = layer.structure()
            if found is None:
                numbers = sum(leaf[0].numel() for leaf in nest.leaves(layer.initial_state(1)) if nest.is_float(leaf))
                found = Structure.unknown(numbers)
            parts.append(found.under(f"layers.{depth}."))
        return parts[0] if len(parts) == 1 else stacked(parts)

    def run(self, x: Tensor, state: State, masks: Masks) -> tuple[Tensor, State]:
        ends = []
        for depth, (layer, start) in enumerate(zip(self, state, strict=True)):
            if depth and self.training:
                x = drop(x, self.dropout, masks.noise, depth - 1)
            # A layer may hold dropout of its own, and counts its gaps from 0 as we do.
            noise = None if masks.noise is None else inner(masks.noise, depth)
            x, end = layer(x, start, **masks._replace(noise=noise)._asdict())
            ends.append(end)
        return x, tuple(ends)

    def extra_repr(self) -> str:
        return f"dropout={self.dropout}" if self.dropout else ""

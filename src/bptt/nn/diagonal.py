"""What LRU and MinGRU share: layers whose units are linear in their own past and know nothing of each other's.

Knows how such layers are stacked and scanned over time; must not know how coefficients come about. All that is not linear
happens before or after the recurrence, so no step waits for the one before: a stretch is one scan.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bptt.kernels.scan import scan
from bptt.nn.adapters import Layer
from bptt.nn.dropout import dropout as drop
from bptt.nn.dropout import probability
from bptt.nn.lookup import Lookup
from bptt.nn.masks import Masks
from bptt.nn.sizes import require_fit
from bptt.structure import Structure, stacked
from bptt.types import State


class Units(nn.Module):
    """One layer of units: h_t = a_t ∘ h_{t−1} + b_t and what is read off h_t. `pairs`: the numbers are complex, as pairs."""

    pairs = False

    def coefficients(self, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """a_t and b_t of `dtype` from x [B, T, I], in the shapes that `bptt.kernels.scan.recurrence.scan` takes."""
        raise NotImplementedError

    def read(self, h: Tensor, x: Tensor) -> Tensor:
        """The output [B, T, H] from the state after every step and the input."""
        raise NotImplementedError

    def zeros(self, rows: int) -> Tensor:
        """h_0."""
        raise NotImplementedError

    def structure(self) -> Structure | None:
        """Which unit each parameter entry moves; no unit moves another. None: a hook may do anything."""
        raise NotImplementedError


class Diagonal(Layer):
    """Layers of `Units` on top of each other, dropout in between. The state is a tuple, the h of each layer.

    `RTRL` keeps one number (complex: two) per parameter and row where there is one layer, as no unit moves another.
    """

    def __init__(self, input_size: int, units: list[Units], dropout: float) -> None:
        super().__init__()
        self.input_size, self.layers, self.dropout = input_size, nn.ModuleList(units), probability(dropout)

    def initial_state(self, batch_size: int) -> State:
        units: Any = self.layers
        return tuple(each.zeros(batch_size) for each in units)

    def structure(self) -> Structure | None:
        units: Any = self.layers
        found = [each.structure() for each in units]
        if None in found:
            return None
        parts = [part.under(f"layers.{depth}.") for depth, part in enumerate(found)]
        return parts[0] if len(parts) == 1 else stacked(parts)

    def run(self, x: Tensor, state: State, masks: Masks) -> tuple[Tensor, State]:
        # After the end of a row h and x are zeros, and without biases behind the recurrence so is what is read off them.
        y, found = self._climb(x, state, masks)
        return y, tuple(end for _, end in found)

    @torch.no_grad()
    def states(self, x: Any, state: State, *, reset: Tensor | None = None, noise: Tensor | None = None) -> State:
        x = x.dense() if isinstance(x, Lookup) else x
        _, found = self._climb(x, state, Masks(reset=reset, noise=noise).checked(x))
        return tuple(torch.cat([start.unsqueeze(1), h[:, :-1]], 1) for start, (h, _) in zip(state, found, strict=True))

    def _climb(self, x: Tensor, state: State, masks: Masks) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """x through all layers: the last output, and of every layer h after all steps and after the last one."""
        require_fit(self, x, state, self.input_size)
        found: list[tuple[Tensor, Tensor]] = []
        units: Any = self.layers
        for depth, (each, start) in enumerate(zip(units, state, strict=True)):
            if depth and self.training:
                x = drop(x, self.dropout, masks.noise, depth - 1)
            a, b = each.coefficients(x, start.dtype)
            reset, edge, lengths, _ = masks
            found.append(scan(a, b, start, pairs=each.pairs, reset=reset, edge=edge, lengths=lengths))
            x = each.read(found[-1][0], x)
        return x, found

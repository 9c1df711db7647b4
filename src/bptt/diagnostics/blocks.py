"""The parameters of an unrolled model in blocks that mean something: embedding, recurrent weights, readout.

Knows names of parameters; must not know models.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bptt.types import Unroll

NAMES = {"weight_ih": "input weights", "weight_hh": "recurrent weights", "bias": "biases"}


def block_of(name: str) -> str:
    """The block that a parameter belongs to; what bears none of the usual names is a block of its own.

    >>> [block_of(name) for name in ("encode.table.weight", "recurrent.layer.weight_hh_l0", "recurrent.cell.first")]
    ['embedding', 'recurrent weights', 'cell.first']
    """
    part, _, rest = name.partition(".")
    if part in ("encode", "readout"):
        return {"encode": "embedding"}.get(part, part)
    last = name.rpartition(".")[2]
    return next((block for start, block in NAMES.items() if last.startswith(start)), rest or name)


class Blocks:
    """All parameters as one vector, block by block."""

    def __init__(self, unroll: Unroll) -> None:
        self.parts: dict[str, list[Tensor]] = {}
        for name, parameter in unroll.named_parameters():
            if parameter.requires_grad:
                self.parts.setdefault(block_of(name), []).append(parameter)
        self.spans: dict[str, slice] = {}
        end = 0
        for block, parameters in self.parts.items():
            start, end = end, end + sum(parameter.numel() for parameter in parameters)
            self.spans[block] = slice(start, end)
        self.size = end

    @property
    def parameters(self) -> list[Tensor]:
        """In the order of the vector."""
        return [parameter for parameters in self.parts.values() for parameter in parameters]

    def clear(self) -> None:
        """Forget every gradient."""
        for parameter in self.parameters:
            parameter.grad = None

    def gradient(self) -> Tensor:
        """What is in `.grad`, as one vector of float64 on the CPU; zeros where there is nothing."""
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        return torch.cat([part.detach().flatten().to("cpu", torch.float64) for part in parts])

"""Tokens on their way into a layer, before their vectors are looked up.

Knows a table and ids; must not know where they come from. Embedding and input projection are both linear, so a layer may
project the table once, V rows, and look up projected rows, instead of looking up first and projecting B·T rows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Lookup(NamedTuple):
    """x[b, t] = table[ids[b, t]], not computed yet.

    ids    [B, T] integers below V
    table  [V, I], or None: the unit vectors of V = `size`
    size   V
    dtype  of the vectors
    """

    ids: Tensor
    table: Tensor | None
    size: int
    dtype: torch.dtype

    @property
    def shape(self) -> torch.Size:
        """That of the vectors, [B, T, I]."""
        return torch.Size([*self.ids.shape, self.size if self.table is None else self.table.shape[1]])

    @property
    def device(self) -> torch.device:
        return self.ids.device

    def dense(self) -> Tensor:
        """The vectors themselves."""
        if self.table is None:
            return units(self.ids, self.size, self.dtype)
        return functional.embedding(self.ids, self.table)

    def projected(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Input and input weights of a layer with W_ih [G·H, I]: ids and a [G·H, V], where that is less work than vectors."""
        if self.table is None:
            return self.ids, weight
        if self.size > self.ids.numel():
            return self.dense(), weight
        return self.ids, functional.linear(self.table, weight).t()


def units(ids: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """The unit vectors [..., V] of ids [...]; as torch's one_hot, but vmap can pass, as no value is looked at."""
    zeros = torch.zeros(*ids.shape, size, dtype=dtype, device=ids.device)
    return zeros.scatter(-1, ids.long().unsqueeze(-1), 1.0)

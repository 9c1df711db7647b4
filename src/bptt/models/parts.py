"""The ends of a language model: tokens in, scores out. They know vectors of tokens, and nothing of time but a step's noise."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bptt.nn import Dropout, Lookup
from bptt.nn.adapters import hooked


class OneHot(nn.Module):
    """Token v as the v-th unit vector: ids [B, T] → [B, T, V]. No parameters: the layer's input weights are the table."""

    def __init__(self, size: int, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.size = size
        # A buffer without content follows the model through .to(), .double() and .cuda().
        self.register_buffer("like", torch.zeros(0, dtype=dtype), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.lookup(ids).dense()

    def lookup(self, ids: Tensor) -> Lookup:
        return Lookup(ids, None, self.size, self.like.dtype)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        return str(self.size)


class Embed(nn.Module):
    """A learned vector per token, with dropout: ids [B, T] → [B, T, E]."""

    def __init__(self, size: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.table = nn.Embedding(size, width)
        self.dropout = Dropout(dropout, layer=-1)

    def forward(self, ids: Tensor, noise: Tensor | None = None) -> Tensor:
        return self.dropout(self.table(ids), noise)

    def lookup(self, ids: Tensor) -> Lookup | None:
        """The same before anything is looked up; None while dropout or the table do more than that."""
        table = self.table
        special = table.padding_idx is not None or table.max_norm is not None or table.sparse or table.scale_grad_by_freq
        if special or hooked(table, self.dropout) or (self.training and self.dropout.p):
            return None
        return Lookup(ids, self.table.weight, self.table.num_embeddings, self.table.weight.dtype)


class Following(nn.Module):
    """A token twice, [B, T] → [B, T, I + V]: as the vector that is read, and as the output that the step before should give."""

    def __init__(self, token: Embed | OneHot, size: int) -> None:
        super().__init__()
        self.token, self.truth = token, OneHot(size)

    def forward(self, ids: Tensor, noise: Tensor | None = None) -> Tensor:
        read = self.token(ids, noise) if isinstance(self.token, Embed) else self.token(ids)
        return torch.cat([read, self.truth(ids)], -1)


class Readout(nn.Module):
    """Scores of the next token: o = Dropout(h) W_hqᵀ + b_q, [B, T, H] → [B, T, V]."""

    def __init__(self, width: int, size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = Dropout(dropout, layer=-2)
        self.linear = nn.Linear(width, size)

    def forward(self, hidden: Tensor, noise: Tensor | None = None) -> Tensor:
        return self.linear(self.features(hidden, noise))

    def features(self, hidden: Tensor, noise: Tensor | None = None) -> Tensor:
        """What `linear` reads: a loss that has a linear form takes both and never sees all scores at once."""
        return self.dropout(hidden, noise)

"""Time backwards, for the second direction of a bidirectional layer.

Knows how to turn rows of unequal length around; must not know what runs over them.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reverse(values: Tensor, lengths: Tensor | None = None) -> Tensor:
    """`values` [B, T, …] with the first `lengths` [B] steps of every row in reverse order, and the padding where it was."""
    if lengths is None:
        return values.flip(1)
    t = torch.arange(values.shape[1], device=values.device)
    order = (lengths.unsqueeze(1) - 1 - t).where(t < lengths.unsqueeze(1), t)
    return values.gather(1, order.view(order.shape + (1,) * (values.dim() - 2)).expand_as(values))


def borders(marks: Tensor | None, neutral: float, lengths: Tensor | None = None) -> Tensor | None:
    """Marks [B, T] of a reversed run: mark t sits between steps t−1 and t, whichever direction crosses it.

    So the reverse direction meets mark t on entering step t−1, and mark 0 never; nothing lies before its own first step.
    """
    if marks is None:
        return None
    return torch.cat([torch.full_like(marks[:, :1], neutral), reverse(marks, lengths)[:, :-1]], 1)

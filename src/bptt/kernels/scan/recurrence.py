"""The diagonal linear recurrence over a stretch, with all that may happen at the borders of its steps.

Knows resets, edge weights and lengths, and which way the recurrence is run; must not know layers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bptt import nest
from bptt.kernels.dispatch import observed
from bptt.kernels.scan.parallel import parallel
from bptt.kernels.scan.reference import sequential
from bptt.kernels.walk import living


def scan(
    a: Tensor,
    b: Tensor,
    state: Tensor,
    *,
    pairs: bool = False,
    reset: Tensor | None = None,
    edge: Tensor | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The diagonal linear recurrence over a whole stretch.

        h_t = a_t ∘ h_{t−1} + b_t,    t = 1 … T

    a        [B or 1, T or 1, H]; one coefficient for all rows or steps has size 1 there
    b        [B, T, H]
    state    h_0 [B, H]
    pairs    whether the numbers are complex: then all three have one axis more, of size 2, real and imaginary part
    reset    [B, T] bool: h_{t−1} = 0 at these steps
    edge     [B, T] float: factor on the gradient that flows back into h_{t−1}
    lengths  [B]: rows that have ended keep their state and put out zeros

    Returns h [B, T, H] and the last state [B, H], its own memory. A scan over chunks of steps; step by step where there is one
    step, or where torch.func or a compiler must see single operations.

        h, end = scan(torch.rand(2, 70, 3), torch.randn(2, 70, 3), torch.zeros(2, 3))
    """
    if b.shape[1] < 2 or observed():
        return sequential(a, b, state, pairs=pairs, reset=reset, edge=edge, lengths=lengths)
    if pairs:
        a, b, state = (torch.view_as_complex(each.contiguous()) for each in (a, b, state))
    alive = None if lengths is None else nest.align(living(lengths, b.shape[1]), b)
    if reset is not None:
        a = a.expand_as(b).masked_fill(nest.align(reset, b), 0)
    if edge is not None:
        edge = nest.align(edge, b).to(b.real.dtype)
    if alive is not None:
        a, b = a.expand_as(b).masked_fill(~alive, 1), b.masked_fill(~alive, 0)
        edge = None if edge is None else edge.masked_fill(~alive, 1)
    h, end = parallel(a, b, state, edge)
    h = h if alive is None else h.masked_fill(~alive, 0)
    return (torch.view_as_real(h), torch.view_as_real(end)) if pairs else (h, end)

"""What a step of a gated or plain layer does inside one unit: the local Jacobians of the Elman, leaky, GRU and LSTM recurrence.

Knows the equations and their derivatives; must not know modules, several layers or what a rule makes of it. `Local` says what
the parts mean and how they make up the Jacobians of the step; `bptt.testing.check_cell` holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from bptt.kernels.elman.reference import activation
from bptt.types import Entry, Local

SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": lambda value: 1 - value.square(),
    "relu": lambda value: (value > 0).to(value.dtype),
    "identity": torch.ones_like,
}
Weights = tuple[Tensor, ...]


def elman(x: Tensor, h: Tensor, *weights: Tensor, nonlinearity: str = "tanh", leak: float = 1.0, **_: Any) -> Local:
    """h' = (1 − α) h + α φ(a), a = W_ih x + b_ih + W_hh h + b_hh; α = leak, 1 for the Elman network."""
    value = activation(nonlinearity)(_through(x, *weights[::2]) + _through(h, *weights[1::2]))
    own = torch.full_like(h, 1 - leak)
    gain = (leak * SLOPES[nonlinearity](value))[:, None, None]
    return _local(own[:, None, None], x, h, weights, gain, gain)


def gru(x: Tensor, h: Tensor, *weights: Tensor, **_: Any) -> Local:
    """h' = n + z (h − n); r multiplies the recurrent half of n's pre-activation, so its weights have a gain of their own."""
    (read_r, read_z, read_n), (back_r, back_z, back_n) = (
        _through(source, *some).chunk(3, 1) for source, some in ((x, weights[::2]), (h, weights[1::2]))
    )
    r, z = (read_r + back_r).sigmoid(), (read_z + back_z).sigmoid()
    n = (read_n + r * back_n).tanh()
    by_n = (1 - z) * (1 - n.square())
    doors = [by_n * back_n * r * (1 - r), (h - n) * z * (1 - z)]
    reads, backs = (torch.stack([*doors, last], 1)[:, None] for last in (by_n, by_n * r))
    return _local(z[:, None, None], x, h, weights, reads, backs)


def lstm(x: Tensor, state: tuple[Tensor, Tensor], *weights: Tensor, **_: Any) -> Local:
    """c' = f c + i g, h' = o tanh(c'): all but o reaches h' through c'."""
    h, c = state
    i, f, g, o = (_through(x, *weights[::2]) + _through(h, *weights[1::2])).chunk(4, 1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    told = (f * c + i * g).tanh()
    by_c = o * (1 - told.square())
    nothing = torch.zeros_like(c)
    to_c = torch.stack([g * i * (1 - i), c * f * (1 - f), i * (1 - g.square()), nothing], 1)
    to_h = by_c[:, None] * to_c + torch.stack([nothing, nothing, nothing, told * o * (1 - o)], 1)
    own = torch.stack([torch.stack([nothing, by_c * f], 1), torch.stack([nothing, f], 1)], 1)
    gain = torch.stack([to_h, to_c], 1)
    return _local(own, x, h, weights, gain, gain)


# By the name of the recurrence: (x [B, I], state, weight_ih, weight_hh, bias_ih, bias_hh, …) → Local.
LOCAL: dict[str, Callable[..., Local]] = {"elman": elman, "leaky": elman, "gru": gru, "lstm": lstm}


@torch.no_grad()
def local(cell: str, x: Tensor, state: Any, *weights: Tensor, **extra: Any) -> Local:
    """One step of a layer, x [B, I] from a state with leaves [B, H]; `weights` as a kernel takes them, biases may be absent."""
    present = [weight for weight in weights if weight is not None]
    with torch.autocast(x.device.type, enabled=False):
        return LOCAL[cell](x.to(present[0].dtype), state, *present, **extra)


def _through(source: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return linear(source, weight, bias)


def _local(own: Tensor, x: Tensor, h: Tensor, weights: Weights, reads: Tensor, backs: Tensor) -> Local:
    """The entries of weight_ih, weight_hh and the biases beside them, from the gains of the two halves."""
    sources = (x, h, None, None)
    entries = tuple(Entry(weight, (reads, backs)[k % 2], sources[k]) for k, weight in enumerate(weights))
    return Local(own, entries[1], entries)

"""Dropout whose mask is a pure function of (noise, layer, unit), so that recomputation draws the same mask.

Knows the hash; must not know where noise comes from. No random state is stored: steps may be cut into pieces, flattened
into rows or run again, and every unit of every step keeps its mask.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from bptt.errors import InputError
from bptt.kernels.dispatch import compiled_for
from bptt.kernels.library import Library

GOLDEN = 0x9E3779B97F4A7C15
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
BITS = 53


def signed(value: int) -> int:
    """`value` modulo 2⁶⁴ as the int64 with the same bits."""
    value %= 2**64
    return value - 2**64 if value >= 2**63 else value


def shifted(value: Tensor, bits: int) -> Tensor:
    """Logical shift to the right: torch's own `>>` repeats the sign bit."""
    return (value >> bits) & (2 ** (64 - bits) - 1)


def mix(value: Tensor) -> Tensor:
    """The finaliser of splitmix64, a bijection of int64 in which every input bit moves every output bit."""
    value = (value ^ shifted(value, 30)) * signed(FIRST)
    value = (value ^ shifted(value, 27)) * signed(SECOND)
    return value ^ shifted(value, 31)


def kept(noise: Tensor, units: int, p: float, layer: int = 0) -> Tensor:
    """Which units survive: [..., units] bool for `noise` [...] int64.

    With all arithmetic modulo 2⁶⁴, g = 0x9E3779B97F4A7C15, ⋙ the logical shift and

        mix(v):  v ← (v ⊕ v⋙30)·0xBF58476D1CE4E5B9;  v ← (v ⊕ v⋙27)·0x94D049BB133111EB;  v ⊕ v⋙31

    unit u of layer l is dropped where mix(mix(noise + (l+1) g) + (u+1) g) ⋙ 11 < round(p·2⁵³).
    """
    key = mix(noise + signed((layer + 1) * GOLDEN))
    counter = torch.arange(1, units + 1, dtype=torch.int64, device=noise.device) * signed(GOLDEN)
    return shifted(mix(key.unsqueeze(-1) + counter), 64 - BITS) >= round(p * 2**BITS)


def inner(noise: Tensor, place: int) -> Tensor:
    """The noise [...] int64 for a module inside another that numbers its own layers from 0: mix(noise ⊕ (place+1)·FIRST)."""
    return mix(noise ^ signed((place + 1) * FIRST))


def draw(shape: torch.Size | tuple[int, ...], device: torch.device) -> Tensor:
    """Fresh noise [...] int64 from torch's global generator."""
    return torch.randint(-(2**63), 2**63 - 1, tuple(shape), dtype=torch.int64, device=device)


def dropout(x: Tensor, p: float, noise: Tensor | None = None, layer: int = 0) -> Tensor:
    """x [B, T, …] with each unit zeroed with probability p and the others divided by 1 − p.

    noise  [B, T] int64, see `kept`; None: drawn afresh from torch's global generator
    layer  tells apart the places of a model that see the same noise
    """
    if p == 0:
        return x
    noise = draw(x.shape[:2], x.device) if noise is None else noise
    compiled = compiled_for(x)
    if compiled is not None:
        return _Dropped.apply(compiled, x, noise, p, layer)
    mask = kept(noise, math.prod(x.shape[2:]), p, layer).view(x.shape)
    return x * (mask.to(x.dtype) / (1 - p) if p < 1 else mask.to(x.dtype))


class _Dropped(torch.autograd.Function):
    """`dropout` without a mask in memory: the backward pass draws it again."""

    @staticmethod
    def forward(ctx: Any, compiled: Library, x: Tensor, noise: Tensor, p: float, layer: int) -> Tensor:
        ctx.p, ctx.layer = p, layer
        ctx.save_for_backward(noise)
        # As the values lie in memory, step after step or row after row.
        turned = not x.is_contiguous() and x.transpose(0, 1).is_contiguous()
        values, seeds = (x.transpose(0, 1), noise.t()) if turned else (x, noise)
        flat = values.reshape(seeds.numel(), -1).contiguous() if values.numel() else values.reshape(0, 1)
        scale = 1 / (1 - p) if p < 1 else 1.0
        dropped = compiled.dropout(flat, seeds.reshape(-1).contiguous(), layer, round(p * 2**BITS), scale).view(values.shape)
        return dropped.transpose(0, 1) if turned else dropped

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (noise,) = ctx.saved_tensors
        return None, dropout(grad, ctx.p, noise, ctx.layer), None, None, None


class Dropout(nn.Module):
    """Dropout over [B, T, …] that reads its mask off `noise`; nothing happens in evaluation.

    p      the probability of a zero, in [0, 1]
    layer  any integer: two places of one model with different numbers draw independent masks. The drop-in layers and `Stack`
           use 0, 1, … for the gaps between their own layers, so give negative numbers to what stands around them.

        Dropout(0.5, layer=-1)(torch.ones(2, 7, 4), noise=window.noise)
    """

    def __init__(self, p: float = 0.5, layer: int = 0) -> None:
        super().__init__()
        self.p, self.layer = probability(p), layer

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Mask x [B, T, …] by `noise` [B, T] int64, or by fresh noise."""
        return dropout(x, self.p, noise, self.layer) if self.training else x

    def extra_repr(self) -> str:
        return f"p={self.p}, layer={self.layer}"


def probability(p: float) -> float:
    """`p` as a float. Raises InputError unless it lies in [0, 1]."""
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
        raise InputError("Dropout is not a probability", repr(p), "Give a number from 0 to 1")
    return float(p)

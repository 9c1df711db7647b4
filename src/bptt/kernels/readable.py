"""A whole layer in plain torch operations: the input projection for all steps at once, then the readable recurrence.

Knows the readable recurrences; must not know the compiled ones. It runs on every device, in every precision and under every
transform of torch, and it is what the compiled layer is compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional

from bptt.kernels.elman.reference import elman
from bptt.kernels.gru.reference import gru
from bptt.kernels.leaky.reference import leaky
from bptt.kernels.lstm.reference import lstm

READABLE: dict[str, Callable[..., Any]] = {"elman": elman, "lstm": lstm, "gru": gru, "leaky": leaky}


def layer(
    cell: str,
    x: Tensor,
    state: Any,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    *,
    memory: str = "auto",
    **masks: Any,
) -> tuple[Tensor, Any]:
    """x [B, T, I], or ids [B, T] that stand for one-hot vectors → outputs [B, T, H] and the last state.

    `masks` are those of the recurrences. `memory` changes nothing here: autograd keeps what it keeps.
    """
    return READABLE[cell](project(x, weight_ih, bias_ih), state, weight_hh, bias_hh, **masks)


def project(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W_ihᵀ + b_ih → [B, T, G·H], stored step after step: every step of a loop then reads one contiguous block."""
    turned = x.transpose(0, 1).contiguous()
    if x.is_floating_point():
        return functional.linear(turned, weight, bias).transpose(0, 1)
    looked_up = functional.embedding(turned, weight.t())
    return (looked_up if bias is None else looked_up + bias).transpose(0, 1)

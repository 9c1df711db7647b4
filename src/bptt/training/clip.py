"""Clipping of gradients by their norm, safe for every size that a float can hold."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor


@torch.no_grad()
def gradient_norm(parameters: Iterable[Tensor]) -> float:
    """Euclidean norm over the gradients of all parameters; parameters without a gradient count as zero.

    Computed in float64 and, where even that overflows, after division by the largest entry: gradients of 1e20 in float32 or
    1e200 in float64 have a finite norm. NaN or infinite gradients give NaN or inf.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None and parameter.grad.numel()]
    if not gradients:
        return 0.0
    norm = _norm(gradients, 1.0)
    if math.isnan(norm) or 1e-150 < norm < math.inf:
        return norm
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    return largest * _norm(gradients, largest) if 0 < largest < math.inf else largest


def _norm(gradients: list[Tensor], unit: float) -> float:
    parts = [gradient if unit == 1.0 else gradient.double() / unit for gradient in gradients]
    norms = [torch.linalg.vector_norm(part, dtype=torch.float64) for part in parts]
    return float(torch.linalg.vector_norm(torch.stack(norms)))  # one number leaves the device, not one per parameter


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], limit: float | None) -> tuple[float, bool]:
    """Scale all gradients by min(1, limit / (‖g‖ + 1e-6)); returns ‖g‖ before, and whether it was above the limit.

    The 1e-6 scales a norm just below the limit, too; for a limit that is not far above 1e-6 by much.
    `torch.nn.utils.clip_grad_norm_` with the same formula returns zeros for gradients of 1e20 in float32: its norm overflows.

    Source: Pascanu, Mikolov & Bengio 2013, On the difficulty of training recurrent neural networks, section 3.2.
    """
    parameters = list(parameters)
    norm = gradient_norm(parameters)
    if limit is None:
        return norm, False
    factor = 1 / (norm + 1e-6) * limit  # in this order, as torch rounds it
    if math.isfinite(norm) and factor < 1:
        for gradient in (parameter.grad for parameter in parameters if parameter.grad is not None):
            # Two factors where one alone would underflow in the gradient's own precision.
            underflows = factor < torch.finfo(gradient.dtype).tiny
            for part in [math.sqrt(factor)] * 2 if underflows else [factor]:
                gradient.mul_(part)
    return norm, norm > limit

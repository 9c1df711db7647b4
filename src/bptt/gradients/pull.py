"""Gradients of some tensors at others, zeros where nothing arrives.

Knows autograd; must not know what is pulled back, nor why.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pulled(
    roots: Sequence[Tensor], wanted: Sequence[Tensor], pulls: Sequence[Tensor] | None = None, *, keep: bool = False
) -> list[Tensor]:
    """Σ_i pullᵢ ∂rootᵢ/∂w for every w of `wanted`; roots that carry no gradient give nothing.

    Arguments: pulls, a tensor like each root, or None where the roots are numbers; keep, whether the graph is wanted again.
    """
    given: Sequence[Tensor | None] = [None] * len(roots) if pulls is None else pulls
    live = [(root, pull) for root, pull in zip(roots, given, strict=True) if root.requires_grad]
    if not live or not wanted:
        return [torch.zeros_like(leaf) for leaf in wanted]
    outputs, weights = zip(*live, strict=True)
    found = torch.autograd.grad(outputs, wanted, weights, retain_graph=keep, allow_unused=True)
    return [torch.zeros_like(leaf) if grad is None else grad for grad, leaf in zip(found, wanted, strict=True)]

"""Losses that compute the readout themselves, so that no score of the whole stretch is ever kept.

Knows a linear readout and the losses that have such a form; must not know models or strategies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bptt import losses
from bptt.kernels.dispatch import compiled_for, observed
from bptt.kernels.observers import differentiated_again

# Scores that exist at a time: large enough for a product to be fast, small enough for a cache.
SCORES = 2**21


def cross_entropy(features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Negative log-likelihood of the target token in nats, from what a linear readout reads.

        o = h Wᵀ + b,   l[b, t] = log Σ_v exp o[b, t, v] − o[b, t, y[b, t]]

    equal to `losses.cross_entropy(o, targets)`. Scores are made, used and forgotten in chunks of rows, and so is
    ∂l/∂o = softmax(o) − onehot(y), already in the forward pass: what waits for the backward pass is [B, T, H] and [V, H].

    Arguments: features h [B, T, H]; weight [V, H]; bias [V] or None; targets [B, T] integer ids; mask [B, T] bool, the losses
    that will be summed. Another weighting than a multiple of the mask is right too, at the price of computing the scores again.
    Returns [B, T].
    """
    flat, ids = features.flatten(0, 1), targets.flatten().long()
    if observed() or _outside(ids, weight.shape[0]):  # where torch ignores a target of −100, and refuses the others
        return functional.cross_entropy(functional.linear(flat, weight, bias), ids, reduction="none").view(targets.shape)
    if not torch.is_grad_enabled() or not any(t is not None and t.requires_grad for t in (features, weight, bias)):
        return _run(flat, weight, bias, ids, None)[0].view(targets.shape)
    counted = torch.ones_like(ids, dtype=features.dtype) if mask is None else mask.flatten().to(features.dtype)
    return _Chunked.apply(flat, weight, bias, ids, counted).view(targets.shape)


def _outside(ids: Tensor, size: int) -> bool:
    """Whether an id is none of the numbers below `size`."""
    if not ids.numel():
        return False
    low, high = ids.aminmax()
    return bool(low < 0) or bool(high >= size)


FROM_LINEAR: dict[Any, Callable[..., Tensor]] = {losses.cross_entropy: cross_entropy}


class _Chunked(torch.autograd.Function):
    """l [N] for h [N, H], W [V, H], b [V], y [N]; gradients for the losses weighed by `counted` [N] are made on the way."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, counted: Tensor) -> Tensor:
        result, grads = _run(features, weight, bias, targets, counted)
        ctx.save_for_backward(features, weight, bias, targets, counted, *grads)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, bias, targets, counted, *grads = ctx.saved_tensors
        needs = ctx.needs_input_grad[:3]
        if differentiated_again([grad]):
            return *_again(features, weight, bias, targets, grad, needs), None, None
        scale = grad[counted.argmax()] if grad.numel() else grad.sum()
        if torch.equal(grad, scale * counted):
            return *_pick([None if g is None else g * scale for g in grads], needs), None, None
        return *_pick(_run(features, weight, bias, targets, grad)[1], needs), None, None


def _pick(grads: Sequence[Tensor | None], needs: Sequence[bool]) -> list[Tensor | None]:
    return [grad if need else None for grad, need in zip(grads, needs, strict=True)]


def _run(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, weights: Tensor | None
) -> tuple[Tensor, tuple[Tensor | None, Tensor | None, Tensor | None]]:
    """Losses [N], and the gradients of Σ weights · losses if there are weights."""
    result = features.new_empty(features.shape[0])
    if weights is None:
        grads: tuple[Tensor | None, Tensor | None, Tensor | None] = (None, None, None)
    else:
        grads = torch.empty_like(features), torch.zeros_like(weight), None if bias is None else torch.zeros_like(bias)
    rows = max(1, SCORES // max(1, weight.shape[0]))
    for a in range(0, features.shape[0], rows):
        here = slice(a, a + rows)
        scores = functional.linear(features[here], weight, bias)
        result[here] = _softmax(scores, targets[here], None if weights is None else weights[here])
        if weights is not None:
            _gather(grads, here, scores, features, weight)
    return result, grads


def _softmax(scores: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Losses of some rows; with weights, the scores are replaced by the gradients of the losses so weighed."""
    compiled = compiled_for(scores)
    if compiled is not None:
        return compiled.softmax(scores, targets.contiguous(), weights)
    column, total = targets.unsqueeze(1), scores.logsumexp(1, keepdim=True)
    losses = (total - scores.gather(1, column)).squeeze(1)
    if weights is not None:
        scores.sub_(total).exp_().scatter_add_(1, column, torch.full_like(total, -1)).mul_(weights.unsqueeze(1))
    return losses


def _gather(grads: Sequence[Tensor | None], here: slice, slope: Tensor, features: Tensor, weight: Tensor) -> None:
    """Take in the scores' gradients of some rows."""
    of_features, of_weight, of_bias = grads
    assert of_features is not None and of_weight is not None
    torch.mm(slope, weight, out=of_features[here])
    of_weight.addmm_(slope.t(), features[here])
    if of_bias is not None:
        of_bias += slope.sum(0)


def _again(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, grad: Tensor, needs: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients in plain torch operations, for those who want to differentiate them again."""
    with torch.enable_grad():
        result = functional.cross_entropy(functional.linear(features, weight, bias), targets, reduction="none")
        wanted: list[Any] = [t for t, need in zip((features, weight, bias), needs, strict=True) if need]
        found = iter(torch.autograd.grad(result, wanted, grad, create_graph=True))
    return [next(found) if need else None for need in needs]

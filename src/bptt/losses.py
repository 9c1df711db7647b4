"""Losses: one number per row and step. Masks, sums and normalisation are the unroll's business, not theirs."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from bptt.errors import ShapeError


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood of the target token, in nats.

    l[b, t] = log Σ_v exp o[b, t, v] − o[b, t, y[b, t]]

    Arguments: outputs [B, T, V] logits; targets [B, T] integer ids. Returns [B, T].
    """
    return functional.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared distance, summed over everything after the step axis, without ½.

    l[b, t] = Σ_i (o[b, t, i] − y[b, t, i])²

    Arguments: outputs and targets [B, T, …] of one shape. Returns [B, T]. Raises ShapeError for two shapes: broadcasting
    [B, T, 1] against [B, T] would compare every step with every other.
    """
    if outputs.shape != targets.shape:
        given = f"outputs {tuple(outputs.shape)}, targets {tuple(targets.shape)}"
        raise ShapeError("Outputs and targets differ in shape", given, "Give both as [B, T, …]")
    return (outputs - targets).square().unsqueeze(-1).flatten(2).sum(2)

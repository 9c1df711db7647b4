"""Nests: a state is any nest of tensors in dicts, lists, tuples and named tuples.

Knows how to walk such a nest and nothing about what the tensors mean. Everything that carries a state from step to step
(strategies, layers, checkpoints) walks it with these few functions, so that no other code asks "is it an LSTM?".
Row b of every leaf belongs to row b of the batch. Integer and boolean leaves (counters, masks) carry no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Nest = Any


def map(function: Callable[..., Any], nest: Nest, *others: Nest) -> Nest:
    """Apply `function` to every leaf of `nest` (and the matching leaves of `others`), keeping the shape of the nest."""
    if nest is None:
        return None
    if isinstance(nest, dict):
        return {key: map(function, value, *(other[key] for other in others)) for key, value in nest.items()}
    if isinstance(nest, list | tuple):
        mapped = [map(function, *parts) for parts in zip(nest, *others, strict=True)]
        return type(nest)(*mapped) if hasattr(nest, "_fields") else type(nest)(mapped)
    return function(nest, *others)


def leaves(nest: Nest) -> list[Any]:
    """The leaves of `nest` in a fixed order."""
    found: list[Any] = []
    map(found.append, nest)
    return found


def is_float(leaf: Any) -> bool:
    """True for a leaf that can carry a gradient."""
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def detach(nest: Nest) -> Nest:
    """The same values, cut off from the graph that made them."""
    return map(lambda leaf: leaf.detach(), nest)


def as_leaves(nest: Nest) -> Nest:
    """Detached copies that record gradients (the float ones), so that an adjoint can be read off them."""
    return map(lambda leaf: leaf.detach().requires_grad_(is_float(leaf)), nest)


def align(mask: Tensor, leaf: Tensor) -> Tensor:
    """View `mask` [B] with trailing axes of size one, so that it broadcasts over a state leaf [B, …]."""
    return mask.view(mask.shape + (1,) * (leaf.dim() - mask.dim()))


def weigh(nest: Nest, weight: Tensor) -> Nest:
    """Multiply the gradient that flows back into `nest` by `weight` [B]; finite values stay the same.

    fixed + w (value − fixed), with value = fixed. One operation of torch instead of an autograd function: cheap, as it runs at
    every step, and jvp, vmap and jacrev pass through it as well.
    """

    def leaf(value: Tensor) -> Tensor:
        return torch.lerp(value.detach(), value, align(weight.to(value.dtype), value)) if is_float(value) else value

    return map(leaf, nest)


def where(mask: Tensor, nest: Nest, otherwise: Nest) -> Nest:
    """Row by row: the leaves of `nest` where `mask` [B] is true, those of `otherwise` elsewhere."""
    return map(lambda a, b: torch.where(align(mask, a), a, b), nest, otherwise)

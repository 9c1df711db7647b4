"""Sizes of layers, checked, so that each says the same of the same mistake."""

from __future__ import annotations

import itertools
from typing import Any

from torch import Tensor

from bptt import nest
from bptt.errors import InputError, ShapeError


def at_least(least: int, name: str, value: Any) -> int:
    """`value`, if it is a whole number from `least` on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(
            f"{name} must be a whole number, at least {least}", f"{name}={value!r}", f"Give for example {least + 2}"
        )
    return value


def widths(input_size: Any, hidden_size: Any, num_layers: Any) -> list[tuple[int, int]]:
    """What each of `num_layers` layers reads and puts out, the first the inputs; InputError for sizes that cannot be."""
    for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
        at_least(1, name, size)
    return list(itertools.pairwise([input_size, *[hidden_size] * num_layers]))


def require_fit(layer: Any, x: Tensor, state: Any, inputs: int) -> None:
    """ShapeError for inputs [B, T, I] of another size than `inputs`, or a state of another shape than the layer's own."""
    if x.shape[2] != inputs:
        todo = f"Give them as [B, T, {inputs}]"
        raise ShapeError("The inputs do not fit the layer", str(tuple(x.shape)), todo)
    for leaf, wanted in zip(nest.leaves(state), nest.leaves(layer.initial_state(x.shape[0])), strict=True):
        if leaf.shape != wanted.shape:
            given, todo = str(tuple(leaf.shape)), f"Give {tuple(wanted.shape)}, or what the layer returned"
            raise ShapeError("The state does not fit the layer", given, todo)

"""A nest of values as tensors by name plus a JSON skeleton, and back. Nothing in it executes on load.

Knows numbers, strings, tensors, containers, windows and carries; refuses everything else when saving, so that a checkpoint that
cannot be read again is never written.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from bptt import nest
from bptt.errors import CheckpointError, ContractError
from bptt.types import Carry, Window

TAG = "$"


def pack(value: Any) -> tuple[dict[str, Tensor], Any]:
    """Take `value` apart: its tensors by name, and a JSON value that says where each belongs."""
    tensors: dict[str, Tensor] = {}
    return tensors, _pack(value, tensors)


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    def each(values: Any) -> list[Any]:
        return [_pack(item, tensors) for item in values]

    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {TAG: "float", "value": str(value)}
    if isinstance(value, Tensor):
        if value.grad_fn is not None:
            raise ContractError("A value to be saved is still attached to a graph", f"{tuple(value.shape)}", "Detach it")
        tensors[f"t{len(tensors)}"] = value.detach()
        return {TAG: "tensor", "name": f"t{len(tensors) - 1}"}
    if isinstance(value, Window):
        return {TAG: "window", "parts": each(getattr(value, field.name) for field in dataclasses.fields(Window))}
    if isinstance(value, Carry):
        return {TAG: "carry", "parts": each(value)}
    if isinstance(value, dict):
        return {TAG: "dict", "items": [[_key(key), _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {TAG: "tuple", "parts": each(value)}
    if isinstance(value, list):
        return each(value)
    raise ContractError(
        "A value of this type cannot be saved",
        type(value).__name__,
        "Use tensors, numbers, strings, None, dicts, lists, tuples",
    )


def _key(key: Any) -> Any:
    if isinstance(key, str | int) and not isinstance(key, bool):
        return key
    raise ContractError("A dict to be saved has a key that is no string or whole number", repr(key), "Use such keys")


def unpack(tensors: dict[str, Tensor], skeleton: Any) -> Any:
    """The value that `pack` took apart. A named tuple comes back as a tuple (see `like`)."""
    if isinstance(skeleton, list):
        return [unpack(tensors, item) for item in skeleton]
    if not isinstance(skeleton, dict):
        return skeleton
    try:
        return _unpack(tensors, skeleton)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            "A saved value is damaged", f"{type(error).__name__}: {error}", "Use another checkpoint"
        ) from error


def _unpack(tensors: dict[str, Tensor], skeleton: dict[str, Any]) -> Any:
    kind = skeleton[TAG]
    if kind == "tensor":
        # A copy of its own: a slice of the file's bytes may lie at an alignment at which products round differently.
        return tensors[skeleton["name"]].clone()
    if kind == "float":
        return float(skeleton["value"])
    if kind == "dict":
        return {key: unpack(tensors, item) for key, item in skeleton["items"]}
    parts = [unpack(tensors, part) for part in skeleton["parts"]]
    makers = {"window": lambda p: Window(*p), "carry": lambda p: Carry(*p), "tuple": tuple}
    return makers[kind](parts)


def like(template: Any, value: Any) -> Any:
    """`value` with the named tuples of `template`; CheckpointError unless it is a nest of the same shape, leaf by leaf.

    Of the types of the leaves only the kind must agree, floating or not: under autocast a state is narrower than its beginning.
    """

    def leaf(here: Any, there: Any) -> Any:
        if here.shape != there.shape or here.is_floating_point() != there.is_floating_point():
            raise ValueError(f"{list(there.shape)} {there.dtype} there, {list(here.shape)} {here.dtype} here")
        return there

    try:
        return nest.map(leaf, template, value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError("A saved state is of another model", str(error), "Use a checkpoint of this model") from error


def move(value: Any, device: torch.device | str) -> Any:
    """The tensors inside `value` on another device."""
    tensors, skeleton = pack(value)
    return unpack({name: tensor.to(device) for name, tensor in tensors.items()}, skeleton)

"""A carry of all rows out of those of several processes, and back: what a row carries goes with it.

Knows carries as nests of numbers and tensors; must not know processes. A tensor whose first axis is as long as there are rows
is one by row, unless it stands under the key "shared"; everything else belongs to all rows and is the same on every process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bptt.errors import ContractError
from bptt.training.pack import TAG, pack, unpack


def whole(parts: Sequence[Any], rows: Sequence[int]) -> Any:
    """The carry of all rows from parts with so many rows each; ContractError where the parts do not fit together."""
    tensors, skeletons = zip(*map(pack, parts), strict=True)
    if any(skeleton != skeletons[0] for skeleton in skeletons):
        raise ContractError(
            "What a strategy remembers differs between processes in more than its rows",
            difference(skeletons[0], next(other for other in skeletons if other != skeletons[0])),
            "Let numbers of the memory depend on the position alone, or agree on them with unroll.agree",
        )
    of_all = shared(skeletons[0])
    joined = {name: _joined(name, [part[name] for part in tensors], rows, name in of_all) for name in tensors[0]}
    return unpack(joined, skeletons[0])


def shared(skeleton: Any, within: bool = False) -> set[str]:
    """The names of the tensors that stand under a key "shared", anywhere in what `pack` made."""
    if isinstance(skeleton, list):
        return set().union(*(shared(item, within) for item in skeleton))
    if not isinstance(skeleton, dict):
        return set()
    if skeleton[TAG] == "tensor":
        return {skeleton["name"]} if within else set()
    if skeleton[TAG] == "dict":
        return set().union(*(shared(value, within or key == "shared") for key, value in skeleton["items"]))
    return shared(skeleton.get("parts", []), within)


def _joined(name: str, parts: list[Tensor], rows: Sequence[int], of_all: bool) -> Tensor:
    if not of_all and all(part.dim() and len(part) == count for part, count in zip(parts, rows, strict=True)):
        return torch.cat(parts)
    same = all(part.shape == parts[0].shape and torch.equal(part, parts[0]) for part in parts)
    if not same or (not of_all and parts[0].dim() and len(parts[0]) == sum(rows)):
        raise ContractError(
            "What a strategy remembers is neither by row nor the same on all processes",
            f"tensor {name}, of shapes {', '.join(str(list(part.shape)) for part in parts)} for {list(rows)} rows",
            "Keep rows on the first axis, and under the key 'shared' what belongs to all rows, equal on all processes",
        )
    return parts[0]


def part(carry: Any, rows: slice, batch_size: int) -> Any:
    """What a carry of `batch_size` rows holds for some of them; tuples without names, as from a file (see `pack.like`)."""
    tensors, skeleton = pack(carry)
    of_all = shared(skeleton)
    cut = {name: value if name in of_all else _cut(value, rows, batch_size) for name, value in tensors.items()}
    return unpack(cut, skeleton)


def _cut(value: Tensor, rows: slice, batch_size: int) -> Tensor:
    return value[rows] if value.dim() and len(value) == batch_size else value


def difference(one: Any, other: Any) -> str:
    """The first place at which two JSON values differ, and what is there."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next(difference(a, b) for a, b in zip(one, other, strict=True) if a != b)
    return f"{one} on one, {other} on another"[:200]


def other_size(before: int, now: int) -> str:
    """What is not as it would have been, had the run gone on with as many processes as before."""
    counts = f"{now} process{'es' * (now > 1)}, after {before}"
    return (
        f"The run goes on in {counts}: every row keeps its state, and gradients are summed in another order, so from here on "
        "it is the same up to rounding. Only masks from torch's own generator (nn.Dropout in a cell of yours) are drawn anew"
    )

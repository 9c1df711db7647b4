"""The influence of some parameters that are treated alike: how it is laid out, moved on by a step, and pulled on.

Knows the buckets of `kept`; must not know models or rules. The parameters are one vector of P entries here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from bptt.gradients.online.kept import Bucket, Pattern


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Parameters by name, their shapes, and the buckets of their influence.

    whole  nothing is known of what they move: their influence is on all numbers, and I comes whole, not by colour
    """

    shapes: Mapping[str, torch.Size]
    buckets: Sequence[Bucket]
    whole: bool

    @classmethod
    def of(cls, pattern: Pattern, values: Mapping[str, Tensor]) -> Group:
        """The group of these parameters, all or none of which the structure knows; on their device."""
        shapes = {name: value.shape for name, value in values.items()}
        known = [pattern.structure.moves.get(name) for name in values]
        device = next(iter(values.values())).device
        if known[0] is None:
            entries = sum(value.numel() for value in values.values())
            buckets = [pattern.everything(entries)]
        else:
            moves = torch.cat([units.flatten() for units in known if units is not None])
            buckets = pattern.buckets(moves)
        return cls(shapes, [bucket.to(device) for bucket in buckets], known[0] is None)

    @property
    def kept(self) -> int:
        """How many entries of the influence of one row are held."""
        return sum(s * k * w for s, k, w in (bucket.shape for bucket in self.buckets))

    def moved(self, before: Tensor, direct: Mapping[str, Tensor], held: Sequence[Tensor] | None) -> list[Tensor]:
        """mask ∘ (I + D J), a block for each bucket.

        Arguments: before, D by colour [B, C, n]; direct, I by colour [B, C', …] of every parameter; held, J, or None for zeros.
        """
        fresh = torch.cat([direct[name].unsqueeze(2).flatten(2) for name in self.shapes], 2)
        old = [None] * len(self.buckets) if held is None else held
        return [_moved(bucket, before.to(fresh.dtype), fresh, block) for bucket, block in zip(self.buckets, old, strict=True)]

    def credit(self, pull: Tensor, held: Sequence[Tensor]) -> dict[str, Tensor]:
        """Σ_b q[b] J[b] by name; pull, q [B, n]."""
        entries = sum(shape.numel() for shape in self.shapes.values())
        found = held[0].new_zeros(entries + 1) if held else pull.new_zeros(entries + 1)
        for bucket, block in zip(self.buckets, held, strict=True):
            found[bucket.entries] = _pulled(bucket, pull.to(block.dtype), block)
        parts = found[:-1].split([shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}


def _moved(bucket: Bucket, before: Tensor, fresh: Tensor, held: Tensor | None) -> Tensor:
    """One block, laid out in order, as one that is loaded is."""
    rows, (sets, numbers, entries) = len(fresh), bucket.shape
    sources = bucket.sources
    direct = fresh.flatten(1) if sources is None else fresh.flatten(1)[:, sources]
    if held is None:
        block = fresh.new_zeros(rows, sets, numbers, entries)
    else:
        block = _turned(bucket, before, held)
    if bucket.places is None:
        return block.add_(direct.view(block.shape))
    flat = block.view(rows, -1)
    flat[:, bucket.places] += direct
    return block


def _turned(bucket: Bucket, before: Tensor, held: Tensor) -> Tensor:
    """D J inside every set, [B, S, k, w]."""
    if bucket.transition is None:
        turn = before.unsqueeze(1)
    else:
        turn = functional.pad(before.flatten(1), (0, 1))[:, bucket.transition]
    if turn.shape[2] == 1:
        return turn * held
    return torch.bmm(turn.flatten(0, 1), held.flatten(0, 1)).view(held.shape)


def _pulled(bucket: Bucket, pull: Tensor, held: Tensor) -> Tensor:
    """q J, summed over the rows, [S, w]."""
    pull = functional.pad(pull, (0, 1))[:, bucket.numbers]
    if len(bucket.numbers) == 1:
        return pull.reshape(1, -1) @ held.view(-1, held.shape[3])
    if held.shape[2] == 1:
        return (pull.unsqueeze(3) * held).sum((0, 2))
    products = torch.bmm(pull.flatten(0, 1).unsqueeze(1), held.flatten(0, 1))
    return products.view(len(pull), *held.shape[1::2]).sum(0)

"""The four optional arguments that say what happens to rows in time: reset, edge, lengths, noise.

Knows their shapes; must not know any layer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from bptt import nest
from bptt.errors import InputError, ShapeError
from bptt.kernels.walk import living
from bptt.nn import directions
from bptt.nn.lookup import Lookup


class Masks(NamedTuple):
    """reset [B, T] bool, edge [B, T] float, lengths [B] integers, noise [B, T] int64; each may be absent."""

    reset: Tensor | None = None
    edge: Tensor | None = None
    lengths: Tensor | None = None
    noise: Tensor | None = None

    def checked(self, x: Tensor | Lookup) -> Masks:
        """These masks, if they fit x [B, T, …]. Raises ShapeError otherwise."""
        for name, mask in (("reset", self.reset), ("edge", self.edge), ("noise", self.noise)):
            if mask is not None:
                _expect(name, mask, tuple(x.shape[:2]), "[B, T], whatever batch_first")
        if self.lengths is not None:
            _expect("lengths", self.lengths, tuple(x.shape[:1]), "[B]")
            _within(self.lengths, x.shape[1])
        for name, mask, dtype in (("reset", self.reset, torch.bool), ("noise", self.noise, torch.int64)):
            if mask is not None and mask.dtype != dtype:
                raise ShapeError(f"{name} has the wrong type", str(mask.dtype), f"Convert it: {name}.to({dtype})")
        # torch keeps the lengths of packed sequences in main memory, and so do its users.
        return self if self.lengths is None else self._replace(lengths=self.lengths.to(x.device))

    def silence(self, x: Any) -> Any:
        """x with zeros after the end of every row: a NaN in the padding would reach the weights as 0 · NaN."""
        if self.lengths is None or isinstance(x, Lookup):
            return x
        return x.masked_fill(~nest.align(living(self.lengths, x.shape[1]), x), 0)

    def packed(self, lengths: Tensor, order: Tensor | None) -> Masks:
        """The masks of a packed sequence, whose rows are sorted by `order`."""
        if self.lengths is not None:
            raise InputError("A packed sequence has its own lengths", "lengths as well", "Leave lengths out")
        if order is None:
            return self._replace(lengths=lengths)
        sort = (None if mask is None else mask.index_select(0, order) for mask in (self.reset, self.edge, self.noise))
        reset, edge, noise = sort
        return Masks(reset, edge, lengths, noise)

    def reversed(self) -> Masks:
        """The masks that the reverse direction of a bidirectional layer meets."""
        return self._replace(
            reset=directions.borders(self.reset, False, self.lengths), edge=directions.borders(self.edge, 1.0, self.lengths)
        )


def _expect(name: str, mask: Tensor, shape: tuple[int, ...], legend: str) -> None:
    if not isinstance(mask, Tensor):
        raise ShapeError(f"{name} is not a tensor", type(mask).__name__, f"Give a tensor {shape}, that is {legend}")
    if mask.shape != shape:
        raise ShapeError(f"{name} does not fit the input", f"{tuple(mask.shape)}", f"Give it as {shape}, that is {legend}")


def _within(lengths: Tensor, steps: int) -> None:
    try:
        longest, shortest = (int(lengths.max()), int(lengths.min())) if lengths.numel() else (0, 0)
    except RuntimeError:  # under vmap there is no single value to look at
        return
    if longest > steps or shortest < 0:
        raise ShapeError("A row is longer than the input", f"lengths {shortest} to {longest}, {steps} steps", "Shorten it")

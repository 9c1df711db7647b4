"""What a model's backward holds, in bytes, while a strategy runs: to hold a promise of memory against.

Knows the storages that autograd saves and the states that pass; must not know any strategy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bptt import nest
from bptt.models import Unroll
from bptt.types import State, Window


class Ledger:
    """Bytes of the storages that autograd saves, and of the states, each from when it is seen until it is freed.

    live  bytes now
    peak  the most at one time

    Parameters and the window are not counted, nor are gradients and what a call needs for a moment:
    `bptt.diagnostics.memory.peak_memory` counts these as well.
    """

    def __init__(self, unroll: Unroll, window: Window) -> None:
        self.unroll, self.live, self.peak = unroll, 0, 0
        given = [*unroll.parameters(), *(getattr(window, field.name) for field in dataclasses.fields(window))]
        self.known: dict[int, Any] = {tensor.untyped_storage().data_ptr(): None for tensor in given}

    def note(self, tensor: Tensor) -> Tensor:
        """Count the storage of `tensor` from now on."""
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if key not in self.known:
            self.live += size
            self.peak = max(self.peak, self.live)
            self.known[key] = weakref.ref(storage, lambda _: self._forget(key, size))
        return tensor.detach()

    def _forget(self, key: int, size: int) -> None:
        del self.known[key]
        self.live -= size

    @contextlib.contextmanager
    def watch(self) -> Iterator[Ledger]:
        """Count while the block runs."""
        segment = self.unroll.segment

        def watched(window: Window, state: State, edge: Tensor | None = None) -> tuple[Tensor, State]:
            nest.map(self.note, state)
            loss, end = segment(window, state, edge)
            nest.map(self.note, end)
            return loss, end

        self.unroll.segment = watched  # type: ignore[method-assign]
        try:
            with torch.autograd.graph.saved_tensors_hooks(self.note, lambda tensor: tensor):
                yield self
        finally:
            del self.unroll.segment

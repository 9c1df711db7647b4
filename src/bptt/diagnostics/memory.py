"""The peak of tensor memory while something runs.

Knows torch's storages; must not know what runs.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_memory(run: Callable[[], object], device: torch.device | str = "cpu") -> int:
    """The most bytes of tensors that were alive at one time, beyond those that were there before `run()`.

    Arguments: run, a function without arguments; device, where its tensors lie.

    A storage counts from the operation that makes it until nothing refers to it; views and results in place are no new ones.
    Scratch space inside one operation is not seen on the CPU. On CUDA the allocator is asked, which rounds to its blocks.

    >>> peak_memory(lambda: torch.zeros(1000, dtype=torch.float64) + 1)
    16000
    """
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with Ledger() as ledger:
        run()
    return ledger.peak


class Ledger(TorchDispatchMode):
    """Keeps account of every storage that an operation makes, until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.bytes = self.peak = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        given = {key for key, _ in _storages((args, kwargs))}
        for key, storage in _storages(result):
            if key not in given and key not in self.alive:
                self._enter(key, storage)
        self.peak = max(self.peak, self.bytes)
        return result

    def _enter(self, key: int, storage: torch.UntypedStorage) -> None:
        self.alive[key] = storage.nbytes()
        self.bytes += storage.nbytes()
        # The Python object of a storage lives as long as the storage itself, whoever holds it.
        weakref.finalize(storage, self._leave, key).atexit = False

    def _leave(self, key: int) -> None:
        self.bytes -= self.alive.pop(key)


def _storages(nest: Any) -> list[tuple[int, torch.UntypedStorage]]:
    """The storages of the tensors in a nest, each with its address."""
    found = [leaf.untyped_storage() for leaf in tree_leaves(nest) if isinstance(leaf, Tensor) and leaf.layout == torch.strided]
    return [(storage._cdata, storage) for storage in found]

"""The compiled recurrences: where the library lies, how it is called, and why it may be missing.

Knows the C interface (csrc/stretch.h and csrc/library.cpp); must not know autograd, modules or equations.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from enum import IntEnum
from pathlib import Path

import torch
from torch import Tensor

ABI_VERSION = 1
VARIABLE = "BPTT_KERNEL"
NAMES = {"linux": "libbptt_kernels.so", "darwin": "libbptt_kernels.dylib", "win32": "bptt_kernels.dll"}
CELLS = {"tanh": 0, "relu": 1, "identity": 2, "lstm": 3, "gru": 4}


class Work(IntEnum):
    """What `Library.run` can be asked for, as csrc/library.cpp numbers it."""

    FORWARD = 0
    BACKWARD = 1
    STEP = 2
    GATES = 3
    FORWARD_SCRATCH = 4
    BACKWARD_SCRATCH = 5


class Stretch(ctypes.Structure):
    """csrc/stretch.h, field by field."""

    _fields_ = (
        [(name, ctypes.c_int64) for name in ("cell", "steps", "rows", "units", "threads", "split")]
        + [
            (name, ctypes.c_void_p)
            for name in (
                *("weight", "bias", "gates", "inner", "states", "cells", "reset", "edge", "lengths", "initial", "initial_cell"),
                *("outputs_grad", "carry", "carry_cell", "initial_grad", "initial_cell_grad", "scratch"),
            )
        ]
    )  # fmt: skip


class Library:
    """The loaded library.

    isa      the instruction set in use: "baseline", "avx2" or "avx512"
    threads  False if it was built for a single thread
    forked   True in a child of the process that loaded it: a fork leaves the threads of a pool behind
    split    what threads divide among them: 0 rows, 1 units, −1 whichever should be faster
    calls    how many stretches it has run
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        library = ctypes.CDLL(str(path))
        library.bptt_isa.restype = ctypes.c_char_p
        library.bptt_run.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
        for name in ("bptt_abi_version", "bptt_has_threads", "bptt_use_isa", "bptt_run"):
            getattr(library, name).restype = ctypes.c_int64
        if library.bptt_abi_version() != ABI_VERSION:
            raise OSError(f"{path.name} has interface {library.bptt_abi_version()}, this code needs {ABI_VERSION}")
        for name in ("bptt_map_float", "bptt_map_double"):
            getattr(library, name).argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
            getattr(library, name).restype = None
        self._library = library
        self.threads = bool(library.bptt_has_threads())
        self.forked = False
        self.split = -1
        self.calls = 0

    @property
    def isa(self) -> str:
        return self._library.bptt_isa().decode()

    def use(self, isa: str) -> bool:
        """Run on this instruction set from now on; False if the machine or the build lacks it."""
        return bool(self._library.bptt_use_isa(isa.encode()))

    def run(self, work: Work, cell: str, steps: int, rows: int, dtype: torch.dtype, **tensors: Tensor | None) -> None:
        """Run one stretch. `tensors` are the pointers of `Stretch` by name, contiguous, all of `dtype` but the masks."""
        weight = tensors["weight"]
        assert weight is not None
        self.calls += 1
        stretch = Stretch(
            cell=CELLS[cell], steps=steps, rows=rows, units=weight.shape[1], threads=self.count(), split=self.split,
            **{name: tensor.data_ptr() for name, tensor in tensors.items() if tensor is not None},
        )  # fmt: skip
        twofold = dtype == torch.float64
        if work in (Work.FORWARD, Work.BACKWARD):
            which = Work.FORWARD_SCRATCH if work is Work.FORWARD else Work.BACKWARD_SCRATCH
            size = self._library.bptt_run(ctypes.byref(stretch), which, twofold)
        else:
            size = weight.shape[1]
        scratch = torch.empty(size, dtype=dtype)
        stretch.scratch = scratch.data_ptr()
        self._library.bptt_run(ctypes.byref(stretch), work, twofold)

    def count(self) -> int:
        """How many threads: what torch was told, and one in a forked child, where the threads of the parent are gone."""
        return 1 if self.forked or not self.threads else torch.get_num_threads()

    def map(self, function: str, values: Tensor) -> Tensor:
        """tanh or σ of every element, as the recurrences compute it."""
        values = values.contiguous()
        result = torch.empty_like(values)
        call = self._library.bptt_map_double if values.dtype == torch.float64 else self._library.bptt_map_float
        call({"tanh": 0, "sigmoid": 1}[function], values.data_ptr(), result.data_ptr(), values.numel())
        return result


@functools.cache
def load() -> Library | str:
    """The library, or in words why there is none."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted == "readable":
        return f"{VARIABLE}=readable"
    paths = [path for path in places() if path.exists()]
    if not paths:
        return "the compiled kernels are not installed (no C++ compiler was found when bptt was)"
    try:
        library = Library(paths[0])
    except OSError as error:
        return f"the compiled kernels do not load: {error}"
    if wanted and not library.use(wanted):
        return f"{VARIABLE}={wanted}, which this machine does not have"
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: setattr(library, "forked", True))
    return library


def loaded() -> Library:
    """The library, for those who run only where it is."""
    library = load()
    assert isinstance(library, Library), library
    return library


def places() -> list[Path]:
    """Where the library may lie: beside this package, or where an editable install put it."""
    import bptt

    return [Path(folder) / "kernels" / NAMES.get(sys.platform, NAMES["linux"]) for folder in bptt.__path__]

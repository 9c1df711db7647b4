"""The compiled recurrences: where the library lies, how it is called, and why it may be missing.

Knows the C interface (csrc/stretch.h and csrc/library.cpp); must not know autograd, modules or equations.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from enum import IntEnum
from pathlib import Path

import torch
from torch import Tensor

ABI_VERSION = 5
VARIABLE, LIBRARY = "BPTT_KERNEL", "BPTT_KERNEL_LIBRARY"
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
    SINGLE = 6


POINTERS = (
    *("weight", "bias", "gates", "inner", "states", "cells", "reset", "edge", "lengths", "initial", "initial_cell"),
    *("outputs_grad", "carry", "carry_cell", "initial_grad", "initial_cell_grad", "scratch"),
)
LATER = ("weight_ih", "x", "bias_ih")


class Stretch(ctypes.Structure):
    """csrc/stretch.h, field by field."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("cell", "steps", "rows", "units", "threads", "split")),
        *((name, ctypes.c_void_p) for name in POINTERS),
        ("inputs", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in LATER),
    ]


class SoftmaxRows(ctypes.Structure):
    """csrc/softmax_rows.h, field by field."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rows", "columns", "threads")),
        *((name, ctypes.c_void_p) for name in ("scores", "targets", "weights", "losses")),
    ]


def dropout_rows(real: type) -> type[ctypes.Structure]:
    """csrc/dropout_rows.h, field by field, for one type of number."""

    class DropoutRows(ctypes.Structure):
        _fields_ = [
            *((name, ctypes.c_int64) for name in ("rows", "units", "threads", "layer")),
            ("below", ctypes.c_uint64),
            ("scale", real),
            *((name, ctypes.c_void_p) for name in ("x", "y", "noise")),
        ]

    return DropoutRows


DROPOUT_ROWS = {torch.float32: dropout_rows(ctypes.c_float), torch.float64: dropout_rows(ctypes.c_double)}


class Spaces(threading.local):
    """Scratch memory of every thread, for calls so short that asking for it would be felt."""

    held: Tensor | None = None

    def of(self, size: int) -> int:
        """Where so many bytes lie, free until the same thread asks again."""
        if self.held is None or self.held.numel() < size:
            self.held = torch.empty(size, dtype=torch.uint8, device="cpu")
        return self.held.data_ptr()


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
        library.bptt_softmax.argtypes = [ctypes.c_void_p, ctypes.c_int64]
        library.bptt_softmax.restype = None
        library.bptt_dropout.argtypes = [ctypes.c_void_p, ctypes.c_int64]
        library.bptt_dropout.restype = None
        library.bptt_run.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
        for name in ("bptt_abi_version", "bptt_has_threads", "bptt_use_isa", "bptt_run"):
            getattr(library, name).restype = ctypes.c_int64
        if library.bptt_abi_version() != ABI_VERSION:
            raise OSError(f"{path.name} has interface {library.bptt_abi_version()}, this code needs {ABI_VERSION}")
        for name in ("bptt_map_float", "bptt_map_double"):
            getattr(library, name).argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
            getattr(library, name).restype = None
        self._library, self._run = library, library.bptt_run
        self.threads = bool(library.bptt_has_threads())
        self.forked = False
        self.split = -1
        self.calls = 0
        self._spaces = Spaces()

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
        units, twofold = weight.shape[1], dtype == torch.float64
        stretch = Stretch(CELLS[cell], steps, rows, units, self.count(), self.split)
        for name, tensor in tensors.items():
            if tensor is not None:
                setattr(stretch, name, tensor.data_ptr())
        if work is Work.SINGLE:
            stretch.inputs = tensors["weight_ih"].shape[1]  # type: ignore[union-attr]
        size = units
        if work <= Work.BACKWARD:
            size = self._run(ctypes.byref(stretch), work + Work.FORWARD_SCRATCH, twofold)
        scratch = torch.empty(size, dtype=dtype, device="cpu")
        stretch.scratch = scratch.data_ptr()
        self._run(ctypes.byref(stretch), work, twofold)

    def step(self, cell: str, rows: int, x: Tensor, h: Tensor, c: Tensor | None, *weights: Tensor) -> list[Tensor]:
        """One step of few rows without gradient: x of B·I numbers, h and c of B·H, weights and biases; all contiguous, of one
        type.

        Returns h twice, so that an output and a state need not share memory, and c of an LSTM; each [1, B, H], in memory of
        its own. `run` with Work.SINGLE by a shorter way, for generation: the time goes into the calls from here.
        """
        self.calls += 1
        (_, inputs), (_, units), twofold = weights[0].shape, weights[1].shape, h.dtype == torch.float64
        block = rows * units * (8 if twofold else 4)
        # Two states, two cells, four gates, one product kept apart, one row of zeros.
        space = self._spaces.of(10 * block)
        biases = [bias.data_ptr() for bias in weights[2:]] or (None, None)
        stretch = Stretch(
            CELLS[cell], 1, rows, units, self.count(), 0, weights[1].data_ptr(), biases[1], space + 4 * block,
            space + 8 * block, space, space + 2 * block, None, None, None, None, None, None,
            h.data_ptr(), place(c), None, None, space + 9 * block,
            inputs, weights[0].data_ptr(), x.data_ptr(), biases[0],
        )  # fmt: skip
        self._run(ctypes.byref(stretch), Work.SINGLE, twofold)
        ends = [h.new_empty((1, rows, units)) for _ in range(2 if c is None else 3)]
        for end, block_of in zip(ends, (1, 1, 3), strict=False):
            ctypes.memmove(end.data_ptr(), space + block_of * block, block)
        return ends

    def softmax(self, scores: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
        """Cross-entropy [N] of scores [N, V] and targets [N] below V; with weights [N], the scores become the gradients of
        the losses so weighed. Everything contiguous."""
        losses = scores.new_empty(scores.shape[0])
        rows = SoftmaxRows(
            *scores.shape, self.count(), scores.data_ptr(), targets.data_ptr(), place(weights), losses.data_ptr()
        )
        self._library.bptt_softmax(ctypes.byref(rows), scores.dtype == torch.float64)
        return losses

    def dropout(self, x: Tensor, noise: Tensor, layer: int, below: int, scale: float) -> Tensor:
        """x [N, U], units whose 53 bits from noise [N], layer and unit lie below `below` set to zero, the others scaled."""
        y = torch.empty_like(x)
        rows = DROPOUT_ROWS[x.dtype](*x.shape, self.count(), layer, below, scale, x.data_ptr(), y.data_ptr(), noise.data_ptr())
        self._library.bptt_dropout(ctypes.byref(rows), x.dtype == torch.float64)
        return y

    def count(self) -> int:
        """How many threads: what torch was told, and one in a forked child, where the threads of the parent are gone."""
        return 1 if self.forked or not self.threads else torch.get_num_threads()

    def map(self, function: str, values: Tensor) -> Tensor:
        """tanh or σ of every element, or exp of those that are not positive, as the recurrences compute it."""
        values = values.contiguous()
        result = torch.empty_like(values)
        call = self._library.bptt_map_double if values.dtype == torch.float64 else self._library.bptt_map_float
        call({"tanh": 0, "sigmoid": 1, "exp": 2}[function], values.data_ptr(), result.data_ptr(), values.numel())
        return result


def place(tensor: Tensor | None) -> int | None:
    """Where a tensor's numbers lie."""
    return None if tensor is None else tensor.data_ptr()


@functools.cache
def load() -> Library | str:
    """The library, or in words why there is none."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted == "readable":
        return f"{VARIABLE}=readable"
    paths = [path for path in places() if path.is_file()]
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
    """Where the library may lie: where BPTT_KERNEL_LIBRARY says, beside this package, or where an editable install put it."""
    import bptt

    if LIBRARY in os.environ:
        return [Path(os.environ[LIBRARY])]
    return [Path(folder) / "kernels" / NAMES.get(sys.platform, NAMES["linux"]) for folder in bptt.__path__]

"""Which kernel runs for a recurrence, and why.

Knows the kernels there are; must not know the modules that call them. The choice is never silent: `doctor`, the record of a
run and the tests read the same answer that the layers act on.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bptt.errors import InputError, did_you_mean
from bptt.kernels import library
from bptt.kernels.observers import captured, transformed
from bptt.kernels.operators import fused, traced
from bptt.kernels.readable import READABLE, layer

TYPES = (torch.float32, torch.float64)
# What a compiled layer stores for its backward pass, by `Layered.memory`.
KEEPS = {
    "elman": "keeps 1 number per unit and step",
    "lstm": "keeps 6 numbers per unit and step, or 2 with memory='lean'",
    "gru": "keeps 5 numbers per unit and step, or 1 with memory='lean'",
}


class Kernel(NamedTuple):
    """A layer over a whole stretch, ready to run.

    name      "fused": compiled; "readable": plain torch operations
    function  (x, state, weight_ih, weight_hh, bias_ih, bias_hh, *, initial, reset, edge, lengths, memory) -> (y, state), with
              x [B, T, I], or integer ids [B, T] that stand for one-hot vectors
    reason    why this one, in words for a person
    trace     like `function`, without gradient: (y, the states before every step), or None
    step      the same for one step of few rows without gradient, or None: `Library.step`
    """

    name: str
    function: Callable[..., Any]
    reason: str
    step: Callable[..., Any] | None = None
    trace: Callable[..., Any] | None = None


class _Asked:
    """How many `readable` contexts are open."""

    depth = 0


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Within this context every recurrence runs in plain torch operations, on all threads.

    with bptt.kernels.readable():
        y, h = layer(x)
    """
    _Asked.depth += 1
    try:
        yield
    finally:
        _Asked.depth -= 1


def choose(cell: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Kernel:
    """The kernel that runs `cell` ("elman", "leaky", "lstm", "gru") on `device` in `dtype`. Raises InputError for others.

    choose("gru").name                                   # "fused", or "readable" and the reason
    """
    if cell not in READABLE:
        raise InputError("No such recurrence", repr(cell), did_you_mean(str(cell), list(READABLE)))
    if _Asked.depth:
        return _plain(cell, "it was asked for")
    if transformed():
        return _plain(cell, "torch.func, forward-mode derivatives and jit.trace must see single operations")
    kind = device if isinstance(device, str) else device.type
    kernel = _COMPILED.get((cell, kind, dtype))
    wanted = f"{kind} in {str(dtype).removeprefix('torch.')}" if cell in KEEPS else f"the {cell} recurrence"
    return kernel or _plain(cell, _WHY_NOT or f"there is no fused kernel for {wanted}")


def observed() -> bool:
    """Whether plain torch operations are needed: they were asked for, or a capture or a transform is at work."""
    return _Asked.depth > 0 or captured() or transformed()


def compiled_for(values: Tensor) -> library.Library | None:
    """The compiled library, if it may be handed the numbers of `values`."""
    found = library.load()
    ours = values.device.type == "cpu" and values.dtype in TYPES and not observed()
    return found if ours and isinstance(found, library.Library) else None


def _plain(cell: str, reason: str) -> Kernel:
    return Kernel("readable", functools.partial(layer, cell), f"plain torch operations: {reason}")


def _compiled() -> tuple[dict[tuple[str, str, torch.dtype], Kernel], str]:
    """Every compiled kernel by cell, device and type; if there are none, why."""
    loaded = library.load()
    if isinstance(loaded, str):
        return {}, loaded
    kernels = {
        (cell, "cpu", dtype): Kernel(
            "fused",
            functools.partial(fused, loaded, cell),
            f"compiled for {loaded.isa}, {str(dtype).removeprefix('torch.')}; {KEEPS[cell]}",
            loaded.step,
            functools.partial(traced, loaded, cell),
        )
        for cell in KEEPS
        for dtype in TYPES
    }
    return kernels, ""


def _say_once() -> None:
    """Where the compiled kernels should be and are not, the log says so; a warning would stand above every command."""
    if _WHY_NOT and not _WHY_NOT.startswith(library.VARIABLE):
        logging.getLogger(__name__).info("Recurrent layers run in plain torch operations: %s", _WHY_NOT)


# Looked up once: under torch.compile a choice must be a constant.
_COMPILED, _WHY_NOT = _compiled()
_say_once()

"""Which kernel runs for a recurrence on a device and type, and why.

Knows the kernels there are; must not know the modules that call them. The choice is never silent: `doctor`, the record of a
run and the tests read the same answer that the layers act on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from bptt.errors import InputError, did_you_mean
from bptt.kernels.elman.reference import elman
from bptt.kernels.gru.reference import gru
from bptt.kernels.lstm.reference import lstm

READABLE: dict[str, Callable[..., Any]] = {"elman": elman, "lstm": lstm, "gru": gru}


class Kernel(NamedTuple):
    """A recurrence that is ready to run.

    name      "readable": plain torch operations
    function  (projected, state, weight_hh, bias_hh, *, initial, reset, edge, lengths) -> (y, state)
    reason    why this one, in words for a person
    """

    name: str
    function: Callable[..., Any]
    reason: str


@functools.cache
def choose(cell: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Kernel:
    """The kernel that runs `cell` ("elman", "lstm" or "gru") on `device` in `dtype`. Raises InputError for another cell.

    choose("gru").name                                   # "readable"
    """
    if cell not in READABLE:
        raise InputError("No such recurrence", repr(cell), did_you_mean(str(cell), list(READABLE)))
    kind = torch.device(device).type
    name = str(dtype).removeprefix("torch.")
    return Kernel("readable", READABLE[cell], f"plain torch operations; there is no fused kernel for {kind} in {name}")

"""Where to compute, and in which precision."""

from __future__ import annotations

import re

import torch

from bptt.errors import InputError
from bptt.ranks import ALONE, Ranks


def find_device(name: str, ranks: Ranks = ALONE) -> torch.device:
    """auto (a GPU if there is one), cpu, cuda or cuda:N; of several processes on a machine each takes a GPU of its own."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name += ranks.gpu
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise InputError("There is no such device", f"device={name!r}", "Use auto, cpu, cuda or cuda:N")
    if name.startswith("cuda"):
        count, number = torch.cuda.device_count(), int(name[5:] or 0)
        if number >= count:
            raise InputError("There is no such device here", f"device={name!r}, {count} CUDA devices found", "Use cpu or auto")
    return torch.device(name)


def precision(name: str) -> tuple[torch.dtype, torch.dtype | None]:
    """The type of the parameters, and the lower one of the products, if any."""
    if name == "bfloat16":
        return torch.float32, torch.bfloat16
    return getattr(torch, name), None

"""torch's random state, read and put back, so that steps that are run again draw the same masks.

Knows the generators of the CPU and of a CUDA device; must not know who draws from them.
"""

from __future__ import annotations

import torch
from torch import Tensor

Random = tuple[Tensor, ...]


def read(device: torch.device) -> Random:
    """The state of the CPU's generator, and of the device's own."""
    if device.type == "cuda":
        return torch.get_rng_state(), torch.cuda.get_rng_state(device)
    return (torch.get_rng_state(),)


def write(device: torch.device, random: Random) -> None:
    """Put back what `read` gave."""
    torch.set_rng_state(random[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(random[1], device)


def since(device: torch.device, random: Random) -> Random:
    """The state now; `random` itself if nothing has been drawn, so that models that draw nothing store it once."""
    now = read(device)
    return random if all(map(torch.equal, now, random)) else now

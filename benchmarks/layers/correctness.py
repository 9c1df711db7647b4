"""First right, then fast: nothing is timed that differs from torch.nn, and ours only if the compiled kernel ran.

Knows tolerances; must not know clocks.
"""

from __future__ import annotations

from collections.abc import Mapping

from peers import CELL, Peer
from torch import Tensor

from bptt.kernels import choose, library

OUTPUTS, GRADIENTS, ALIVE = 1e-5, 1e-4, 1e-8
OURS = ("gates", "lean", "auto")


class Wrong(Exception):
    """A peer that must not be timed."""


def kernel(cell: str) -> str:
    """Which kernel runs, in words. Raises Wrong if it is not the compiled one."""
    found = choose(CELL[cell])
    if found.name != "fused":
        raise Wrong(f"the compiled kernel does not run: {found.reason}")
    return f"{found.name}, {found.reason}"


def check(cell: str, peers: Mapping[str, Peer]) -> dict[str, dict[str, float]]:
    """How far every peer is from torch.nn: the largest difference of an output, and that of a gradient, relative to its size.

    Raises Wrong if one is too far off, if a gradient of torch.nn is next to nothing, or if ours ran on something else.
    """
    ends, gradients = peers["torch"].derive()
    if min(gradient.norm().item() for gradient in gradients) < ALIVE:
        raise Wrong("a gradient is zero: nothing would be compared")
    found = {}
    for name, peer in peers.items():
        calls = library.loaded().calls
        its_ends, its_gradients = peer.derive()
        # A stretch forward and a stretch backward at the least.
        if name in OURS and library.loaded().calls < calls + 2:
            raise Wrong(f"{name}: the compiled kernel was chosen and did not run")
        relative = [
            off / other.abs().max().item() for off, other in zip(map(_off, its_gradients, gradients), gradients, strict=True)
        ]
        errors = {"outputs": max(map(_off, its_ends, ends)), "gradients": max(relative)}
        if not (errors["outputs"] <= OUTPUTS and errors["gradients"] <= GRADIENTS):
            raise Wrong(f"{name} is off: outputs {errors['outputs']:.1e}, gradients {errors['gradients']:.1e}")
        found[name] = errors
    return found


def _off(mine: Tensor, other: Tensor) -> float:
    assert mine.shape == other.shape, (mine.shape, other.shape)
    return (mine - other).abs().max().item()

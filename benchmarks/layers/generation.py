"""Generation: one step at a time, without a graph, as a sampler calls a layer.

Knows the loop of a sampler; must not know tables.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from correctness import OUTPUTS, Wrong, kernel
from peers import ours
from problem import Layer, Problem
from sizes import Size
from timing import medians, ratio, rounds
from torch import Tensor

from bptt.kernels import library

STEPS = 100


class Steps:
    """A layer fed step by step."""

    def __init__(self, problem: Problem, layer: Layer) -> None:
        self.layer, self.inputs = layer, problem.x.detach().split(1)
        leaves = [leaf.detach() for leaf in problem.state]
        self.state: Any = tuple(leaves) if len(leaves) == 2 else leaves[0]

    @torch.no_grad()
    def run(self) -> list[Tensor]:
        """The output of every step."""
        outputs, state = [], self.state
        for x in self.inputs:
            y, state = self.layer(x, state)
            outputs.append(y)
        return outputs

    def time(self, repeats: int) -> float:
        """Seconds per run of all steps."""
        started = time.perf_counter()
        for _ in range(repeats):
            self.run()
        return (time.perf_counter() - started) / repeats


def generate(cell: str, units: int, count: int) -> dict[str, Any]:
    """Microseconds per step of ours and of torch.nn, batch 1. Raises Wrong if the outputs differ or the kernel did not run."""
    problem = Problem(Size(cell, STEPS, 1, units, units))
    peers = {"bptt": Steps(problem, ours(problem, "auto")), "torch": Steps(problem, problem.layer)}
    named, calls = kernel(cell), library.loaded().calls
    mine, other = (torch.cat(peers[name].run()) for name in ("bptt", "torch"))
    if not (mine - other).abs().max() <= OUTPUTS:
        raise Wrong(f"{cell}: outputs step by step are off by {(mine - other).abs().max():.1e}")
    if library.loaded().calls < calls + STEPS:
        raise Wrong(f"{cell}: the compiled kernel was chosen and did not run")
    found = rounds(peers, count)
    micro = {name: 1e6 * seconds / STEPS for name, seconds in medians(found).items()}
    return {"cell": cell, "units": units, "kernel": named, "us": micro, "ratio": ratio(found, "torch", "bptt")}

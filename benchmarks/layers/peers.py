"""Who is timed: this library in both of its memory modes, torch.nn, and torch.compile of it. JAX has a file of its own.

Knows how each is called; must not know sizes or tables.
"""

from __future__ import annotations

import sys
import time
from typing import Protocol

import torch
from problem import Layer, Problem
from torch import Tensor

import bptt

CELL = {"rnn": "elman", "gru": "gru", "lstm": "lstm"}
# An Elman layer has no gates to keep beside its states: its two modes are one.
MODES = {"rnn": ("gates",), "gru": ("gates", "lean"), "lstm": ("gates", "lean")}
# torch.compile unrolls the loop over steps; beyond this it compiles for many minutes.
COMPILED_STEPS = 64


class Peer(Protocol):
    """One implementation, ready for one problem."""

    def derive(self) -> tuple[list[Tensor], list[Tensor]]:
        """Outputs and gradients, in the order of `Problem.derive`."""

    def time(self, repeats: int) -> float:
        """Seconds per run of forward and backward, the mean of so many in a row."""


class Here:
    """A layer that runs in this process."""

    def __init__(self, problem: Problem, layer: Layer) -> None:
        self.problem, self.layer = problem, layer

    def derive(self) -> tuple[list[Tensor], list[Tensor]]:
        return self.problem.derive(self.layer)

    def time(self, repeats: int) -> float:
        started = time.perf_counter()
        for _ in range(repeats):
            self.problem.derive(self.layer)
        return (time.perf_counter() - started) / repeats


def here(problem: Problem, compiled: bool) -> dict[str, Here]:
    """The peers of this process by name: "gates" and "lean" are ours."""
    layers = {mode: ours(problem, mode) for mode in MODES[problem.size.cell]} | {"torch": problem.layer}
    layer = compile_layer(problem) if compiled else None
    if layer is not None:
        layers["compile"] = layer
    return {name: Here(problem, layer) for name, layer in layers.items()}


def ours(problem: Problem, memory: str) -> Layer:
    """The layer of bptt.nn with the parameters of the problem, in one of its memory modes, "auto" being its own choice."""
    size = problem.size
    layer = {"rnn": bptt.nn.RNN, "gru": bptt.nn.GRU, "lstm": bptt.nn.LSTM}[size.cell](size.inputs, size.units)
    for name, parameter in problem.layer.named_parameters():
        setattr(layer, name, parameter)
    layer.memory = memory
    return layer


def compile_layer(problem: Problem) -> Layer | None:
    """torch.compile of the layer, recurrence included, or None where that does not work."""
    if problem.size.steps > COMPILED_STEPS:
        return None
    torch._dynamo.reset()
    layer = torch.compile(problem.layer)
    try:
        with torch._dynamo.config.patch(allow_rnn=True):  # left alone, torch.compile hands the layer back to torch.nn
            problem.derive(layer)
    except Exception as error:
        print(f"torch.compile fails: {str(error).splitlines()[0]}", file=sys.stderr)
        return None
    return layer

"""What a layer stores between forward and backward, and how large a process became.

Knows autograd's hooks and the system's books; must not know peers.
"""

from __future__ import annotations

import resource
import sys

import torch
from problem import Layer, Problem
from torch import Tensor


def stored(problem: Problem, layer: Layer) -> float:
    """Floats that autograd saved, per hidden unit, step and row: distinct storages, without what the layer was given."""
    given = {tensor.untyped_storage().data_ptr() for tensor in problem.inputs}
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in given:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        ends = problem.forward(layer)
    del ends
    return sum(found.values()) / problem.x.element_size() / problem.size.places


def resident() -> tuple[int, int]:
    """Bytes of this process in memory: now, and the most there ever were.

    From Linux's own book of the process where there is one: getrusage does not know the present, and hands a child its
    parent's peak. Elsewhere both are the peak.
    """
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmRSS"].split()[0]) * 1024, int(fields["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return most, most

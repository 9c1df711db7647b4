"""What a saved state must look like before anything of it is used: whoever wrote the file may have vouched for nonsense.

Knows the parts of a state, and which values each of them may have; must not know files. What only the model can tell (shapes of
states, what a strategy remembers) is checked where it is put in place, and by a rehearsal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from bptt.errors import CheckpointError
from bptt.types import Carry, Window


def count(value: Any) -> bool:
    """A number of things."""
    return type(value) is int and 0 <= value < 2**63


def number(value: Any) -> bool:
    """A finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def figure(value: Any) -> bool:
    """A result: any number, or none."""
    return value is None or type(value) in (int, float)


def mapping(value: Any) -> bool:
    return isinstance(value, dict)


def history(value: Any) -> bool:
    """Events as they were told."""
    return isinstance(value, list) and all(isinstance(event, dict) and isinstance(event.get("event"), str) for event in value)


def journals(value: Any) -> bool:
    """Lengths by name."""
    return isinstance(value, dict) and all(isinstance(name, str) and count(length) for name, length in value.items())


def best(value: Any) -> bool:
    """None, or the best epoch: its figure stands under the name of its measure."""
    return value is None or (isinstance(value, dict) and count(value.get("step")) and count(value.get("epoch")))


def anything(value: Any) -> bool:
    return True


STATE: dict[str, Any] = {
    "training": {
        "stream": mapping,
        "consumed": count,
        "carry": lambda value: isinstance(value, Carry),
        "update": {"optimizer": mapping, "schedule": {"reached": number, "best": figure, "waited": count}},
        "counters": {"step": count, "tokens": count, "epochs": count, "spent_until": number},
        "tally": {"nats": number, "count": count, "updates": count, "clipped": count},
    },
    "course": {"history": history, "best": best, "stalled": count, "seconds": number},
    "journals": journals,
    "random": anything,
    "others": lambda value: isinstance(value, list),  # random states of further processes
    "identity": mapping,
}


def check_state(state: Any, wanted: Any = STATE, where: str = "the saved state") -> None:
    """CheckpointError, naming the part, unless `state` has the parts of `wanted` and each is of its kind."""
    if not isinstance(wanted, dict):
        fits: Callable[[Any], bool] = wanted
        if not fits(state):
            raise CheckpointError(f"{where} is not what a run saves", repr(state)[:80], "Use another checkpoint")
        return
    if not isinstance(state, dict) or state.keys() != wanted.keys():
        given = ", ".join(map(str, state)) if isinstance(state, dict) else type(state).__name__
        raise CheckpointError(f"{where} has other parts than a run saves", given[:80], "Use another checkpoint")
    for name, inner in wanted.items():
        check_state(state[name], inner, f"{name} in {where}")


def check_windows(carry: Carry, like: Window, size: int | None) -> None:
    """CheckpointError unless every window in the strategy's memory could come from this stream.

    like  a window of the stream, whose rows and types they must have
    size  how many tokens there are, which no id may reach; None: inputs are no ids
    """
    for window in windows(carry.memory):
        for name in ("inputs", "targets", "reset", "mask", "noise"):
            here, there = getattr(like, name), getattr(window, name)
            rows = there.shape[:1] + there.shape[2:] == here.shape[:1] + here.shape[2:]
            if not (rows and there.dtype == here.dtype and there.shape[:2] == window.inputs.shape[:2]):
                raise CheckpointError("A saved window is of another stream", name, "Use another checkpoint")
        for ids in (window.inputs, window.targets):
            if size is not None and ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < size:
                given = f"ids up to {int(ids.max())} for {size} tokens"
                raise CheckpointError("A saved window holds ids that no token has", given, "Use another checkpoint")


def windows(memory: Any) -> list[Window]:
    """The windows inside a strategy's memory; CheckpointError for one that is none."""
    if isinstance(memory, Window):
        if not all(isinstance(value, torch.Tensor) and value.dim() >= 2 for value in vars(memory).values()):
            raise CheckpointError("A saved window holds no tensors", type(memory.inputs).__name__, "Use another checkpoint")
        return [memory]
    if isinstance(memory, Carry):
        return windows(tuple(memory))
    inner = memory.values() if isinstance(memory, dict) else memory if isinstance(memory, list | tuple) else ()
    return [window for value in inner for window in windows(value)]

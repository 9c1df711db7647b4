"""Checks of what a strategy is given, so that each says the same of the same mistake."""

from __future__ import annotations

from bptt.errors import InputError
from bptt.types import Unroll


def step_count(name: str, value: object) -> int:
    """`value`, if it is a number of steps: a whole number, at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(
            f"{name} must be a whole number of steps, at least 1", f"{name}={value!r}", f"Give for example {name}=32"
        )
    return value


def require_causal(unroll: Unroll, strategy: str) -> None:
    """InputError if the model looks ahead: a stretch could not be run before the stretches after it."""
    if not unroll.causal:
        raise InputError(
            f"{strategy} cuts the sequence, and this model looks ahead", "a bidirectional layer", "Use Full(), or one direction"
        )


def require_repeatable(unroll: Unroll, strategy: str) -> None:
    """InputError if steps that are run twice would meet two dropout masks."""
    if not unroll.repeatable:
        raise InputError(
            f"{strategy} runs steps twice, and this model's dropout would draw another mask the second time",
            "dropout of torch.nn, which reads torch's global generator",
            "Use bptt.nn.Dropout and the bptt.nn layers, whose masks come from the window's noise",
        )

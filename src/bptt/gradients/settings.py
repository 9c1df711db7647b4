"""Checks of what a strategy is given, so that each says the same of the same mistake."""

from __future__ import annotations

import numpy as np

from bptt.errors import InputError
from bptt.types import Strategy, Unroll


def step_count(name: str, value: object) -> int:
    """`value`, if it is a number of steps: a whole number, at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(
            f"{name} must be a whole number of steps, at least 1", f"{name}={value!r}", f"Give for example {name}=32"
        )
    return value


def lag_count(value: object) -> int:
    """`value`, if it is a largest lag: a whole number, at least 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError("k must be the largest lag, a whole number, at least 0", f"k={value!r}", "Give for example k=16")
    return value


def seed_number(value: object) -> int:
    """`value`, if it is the seed of a strategy's draws: a whole number, at least 0."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise InputError("seed must be a whole number from 0 to 2³¹ − 1", f"seed={value!r}", "Give for example seed=1")
    return value


def generator(seed: int, position: int) -> np.random.Generator:
    """The random numbers of a position in the stream: the same wherever windows end and on every process.

    Philox is keyed by both numbers (torch's own generator would take 32 bits of them), so no two positions share a stream.
    """
    return np.random.Generator(np.random.Philox(key=[seed, position]))


def require_strategy(value: object) -> None:
    """InputError for what is no gradient strategy: a name, a class, anything else."""
    if isinstance(value, type) or not isinstance(value, Strategy):
        raise InputError("This is no gradient strategy", repr(value), "Give a value, for example bptt.Truncated(16)")


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

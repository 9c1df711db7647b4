"""The first estimate of a run, made before there is a run: whatever a strategy refuses of a model and a batch is refused here.

Knows trainings and strategies by their contract; leaves no trace in either, nor on disk.
"""

from __future__ import annotations

import warnings

import torch

from bptt.training.loop import Training
from bptt.training.seeds import random_state, set_random_state


def rehearse(training: Training) -> None:
    """Let the strategy make its first estimate, and forget it: a contract may only show on a window what it cannot take.

    Costs the steps that one estimate consumes. Gradients are thrown away; buffers and random states are afterwards what they
    were. What the strategy warns of, the run will say itself.
    """
    unroll, stream = training.unroll, training.stream
    before = random_state()
    kept = [(buffer, buffer.clone()) for buffer in unroll.buffers()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            carry = training.strategy.start(unroll, stream.own_rows)
            next(iter(training.strategy.gradients(unroll, stream.window(0).to(training.device), carry)), None)
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
        unroll.zero_grad(set_to_none=True)
        set_random_state(before)

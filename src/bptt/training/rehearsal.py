"""The first estimate of a run, made before there is a run: whatever a strategy refuses of a model and a batch is refused here.

Knows trainings and strategies by their contract; leaves no trace in either, nor on disk.
"""

from __future__ import annotations

import warnings

import torch

from bptt.errors import BpttError, CheckpointError
from bptt.training.loop import Training
from bptt.training.seeds import random_state, set_random_state
from bptt.types import Carry


def rehearse_resumed(training: Training) -> None:
    """The same from where a saved run goes on; CheckpointError where its strategy cannot go on from what it is handed."""
    try:
        rehearse(training, training.carry)
    except (BpttError, MemoryError):
        raise
    except Exception as error:
        given = f"{type(error).__name__}: {error}"[:200]
        raise CheckpointError("The strategy cannot go on from the saved memory", given, "Use another checkpoint") from error


def rehearse(training: Training, carry: Carry | None = None) -> None:
    """Let the strategy make its first estimate, and forget it: a contract may only show on a window what it cannot take.

    carry  from where; None: the start
    Costs the steps that one estimate consumes. Gradients are thrown away; buffers and random states are afterwards what they
    were. What the strategy warns of, the run will say itself.
    """
    unroll, stream = training.unroll, training.stream
    before = random_state()
    kept = [(buffer, buffer.clone()) for buffer in unroll.buffers()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            begin = training.strategy.start(unroll, stream.own_rows) if carry is None else carry
            next(iter(training.strategy.gradients(unroll, stream.window(0).to(training.device), begin)), None)
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
        unroll.zero_grad(set_to_none=True)
        set_random_state(before)

"""All that inference sees of a model: a function from one token and a state to scores and the next state.

Knows how to run such a function without leaving a trace (no graph, no dropout, no changed flag); must not know any model.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bptt import nest
from bptt.errors import DivergedError
from bptt.types import State

Step = Callable[[Tensor, State], tuple[Tensor, State]]
P = ParamSpec("P")
R = TypeVar("R")


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode inside the block; afterwards every submodule has its own flag again."""
    flags = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, flag in flags:
            part.training = flag


def quiet(module: nn.Module, function: Callable[P, R]) -> Callable[P, R]:
    """`function` run without a graph and with `module` in evaluation mode, at each call alone.

    Entered and left at every call, so that a generator that calls it never holds a mode while it waits for its caller.

        step = quiet(model, model.step)
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.no_grad(), evaluating(module):
            return function(*args, **kwargs)

    return run


@torch.no_grad()
def feed(step: Step, tokens: Iterable[int], state: State) -> tuple[np.ndarray, State]:
    """Feed `tokens` (at least one) in order, each once: the scores [V] of what follows the last, in float64, and the state.

    Raises DivergedError for scores that are NaN or +inf; −inf is probability 0.
    """
    device = device_of(state)
    logits: Any = None
    for token in tokens:
        logits, state = step(torch.tensor([token], device=device), state)
    scores = logits[0].to("cpu", torch.float64).numpy()
    if not (scores < np.inf).all():
        given = f"{np.count_nonzero(~(scores < np.inf))} of {len(scores)} scores are NaN or infinite"
        raise DivergedError("The model's scores are no longer numbers", given, "Use an earlier checkpoint")
    return scores, state


def device_of(state: State) -> torch.device:
    """Where the state lies, and so the model; the CPU for a model without state."""
    return next((leaf.device for leaf in nest.leaves(state)), torch.device("cpu"))

"""Generation: token after token from a step function.

Knows a step, a state and ids; must not know models, text or vocabularies. Memory does not grow with the length.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from bptt import nest
from bptt.errors import InputError
from bptt.inference.sampling import Sampling, is_whole
from bptt.inference.step import Step, feed
from bptt.types import State


def generate(
    step: Step,
    state: State,
    prefix: Sequence[int],
    *,
    length: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    forbidden: Collection[int] = (),
) -> Iterator[int]:
    """Continue `prefix` by `length` tokens, each drawn given all before it.

    Arguments:
        step       function (ids [1], state) → (scores [1, V], state), as `model.step`; see `quiet` for evaluation mode
        state      the state before the prefix, of one row
        prefix     ids to read first, at least one; each is fed once, and the scores after the last one give the first draw
        length     tokens to generate
        temperature, top_k, top_p, forbidden   as in `Sampling`
        seed       same seed, same tokens; None: another continuation every time. Global random states are not touched.

    Returns an iterator over the new tokens alone. Raises InputError for settings out of range, at once; DivergedError where
    the scores are no longer numbers.

    >>> import torch
    >>> def count_up(ids, state): return torch.eye(5)[(ids + 1) % 5] * 100, state
    >>> list(generate(count_up, None, [2], length=4))
    [3, 4, 0, 1]
    """
    sampling = Sampling(temperature, top_k, top_p, tuple(forbidden))
    if not len(prefix):
        raise InputError("There is nothing to continue", "an empty prefix", "Give at least one token, such as that of <bos>")
    if not is_whole(length) or length < 0:
        raise InputError("The length is a number of tokens", repr(length), "Give a whole number of at least 0")
    if seed is not None and (not is_whole(seed) or seed < 0):
        raise InputError("A seed is a whole number of at least 0", repr(seed), "Leave it out for another text every time")
    return tokens(step, nest.detach(state), prefix, length, sampling, np.random.default_rng(seed))


def tokens(
    step: Step, state: State, prefix: Sequence[int], length: int, sampling: Sampling, random: np.random.Generator
) -> Iterator[int]:
    """`generate` after its arguments are checked. `feed` opens and closes no_grad itself: nothing is held over a yield."""
    unread = prefix
    for _ in range(length):
        scores, state = feed(step, unread, state)
        token = sampling.draw(scores, random)
        yield token
        unread = (token,)

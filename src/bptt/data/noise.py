"""Noise by counting: a 64-bit number for every token position, drawn from no state.

Knows integers only. A dropout mask is a function of these numbers, so a step keeps its mask however the text is cut into
windows, and nothing random has to be saved. The mixing function is splitmix64's, on numpy's wrapping unsigned integers.
"""

from __future__ import annotations

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ / golden ratio: successive multiples spread evenly over all 64-bit numbers


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble uint64 `values` (any shape) one to one: flipping one bit of the input flips about half of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def noise(seed: int, epoch: int, positions: np.ndarray) -> np.ndarray:
    """The int64 noise of token `positions` (any shape) in one epoch of a run: mix(key(seed, epoch) + golden · (position + 1)).

    Pure: the same arguments give the same numbers on every machine, in any order and in pieces of any size.
    """
    key = np.zeros(1, np.uint64)  # an array, because numpy warns when a scalar wraps and does not when an array does
    for part in (seed, epoch):
        key = mix(key + GOLDEN * np.array([part % 2**64], np.uint64) + GOLDEN)
    return mix(key + GOLDEN * (positions.astype(np.uint64) + np.uint64(1))).view(np.int64)

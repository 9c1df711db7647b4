"""The textbook series: a slow sine under noise. Knows numbers only."""

from __future__ import annotations

import numpy as np

from bptt.data.series.series import Series
from bptt.errors import InputError


def sine(count: int = 1000, noise: float = 0.2, seed: int = 0) -> Series:
    """x_t = sin(0.01 t) + ε_t, ε ~ N(0, noise²), t = 1 … count; the clean wave is known to nobody.

    Its period is 2π / 0.01 ≈ 628 steps, longer than most of what is seen of it: no season to lean on.

    >>> len(sine()), sine(3, noise=0.0).values.round(4).ravel().tolist()
    (1000, [0.01, 0.02, 0.03])
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 2:
        raise InputError("A series needs at least two steps", f"count={count!r}", "Give count=1000")
    time = np.arange(1, count + 1, dtype=np.float64)
    drawn = np.random.default_rng(seed).normal(0.0, noise, count)
    facts = {"source": f"sin(0.01 t) + N(0, {noise:g}²), seed {seed}"}
    return Series(np.sin(0.01 * time) + drawn, targets=("x",), name="sine", facts=facts)

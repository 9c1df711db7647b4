"""What the equations share: float64, and times that count from one.

Knows shapes and the word "time"; must not know any network.

Arrays that a network is given or gives have one row per step: row 0 is time 1. The states h have one row more, since there is
an h_0: row t is time t. Inside a function everything is indexed by its time, as in the equations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt.errors import ShapeError

Array = NDArray[np.float64]
Numbers = Any  # what NumPy makes an array of: an array, lists of lists, one number


def shaped(name: str, value: Numbers, *shape: int | None) -> Array:
    """`value` in float64, if it has this shape; None stands for any length but zero. ShapeError otherwise."""
    array = np.asarray(value, dtype=np.float64)
    fits = [n > 0 if wanted is None else n == wanted for n, wanted in zip(array.shape, shape, strict=False)]
    if array.ndim != len(shape) or not all(fits):
        lengths = ", ".join("1 or more" if n is None else str(n) for n in shape)
        raise ShapeError(f"{name} does not fit the other arrays", f"shape {array.shape}", f"Give it as [{lengths}]")
    return array


def indices(name: str, value: Numbers, below: int, steps: int | None = None) -> NDArray[np.int64]:
    """`value`, if it is one whole number per step, from 0 to below − 1. ShapeError otherwise: NumPy takes −1 for the last."""
    array = np.asarray(value)
    shaped(name, array, steps)
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= below:
        raise ShapeError(f"{name} must be one index per step", repr(value), f"Give whole numbers from 0 to {below - 1}")
    return array.astype(np.int64)


def timed(rows: NDArray, first: int = 1) -> dict[int, Any]:
    """The rows of an array by their time: row 0 is time `first`."""
    return dict(enumerate(rows, first))


def stacked(values: Mapping[int, Any]) -> Array:
    """What is indexed by time, as the rows of an array in the order of time."""
    return np.stack([values[t] for t in sorted(values)])

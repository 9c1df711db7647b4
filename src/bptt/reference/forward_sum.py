"""How one hidden number depends on a weight, computed forwards in time.

    h_t = f(x_t, h_{t−1}, w)        b_t = ∂f/∂w        c_t = ∂f/∂h_{t−1}        (both at step t, the other argument held fixed)

A loss L = Σ_t l_t(h_t) then has dL/dw = Σ_t ∂l_t/∂h_t dh_t/dw. b and c are arrays [T]; h_0 does not depend on w.
Source: Zhang et al., Dive into Deep Learning, section 9.7.1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bptt.reference.notation import Array, Numbers, shaped, stacked, timed


class Partials(NamedTuple):
    """The states h_0 … h_T [T+1], and b and c [T]."""

    h: Array
    b: Array
    c: Array


def tanh_network(w: float, x: Numbers, h_0: float = 0.0) -> Partials:
    """A network to try the sums on: one hidden number, its weight w, inputs x [T].

    h_t = tanh(w h_{t−1} + x_t),  b_t = (1 − h_t²) h_{t−1},  c_t = (1 − h_t²) w

    >>> tanh_network(0.5, x=[0.0, 0.0], h_0=1.0).b.round(4).tolist()
    [0.7864, 0.4383]
    """
    x = timed(shaped("x", x, None))
    h, b, c = {0: np.float64(h_0)}, {}, {}
    for t in x:
        h[t] = np.tanh(w * h[t - 1] + x[t])
        b[t] = (1 - h[t] ** 2) * h[t - 1]
        c[t] = (1 - h[t] ** 2) * w
    return Partials(stacked(h), stacked(b), stacked(c))


def recursion(b: Numbers, c: Numbers) -> Array:
    """dh_t/dw for t = 1 … T [T], each from the one before.

    dh_t/dw = b_t + c_t dh_{t−1}/dw,  dh_0/dw = 0

    >>> recursion([1, 1, 1], [5, 2, 3]).tolist()
    [1.0, 3.0, 10.0]
    """
    T, b, c = _timed(b, c)
    dh_dw = {0: np.float64(0)}
    for t in range(1, T + 1):
        dh_dw[t] = b[t] + c[t] * dh_dw[t - 1]
    return stacked(dh_dw)[1:]


def unrolled(b: Numbers, c: Numbers, terms: int | None = None) -> Array:
    """The same [T], written out: one term per step that w acted at, as far as its effect has travelled.

    dh_t/dw = b_t + Σ_{i<t} (c_t c_{t−1} … c_{i+1}) b_i

    Arguments: terms, how many of them are kept, the latest ones (truncation); None: all.

    >>> unrolled([1, 1, 1], [5, 2, 3]).tolist()                             # 1 + 3·1 + 3·2·1 = 10
    [1.0, 3.0, 10.0]
    >>> unrolled([1, 1, 1], [5, 2, 3], terms=2).tolist()
    [1.0, 3.0, 4.0]
    """
    T, b, c = _timed(b, c)
    kept = T if terms is None else terms
    dh_dw = {
        t: sum(np.prod([c[j] for j in range(i + 1, t + 1)]) * b[i] for i in range(max(1, t - kept + 1), t + 1))
        for t in range(1, T + 1)
    }
    return stacked(dh_dw)


def _timed(b: Numbers, c: Numbers) -> tuple[int, dict[int, Any], dict[int, Any]]:
    """T, and b and c by their time."""
    b = shaped("b", b, None)
    return len(b), timed(b), timed(shaped("c", c, len(b)))

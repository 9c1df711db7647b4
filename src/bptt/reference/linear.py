"""The linear RNN without bias, whose gradients have a closed form.

    h_t = W_hx x_t + W_hh h_{t−1}        o_t = W_qh h_t        L = (1/T) Σ_t l(o_t, y_t)

Any loss will do: everything below starts from its gradients ∂L/∂o_t. Shapes: x [T, I], h [T+1, H] from h_0 on, o [T, Q].
Source: Zhang et al., Dive into Deep Learning, section 9.7.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.linalg import matrix_power

from bptt.reference.notation import Array, Numbers, shaped, stacked, timed


class Weights(NamedTuple):
    """W_hx [H, I], W_hh [H, H], W_qh [Q, H]."""

    W_hx: Numbers
    W_hh: Numbers
    W_qh: Numbers


class Forward(NamedTuple):
    """The states h_0 … h_T [T+1, H] and the outputs o_1 … o_T [T, Q]."""

    h: Array
    o: Array


class Gradients(NamedTuple):
    """The gradient of L with respect to each matrix, in its shape, and to h_0 [H]."""

    W_hx: Array
    W_hh: Array
    W_qh: Array
    h_0: Array


def forward(weights: Weights, x: Numbers, h_0: Numbers) -> Forward:
    """Run the network over x [T, I] from h_0 [H].

    h_t = W_hx x_t + W_hh h_{t−1},  o_t = W_qh h_t

    Raises ShapeError for shapes that do not fit.

    >>> forward(Weights([[1]], [[2]], [[3]]), x=[[1], [0]], h_0=[1]).h.tolist()
    [[1.0], [3.0], [6.0]]
    """
    W_hx, W_hh, W_qh = as_float64(weights)
    x = timed(shaped("x", x, None, W_hx.shape[1]))
    h, o = {0: shaped("h_0", h_0, len(W_hh))}, {}
    for t in x:
        h[t] = W_hx @ x[t] + W_hh @ h[t - 1]
        o[t] = W_qh @ h[t]
    return Forward(stacked(h), stacked(o))


def squared_error(o: Numbers, y: Numbers) -> tuple[float, Array]:
    """The loss L, and ∂L/∂o [T, Q], for outputs o and targets y [T, Q].

    L = (1/T) Σ_t ‖o_t − y_t‖²,  ∂L/∂o_t = (2/T) (o_t − y_t)

    >>> squared_error([[1.0], [5.0]], [[1.0], [3.0]])
    (2.0, array([[0.],
           [2.]]))
    """
    o = shaped("o", o, None, None)
    T, Q = o.shape
    error = o - shaped("y", y, T, Q)
    return float(np.sum(error**2) / T), 2 / T * error


def adjoints(weights: Weights, dL_do: Numbers) -> Array:
    """∂L/∂h_0 … ∂L/∂h_T [T+1, H] from ∂L/∂o [T, Q]: each computed once, from the one after it, and kept.

    ∂L/∂h_T = W_qhᵀ ∂L/∂o_T,  ∂L/∂h_t = W_hhᵀ ∂L/∂h_{t+1} + W_qhᵀ ∂L/∂o_t

    T products with W_hhᵀ in all; h_0 has no output, so there the second term is absent.

    >>> adjoints(Weights([[1]], [[2]], [[3]]), dL_do=[[0], [1]]).tolist()
    [[12.0], [6.0], [3.0]]
    """
    _, W_hh, W_qh = as_float64(weights)
    T, dL_do = _outputs(dL_do, W_qh)
    dL_dh = {T: W_qh.T @ dL_do[T]}
    for t in range(T - 1, -1, -1):
        dL_dh[t] = W_hh.T @ dL_dh[t + 1] + W_qh.T @ dL_do[t]
    return stacked(dL_dh)


def adjoints_by_powers(weights: Weights, dL_do: Numbers) -> Array:
    """The same [T+1, H] with the recursion written out: what makes gradients vanish or explode stands in the open.

    ∂L/∂h_t = Σ_{i=t}^{T} (W_hhᵀ)^{T−i} W_qhᵀ ∂L/∂o_{T+t−i}

    About T²/2 terms, each with its own power; `adjoints` is the one to use.

    >>> adjoints_by_powers(Weights([[1]], [[2]], [[3]]), dL_do=[[0], [1]]).tolist()
    [[12.0], [6.0], [3.0]]
    """
    _, W_hh, W_qh = as_float64(weights)
    T, dL_do = _outputs(dL_do, W_qh)
    dL_dh = {
        t: np.sum([matrix_power(W_hh.T, T - i) @ W_qh.T @ dL_do[T + t - i] for i in range(t, T + 1)], axis=0)
        for t in range(T + 1)
    }
    return stacked(dL_dh)


def gradients(weights: Weights, x: Numbers, h: Numbers, dL_do: Numbers) -> Gradients:
    """The gradients of L from x [T, I], the states h [T+1, H] of `forward`, and ∂L/∂o [T, Q].

    ∂L/∂W_qh = Σ_t ∂L/∂o_t h_tᵀ,  ∂L/∂W_hx = Σ_t ∂L/∂h_t x_tᵀ,  ∂L/∂W_hh = Σ_t ∂L/∂h_t h_{t−1}ᵀ

    >>> weights, x = Weights([[1]], [[2]], [[3]]), [[1], [0]]
    >>> run = forward(weights, x, h_0=[1])
    >>> L, dL_do = squared_error(run.o, [[8], [17]])
    >>> gradients(weights, x, run.h, dL_do).W_hh.tolist()                   # 9·1 + 3·3
    [[18.0]]
    """
    W_hx, W_hh, W_qh = weights = as_float64(weights)
    dL_dh = timed(adjoints(weights, dL_do), first=0)
    T, dL_do = _outputs(dL_do, W_qh)
    x, h = timed(shaped("x", x, T, W_hx.shape[1])), timed(shaped("h", h, T + 1, len(W_hh)), first=0)
    return Gradients(
        W_hx=np.sum([np.outer(dL_dh[t], x[t]) for t in x], axis=0),
        W_hh=np.sum([np.outer(dL_dh[t], h[t - 1]) for t in x], axis=0),
        W_qh=np.sum([np.outer(dL_do[t], h[t]) for t in x], axis=0),
        h_0=dL_dh[0],
    )


def as_float64(weights: Weights) -> Weights:
    """The matrices, if they fit together."""
    H = len(np.atleast_1d(weights.W_hh))
    return Weights(
        shaped("W_hx", weights.W_hx, H, None),
        shaped("W_hh", weights.W_hh, H, H),
        shaped("W_qh", weights.W_qh, None, H),
    )


def _outputs(dL_do: Numbers, W_qh: Array) -> tuple[int, dict[int, Any]]:
    """T, and ∂L/∂o_t by its time, with a zero for the output that h_0 does not have."""
    rows = shaped("dL_do", dL_do, None, len(W_qh))
    return len(rows), {0: np.zeros(len(W_qh)), **timed(rows)}

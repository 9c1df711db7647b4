"""The tanh RNN that gives a distribution at every step: softmax and cross-entropy.

    a_t = W h_{t−1} + U x_t + b        h_t = tanh a_t        o_t = V h_t + c        ŷ_t = softmax o_t        l_t = −log ŷ_t[y_t]

L is the sum of the l_t, or their mean. Shapes: x [T, I], or [T] indices for one-hot x_t; targets y [T], indices; h [T+1, H]
from h_0 on; o and ŷ [T, C] for C classes. Source: Goodfellow, Bengio and Courville, Deep Learning, section 10.2.2 (where L is
the sum).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bptt.reference.notation import Array, Numbers, indices, shaped, stacked, timed


class Weights(NamedTuple):
    """U [H, I], W [H, H], V [C, H], b [H], c [C]."""

    U: Numbers
    W: Numbers
    V: Numbers
    b: Numbers
    c: Numbers


class Forward(NamedTuple):
    """The states h [T+1, H] from h_0 on, the outputs o and their softmax ŷ [T, C], the losses l_t [T]."""

    h: Array
    o: Array
    y_hat: Array
    losses: Array


class Gradients(NamedTuple):
    """The gradient of L with respect to each weight, in its shape, and to h_0 [H]."""

    U: Array
    W: Array
    V: Array
    b: Array
    c: Array
    h_0: Array


def forward(weights: Weights, x: Numbers, y: Numbers, h_0: Numbers) -> Forward:
    """Run the network over x from h_0 [H], and see how it likes the targets y [T].

    Raises ShapeError for shapes that do not fit and for indices that do not exist.

    >>> run = forward(Weights([[0.5, -1]], [[0.8]], [[1], [-1]], [0], [0, 0]), x=[0, 1], y=[1, 1], h_0=[0])
    >>> run.h.round(4).tolist(), run.losses.round(4).tolist()
    ([[0.0], [0.4621], [-0.5583]], [1.2584, 0.2832])
    """
    U, W, V, b, c = as_float64(weights)
    x = inputs(x, U)
    y = timed(indices("y", y, below=len(c), steps=len(x)))
    h, o, y_hat, losses = {0: shaped("h_0", h_0, len(b))}, {}, {}, {}
    for t in x:
        h[t] = np.tanh(W @ h[t - 1] + read(U, x[t]) + b)
        o[t] = V @ h[t] + c
        log_y_hat = o[t] - np.logaddexp.reduce(o[t])
        y_hat[t], losses[t] = np.exp(log_y_hat), -log_y_hat[y[t]]
    return Forward(stacked(h), stacked(o), stacked(y_hat), stacked(losses))


def output_errors(y_hat: Numbers, y: Numbers, mean: bool = False) -> Array:
    """∂L/∂o [T, C] from ŷ [T, C] and the targets y [T].

    ∂l_t/∂o_t = ŷ_t − y_t, with y_t one-hot;  ∂L/∂o_t is that for a sum, and (1/T) of it for a mean

    >>> output_errors([[0.25, 0.75], [0.5, 0.5]], y=[1, 0]).tolist()
    [[0.25, -0.25], [-0.5, 0.5]]
    """
    y_hat = shaped("y_hat", y_hat, None, None)
    T, C = y_hat.shape
    one_hot = np.eye(C)[indices("y", y, below=C, steps=T)]
    return (y_hat - one_hot) / (T if mean else 1)


def hidden_errors(weights: Weights, h: Numbers, dL_do: Numbers) -> Array:
    """ε_1 … ε_T [T, H], ε_t = ∂L/∂a_t, from h [T+1, H] and ∂L/∂o [T, C]: each computed once, from the one after it.

    ε_T = (Vᵀ ∂L/∂o_T) ∘ (1 − h_T²),  ε_{t−1} = (Wᵀ ε_t + Vᵀ ∂L/∂o_{t−1}) ∘ (1 − h_{t−1}²)

    >>> hidden_errors(Weights([[1]], [[2]], [[3]], [0], [0]), h=[[0], [0.5], [0]], dL_do=[[1], [1]]).tolist()
    [[6.75], [3.0]]
    """
    _, W, V, b, c = as_float64(weights)
    dL_do = timed(shaped("dL_do", dL_do, None, len(c)))
    T = len(dL_do)
    h = timed(shaped("h", h, T + 1, len(b)), first=0)
    epsilon = {T: V.T @ dL_do[T] * (1 - h[T] ** 2)}
    for t in range(T, 1, -1):
        epsilon[t - 1] = (W.T @ epsilon[t] + V.T @ dL_do[t - 1]) * (1 - h[t - 1] ** 2)
    return stacked(epsilon)


def gradients(weights: Weights, x: Numbers, y: Numbers, h_0: Numbers, mean: bool = False) -> Gradients:
    """The gradients of L, exact over all T steps.

    ∇V = Σ_t ∂L/∂o_t h_tᵀ,  ∇c = Σ_t ∂L/∂o_t,  ∇W = Σ_t ε_t h_{t−1}ᵀ,  ∇U = Σ_t ε_t x_tᵀ,  ∇b = Σ_t ε_t,  ∂L/∂h_0 = Wᵀ ε_1

    Arguments: x [T, I], or [T] indices into the columns of U; y [T] indices; h_0 [H]; mean: L is the mean of the losses
    instead of their sum. Raises as `forward` does.

    >>> weights = Weights([[0.5, -1]], [[0.8]], [[1], [-1]], [0], [0, 0])
    >>> gradients(weights, x=[0, 1], y=[1, 1], h_0=[0]).U.round(4).tolist()
    [[1.3397, 0.3396]]
    """
    U, W, *_ = weights = as_float64(weights)
    run = forward(weights, x, y, h_0)
    x, h, dL_do = inputs(x, U), timed(run.h, first=0), timed(output_errors(run.y_hat, y, mean))
    epsilon = timed(hidden_errors(weights, run.h, stacked(dL_do)))
    dU, dW, dV, db, dc = (np.zeros_like(block) for block in weights)
    for t in x:
        dV += np.outer(dL_do[t], h[t])
        dc += dL_do[t]
        dW += np.outer(epsilon[t], h[t - 1])
        write(dU, epsilon[t], x[t])
        db += epsilon[t]
    return Gradients(dU, dW, dV, db, dc, W.T @ epsilon[1])


def read(U: Array, x_t: Any) -> Array:
    """U x_t [H]: for a one-hot x_t, given as an index, the column of that index."""
    return U[:, x_t] if np.ndim(x_t) == 0 else U @ x_t


def write(dU: Array, epsilon_t: Array, x_t: Any) -> None:
    """∇U += ε_t x_tᵀ: for a one-hot x_t, given as an index, into the column of that index and no other."""
    if np.ndim(x_t) == 0:
        dU[:, x_t] += epsilon_t
    else:
        dU += np.outer(epsilon_t, x_t)


def inputs(x: Numbers, U: Array) -> dict[int, Any]:
    """The inputs by their time, vectors or indices."""
    columns = U.shape[1]
    return timed(indices("x", x, below=columns) if np.ndim(x) == 1 else shaped("x", x, None, columns))


def as_float64(weights: Weights) -> Weights:
    """The weights, if they fit together."""
    H, C = len(np.atleast_1d(weights.b)), len(np.atleast_1d(weights.c))
    return Weights(
        shaped("U", weights.U, H, None),
        shaped("W", weights.W, H, H),
        shaped("V", weights.V, C, H),
        shaped("b", weights.b, H),
        shaped("c", weights.c, C),
    )

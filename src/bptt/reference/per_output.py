"""Truncated back-propagation output by output: each loss of the tanh softmax RNN goes back k steps and no further.

    ∇ = Σ_t Σ_{s = max(1, t−k)}^{t} (what l_t owes to step s),  lags 0 … k, so k + 1 terms

As code of this kind is often written (a loop over outputs, a loop back from each, `bptt_truncate` = k), and as `PerOutput(k)`
and `Truncated(1, k + 1)` count. Shapes and equations of one step: `bptt.reference.tanh_softmax`. Source: Denny Britz,
Recurrent Neural Networks Tutorial, part 3.
"""

from __future__ import annotations

import numpy as np

from bptt.errors import InputError
from bptt.reference.notation import Numbers, timed
from bptt.reference.tanh_softmax import Gradients, Weights, as_float64, forward, inputs, output_errors, write


def gradients(weights: Weights, x: Numbers, y: Numbers, h_0: Numbers, k: int, mean: bool = False) -> Gradients:
    """The truncated gradients: the readout's are exact, the others lack all lags above k.

    ε_{t,t} = (Vᵀ ∂L/∂o_t) ∘ (1 − h_t²),  ε_{t,s−1} = (Wᵀ ε_{t,s}) ∘ (1 − h_{s−1}²)
    ∇W = Σ_t Σ_s ε_{t,s} h_{s−1}ᵀ,  ∇U = Σ_t Σ_s ε_{t,s} x_sᵀ,  ∇b = Σ_t Σ_s ε_{t,s},  s from t down to max(1, t − k)

    No local loss enters ε_{t,s}: that of step s starts a recursion of its own. About T·k products with Wᵀ where the exact
    gradient takes T. With k ≥ T − 1 nothing is left out and the result is exact.

    Arguments: as for `tanh_softmax.gradients`, and k, the largest lag, at least 0. The gradient at h_0 counts the losses
    whose way back reaches step 1. Raises InputError for another k, ShapeError for shapes that do not fit.

    >>> weights = Weights([[0.5, -1]], [[0.8]], [[1], [-1]], [0], [0, 0])
    >>> [gradients(weights, x=[0, 1], y=[1, 1], h_0=[0], k=k).U.round(4).tolist() for k in (0, 1)]
    [[[1.126, 0.3396]], [[1.3397, 0.3396]]]
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 0:
        raise InputError("k must be the largest lag, a whole number, at least 0", f"k={k!r}", "Give for example k=4")
    U, W, V, *_ = weights = as_float64(weights)
    run = forward(weights, x, y, h_0)
    x, h, dL_do = inputs(x, U), timed(run.h, first=0), timed(output_errors(run.y_hat, y, mean))
    dU, dW, dV, db, dc, dh_0 = (np.zeros_like(block) for block in (*weights, h[0]))
    for t in x:
        dV += np.outer(dL_do[t], h[t])
        dc += dL_do[t]
        epsilon = V.T @ dL_do[t] * (1 - h[t] ** 2)
        for s in range(t, max(0, t - k - 1), -1):
            dW += np.outer(epsilon, h[s - 1])
            write(dU, epsilon, x[s])
            db += epsilon
            back = W.T @ epsilon
            if s == 1:
                dh_0 += back
            epsilon = back * (1 - h[s - 1] ** 2)
    return Gradients(dU, dW, dV, db, dc, dh_0)

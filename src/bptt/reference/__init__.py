"""Gradients through time in plain NumPy, written beside their equations: to read, and to hold faster code against.

    linear         the linear RNN without bias: the closed form, and the same as powers of W_hhᵀ
    tanh_softmax   the tanh RNN with softmax and cross-entropy
    per_output     the same network when each loss goes back k steps at most: a double loop
    forward_sum    dh_t/dw of one hidden number, forwards, as a recursion and written out
    randomized     that recursion cut at random: its expectation over all patterns of cuts, its variance, their limits
    powers         why gradients vanish or explode: powers of W_hhᵀ

Knows the equations, float64 and one sequence at a time; must not know torch, and nothing else of bptt but its errors. Never
used for training: every sum is a loop, because a loop can be compared with the equation above it. The same derivations in
words, with numbers: docs/gradients/by-hand.md.

    from bptt.reference import tanh_softmax

    weights = tanh_softmax.Weights(U, W, V, b, c)
    run = tanh_softmax.forward(weights, x, y, h_0)               # run.h, run.o, run.y_hat, run.losses
    found = tanh_softmax.gradients(weights, x, y, h_0)           # found.U, found.W, …, found.h_0
"""

from bptt.reference import forward_sum, linear, per_output, powers, randomized, tanh_softmax

__all__ = ["forward_sum", "linear", "per_output", "powers", "randomized", "tanh_softmax"]

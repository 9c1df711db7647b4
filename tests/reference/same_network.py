"""The networks of `bptt.reference` built from the library's own parts, with the same weights, and what both are compared by."""

from __future__ import annotations

import numpy as np
import torch

from bptt import Unroll, Window, nest
from bptt import nn as layers
from bptt.losses import cross_entropy, squared_error
from bptt.reference import linear, tanh_softmax

INPUTS, HIDDEN, OUTPUTS = 3, 5, 4
WIDTH = 3e-6


def orthogonal(random, size, scale):
    """A matrix all of whose singular values are `scale`: gradients neither die nor blow up within 50 steps."""
    return scale * np.linalg.qr(random.standard_normal((size, size)))[0]


def linear_problem(steps, seed=0):
    """Weights, inputs, targets and a state to start from that is not zero."""
    random = np.random.default_rng(seed)
    weights = linear.Weights(
        random.standard_normal((HIDDEN, INPUTS)), orthogonal(random, HIDDEN, 1.02), random.standard_normal((OUTPUTS, HIDDEN))
    )
    x, y = random.standard_normal((steps, INPUTS)), random.standard_normal((steps, OUTPUTS))
    return weights, x, y, random.standard_normal(HIDDEN)


def tanh_problem(steps, seed=0, one_hot=True):
    """The same for the tanh network; inputs that are indices repeat themselves."""
    random = np.random.default_rng(seed)
    weights = tanh_softmax.Weights(
        0.5 * random.standard_normal((HIDDEN, INPUTS)),
        orthogonal(random, HIDDEN, 1.3),
        random.standard_normal((OUTPUTS, HIDDEN)),
        0.1 * random.standard_normal(HIDDEN),
        0.1 * random.standard_normal(OUTPUTS),
    )
    x = random.integers(INPUTS, size=steps) if one_hot else random.standard_normal((steps, INPUTS))
    return weights, x, random.integers(OUTPUTS, size=steps), random.standard_normal(HIDDEN)


def dense(x):
    """One-hot vectors for indices, vectors as they are."""
    return np.eye(INPUTS)[x] if np.ndim(x) == 1 else x


def unroll_of(weights, per=1.0):
    """The library's model with these weights."""
    tanh = isinstance(weights, tanh_softmax.Weights)
    hidden, inputs = np.shape(weights[0])
    layer = layers.RNN(inputs, hidden, nonlinearity="tanh" if tanh else "identity", bias=tanh)
    readout = torch.nn.Linear(hidden, len(weights[2]), bias=tanh)
    unroll = Unroll(None, layer, readout, cross_entropy if tanh else squared_error, per=per).double()
    homes = [layer.weight_ih_l0, layer.weight_hh_l0, readout.weight]
    if tanh:
        homes += [layer.bias_ih_l0, readout.bias]
        torch.nn.init.zeros_(layer.bias_hh_l0)
    with torch.no_grad():
        for home, block in zip(homes, weights, strict=True):
            home.copy_(torch.as_tensor(block))
    return unroll


def window_of(x, y):
    """One row, or several from lists of rows."""
    many = isinstance(x, list)
    x, y = (np.stack([dense(row) for row in x]), np.stack(y)) if many else (dense(x)[None], y[None])
    return Window.of(torch.as_tensor(x), torch.as_tensor(y))


def from_library(strategy, weights, x, y, h_0, per=1.0):
    """The gradients that a strategy gives, in the order of the reference's weights."""
    unroll = unroll_of(weights, per)
    window = window_of(x, y)
    state = torch.as_tensor(np.stack(h_0) if isinstance(h_0, list) else h_0[None]).unsqueeze(1)
    carry = strategy.start(unroll, window.batch_size)._replace(state=state)
    for part in (window, window[:, :0]):
        for estimate in strategy.gradients(unroll, part, carry):
            carry = estimate.carry
    layer, readout = unroll.recurrent.layer, unroll.readout
    homes = [layer.weight_ih_l0, layer.weight_hh_l0, readout.weight]
    if layer.bias:
        torch.testing.assert_close(layer.bias_ih_l0.grad, layer.bias_hh_l0.grad, rtol=1e-12, atol=0)
        homes += [layer.bias_ih_l0, readout.bias]
    return [home.grad.numpy() for home in homes]


def adjoint_at_start(weights, x, y, h_0):
    """∂L/∂h_0 by autograd, L the sum of the losses."""
    unroll = unroll_of(weights)
    start = nest.as_leaves(torch.as_tensor(h_0).view(1, 1, -1))
    loss, _ = unroll.segment(window_of(x, y), start)
    return unroll.backward(loss, start=start).numpy().ravel()


def relative(found, wanted):
    """The largest ‖found − wanted‖ / ‖wanted‖ over the blocks, each of which is alive."""
    assert all(np.linalg.norm(b) >= 1e-8 for b in wanted)
    return max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(found, wanted, strict=True))


def differences(loss, blocks):
    """The gradient of `loss(blocks)` at every number of every block, by central differences."""
    blocks = [np.array(block, dtype=np.float64) for block in blocks]
    found = [np.zeros_like(block) for block in blocks]
    for block, slope in zip(blocks, found, strict=True):
        for at in np.ndindex(block.shape):
            value, sides = block[at], []
            for block[at] in (value + WIDTH, value - WIDTH):
                sides.append(loss(blocks))
            block[at] = value
            slope[at] = (sides[0] - sides[1]) / (2 * WIDTH)
    return found

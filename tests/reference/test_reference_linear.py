"""The linear RNN's closed form against the library, against autograd, against finite differences, and against its slips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from same_network import adjoint_at_start, differences, from_library, linear_problem, relative

from bptt import Full, ShapeError, Truncated
from bptt.reference import linear

LENGTHS = [1, 2, 7, 50]


def by_hand(weights, x, y, h_0):
    run = linear.forward(weights, x, h_0)
    return linear.gradients(weights, x, run.h, linear.squared_error(run.o, y)[1])


def loss_of(x, y):
    """L as a function of the three matrices and h_0."""
    return lambda blocks: linear.squared_error(linear.forward(linear.Weights(*blocks[:3]), x, blocks[3]).o, y)[0]


@pytest.mark.parametrize("strategy", [Full(), Truncated(64), Truncated(1, 50)], ids=str)
@pytest.mark.parametrize("steps", LENGTHS)
def test_equals_the_library_on_the_same_weights(steps, strategy):
    weights, x, y, h_0 = linear_problem(steps)
    assert relative(by_hand(weights, x, y, h_0)[:3], from_library(strategy, weights, x, y, h_0, per=steps)) <= 1e-12


@pytest.mark.parametrize("steps", LENGTHS)
def test_the_gradient_at_the_first_state_equals_the_librarys(steps):
    weights, x, y, h_0 = linear_problem(steps)
    assert relative([by_hand(weights, x, y, h_0).h_0], [adjoint_at_start(weights, x, y, h_0) / steps]) <= 1e-12


def test_rows_of_a_batch_add_up():
    weights = linear_problem(7)[0]
    rows = [linear_problem(7, seed)[1:] for seed in (1, 2, 3)]
    found = [np.sum(blocks, axis=0) for blocks in zip(*(by_hand(weights, *row)[:3] for row in rows), strict=True)]
    x, y, h_0 = (list(part) for part in zip(*rows, strict=True))
    assert relative(found, from_library(Full(), weights, x, y, h_0, per=7)) <= 1e-12


@pytest.mark.parametrize("steps", LENGTHS)
def test_every_adjoint_equals_autograd(steps):
    weights, x, y, h_0 = linear_problem(steps)
    W_hx, W_hh, W_qh, xs, ys = map(torch.as_tensor, (*weights, x, y))
    h = [torch.as_tensor(h_0).requires_grad_()]
    for x_t in xs:
        h.append(W_hx @ x_t + W_hh @ h[-1])
    L = sum((W_qh @ h_t - y_t).square().sum() for h_t, y_t in zip(h[1:], ys, strict=True)) / steps
    wanted = [adjoint.numpy() for adjoint in torch.autograd.grad(L, h)]
    run = linear.forward(weights, x, h_0)
    assert relative(linear.adjoints(weights, linear.squared_error(run.o, y)[1]), wanted) <= 1e-12


@pytest.mark.parametrize("steps", LENGTHS)
def test_the_power_form_equals_the_recursion(steps):
    weights, _, _, _ = linear_problem(steps)
    dL_do = np.random.default_rng(1).standard_normal((steps, 4))
    assert relative(linear.adjoints_by_powers(weights, dL_do), linear.adjoints(weights, dL_do)) <= 1e-12


@pytest.mark.parametrize("steps", LENGTHS)
def test_equals_finite_differences(steps):
    weights, x, y, h_0 = linear_problem(steps)
    assert relative(by_hand(weights, x, y, h_0), differences(loss_of(x, y), (*weights, h_0))) <= 1e-7


def slips(weights, x, y, h_0):
    """What is found in texts and code, by name: each is a wrong ∂L/∂W_hh, ∂L/∂W_hx, ∂L/∂W_qh or ∂L/∂h_0."""
    W_hx, W_hh, W_qh = weights
    T, run = len(x), linear.forward(weights, x, h_0)
    dL_do = linear.squared_error(run.o, y)[1]
    right = linear.adjoints(weights, dL_do)
    no_local = [W_qh.T @ dL_do[-1]]
    for _ in range(T):
        no_local.insert(0, W_hh.T @ no_local[0])
    not_transposed = linear.adjoints(linear.Weights(W_hx, W_hh.T, W_qh), dL_do)
    return {
        "no local loss": ("W_hh", sum(np.outer(no_local[t], run.h[t - 1]) for t in range(1, T + 1))),
        "W_hh instead of its transpose": ("W_hh", sum(np.outer(not_transposed[t], run.h[t - 1]) for t in range(1, T + 1))),
        "h_t instead of h_{t-1}": ("W_hh", sum(np.outer(right[t], run.h[t]) for t in range(1, T + 1))),
        "h_0 taken for zero": ("W_hh", sum(np.outer(right[t], run.h[t - 1]) for t in range(2, T + 1))),
        "inputs one step late": ("W_hx", sum(np.outer(right[t], x[t - 2]) for t in range(2, T + 1))),
        "h_{t-1} in the readout": ("W_qh", sum(np.outer(dL_do[t - 1], run.h[t - 1]) for t in range(1, T + 1))),
        "no 1/T": ("W_qh", T * sum(np.outer(dL_do[t - 1], run.h[t]) for t in range(1, T + 1))),
        "an output of h_0": ("h_0", right[0] + W_qh.T @ dL_do[0]),
    }


def test_every_slip_gives_another_gradient():
    problem = linear_problem(7)
    for name, (block, wrong) in slips(*problem).items():
        right = getattr(by_hand(*problem), block)
        assert wrong.shape == right.shape and relative([wrong], [right]) >= 1e-6, name


def test_the_power_form_with_its_exponent_off_by_one_is_another():
    weights, *_ = linear_problem(7)
    dL_do = np.random.default_rng(1).standard_normal((7, 4))
    late = linear.adjoints_by_powers(weights, dL_do) @ np.asarray(weights.W_hh)
    assert relative(late, linear.adjoints(weights, dL_do)) >= 1e-6


def test_float32_is_computed_in_float64():
    weights, x, y, h_0 = linear_problem(7)
    single = linear.Weights(*(block.astype(np.float32) for block in weights))
    assert all(block.dtype == np.float64 for block in by_hand(single, x.astype(np.float32), y, h_0.astype(np.float32)))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"x": np.zeros((4, 2))}, "x does not fit"),
        ({"x": np.zeros((0, 3))}, "x does not fit"),
        ({"h_0": 1.0}, "h_0 does not fit"),
        ({"weights": linear.Weights(np.zeros((1, 3)), np.eye(5), np.zeros((4, 5)))}, "W_hx does not fit"),
        ({"weights": linear.Weights(np.zeros((5, 3)), np.ones((5, 1)), np.zeros((4, 5)))}, "W_hh does not fit"),
    ],
)
def test_shapes_that_numpy_would_stretch_are_refused(change, names):
    weights, x, _, h_0 = linear_problem(4)
    with pytest.raises(ShapeError, match=names):
        linear.forward(**({"weights": weights, "x": x, "h_0": h_0} | change))

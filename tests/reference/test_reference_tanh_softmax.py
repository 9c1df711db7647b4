"""The tanh RNN with softmax by hand against the library, autograd, finite differences, and the slips of teaching texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from same_network import INPUTS, OUTPUTS, adjoint_at_start, dense, differences, from_library, relative, tanh_problem

from bptt import Full, ShapeError, Truncated
from bptt.reference.tanh_softmax import Weights, forward, gradients, hidden_errors, output_errors

LENGTHS = [1, 2, 7, 50]


def loss_of(x, y, mean):
    """L as a function of the five weights and h_0."""
    total = np.mean if mean else np.sum
    return lambda blocks: float(total(forward(Weights(*blocks[:5]), x, y, blocks[5]).losses))


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("one_hot", [True, False])
@pytest.mark.parametrize("strategy", [Full(), Truncated(64), Truncated(1, 50)], ids=str)
@pytest.mark.parametrize("steps", LENGTHS)
def test_equals_the_library_on_the_same_weights(steps, strategy, one_hot, mean):
    weights, x, y, h_0 = tanh_problem(steps, one_hot=one_hot)
    wanted = from_library(strategy, weights, x, y, h_0, per=steps if mean else 1)
    assert relative(gradients(weights, x, y, h_0, mean=mean)[:5], wanted) <= 1e-12


@pytest.mark.parametrize("steps", LENGTHS)
def test_the_gradient_at_the_first_state_equals_the_librarys(steps):
    weights, x, y, h_0 = tanh_problem(steps)
    assert relative([gradients(weights, x, y, h_0).h_0], [adjoint_at_start(weights, x, y, h_0)]) <= 1e-12


def test_rows_of_a_batch_add_up():
    weights = tanh_problem(7)[0]
    rows = [tanh_problem(7, seed)[1:] for seed in (1, 2, 3)]
    found = [np.sum(blocks, axis=0) for blocks in zip(*(gradients(weights, *row)[:5] for row in rows), strict=True)]
    x, y, h_0 = (list(part) for part in zip(*rows, strict=True))
    assert relative(found, from_library(Full(), weights, x, y, h_0)) <= 1e-12


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("steps", LENGTHS)
def test_every_error_equals_autograd(steps, mean):
    weights, x, y, h_0 = tanh_problem(steps, one_hot=False)
    U, W, V, b, c, xs, ys, h = map(torch.as_tensor, (*weights, x, y, h_0))
    a, o = [], []
    h.requires_grad_()
    for x_t in xs:
        a.append(W @ h + U @ x_t + b)
        h = torch.tanh(a[-1])
        o.append(V @ h + c)
    L = torch.nn.functional.cross_entropy(torch.stack(o), ys, reduction="mean" if mean else "sum")
    run = forward(weights, x, y, h_0)
    dL_do = output_errors(run.y_hat, y, mean)
    assert relative(dL_do, [e.numpy() for e in torch.autograd.grad(L, o, retain_graph=True)]) <= 1e-12
    assert relative(hidden_errors(weights, run.h, dL_do), [e.numpy() for e in torch.autograd.grad(L, a)]) <= 1e-12


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("one_hot", [True, False])
@pytest.mark.parametrize("steps", LENGTHS)
def test_equals_finite_differences(steps, one_hot, mean):
    weights, x, y, h_0 = tanh_problem(steps, one_hot=one_hot)
    wanted = differences(loss_of(x, y, mean), (*weights, h_0))
    assert relative(gradients(weights, x, y, h_0, mean=mean), wanted) <= 1e-7


def test_an_index_is_its_one_hot_vector():
    weights, x, y, h_0 = tanh_problem(50)
    assert len(set(x)) < len(x)
    assert relative(gradients(weights, x, y, h_0), gradients(weights, dense(x), y, h_0)) <= 1e-14
    for by_index, by_vector in zip(forward(weights, x, y, h_0), forward(weights, dense(x), y, h_0), strict=True):
        np.testing.assert_allclose(by_index, by_vector, rtol=1e-13)


def test_a_token_that_never_comes_gets_no_gradient():
    weights, _, y, h_0 = tanh_problem(7)
    columns = np.linalg.norm(gradients(weights, [0, 2, 2, 0, 0, 2, 0], y, h_0).U, axis=0)
    assert columns[1] == 0 and columns[0] >= 1e-8 and columns[2] >= 1e-8


def test_large_outputs_do_not_overflow():
    weights, x, y, h_0 = tanh_problem(7)
    steep = weights._replace(V=1e4 * weights.V)
    run = forward(steep, x, y, h_0)
    wanted = torch.nn.functional.cross_entropy(torch.as_tensor(run.o), torch.as_tensor(y), reduction="none")
    np.testing.assert_allclose(run.losses, wanted.numpy(), rtol=1e-12)
    np.testing.assert_allclose(run.y_hat.sum(1), 1, rtol=1e-12)
    assert all(np.isfinite(block).all() for block in gradients(steep, x, y, h_0))


def slips(weights, x, y, h_0):
    """What is found in teaching texts, by name: errors at the outputs and errors at the hidden units."""
    _, W, V, *_ = weights
    T, run, one_hot = len(x), forward(weights, x, y, h_0), np.eye(OUTPUTS)[y]
    dL_do = output_errors(run.y_hat, y, mean=True)
    slope = 1 - run.h**2

    def errors(back=W.T, local=True, slope=slope, shift=0):
        epsilon = [V.T @ dL_do[-1] * slope[T - shift]]
        for t in range(T - 1, 0, -1):
            epsilon.insert(0, (back @ epsilon[0] + local * (V.T @ dL_do[t - 1])) * slope[t - shift])
        return np.stack(epsilon)

    right = hidden_errors(weights, run.h, dL_do)
    assert relative(errors(), right) <= 1e-12
    return {
        "-y(1 - ŷ) at the outputs": (-one_hot * (1 - run.y_hat) / T, dL_do),
        "y - ŷ at the outputs": (-dL_do, dL_do),
        "no 1/T": (T * dL_do, dL_do),
        "no local loss": (errors(local=False)[:-1], right[:-1]),
        "W instead of its transpose": (errors(back=W)[:-1], right[:-1]),
        "no slope of the tanh": (errors(slope=np.ones_like(slope)), right),
        "the slope of the state before": (errors(shift=1), right),
        "the slope 1 - h": (errors(slope=1 - run.h), right),
    }


def test_every_slip_gives_other_errors():
    for name, (wrong, right) in slips(*tanh_problem(7)).items():
        assert min(relative([a], [b]) for a, b in zip(wrong, right, strict=True)) >= 1e-6, name


def test_sum_and_mean_differ_by_the_number_of_steps():
    problem = tanh_problem(7)
    for total, mean in zip(gradients(*problem), gradients(*problem, mean=True), strict=True):
        np.testing.assert_allclose(total, 7 * mean, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"x": [0, -1, 2, 0]}, "x must be one index"),
        ({"x": [0, 1, INPUTS, 0]}, "x must be one index"),
        ({"x": [0.0, 1.0, 2.0, 0.0]}, "x must be one index"),
        ({"x": np.zeros((4, INPUTS + 1))}, "x does not fit"),
        ({"y": [0, 1, 2]}, "y does not fit"),
        ({"y": [0, 1, 2, -1]}, "y must be one index"),
        ({"h_0": [0.0]}, "h_0 does not fit"),
        ({"weights": tanh_problem(4)[0]._replace(c=[0.1])}, "V does not fit"),
    ],
)
def test_what_numpy_would_take_silently_is_refused(change, names):
    weights, x, y, h_0 = tanh_problem(4)
    with pytest.raises(ShapeError, match=names):
        gradients(**({"weights": weights, "x": x, "y": y, "h_0": h_0} | change))

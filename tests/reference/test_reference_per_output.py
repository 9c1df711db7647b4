"""The double loop of per-output truncation: what it keeps, against the library, autograd and differences with frozen states."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from same_network import HIDDEN, adjoint_at_start, differences, from_library, orthogonal, relative, tanh_problem, unroll_of

from bptt import InputError, PerOutput, Truncated, Unroll, Window
from bptt.reference import per_output, tanh_softmax

LAGS = [0, 1, 2, 5, 9]
LIBRARY = {"Truncated(1, k+1)": lambda k: Truncated(1, k + 1), "PerOutput(k)": PerOutput}


def cut_graph(weights, x, y, h_0, k, mean=False):
    """Autograd by hand: every loss on a graph of its own, over the last k + 1 steps from a detached state."""
    U, W, V, b, c = leaves = [torch.as_tensor(block).requires_grad_() for block in weights]
    states = [torch.as_tensor(h).requires_grad_() for h in tanh_softmax.forward(weights, x, y, h_0).h]
    losses = []
    for t in range(1, len(x) + 1):
        first = max(0, t - k - 1)
        h = states[first]
        for s in range(first + 1, t + 1):
            h = torch.tanh(W @ h + (U[:, x[s - 1]] if np.ndim(x) == 1 else U @ torch.as_tensor(x[s - 1])) + b)
        losses.append(torch.nn.functional.cross_entropy((V @ h + c)[None], torch.as_tensor(y[t - 1 : t])))
    L = sum(losses) / (len(x) if mean else 1)
    return [found.numpy() for found in torch.autograd.grad(L, [*leaves, states[0]])]


@pytest.mark.parametrize("steps", [1, 2, 10, 50])
def test_with_lags_enough_it_is_exact(steps):
    weights, x, y, h_0 = tanh_problem(steps)
    for k in (steps - 1, steps, 3 * steps):
        found = per_output.gradients(weights, x, y, h_0, k)
        assert relative(found, tanh_softmax.gradients(weights, x, y, h_0)) <= 1e-12
    assert relative([found.h_0], [adjoint_at_start(weights, x, y, h_0)]) <= 1e-12


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("one_hot", [True, False])
@pytest.mark.parametrize("strategy", LIBRARY.values(), ids=LIBRARY)
@pytest.mark.parametrize("k", LAGS)
def test_equals_the_library_with_k_plus_one_terms(k, strategy, one_hot, mean):
    weights, x, y, h_0 = tanh_problem(10, one_hot=one_hot)
    wanted = from_library(strategy(k), weights, x, y, h_0, per=10 if mean else 1)
    assert relative(per_output.gradients(weights, x, y, h_0, k, mean)[:5], wanted) <= 1e-12


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("one_hot", [True, False])
@pytest.mark.parametrize("k", LAGS)
def test_equals_autograd_on_graphs_that_are_cut(k, one_hot, mean):
    weights, x, y, h_0 = tanh_problem(10, one_hot=one_hot)
    assert relative(per_output.gradients(weights, x, y, h_0, k, mean), cut_graph(weights, x, y, h_0, k, mean)) <= 1e-12


def test_on_a_long_sequence():
    weights, x, y, h_0 = tanh_problem(50)
    assert relative(per_output.gradients(weights, x, y, h_0, 7), cut_graph(weights, x, y, h_0, 7)) <= 1e-12


@pytest.mark.parametrize("k", LAGS)
def test_equals_differences_with_the_states_before_the_cut_frozen(k):
    """For k = 0 every step starts from the state it had: what a change of the weights does within that step alone."""
    weights, x, y, h_0 = tanh_problem(10)
    frozen = tanh_softmax.forward(weights, x, y, h_0).h

    def loss(blocks):
        changed, total = tanh_softmax.Weights(*blocks[:5]), 0.0
        for t in range(1, 11):
            first = max(0, t - k - 1)
            start = blocks[5] if first == 0 else frozen[first]
            total += tanh_softmax.forward(changed, x[first:t], y[first:t], start).losses[-1]
        return float(total)

    wanted = differences(loss, (*weights, h_0))
    assert relative(per_output.gradients(weights, x, y, h_0, k), wanted) <= 1e-7


def test_every_lag_counts_and_the_readout_needs_none():
    weights, x, y, h_0 = tanh_problem(10)
    found = [per_output.gradients(weights, x, y, h_0, k) for k in range(10)]
    exact = tanh_softmax.gradients(weights, x, y, h_0)
    for fewer, more in pairwise(found):
        assert min(relative([getattr(fewer, n)], [getattr(more, n)]) for n in ("U", "W", "b", "h_0")) >= 1e-6
    assert all(relative([g.V, g.c], [exact.V, exact.c]) <= 1e-14 for g in found)


class TanhCell(torch.nn.Module):
    """The same recurrence with an initial state that is learned."""

    def __init__(self, weights, h_0):
        super().__init__()
        self.like = unroll_of(weights).recurrent.layer
        self.first = torch.nn.Parameter(torch.as_tensor(h_0))

    def initial_state(self, batch_size):
        return self.first.expand(batch_size, -1)

    def forward(self, x, h):
        h = torch.tanh(x @ self.like.weight_ih_l0.T + h @ self.like.weight_hh_l0.T + self.like.bias_ih_l0)
        return h, h


@pytest.mark.parametrize("strategy", LIBRARY.values(), ids=LIBRARY)
@pytest.mark.parametrize("k", LAGS)
def test_a_learned_first_state_gets_what_reaches_it(k, strategy):
    weights, x, y, h_0 = tanh_problem(10, one_hot=False)
    unroll = Unroll(None, TanhCell(weights, h_0), unroll_of(weights).readout)
    window = Window.of(torch.as_tensor(x)[None], torch.as_tensor(y)[None], reset=(torch.arange(10) == 0)[None])
    carry = strategy(k).start(unroll, 1)
    for part in (window, window[:, :0]):
        for estimate in strategy(k).gradients(unroll, part, carry):
            carry = estimate.carry
    wanted = unroll.recurrent.cell.first.grad.numpy()
    assert relative([per_output.gradients(weights, x, y, h_0, k).h_0], [wanted]) <= 1e-12


def test_local_losses_in_every_recursion_count_twice():
    """A loop back from every output that also picks up the losses on its way counts most of them several times."""
    weights, x, y, h_0 = tanh_problem(10)
    run = tanh_softmax.forward(weights, x, y, h_0)
    wrong = sum(
        tanh_softmax.hidden_errors(weights, run.h[: t + 1], tanh_softmax.output_errors(run.y_hat[:t], y[:t])).sum(0)
        for t in range(1, 11)
    )
    assert relative([wrong], [per_output.gradients(weights, x, y, h_0, 9).b]) >= 0.1


def test_a_token_that_repeats_adds_up_in_its_column():
    weights, _, y, h_0 = tanh_problem(10)
    found = per_output.gradients(weights, [1] * 10, y, h_0, 3)
    np.testing.assert_allclose(found.U[:, 1], found.b, rtol=1e-12)
    assert not found.U[:, [0, 2]].any() and np.linalg.norm(found.b) >= 1e-8


@pytest.mark.parametrize("k", [-1, 1.0, True, None])
def test_a_lag_that_is_none_is_refused(k):
    with pytest.raises(InputError, match="largest lag"):
        per_output.gradients(*tanh_problem(4), k)


def test_how_far_off_it_is_shrinks_with_the_lags_where_jacobians_shrink():
    """The error is the sum of the lags left out, O(β^(k+1)) where Jacobians shrink by β per step: here ½ or less."""
    random = np.random.default_rng(3)
    weights, x, y, h_0 = tanh_problem(30, one_hot=False)
    weights = weights._replace(W=orthogonal(random, HIDDEN, 0.5))
    exact = tanh_softmax.gradients(weights, x, y, h_0)
    off = [relative([per_output.gradients(weights, x, y, h_0, k).W], [exact.W]) for k in (1, 5, 9, 13)]
    assert all(later <= before / 4 for before, later in pairwise(off)) and off[-1] >= 1e-12

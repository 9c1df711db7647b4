"""Gradient by lag and the error of a truncation: against autograd one loss and one lag at a time, and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from bptt import Unroll, Window, nest
from bptt.diagnostics import lags as module
from bptt.diagnostics.excerpt import precise
from bptt.diagnostics.lags import Lags, grid, lags
from bptt.testing.examples import problem

CELLS = ["rnn", "rnn-relu", "lstm", "gru-deep-dropout", "torch-lstm", "torch-cell", "stack", "nested"]


def setting(name, steps=13):
    made = problem(name, steps=steps)
    return precise(made.unroll), made.window, made.state


def step_by_step(unroll, window, state):
    """Every state, attached to the one before, and the loss [B] of every step."""
    states, losses = [nest.as_leaves(state)], []
    for t in range(window.steps):
        loss, after = unroll.losses(window[:, t : t + 1], states[-1])
        losses.append(torch.where(window.mask[:, t], loss[:, 0], 0.0))
        # A copy: a cell may use a leaf of its new state within the step, and that path is none through the state.
        states.append(nest.map(lambda leaf: leaf.clone(), after))
    return states, losses


def sizes_one_by_one(unroll, window, state):
    """Mean of ‖∂l_t/∂h_{t−k}‖ over rows and losses that have that lag, each by a call of autograd of its own."""
    states, losses = step_by_step(unroll, window, state)
    found = {k: [] for k in range(1, window.steps + 1)}
    for t in range(window.steps):
        for s in range(t + 1):
            leaves = [leaf for leaf in nest.leaves(states[s]) if nest.is_float(leaf)]
            for row in range(window.batch_size):
                if not window.mask[row, t] or window.reset[row, s : t + 1].any():
                    continue
                grads = torch.autograd.grad(losses[t][row], leaves, retain_graph=True, allow_unused=True)
                squares = [float(grad[row].square().sum()) for grad in grads if grad is not None]
                found[t - s + 1].append(math.sqrt(sum(squares)))
    return found


@pytest.mark.parametrize("name", CELLS)
def test_sizes_by_lag_equal_autograd_one_loss_and_lag_at_a_time(name):
    unroll, window, state = setting(name)
    found, wanted = lags(unroll, window, state), sizes_one_by_one(unroll, window, state)
    assert found.pairs.tolist() == [len(sizes) for sizes in wanted.values()]
    for size, several in zip(found.sizes.tolist(), wanted.values(), strict=True):
        assert size == pytest.approx(np.mean(several), rel=1e-12, abs=1e-14) if several else math.isnan(size)
    assert found.sizes[0] > 1e-3


def truncated_by_hand(unroll, window, state, terms):
    """Each loss alone, run again from the state `terms` − 1 steps before it: the double loop of per-output truncation."""
    states, parameters = unroll.states(window, state), [p for p in unroll.parameters() if p.requires_grad]
    total = [torch.zeros_like(p) for p in parameters]
    for t in range(window.steps):
        start = max(0, t + 1 - terms)
        part = window[:, start : t + 1]
        losses, _ = unroll.losses(part, nest.map(lambda leaf, at=start: leaf[:, at], states))
        grads = torch.autograd.grad((losses[:, -1] * part.mask[:, -1]).sum(), parameters, allow_unused=True)
        total = [a if b is None else a + b for a, b in zip(total, grads, strict=True)]
    return torch.cat([block.flatten() for block in total])


@pytest.mark.parametrize("name", CELLS)
def test_errors_of_truncation_equal_the_double_loop(name):
    unroll, window, state = setting(name)
    found = lags(unroll, window, state)
    exact = truncated_by_hand(unroll, window, state, window.steps)
    assert found.terms.tolist() == list(range(1, 14)) and exact.norm() > 1e-3
    for terms in (1, 2, 3, 5, 8, 12, 13):
        part = truncated_by_hand(unroll, window, state, terms)
        error, cosine = found.errors[terms - 1], found.cosines[terms - 1]
        assert float(error) == pytest.approx(float((exact - part).norm() / exact.norm()), rel=1e-11, abs=1e-13)
        assert float(cosine) == pytest.approx(float(exact @ part / exact.norm() / part.norm()), abs=1e-13)
    assert found.errors[0] > 1e-3 and found.errors[-1] < 1e-14


@pytest.mark.parametrize("name", ["gru", "nested"])
def test_the_coarse_grid_gives_what_the_fine_one_does(name, monkeypatch):
    unroll, window, state = setting(name, steps=61)
    fine = lags(unroll, window, state)
    monkeypatch.setattr(module, "EACH", 12)
    coarse = lags(unroll, window, state)
    assert len(coarse.terms) < len(fine.terms) and coarse.terms[-1] == 61
    at = {int(k): i for i, k in enumerate(fine.terms)}
    common = [(i, at[int(k)]) for i, k in enumerate(coarse.terms) if int(k) in at]
    assert len(common) > 12
    for ours, theirs in common:
        assert float(coarse.errors[ours]) == pytest.approx(float(fine.errors[theirs]), rel=1e-9, abs=1e-13)
    assert torch.allclose(coarse.sizes, fine.sizes, rtol=1e-12, equal_nan=True)


class Balance(nn.Module):
    """s' = A s + θ v, read off at the first unit: influences that cancel only after some forty steps."""

    def __init__(self, units=23, positive=10):
        super().__init__()
        eye = torch.eye(units, dtype=torch.float64)
        self.register_buffer("a", 0.5 * (eye + torch.roll(eye, 1, 1).triu()))
        self.register_buffer("v", torch.where(torch.arange(units) < positive, 1.0, -1.0).double())
        self.theta = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def initial_state(self, batch_size):
        return torch.ones(batch_size, len(self.v), dtype=self.v.dtype)

    def forward(self, x, s):
        s = s @ self.a.T + self.theta * self.v
        return s[:, :1], s


def half_square(outputs, targets):
    return 0.5 * (outputs.squeeze(2) - targets) ** 2


def test_influence_balancing_where_a_norm_is_no_share(monkeypatch):
    # S(K) = ∂s_1/∂θ over K lags: METHODS.md, section 4. One loss, the last, so that gradients are S(K) times one number.
    monkeypatch.setattr(module, "EACH", 400)
    steps = 300
    unroll = Unroll(None, Balance(), None, half_square)
    zeros = torch.zeros(1, steps, 1, dtype=torch.float64)
    mask = torch.zeros(1, steps, dtype=torch.bool)
    mask[0, -1] = True
    found = lags(unroll, Window.of(zeros, torch.ones(1, steps, dtype=torch.float64), mask=mask), unroll.initial_state(1))
    share = 1 - found.errors.numpy()  # g_K / g: the error of a wrong sign is above 1
    sensitivity = dict(zip(found.terms.tolist(), -6.0 * share, strict=True))
    listed = {1: 1, 10: 10, 20: 16.476059, 30: 9.869932, 35: 5.049116, 40: 0.565538, 45: -2.809076, 50: -4.752671}
    for terms, value in listed.items():
        assert sensitivity[terms] == pytest.approx(value, abs=6e-7)
    assert sensitivity[100] == pytest.approx(-5.99999998, abs=6e-9)
    assert min(k for k, value in sensitivity.items() if value < 0) == 41
    assert found.cosines[39] == -1 and found.cosines[40] == 1
    assert abs(share[19]) == pytest.approx(2.75, abs=0.005)
    powers = np.linalg.matrix_power
    a, v = unroll.recurrent.cell.a.numpy(), unroll.recurrent.cell.v.numpy()
    exact = np.cumsum([(powers(a, j) @ v)[0] for j in range(steps)])
    wrong = np.abs(exact - exact[-1]) / abs(exact[-1])
    assert found.enough(0.1) == max(np.flatnonzero(wrong > 0.1)) + 2
    assert found.enough(0.1) > 50  # a K90 that looked at the first small error only would be right here too, so:
    assert Lags(*[torch.zeros(3)] * 2, torch.tensor([1, 2, 3]), torch.tensor([0.05, 0.3, 0.0]), torch.ones(3)).enough(0.1) == 3


class Scalar(nn.Module):
    """h' = w h + b."""

    def __init__(self, w):
        super().__init__()
        self.w, self.b = w, nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, 1, dtype=torch.float64)

    def forward(self, x, h):
        h = self.w * h + self.b
        return h, h


@pytest.mark.parametrize("w", [0.9, 1.05, -0.7])
def test_the_scalar_closed_form(w):
    steps = 40
    unroll = Unroll(None, Scalar(w), None, lambda outputs, targets: outputs.squeeze(2))
    zeros, mask = torch.zeros(1, steps, 1, dtype=torch.float64), torch.zeros(1, steps, dtype=torch.bool)
    mask[0, -1] = True
    found = lags(unroll, Window.of(zeros, zeros[..., 0], mask=mask), unroll.initial_state(1))
    terms = found.terms.double()
    assert torch.allclose(found.errors, ((w**terms - w**steps) / (1 - w**steps)).abs(), rtol=1e-10, atol=1e-14)
    assert torch.allclose(found.sizes, abs(w) ** torch.arange(1.0, steps + 1).double(), rtol=1e-12)


def test_the_grid_is_dense_then_geometric_and_ends_at_the_last_step():
    assert grid(1) == [1] and grid(7) == [1, 2, 3, 4, 5, 6, 7]
    found = grid(1000)
    assert found[:32] == list(range(1, 33)) and found[-1] == 1000
    assert all(1 < b / a < 1.13 for a, b in itertools.pairwise(found[31:-1])) and len(found) < 80


def test_gradients_that_are_lost_altogether_are_zeros():
    unroll = Unroll(None, Scalar(1e-30), None, lambda outputs, targets: outputs.squeeze(2))
    zeros = torch.zeros(1, 40, 1, dtype=torch.float64)
    found = lags(unroll, Window.of(zeros, zeros[..., 0]), unroll.initial_state(1))
    assert float(found.sizes[5]) == pytest.approx(1e-180) and float(found.sizes[-1]) == 0 and found.enough(0.01) == 1

"""Jacobians, products of them and Lyapunov exponents: against forward-mode Jacobians, NumPy, and systems solved by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from bptt import Unroll, Window, nest
from bptt import nn as layers
from bptt.diagnostics import jacobians as module
from bptt.diagnostics.excerpt import precise
from bptt.diagnostics.jacobians import along, jacobians, quiet_steps
from bptt.diagnostics.lyapunov import exponents
from bptt.testing.examples import problem

CELLS = ["rnn", "rnn-relu", "lstm", "gru-deep-dropout", "torch-cell", "stack", "nested"]


def setting(name, steps=9):
    made = problem(name, steps=steps)
    unroll = precise(made.unroll)
    return unroll, made.window, unroll.states(made.window, made.state)


def vector(state):
    return torch.cat([leaf.flatten(1) for leaf in nest.leaves(state) if nest.is_float(leaf)], 1)


def one_jacobian(unroll, window, state):
    """D of one step of one row by torch.func.jacfwd through the readable path: no code of the diagnostics."""
    floats = [leaf for leaf in nest.leaves(state) if nest.is_float(leaf)]
    sizes = [leaf.numel() for leaf in floats]

    def step(flat):
        parts = iter(part.view(leaf.shape) for part, leaf in zip(flat.split(sizes), floats, strict=True))
        whole = nest.map(lambda leaf: next(parts) if nest.is_float(leaf) else leaf, state)
        return vector(unroll.pure(dict(unroll.named_parameters()), window, whole)[1])[0]

    return torch.func.jacfwd(step)(torch.cat([leaf.flatten() for leaf in floats]))


@pytest.mark.parametrize("name", CELLS)
def test_jacobians_equal_forward_mode_step_by_step(name):
    unroll, window, states = setting(name)
    found = jacobians(unroll, window, states)
    alive = 0
    for row in range(window.batch_size):
        for t in range(window.steps):
            state = nest.map(lambda leaf, row=row, t=t: leaf[row : row + 1, t], states)
            wanted = one_jacobian(unroll, window[row : row + 1, t : t + 1], state).detach()
            assert torch.allclose(found[row, t], wanted, rtol=1e-12, atol=1e-14)
            assert bool(window.reset[row, t]) == bool((found[row, t] == 0).all())
            alive += float(found[row, t].norm()) > 1e-3
    assert alive > 15


def quiet(name, steps=12, rows=2):
    """A problem without resets."""
    unroll, window, _ = setting(name, steps)
    window = dataclasses.replace(window, reset=torch.zeros_like(window.reset))[:rows, :]
    made = problem(name, steps=steps)
    return unroll, window, unroll.states(window, nest.map(lambda leaf: leaf[:rows], made.state))


@pytest.mark.parametrize("name", ["rnn", "lstm", "nested"])
def test_products_and_radii_equal_numpy(name):
    unroll, window, states = quiet(name)
    found, steps = along(unroll, window, states), jacobians(unroll, window, states).numpy()
    assert found.spans.tolist() == [1, 2, 4, 8] and found.radii.shape == (2, 8)
    for row in range(2):
        for place, span in enumerate((1, 2, 4, 8)):
            product = np.linalg.multi_dot(steps[row, 12 - span :][::-1]) if span > 1 else steps[row, -1]
            wanted = np.linalg.svd(product, compute_uv=False)[:3]
            assert found.singular[row, place].numpy() == pytest.approx(wanted, rel=1e-10, abs=1e-14)
        looked = [0, 2, 3, 5, 6, 8, 9, 11]
        wanted = [np.abs(np.linalg.eigvals(steps[row, t])).max() for t in looked]
        assert found.radii[row].numpy() == pytest.approx(wanted, rel=1e-8)
    assert found.mean_singular().numpy() == pytest.approx(np.exp(np.log(found.singular.numpy()).mean(0)))


def test_no_reset_lies_in_a_product_and_memory_decides_how_far_it_goes(monkeypatch):
    unroll, window, states = quiet("rnn")
    whole = along(unroll, window, states)
    window.reset[1, 6] = True
    assert quiet_steps(window) == 5
    found = along(unroll, window, states)
    assert found.spans.tolist() == [1, 2, 4] and torch.allclose(found.singular, whole.singular[:, :3], rtol=1e-9)
    window.reset[1, 6] = False
    monkeypatch.setattr(module, "NUMBERS", 25 * 3)  # three Jacobians of 5 × 5
    found = along(unroll, window, states)
    assert found.spans.tolist() == [1, 2] and torch.allclose(found.singular, whole.singular[:1, :2], rtol=1e-9)
    window.reset[0, -1] = True
    nothing = along(unroll, window, states)
    assert nothing.spans.tolist() == [] and nothing.radii.numel() == 0 and nothing.mean_singular().shape == (0, 3)


@pytest.mark.parametrize("name", ["rnn", "rnn-identity", "lstm", "gru-deep-dropout", "nested"])
def test_the_exponents_add_up_to_the_determinants_at_every_length(name):
    unroll, window, states = setting(name, steps=12)
    for steps in (5, 12):
        part, before = window[:, :steps], nest.map(lambda leaf, steps=steps: leaf[:, :steps], states)
        logs = torch.linalg.slogdet(jacobians(unroll, part, before)).logabsdet
        alive = ~part.reset
        wanted = torch.where(alive, logs, 0.0).sum(1) / alive.sum(1)
        found = exponents(unroll, part, before, 100)
        assert torch.allclose(found.sum(1), wanted, rtol=1e-8, atol=1e-10) and wanted.abs().min() > 0.1


class Linear(nn.Module):
    """h' = W h + x."""

    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(w)

    def initial_state(self, batch_size):
        return torch.ones(batch_size, len(self.w), dtype=self.w.dtype)

    def forward(self, x, h):
        h = h @ self.w.T + x
        return h, h


def linear(w, steps, rows=2):
    unroll = Unroll(None, Linear(w), None, lambda outputs, targets: outputs.sum(2))
    inputs = torch.zeros(rows, steps, len(w), dtype=torch.float64)
    window = Window.of(inputs, inputs[..., 0])
    return unroll, window, unroll.states(window, unroll.initial_state(rows))


def test_a_linear_network_has_the_logarithms_of_its_eigenvalues():
    generator = torch.Generator().manual_seed(3)
    basis = torch.randn(5, 5, dtype=torch.float64, generator=generator) + 2 * torch.eye(5, dtype=torch.float64)
    values = torch.tensor([1.1, 0.9, -0.7, 0.5, 0.3], dtype=torch.float64)
    w = basis @ values.diag() @ torch.linalg.inv(basis)
    wanted = values.abs().log()
    off = [float((exponents(*linear(w, steps), 5)[0] - wanted).abs().max()) for steps in (50, 100, 200)]
    assert off[0] < 0.1 and off[2] < 0.02
    assert off[0] / off[1] == pytest.approx(2, rel=0.02) and off[1] / off[2] == pytest.approx(2, rel=0.02)  # O(1/T)
    leading = exponents(*linear(w, 200), 2)[0]
    assert float((leading - wanted[:2]).abs().max()) < 0.02


def test_units_on_their_own_give_the_leading_rates_first():
    # A frame that began with the first unit vectors would stay there and find the rates of the first units.
    rates = torch.tensor([0.2, 0.3, 0.5, 0.8, 0.95], dtype=torch.float64)
    unroll, window, states = linear(rates.diag(), 200)
    window.reset[0, -1] = True  # nothing passes there, and the frame stays as it is
    found = exponents(unroll, window, states, 2)
    assert found.exp()[0].tolist() == pytest.approx([0.95, 0.8], abs=0.02)
    assert found.exp()[1].tolist() == pytest.approx([0.95, 0.8], abs=0.02)


def test_an_orthogonal_network_neither_stretches_nor_shrinks():
    w, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    assert float(exponents(*linear(w, 40), 6).abs().max()) < 1e-14
    assert float(exponents(*linear(w, 40), 3).abs().max()) < 1e-14


def numpy_exponents(steps):
    """QR forwards in time from the unit vectors: the usual way."""
    frame, total = np.eye(steps.shape[-1]), 0.0
    for step in steps:
        frame, stretch = np.linalg.qr(step @ frame)
        total = total + np.log(np.abs(np.diag(stretch)))
    return np.sort(total / len(steps))[::-1]


def test_backwards_in_time_finds_what_forwards_in_time_does():
    torch.manual_seed(0)
    recurrent = layers.RNN(3, 8)
    with torch.no_grad():
        recurrent.weight_hh_l0.copy_(1.6 * torch.randn(8, 8) / 8**0.5)
    unroll = Unroll(None, recurrent, None, lambda outputs, targets: outputs.sum(2)).double()
    inputs = 0.3 * torch.randn(1, 400, 3, dtype=torch.float64)
    window = Window.of(inputs, inputs[..., 0])
    states = unroll.states(window, unroll.initial_state(1))
    found = exponents(unroll, window, states, 8)[0].numpy()
    wanted = numpy_exponents(jacobians(unroll, window, states)[0].numpy())
    assert np.abs(found - wanted).max() < 0.03 and found.sum() == pytest.approx(wanted.sum(), rel=1e-10)
    assert np.ptp(wanted) > 0.5


def test_resets_are_no_steps():
    w = torch.tensor([[0.5]], dtype=torch.float64)
    unroll, window, states = linear(w, 20)
    window.reset[0, ::3] = True
    window.reset[1] = True
    found = exponents(unroll, window, states, 1)
    assert float(found[0, 0].exp()) == pytest.approx(0.5, rel=1e-12) and bool(found[1].isnan().all())


def test_a_direction_that_is_lost_has_no_rate():
    w = torch.tensor([[0.5, 0.0], [0.0, 0.0]], dtype=torch.float64)
    found = exponents(*linear(w, 20), 2)[0]
    assert float(found[0].exp()) == pytest.approx(0.5, rel=0.1) and found[1] < -30

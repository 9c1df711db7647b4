"""Synthetic gradients: a loop of its own as reference, closed forms of what the linear model must find, and its contract."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bptt import InputError, PerOutput, SyntheticGradient, Truncated, Unroll, Window, nest
from bptt.testing.examples import RECURRENT, distance, gradients, norm, problem
from bptt.testing.strategies import Walk, check_strategy


@pytest.mark.parametrize("recurrent", ["rnn", "lstm", "gru-deep-dropout", "nested", "stack", "tdnn"])
def test_the_contract(recurrent):
    check_strategy(SyntheticGradient(4, rate=0.5), recurrent=[recurrent])


def reference(setting, k, rate):
    """The formulas, row by row and entry by entry, with nothing of the engine: gradient ÷ per, W and b after the window."""
    unroll, window = setting.unroll, setting.window
    params = [parameter for _, parameter in unroll.named_parameters()]
    total = [torch.zeros_like(parameter) for parameter in params]
    state = setting.state
    flat = lambda state: torch.cat([leaf.reshape(len(leaf), -1) for leaf in nest.leaves(state) if leaf.is_floating_point()], 1)  # noqa: E731
    rows, n = flat(state).shape
    w, b = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for at in range(0, window.steps, k):
        begin = nest.map(lambda leaf: leaf.detach().requires_grad_(leaf.is_floating_point()), state)
        loss, state = unroll.segment(window[:, at : at + k], begin)
        end = flat(state)
        beyond = torch.stack([w @ row + b for row in end.detach()])
        leaves = [leaf for leaf in nest.leaves(begin) if leaf.is_floating_point()]
        found = torch.autograd.grad(loss + (end * beyond).sum(), [*params, *leaves], allow_unused=True)
        total = [old + (0 if new is None else new) for old, new in zip(total, found[: len(params)], strict=True)]
        back = [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found[len(params) :], strict=True)]
        target = torch.cat([g.reshape(rows, -1) for g in back], 1)
        before = flat(begin).detach()
        size = sum(float(row @ row) for row in before) / rows + 1
        off = [w @ h + b - t for h, t in zip(before, target, strict=True)]
        w = w - rate * sum(torch.outer(o, h) for o, h in zip(off, before, strict=True)) / rows / size
        b = b - rate * sum(off) / rows / size
    names = [name for name, _ in unroll.named_parameters()]
    return {name: block / unroll.per for name, block in zip(names, total, strict=True)}, w, b


@pytest.mark.parametrize("k", [1, 4, 29])
@pytest.mark.parametrize("recurrent", list(RECURRENT))
def test_it_equals_the_formulas(recurrent, k):
    strategy, setting = SyntheticGradient(k, rate=0.7), problem(recurrent)
    wanted, weight, bias = reference(copy.deepcopy(setting), k, 0.7)
    found, carry = accumulated(strategy, setting)
    assert distance(found, wanted) <= 1e-12
    assert norm(found) >= 1e-8
    assert torch.allclose(carry.memory["shared"]["weight"], weight, rtol=1e-12, atol=1e-14)
    assert torch.allclose(carry.memory["shared"]["bias"], bias, rtol=1e-12, atol=1e-14)
    assert weight.norm() > 1e-3


def accumulated(strategy, setting):
    """The gradient of a whole window without updates, and the last carry."""
    unroll = copy.deepcopy(setting.unroll)
    carry = strategy.start(unroll, setting.window.batch_size)._replace(state=setting.state)
    for part in (setting.window, setting.window[:, :0]):
        for estimate in strategy.gradients(unroll, part, carry):
            carry = estimate.carry
    return gradients(unroll), carry


def test_without_a_rate_it_is_truncation_bit_for_bit_and_with_one_it_is_not():
    setting = problem("lstm")
    truncated, silent, live = (
        Walk(strategy, setting).over(setting.window, 29).parameters()
        for strategy in (Truncated(4), SyntheticGradient(4, rate=0), SyntheticGradient(4))
    )
    assert torch.equal(truncated, silent)
    assert (live - truncated).norm() / truncated.norm() > 1e-6


class Linear(nn.Module):
    """h' = A h + u θ + x, read as it is."""

    def __init__(self, a, u):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("a", a)
        self.register_buffer("u", u)

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, len(self.u), dtype=torch.float64)

    def forward(self, x, h):
        h = h @ self.a.t() + self.u * self.theta + x
        return h, h


A = torch.tensor([[0.6, 0.3, 0.0], [-0.2, 0.5, 0.1], [0.0, 0.2, 0.4]], dtype=torch.float64)
U = torch.tensor([0.5, -1.0, 0.7], dtype=torch.float64)


def learnt(loss, inputs, count, k=2, rate=0.9):
    """A net of three units with fixed parameters, after `count` stretches."""
    unroll, strategy = Unroll(None, Linear(A, U), None, loss), SyntheticGradient(k, rate=rate)
    rows = inputs(2).shape[0]
    carry = strategy.start(unroll, rows)
    for _ in range(count):
        x = inputs(k)
        (estimate,) = [e for e in strategy.gradients(unroll, Window.of(x, x), carry) if e.ready]
        carry = estimate.carry
    return unroll, strategy, carry


def test_a_constant_gradient_is_found_exactly_and_then_no_bias_is_left():
    """l_t = c·h_t: Σ_{k ≥ 1} (Aᵀ)ᵏ c arrives from beyond, whatever the state; the bias has to become that."""
    c = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    unroll, strategy, carry = learnt(lambda h, _: h @ c, lambda k: torch.zeros(1, k, 3, dtype=torch.float64), 400)
    beyond = torch.linalg.solve(torch.eye(3, dtype=torch.float64) - A.t(), A.t() @ c)
    assert torch.allclose(carry.memory["shared"]["bias"], beyond, rtol=1e-12)

    window = Window.of(torch.zeros(1, 2, 3, dtype=torch.float64), torch.zeros(1, 2, 3, dtype=torch.float64))
    unroll.zero_grad()
    list(strategy.gradients(unroll, window, carry))
    sensitivity = 2 * U @ torch.linalg.solve(torch.eye(3, dtype=torch.float64) - A.t(), c)
    assert gradients(unroll)["recurrent.cell.theta"].item() == pytest.approx(sensitivity.item(), rel=1e-12)
    unroll.zero_grad()
    list(Truncated(2).gradients(unroll, window, Truncated(2).start(unroll, 1)))
    assert abs(gradients(unroll)["recurrent.cell.theta"].item() / sensitivity.item() - 1) > 0.1


def test_a_linear_gradient_is_found_as_the_solution_of_lyapunovs_equation():
    """l_t = ½‖h_t‖², independent inputs: E Σ_{k ≥ 1} (Aᵀ)ᵏ h_{t+k} = Q h_t, Q = Σ_{k ≥ 1} (Aᵀ)ᵏ Aᵏ. The mean of W is that."""
    torch.manual_seed(3)
    q, power = torch.zeros(3, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    for _ in range(200):
        power = A @ power
        q = q + power.t() @ power
    _, _, carry = learnt(
        lambda h, _: 0.5 * h.square().sum(2), lambda k: torch.randn(64, k, 3, dtype=torch.float64), 1500, rate=0.03
    )
    assert (carry.memory["shared"]["weight"] - q).norm() / q.norm() < 0.05
    assert carry.memory["shared"]["bias"].abs().max() < 0.05


def test_nothing_comes_back_over_a_reset_and_the_mismatch_says_so():
    setting = problem("gru")
    setting.window.reset[:, 0] = True
    _, carry = accumulated(SyntheticGradient(29), setting)
    assert carry.memory["mismatch"] is None
    assert SyntheticGradient().info(setting.window, carry.memory) == {}


def test_the_mismatch_falls_as_the_model_learns():
    c = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    found = [
        learnt(lambda h, _: h @ c, lambda k: torch.zeros(1, k, 3, dtype=torch.float64), count)[2].memory["mismatch"]
        for count in (1, 5, 50)
    ]
    assert found[0] == pytest.approx(1)
    assert found[0] > found[1] > found[2]


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 2.0}, {"rate": 2}, {"rate": -0.1}, {"rate": "x"}, {"rate": float("nan")}])
def test_wrong_settings(wrong):
    with pytest.raises(InputError, match=r"rate|k must"):
        SyntheticGradient(**wrong)


def test_credit_reaches_further_than_any_stretch():
    """One loss every 8 steps: the stretches of the first 4 hold none, and only what is predicted reaches them."""
    setting = problem("rnn-identity")
    mask = torch.zeros_like(setting.window.mask)
    mask[:, 7::8] = True
    reset = torch.zeros_like(mask)
    window = Window.of(setting.window.inputs, setting.window.targets, mask=mask, reset=reset, noise=setting.window.noise)
    unroll = copy.deepcopy(setting.unroll)
    early = {}
    for strategy in (Truncated(2), SyntheticGradient(2, rate=0.5), PerOutput(7)):
        carry = strategy.start(unroll, window.batch_size)
        for _ in range(3):
            for estimate in strategy.gradients(unroll, window[:, :24], carry):
                carry = estimate.carry
        unroll.zero_grad()
        list(strategy.gradients(unroll, window[:, :4], carry))
        early[type(strategy).__name__] = norm({n: g for n, g in gradients(unroll).items() if n.startswith("recurrent")})
        unroll.zero_grad()
    assert early["Truncated"] == 0 < 1e-3 < early["SyntheticGradient"]

"""Influence balancing: a chain whose late influences outweigh the early ones, where truncation has the wrong sign.

s' = A s + θ v, n = 23, A_ii = A_{i,i+1} = ½, v = +1 on the first 10 units and −1 on the last 13, loss ½(s₁ − 1)².
At rest s₁ = −6 θ, so the loss has its minimum at θ* = −1/6. (Tallec & Ollivier 2017, section 5.1.)
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bptt import Full, PerOutput, Randomized, Truncated, Unroll, Window
from bptt.testing.examples import gradients

BEST, FIRST = -1 / 6, 0.5


class Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(FIRST, dtype=torch.float64))
        a = torch.diag(torch.full((23,), 0.5)) + torch.diag(torch.full((22,), 0.5), 1)
        v = torch.cat([torch.ones(10), -torch.ones(13)])
        self.register_buffer("a", a.double().t().contiguous())
        self.register_buffer("v", v.double())

    def initial_state(self, batch_size):
        return torch.ones(batch_size, 23, dtype=torch.float64)

    def forward(self, x, s):
        s = torch.addmm(self.theta * self.v, s, self.a)
        return s[:, :1], s


def half_square(outputs, targets):
    return 0.5 * (outputs.squeeze(2) - targets) ** 2


def first_unit(outputs, targets):
    return outputs.squeeze(2)


def steps(count, mask=None, rows=1):
    zeros = torch.zeros(rows, count, 1, dtype=torch.float64)
    return Window.of(zeros, torch.ones_like(zeros[..., 0]), mask=mask)


SENSITIVITY = [(1, 1), (10, 10), (20, 16.476059), (30, 9.869932), (35, 5.049116), (40, 0.565538), (45, -2.809076)]


@pytest.mark.parametrize(("terms", "wanted"), [*SENSITIVITY, (50, -4.752671), (100, -5.99999998)])
def test_the_sensitivity_with_so_many_lags(terms, wanted):
    mask = torch.zeros(1, 120, dtype=torch.bool)
    mask[0, -1] = True
    assert sensitivity(PerOutput(terms - 1), mask) == pytest.approx(wanted, abs=5e-7)


def sensitivity(strategy, mask):
    unroll = Unroll(None, Chain(), None, first_unit)
    window = steps(mask.shape[1], mask)
    list(strategy.gradients(unroll, window, strategy.start(unroll, 1)))
    return gradients(unroll)["recurrent.cell.theta"].item()


def test_the_sign_is_wrong_up_to_forty_terms_and_right_from_then_on():
    mask = torch.zeros(1, 120, dtype=torch.bool)
    mask[0, -1] = True
    assert sensitivity(PerOutput(39), mask) > 0 > sensitivity(PerOutput(40), mask)
    assert sensitivity(Full(), mask) == pytest.approx(-6, abs=1e-9)


@pytest.mark.parametrize(("length", "wanted"), [(100, 0.58), (200, -2.71)])
def test_chunks_take_the_mean_of_the_sensitivities(length, wanted):
    unroll = Unroll(None, Chain(), None, first_unit, per=length)
    list(Full().gradients(unroll, steps(length), Full().start(unroll, 1)))
    assert gradients(unroll)["recurrent.cell.theta"].item() == pytest.approx(wanted, abs=5e-3)


def test_chunks_turn_negative_at_110():
    for length, sign in ((109, 1), (110, -1)):
        unroll = Unroll(None, Chain(), None, first_unit)
        list(Full().gradients(unroll, steps(length), Full().start(unroll, 1)))
        assert gradients(unroll)["recurrent.cell.theta"].item() * sign > 0


def learn(strategy, rate, count, per=1.0, window=1000, rows=1):
    """Plain SGD over `count` steps; θ and the loss at each update."""
    unroll = Unroll(None, Chain(), None, half_square, per=per)
    cell, carry = unroll.recurrent.cell, strategy.start(unroll, rows)
    piece, path = steps(window, rows=rows), []
    for _ in range(0, count, window):
        for estimate in strategy.gradients(unroll, piece, carry):
            carry = estimate.carry
            if estimate.ready:
                with torch.no_grad():
                    cell.theta -= rate * cell.theta.grad
                cell.theta.grad = None
                path.append((cell.theta.item(), float(estimate.loss_sum) / max(estimate.count, 1)))
                if not abs(path[-1][0]) < 1e6:
                    return path
    return path


def test_the_first_steps_of_short_truncation_lead_away_and_of_long_ones_back():
    for length, away in ((10, True), (100, True), (200, False)):
        theta = [theta for theta, _ in learn(Truncated(length), 1e-4, 6000, per=length)]
        last = theta[-1] - theta[len(theta) // 2]
        assert (last > 0) == away, length


@pytest.mark.slow
def test_truncation_runs_away_whatever_the_time():
    for length, away in ((10, True), (100, True), (200, False)):
        theta, _ = learn(Truncated(length), 1e-4, 30_000, per=length)[-1]
        assert (abs(theta - BEST) > abs(FIRST - BEST)) == away, (length, theta)


@pytest.mark.slow
def test_random_cuts_find_the_minimum_at_a_small_rate_and_not_at_a_large_one():
    theta, loss = learn(Randomized(mean=16), 1e-5, 80_000)[-1]
    assert loss < 1e-20 and theta == pytest.approx(BEST, abs=1e-9)
    theta, _ = learn(Randomized(mean=16), 1e-4, 80_000)[-1]
    assert abs(theta) >= 1e6


@pytest.mark.slow
def test_the_hazard_finds_it_as_well():
    theta, loss = learn(Randomized(mean=16, tail=6), 1e-5, 120_000)[-1]
    assert loss < 1e-12 and theta == pytest.approx(BEST, abs=1e-6)

"""Full back-propagation against central finite differences: the only oracle that shares no code with autograd."""

from __future__ import annotations

import copy

import pytest
import torch

from bptt import Carry, Full
from bptt.testing.examples import RECURRENT, exact, gradients, norm, problem

WIDTH = 1e-5


def differences(setting, name):
    """d(loss ÷ per)/dθ for the entries of one parameter, by central differences."""
    unroll = copy.deepcopy(setting.unroll)
    parameter = dict(unroll.named_parameters())[name]
    found = torch.zeros_like(parameter)
    with torch.no_grad():
        for entry in range(parameter.numel()):
            flat = parameter.view(-1)
            value = flat[entry].item()
            sides = []
            for at in (value + WIDTH, value - WIDTH):
                flat[entry] = at
                sides.append(unroll.segment(setting.window, setting.state)[0].item())
            flat[entry] = value
            found.view(-1)[entry] = (sides[0] - sides[1]) / (2 * WIDTH * unroll.per)
    return found


@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_equals_finite_differences_with_learned_state_carry_resets_and_masks(name):
    drawn = (problem(name, steps=11, seed=seed) for seed in range(9))
    setting = next(each for each in drawn if each.window.reset.any() and not each.window.mask.all())
    list(Full().gradients(setting.unroll, setting.window, Carry(setting.state)))
    found = gradients(setting.unroll)
    assert norm(found) >= 1e-8
    for parameter, gradient in found.items():
        numeric = differences(setting, parameter)
        scale = max(float(numeric.norm()), 1e-3 * norm(found))
        assert float((gradient - numeric).norm()) / scale <= 1e-7, parameter


def test_a_learned_initial_state_gets_a_gradient_through_a_reset():
    setting = problem("nested", steps=11)
    first = next(name for name, _ in setting.unroll.named_parameters() if name.endswith("first"))
    assert float(exact(setting)[first].norm()) >= 1e-8


def test_the_state_is_carried_on_but_not_the_gradient():
    whole = problem("lstm")
    a, b = whole.window[:, :13], whole.window[:, 13:]
    carry = Carry(whole.state)
    total = 0.0
    for window in (a, b):
        (estimate,) = Full().gradients(whole.unroll, window, carry)
        carry, total = estimate.carry, total + float(estimate.loss_sum)
        assert not any(leaf.requires_grad for leaf in carry.state)
    loss, _ = whole.unroll.segment(whole.window, whole.state)
    assert total == pytest.approx(float(loss.detach()), rel=1e-12)
    cut = gradients(whole.unroll)
    through = exact(whole)
    assert norm({name: cut[name] - through[name] for name in cut}) >= 1e-6 * norm(through)


def test_a_window_of_no_steps_has_nothing_to_spend():
    setting = problem("rnn")
    (estimate,) = Full().gradients(setting.unroll, setting.window[:, :0], Carry(setting.state))
    assert not estimate.ready and estimate.count == 0 and norm(gradients(setting.unroll)) == 0

"""The unrolled model: what a strategy asks of it, each against another way to compute the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bptt import ContractError, Unroll, Window, nest
from bptt.testing.examples import RECURRENT, distance, exact, gradients, norm, problem

CELLS = ["rnn", "lstm", "gru-deep-dropout", "stack", "nested", "torch-cell"]


@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_two_segments_are_one(name):
    setting = problem(name)
    loss, end = setting.unroll.segment(setting.window, setting.state)
    first, middle = setting.unroll.segment(setting.window[:, :11], setting.state)
    second, after = setting.unroll.segment(setting.window[:, 11:], middle)
    torch.testing.assert_close(first + second, loss, rtol=1e-12, atol=0)
    for a, b in zip(nest.leaves(after), nest.leaves(end), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CELLS)
def test_the_adjoint_chains_two_stretches_into_the_exact_gradient(name):
    setting = problem(name)
    unroll, window = setting.unroll, setting.window
    with torch.no_grad():
        _, middle = unroll.segment(window[:, :11], setting.state)
    start = nest.as_leaves(middle)
    loss, _ = unroll.segment(window[:, 11:], start)
    adjoint = unroll.backward(loss, start=start)
    assert sum(float(leaf.norm()) for leaf in nest.leaves(adjoint) if nest.is_float(leaf)) >= 1e-8
    loss, end = unroll.segment(window[:, :11], setting.state)
    unroll.backward(loss, end=end, adjoint=adjoint)
    assert distance(gradients(unroll), exact(setting)) <= 1e-12


def test_the_adjoint_is_in_units_of_the_loss_sum_whatever_per_is():
    setting = problem("lstm")
    found = []
    for per in (1.0, 37.0):
        setting.unroll.per = per
        start = nest.as_leaves(setting.state)
        loss, _ = setting.unroll.segment(setting.window, start)
        found.append(setting.unroll.backward(loss, start=start))
    for a, b in zip(*(nest.leaves(adjoint) for adjoint in found), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=0)


def test_per_divides_gradients_and_nothing_else():
    setting = problem("gru")
    setting.unroll.per = 1.0
    whole = exact(setting)
    setting.unroll.per = 20.0
    loss, _ = setting.unroll.segment(setting.window, setting.state)
    setting.unroll.backward(loss)
    assert distance({n: 20 * g for n, g in gradients(setting.unroll).items()}, whole) <= 1e-12


@pytest.mark.parametrize("name", CELLS)
def test_rows_from_their_states_give_every_step_at_once(name):
    setting = problem(name)
    unroll, window = setting.unroll, setting.window
    before = unroll.states(window, setting.state)
    after, losses = unroll.rows(window, nest.map(lambda leaf: leaf.flatten(0, 1), before))
    each, end = unroll.losses(window, setting.state)
    wanted = torch.where(window.mask, each, 0.0)
    torch.testing.assert_close(losses.view(wanted.shape), wanted, rtol=1e-12, atol=1e-14)
    for a, b in zip(nest.leaves(after), nest.leaves(end), strict=True):
        last = a.unflatten(0, (window.batch_size, window.steps))[:, -1]
        torch.testing.assert_close(last, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CELLS)
def test_pure_is_segment_and_differentiates_forward(name):
    setting = problem(name, steps=5)
    params = {n: p.detach() for n, p in setting.unroll.named_parameters()}
    tangents = {n: torch.randn_like(p) for n, p in params.items()}

    def loss(params):
        return setting.unroll.pure(params, setting.window, setting.state)[0]

    value, slope = torch.func.jvp(loss, (params,), (tangents,))
    torch.testing.assert_close(value, setting.unroll.segment(setting.window, setting.state)[0].detach(), rtol=1e-12, atol=0)
    backward = sum(float((g * setting.unroll.per * tangents[n]).sum()) for n, g in exact(setting).items())
    assert float(slope) == pytest.approx(backward, rel=1e-10)


def test_states_of_no_steps_are_none():
    setting = problem("nested")
    none = setting.unroll.states(setting.window[:, :0], setting.state)
    for found, leaf in zip(nest.leaves(none), nest.leaves(setting.state), strict=True):
        assert found.shape == (leaf.shape[0], 0, *leaf.shape[1:])


def test_add_gathers_by_name_and_divides():
    setting = problem("rnn")
    name, parameter = next(iter(setting.unroll.named_parameters()))
    for _ in range(2):
        setting.unroll.add({name: torch.ones_like(parameter)})
    assert torch.allclose(parameter.grad, torch.full_like(parameter, 2 / setting.unroll.per), rtol=1e-15)
    with pytest.raises(ContractError, match="no_such"):
        setting.unroll.add({"no_such": torch.zeros(1)})


def test_a_masked_loss_may_be_nan():
    unroll = Unroll(None, nn.RNN(2, 3), None, lambda outputs, targets: outputs.sum(2) / targets).double()
    targets = torch.ones(1, 4, dtype=torch.float64)
    mask = torch.tensor([[True, True, False, True]])
    wanted = unroll.segment(Window.of(torch.ones(1, 4, 2).double(), targets, mask=mask), unroll.initial_state(1))[0]
    targets[0, 2] = float("nan")
    found = unroll.segment(Window.of(torch.ones(1, 4, 2).double(), targets, mask=mask), unroll.initial_state(1))[0]
    assert torch.equal(found, wanted)


def test_a_loss_that_is_already_a_mean_is_refused():
    unroll = Unroll(None, nn.RNN(2, 3), None, lambda outputs, targets: outputs.mean())
    with pytest.raises(ContractError, match="per row and step"):
        unroll.segment(Window.of(torch.ones(1, 4, 2), torch.ones(1, 4)), unroll.initial_state(1))


def test_autocast_lowers_the_products_and_keeps_the_gradient_close():
    setting = problem("gru")
    setting.unroll.float()
    window = Window.of(setting.window.inputs.float(), setting.window.targets, mask=setting.window.mask)
    found = []
    for autocast in (None, torch.bfloat16):
        setting.unroll.autocast = autocast
        setting.unroll.zero_grad()
        loss, _ = setting.unroll.eval().segment(window, nest.map(lambda leaf: leaf.float(), setting.state))
        setting.unroll.backward(loss)
        found.append(gradients(setting.unroll))
    difference = norm({n: found[0][n] - found[1][n] for n in found[0]}) / norm(found[0])
    assert 1e-6 < difference < 0.05


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "nested"])
def test_sequences_of_unequal_length_are_as_if_each_were_alone(name):
    """Padding behind a mask, whatever stands in it, changes neither losses nor gradients."""
    setting = problem(name)
    unroll, window, lengths = setting.unroll, setting.window, (5, 13, 29)
    mask = torch.arange(29) < torch.tensor(lengths)[:, None]
    inputs = torch.where(mask[..., None], window.inputs, 1e3)
    padded = Window.of(inputs, window.targets, mask=mask, noise=window.noise)
    loss, _ = unroll.segment(padded, setting.state)
    unroll.backward(loss)
    together = gradients(unroll)
    unroll.zero_grad()
    alone = 0.0
    for row, length in enumerate(lengths):
        one = slice(row, row + 1)
        inputs, targets, noise = (part[one, :length] for part in (window.inputs, window.targets, window.noise))
        loss_of_one, _ = unroll.segment(
            Window.of(inputs, targets, noise=noise), nest.map(lambda leaf, one=one: leaf[one], setting.state)
        )
        unroll.backward(loss_of_one)
        alone += float(loss_of_one.detach())
    assert float(loss.detach()) == pytest.approx(alone, rel=1e-12)
    assert norm(together) >= 1e-8 and distance(together, gradients(unroll)) <= 1e-12

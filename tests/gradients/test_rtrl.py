"""RTRL: the exact gradient for every kind of cell, forwards in time; what it carries, and what it refuses."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from test_influence import BEST, Chain, first_unit, learn, steps
from tiny_nets import run
from torch import nn

from bptt import RTRL, ContractError, Full, InputError, LanguageModel, Truncated, Unroll, Window, nest
from bptt.gradients.online import machine
from bptt.nn import GRU, LSTM
from bptt.testing.examples import RECURRENT, NestedCell, Problem, distance, exact, gradients, norm, problem
from bptt.testing.strategies import check_borders, check_restart, check_strategy
from bptt.training.pack import pack


def parts(name, count=11):
    setting = problem(name, steps=count)
    reset = torch.zeros(3, count, dtype=torch.bool)
    reset[0, 2] = reset[1, -2] = True
    assert not setting.window.mask.all()
    return setting.unroll, dataclasses.replace(setting.window, reset=reset), setting.state


@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_summed_over_the_steps_it_is_exact(name):
    """From a state that is not zero, over windows of 4 steps, with resets, masked losses and dropout."""
    wanted = exact(Problem(*parts(name)))
    assert min(float(block.norm()) for block in wanted.values()) >= 1e-8
    assert distance(run(RTRL(), *parts(name), cut=4), wanted) <= 1e-12
    assert distance(run(Truncated(4), *parts(name)), wanted) >= 1e-6


def test_finite_differences_say_the_same():
    unroll, window, state = parts("nested", 7)
    found = run(RTRL(3), unroll, window, state)
    for name, parameter in unroll.named_parameters():
        flat, steepest = parameter.data.view(-1), int(found[name].abs().argmax())
        kept, losses = float(flat[steepest]), []
        for moved in (kept + 1e-5, kept - 1e-5):
            flat[steepest] = moved
            losses.append(float(unroll.segment(window, state)[0].detach()))
        flat[steepest] = kept
        slope = (losses[0] - losses[1]) / 2e-5 / unroll.per
        assert float(found[name].view(-1)[steepest]) == pytest.approx(slope, rel=1e-7), name


@pytest.mark.parametrize("recurrent", [GRU(4, 4, 2), nn.LSTM(4, 4), nn.RNNCell(4, 4)], ids=["gru", "torch-lstm", "torch-cell"])
def test_an_embedding_whose_weights_are_the_readout_s_as_well(recurrent):
    torch.manual_seed(0)
    encode, readout = nn.Embedding(6, 4), nn.Linear(4, 6)
    readout.weight = encode.weight
    unroll = Unroll(encode, recurrent, readout, per=3.0).double()
    window = Window.of(torch.randint(6, (3, 9)), torch.randint(6, (3, 9)))
    state = nest.map(torch.randn_like, nest.detach(unroll.initial_state(3)))
    wanted = exact(Problem(unroll, window, state))
    assert "readout.weight" not in wanted and wanted["encode.weight"].norm() >= 1e-3
    assert distance(run(RTRL(), unroll, window, state), wanted) <= 1e-12


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "tdnn", "output-to-hidden"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_language_model_as_it_is_trained(cell, tied):
    tied, layers = tied and cell != "output-to-hidden", 1 if cell == "output-to-hidden" else 2
    torch.manual_seed(0)
    model = LanguageModel(
        cell, vocab=7, hidden_size=5, layers=layers, tie_weights=tied, embedding_size=5 if tied else 0, dropout=0.2
    ).double()
    unroll = model.unroll(per=6.0)
    window = Window.of(torch.randint(7, (3, 8)), torch.randint(7, (3, 8)))
    state = nest.map(torch.randn_like, nest.detach(unroll.initial_state(3)))
    wanted = exact(Problem(unroll, window, state))
    assert min(float(block.norm()) for block in wanted.values()) >= 1e-8
    assert distance(run(RTRL(2), unroll, window, state), wanted) <= 1e-12


def test_frozen_parameters_are_left_alone_and_the_others_stay_exact():
    unroll, window, state = parts("lstm", 6)
    unroll.recurrent.layer.weight_ih_l0.requires_grad_(False)
    live = {name for name, parameter in unroll.named_parameters() if parameter.requires_grad}
    loss, _ = unroll.segment(window, state)
    unroll.backward(loss)
    wanted = {name: block for name, block in gradients(unroll).items() if name in live}
    unroll.zero_grad()
    found = run(RTRL(), unroll, window, state)
    assert unroll.recurrent.layer.weight_ih_l0.grad is None
    assert distance({name: found[name] for name in live}, wanted) <= 1e-12


def test_between_updates_the_influence_of_old_parameters_stays():
    """Against plain loops: one row, one step and one number of the state at a time, without vmap."""
    unroll, window, state = parts("rnn", 6)
    other = copy.deepcopy(unroll)
    carry = RTRL(2).start(unroll, 3)._replace(state=state)
    optimizer = torch.optim.SGD(unroll.parameters(), lr=0.5)
    for estimate in RTRL(2).gradients(unroll, window, carry):
        assert estimate.ready and estimate.count == int(window[:, estimate.steps - 2 : estimate.steps].count)
        optimizer.step()
        optimizer.zero_grad()
    by_hand(other, window, state, 0.5)
    for (name, one), two in zip(unroll.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-13, msg=name)


def by_hand(unroll, window, state, rate):
    """RTRL under SGD with an update every two steps, by autograd of one number at a time."""
    live = list(unroll.parameters())
    influence = [[[torch.zeros_like(p) for p in live] for _ in range(5)] for _ in range(3)]
    total = [torch.zeros_like(p) for p in live]
    for t in range(window.steps):
        after_all = []
        for b in range(3):
            h = state[b : b + 1].clone().requires_grad_()
            loss, after = unroll.segment(window[b : b + 1, t : t + 1], h)
            *direct, pull = torch.autograd.grad(loss, [*live, h], retain_graph=True, allow_unused=True)
            pull = torch.zeros_like(h) if pull is None else pull
            for i, g in enumerate(direct):
                through = sum(pull.flatten()[j] * influence[b][j][i] for j in range(5))
                total[i] = total[i] + (0 if g is None else g) + through
            moved = []
            for unit in after.flatten():
                *direct, back = torch.autograd.grad(unit, [*live, h], retain_graph=True, allow_unused=True)
                back = torch.zeros_like(h) if back is None else back
                moved.append(
                    [
                        (0 if g is None else g) + sum(back.flatten()[j] * influence[b][j][i] for j in range(5))
                        for i, g in enumerate(direct)
                    ]
                )
            influence[b] = moved
            after_all.append(after.detach())
        state = torch.cat(after_all)
        if t % 2 == 1:
            with torch.no_grad():
                for p, g in zip(live, total, strict=True):
                    p -= rate * g / unroll.per
            total = [torch.zeros_like(p) for p in live]


def test_every_counts_the_stream_and_not_the_window():
    unroll, window, state = parts("rnn", 11)
    carry = RTRL(4).start(unroll, 3)._replace(state=state)
    told = []
    for cut in (window[:, :3], window[:, 3:6], window[:, 6:], window[:, :0]):
        for estimate in RTRL(4).gradients(unroll, cut, carry):
            carry = estimate.carry
            told.append((estimate.ready, estimate.steps, carry.memory["position"]))
    assert told == [(False, 3, 0), (True, 1, 4), (False, 3, 4), (True, 2, 8), (False, 5, 8), (True, 0, 11)]


def test_borders_leave_no_trace_and_the_influence_is_saved_with_the_carry():
    setting = problem("nested", steps=29)
    check_borders(RTRL(2), setting)
    check_restart(RTRL(9), setting)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_the_contract_with_an_update_at_every_step(name):
    check_strategy(RTRL(), recurrent=[name])


def test_what_it_carries_does_not_grow():
    unroll, window, state = parts("gru", 11)
    carry, sizes = RTRL().start(unroll, 3)._replace(state=state), []
    for _ in range(3):
        for estimate in RTRL().gradients(unroll, window, carry):
            carry = estimate.carry
        sizes.append(sum(tensor.nbytes for tensor in pack(carry)[0].values()))
    reached = sum(p.numel() for name, p in unroll.named_parameters() if name.startswith("recurrent."))
    assert sizes == [8 * 3 * 5 * (1 + reached)] * 3  # the readout has no influence on the state


def test_influence_balancing_it_sees_the_whole_past():
    mask = torch.zeros(1, 120, dtype=torch.bool)
    mask[0, -1] = True
    unroll = Unroll(None, Chain(), None, first_unit)
    found = run(RTRL(), unroll, steps(120, mask), unroll.initial_state(1))
    assert found["recurrent.cell.theta"].item() == pytest.approx(-6, abs=1e-9)


@pytest.mark.slow
def test_influence_balancing_it_finds_the_minimum_that_truncation_runs_away_from():
    theta, loss = learn(RTRL(), 1e-4, 10_000)[-1]
    assert loss < 1e-20 and theta == pytest.approx(BEST, abs=1e-9)


def test_an_influence_larger_than_the_machine_is_refused_with_the_figure(monkeypatch):
    assert machine.memory(torch.device("cpu")) > 2**28
    unroll, window, state = parts("lstm", 3)
    reached = sum(p.numel() for name, p in unroll.named_parameters() if name.startswith("recurrent."))
    size = 2 * 3 * 10 * reached * 8
    carry = RTRL().start(unroll, 3)._replace(state=state)
    monkeypatch.setattr(machine, "memory", lambda device: size)
    assert list(RTRL().gradients(unroll, window, carry))
    monkeypatch.setattr(machine, "memory", lambda device: size - 1)
    with pytest.raises(InputError, match=f"3 rows × 10 numbers × {reached} parameters: .* GiB"):
        list(RTRL().gradients(unroll, window, carry))
    monkeypatch.setattr(machine, "memory", lambda device: None)
    assert list(RTRL().gradients(unroll, window, carry))


class Looking(NestedCell):
    """A cell that decides on a value."""

    def forward(self, x, state):
        return super().forward(x if float(x.sum()) > 0 else -x, state)


def test_models_that_it_cannot_look_into_are_refused():
    setting = problem(Looking())
    carry = RTRL().start(setting.unroll, 3)
    with pytest.raises(ContractError, match="row by row"):
        list(RTRL().gradients(setting.unroll, setting.window, carry))
    with pytest.raises(InputError, match="looks ahead"):
        RTRL().start(Unroll(None, LSTM(3, 4, bidirectional=True), None), 2)
    with pytest.raises(InputError, match="dropout"):
        RTRL().start(Unroll(nn.Dropout(0.5), LSTM(3, 4), None), 2)


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "4"])
def test_every_is_a_number_of_steps(every):
    with pytest.raises(InputError, match="every"):
        RTRL(every)


def test_it_is_not_truncation_of_one_step():
    found, cut = (run(strategy, *parts("lstm")) for strategy in (RTRL(), Truncated(1)))
    assert norm({name: found[name] - cut[name] for name in found}) >= 0.05 * norm(found)
    assert distance(found, run(Full(), *parts("lstm"))) <= 1e-12

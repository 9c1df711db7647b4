"""Truncated back-propagation: which credits it keeps, the known slips of copied code, and an independent plain loop."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny_nets import credits, run, scalar
from torch import nn

from bptt import Full, InputError, Truncated, Unroll, Window
from bptt import nn as layers
from bptt.testing.examples import NestedCell, distance, exact, gradients, norm, problem


@pytest.mark.parametrize("cut", [None, 5, 1])
@pytest.mark.parametrize(("k1", "k2"), [(4, None), (1, 3), (3, 7), (2, 3), (5, 5), (4, 30), (13, None)])
def test_keeps_exactly_the_credits_that_it_names(k1, k2, cut):
    steps, wanted = 13, torch.zeros(13, 13, dtype=torch.float64)
    for t in range(steps):
        end = min((t // k1 + 1) * k1, steps)
        # A stretch that the end of the run cuts short looks back k2 − k1 steps from its start, as every other does.
        start = t // k1 * k1 - ((k2 or k1) - k1)
        assert start == end - (k2 or k1) or end == steps
        wanted[t, max(start, 0) : t + 1] = 1
    assert torch.equal(credits(Truncated(k1, k2), steps, cut), wanted)


def test_the_snippet_that_counts_old_losses_twice():
    # Detached leaf states whose .grad gathers over outer steps give 0.288 for the third loss; the truth is 3 w² h0 = 0.108.
    unroll, window, state = scalar(0.2, 3, 0.9)
    carry = Truncated(1, 3).start(unroll, 1)._replace(state=state)
    found = []
    for estimate in Truncated(1, 3).gradients(unroll, window, carry):
        found.append(gradients(unroll)["recurrent.cell.w"].item())
        unroll.zero_grad()
        assert estimate.ready
    assert found == pytest.approx([0.9, 2 * 0.2 * 0.9, 0.108], rel=1e-12)


def test_k_is_the_length_of_a_stretch_not_their_number():
    setting = problem("rnn")
    carry = Truncated(4).start(setting.unroll, 3)
    taken = [e.steps for e in Truncated(4).gradients(setting.unroll, setting.window, carry) if e.ready]
    assert taken == [4, 8, 12, 16, 20, 24, 28]


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "nested"])
def test_every_k_gives_another_gradient(name):
    found = [run(Truncated(k), *parts(name)) for k in (3, 4, 11)] + [run(Truncated(3, 6), *parts(name))]
    for i, a in enumerate(found):
        for b in found[i + 1 :]:
            assert norm({key: a[key] - b[key] for key in a}) >= 1e-6 * norm(a)


def parts(name):
    setting = problem(name)
    return setting.unroll, setting.window, setting.state


@pytest.mark.parametrize(
    "strategy", [Truncated(29), Truncated(64), Truncated(64, 80), Truncated(1, 29), Truncated(6, 40)], ids=str
)
@pytest.mark.parametrize("name", ["rnn", "rnn-relu", "rnn-identity", "lstm", "gru", "gru-deep-dropout", "stack", "nested"])
def test_long_enough_it_is_exact(strategy, name):
    assert distance(run(strategy, *parts(name)), exact(problem(name))) <= 1e-12


@pytest.mark.parametrize("terms", [1, 2, 5, 12])
def test_scalar_closed_form_of_the_error(terms):
    # The gradient of the last loss with respect to b, K of T terms: relative error (w^K − w^T) / (1 − w^T).
    w, steps = 0.7, 12
    mask = torch.zeros(1, steps, dtype=torch.bool)
    mask[0, -1] = True
    full = run(Full(), *scalar(w, steps, 0.3, mask))["recurrent.cell.b"].item()
    cut = run(Truncated(1, terms), *scalar(w, steps, 0.3, mask))["recurrent.cell.b"].item()
    assert (full - cut) / full == pytest.approx((w**terms - w**steps) / (1 - w**steps), abs=1e-12)


@pytest.mark.parametrize(("k1", "k2"), [(4, 4), (3, 8), (1, 5)])
@pytest.mark.parametrize("name", ["lstm", "gru-deep-dropout", "nested"])
def test_equals_a_plain_loop_with_updates_between(name, k1, k2):
    """Autograd by hand: before each update, the past is run again from its state under the parameters of now."""
    ours, plain = problem(name), problem(name)
    optimizers = [torch.optim.SGD(p.unroll.parameters(), lr=0.3) for p in (ours, plain)]

    carry = Truncated(k1, k2).start(ours.unroll, 3)._replace(state=ours.state)
    for part in (ours.window, ours.window[:, :0]):
        for estimate in Truncated(k1, k2).gradients(ours.unroll, part, carry):
            carry = estimate.carry
            if estimate.ready:
                optimizers[0].step()
                optimizers[0].zero_grad()

    unroll, window, at, state = plain.unroll, plain.window, 0, plain.state
    for start in range(0, window.steps, k1):
        end, following = min(start + k1, window.steps), max(0, min(start + k1, window.steps) - (k2 - k1))
        losses, graph, kept = [], state, state
        for t in range(at, end):
            if t == following:
                kept = graph
            loss, graph = unroll.segment(window[:, t : t + 1], graph)
            losses.append(loss if t >= start else loss * 0)
        if following == end:
            kept = graph
        (sum(losses) / unroll.per).backward()
        optimizers[1].step()
        optimizers[1].zero_grad()
        at, state = following, torch.utils._pytree.tree_map(lambda leaf: leaf.detach(), kept)

    for a, b in zip(ours.unroll.parameters(), plain.unroll.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


def test_the_whole_state_is_carried_h_and_c():
    setting = problem("lstm")
    carry = Truncated(29).start(setting.unroll, 3)._replace(state=setting.state)
    for estimate in Truncated(29).gradients(setting.unroll, setting.window, carry):
        carry = estimate.carry
    _, after = setting.unroll.segment(setting.window, setting.state)
    for found, wanted in zip(carry.state, after, strict=True):
        assert torch.equal(found, wanted) and float(found.norm()) > 1e-3


def test_one_update_per_window_spends_the_sum_of_its_stretches():
    setting = problem("gru")
    per_stretch = run(Truncated(5), *parts("gru"))
    estimates = list(Truncated(5, update="window").gradients(setting.unroll, setting.window, start(setting, Truncated(5))))
    assert len(estimates) == 1 and estimates[0].ready and estimates[0].steps == 29
    list(Truncated(5, update="window").gradients(setting.unroll, setting.window[:, :0], estimates[0].carry))
    assert distance(gradients(setting.unroll), per_stretch) <= 1e-12


def start(setting, strategy):
    return strategy.start(setting.unroll, setting.window.batch_size)._replace(state=setting.state)


def test_a_token_weighs_the_same_in_a_short_last_stretch():
    # A linear model whose loss is its output: the gradient of b counts the losses, whatever stretch they are in.
    unroll, window, state = scalar(0.0, 7, 0.4)
    assert run(Truncated(3), unroll, window, state)["recurrent.cell.b"].item() == pytest.approx(7.0, abs=1e-12)
    assert Truncated(3).nominal(7) == Truncated(3, update="window").nominal(1000) == 3


def test_losses_of_the_past_are_silent_and_its_dropout_the_same():
    setting = problem("gru-deep-dropout")
    setting.unroll.train()
    total = 0.0
    for estimate in Truncated(4, 11).gradients(setting.unroll, setting.window, start(setting, Truncated(4, 11))):
        total += float(estimate.loss_sum)
        last = estimate.carry
    total += float(next(iter(Truncated(4, 11).gradients(setting.unroll, setting.window[:, :0], last))).loss_sum)
    assert total == pytest.approx(float(setting.unroll.segment(setting.window, setting.state)[0].detach()), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"k1": 0}, "k1"),
        ({"k1": 2.5}, "k1"),
        ({"k1": 8, "k2": 4}, "k2"),
        ({"k1": 4, "update": "windw"}, "window"),
        ({"k1": True}, "k1"),
    ],
)
def test_bad_settings_are_named(arguments, names):
    with pytest.raises(InputError, match=names):
        Truncated(**arguments)


def test_a_model_that_looks_ahead_is_refused():
    unroll = Unroll(None, nn.GRU(3, 4, bidirectional=True), None)
    with pytest.raises(InputError, match="looks ahead"):
        Truncated(4).start(unroll, 2)


def test_full_runs_a_model_that_looks_ahead_window_by_window():
    torch.manual_seed(0)
    unroll = Unroll(None, nn.GRU(3, 4, bidirectional=True), nn.Linear(8, 5)).double()
    window = Window.of(torch.randn(2, 9, 3, dtype=torch.float64), torch.randint(5, (2, 9)))
    carry, total = Full().start(unroll, 2), 0.0
    for part in (window[:, :5], window[:, 5:]):
        (estimate,) = Full().gradients(unroll, part, carry)
        carry, total = estimate.carry, total + float(estimate.loss_sum)
    alone = [float(unroll.segment(part, unroll.initial_state(2))[0].detach()) for part in (window[:, :5], window[:, 5:])]
    assert total == pytest.approx(sum(alone), rel=1e-12)


class OwnDropout(NestedCell):
    """A cell whose dropout reads torch's global generator."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)


@pytest.mark.parametrize("module", [OwnDropout(), nn.LSTM(4, 5, num_layers=2, dropout=0.5)], ids=["cell", "torch-lstm"])
def test_steps_are_not_run_twice_under_two_masks(module):
    setting = problem(module)
    with pytest.raises(InputError, match="another mask"):
        Truncated(2, 4).start(setting.unroll, 3)
    Truncated(4).start(setting.unroll, 3)
    Truncated(2, 4).start(setting.unroll.eval(), 3)


@pytest.mark.parametrize("strategy", [Truncated(7), Truncated(4, 9)], ids=str)
@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("make", [layers.GRU, nn.LSTM, nn.GRU, nn.GRUCell], ids=["ours", "torch-lstm", "torch-gru", "cell"])
def test_borders_leave_no_trace_in_inputs_of_any_alignment(make, rows, strategy):
    """Matrix products round differently for operands that lie differently in memory, as slices of a window do."""
    torch.manual_seed(0)
    unroll = Unroll(None, make(37, 9), nn.Linear(9, 5), per=7).double()
    window = Window.of(torch.randn(rows, 29, 37, dtype=torch.float64), torch.randint(5, (rows, 29)))
    found = [run(strategy, copy.deepcopy(unroll), window, unroll.initial_state(rows), cut) for cut in (29, 5, 3, 1)]
    assert norm(found[0]) >= 1e-8
    for other in found[1:]:
        assert all(torch.equal(other[name], found[0][name]) for name in found[0])

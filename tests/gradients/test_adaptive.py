"""Adaptive truncation: measured credits are the true ones, K is the one that theory gives, and the bias stays below."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from tiny_nets import run, scalar
from torch import nn

from bptt import Adaptive, InputError, PerOutput, Truncated, Unroll, Window
from bptt import nn as layers
from bptt.gradients import adaptive
from bptt.gradients.horizon import choose, decay_of, relative_bias, tails
from bptt.gradients.probe import credits_of_last
from bptt.testing.examples import exact, gradients, norm, problem


@pytest.mark.parametrize(("bias", "single", "best"), [(0.85, 11, 2), (0.5, 14, 7), (0.1, 24, 22)])
def test_scalar_closed_forms_of_k(bias, single, best):
    lags = np.arange(200)
    credits, norms = 0.9**lags, (1 - 0.9 ** (lags + 1)) / 0.1
    assert choose(credits, norms, bias, single=True).k == single
    assert choose(credits, norms, bias).k == best
    # With fewer lags measured the tail stands for the rest, and the bound on ‖g‖ is a lower one: K is never too small.
    assert 0 <= choose(credits[:40], norms[:40], bias).k - best <= 1


def test_the_tail_is_the_geometric_series():
    credits = 3 * 0.8 ** np.arange(10)
    assert decay_of(credits) == pytest.approx(0.8, rel=1e-12)
    assert tails(credits, 0.8) == pytest.approx([15 * 0.8**k for k in range(1, 11)], rel=1e-12)
    assert tails(credits, 1.0)[0] == math.inf
    found = choose(np.ones(10), np.arange(1.0, 11), 0.5)
    assert found.capped and found.k == 10 and found.bias == math.inf


def test_credits_that_end_are_no_error():
    # A reset behind every loss: nothing is left beyond lag 2.
    credits = np.array([1.0, 0.5, 0.25, 0, 0, 0])
    found = choose(credits, np.array([1, 1.5, 1.75, 1.75, 1.75, 1.75]), 0.2)
    assert found.k == 2 and not found.capped
    assert relative_bias(np.array([1.0]), np.array([2.0]), single=True)[0] == math.inf


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru-deep-dropout", "nested", "stack"])
def test_the_credits_of_the_last_loss_are_differences_of_truncations(name):
    setting = problem(name, steps=9)
    window = setting.window
    last = torch.zeros_like(window.mask)
    last[:, -1] = True
    window = type(window)(window.inputs, window.targets, window.reset, last, window.noise)
    credits, norms = credits_of_last(setting.unroll, window, setting.state)
    assert norm(gradients(setting.unroll)) == 0
    before = None
    for k in range(9):
        found = run(PerOutput(k), copy.deepcopy(setting.unroll), window, setting.state)
        found = {key: value * setting.unroll.per for key, value in found.items()}
        assert norm(found) == pytest.approx(float(norms[k]), rel=1e-11)
        credit = found if before is None else {key: found[key] - before[key] for key in found}
        assert norm(credit) == pytest.approx(float(credits[k]), rel=1e-9, abs=1e-13)
        before = found
    assert float(norms[-1]) >= 1e-8


@pytest.mark.parametrize(("bias", "k"), [(0.85, 2), (0.5, 7), (0.1, 22)])
def test_it_finds_the_k_of_the_scalar_net_and_goes_on_with_it(bias, k):
    unroll, window, state = scalar(0.9, 300, 0.0)
    unroll.recurrent.cell.w.requires_grad_(False)
    strategy = Adaptive(bias=bias, limit=100)
    carry = strategy.start(unroll, 1)._replace(state=state)
    taken = [0]
    for estimate in strategy.gradients(unroll, window, carry):
        taken, carry = [*taken, estimate.steps], estimate.carry
    assert carry.memory["k"] == k and carry.memory["decay"] == pytest.approx(0.9, rel=1e-9)
    assert carry.memory["expected"] < bias
    assert taken[1] == 8 and set(np.diff(taken)[-5:-1]) == {k}


@pytest.mark.parametrize(("bias", "k"), [(0.5, 7), (0.1, 22)])
def test_the_bias_is_below_the_one_allowed_where_plain_stretches_break_it(bias, k):
    """Long windows of a model whose credits decay slowly: the estimate keeps its word, `Truncated(K)` does not."""
    unroll, window, state = scalar(0.9, 400, 0.0)
    unroll.recurrent.cell.w.requires_grad_(False)
    wanted = 10.0  # Σ 0.9ᵏ, of every loss behind the first
    for strategy, below in ((Adaptive(bias, limit=100), True), (Truncated(k), False)):
        carry = strategy.start(unroll, 1)._replace(state=state)
        last = 0.0
        for estimate in strategy.gradients(unroll, window, carry):
            carry = estimate.carry
            if estimate.ready:
                last = float(unroll.recurrent.cell.b.grad) / estimate.count
                unroll.zero_grad()
        assert (abs(last - wanted) / wanted < bias) == below
        assert not below or carry.memory["k"] == k


def trained(updates=150, rows=32, steps=20):
    """A tanh RNN that has learned some of a task: to say which of five signs it saw four steps before."""
    torch.manual_seed(0)
    layer = layers.RNN(6, 24, batch_first=True)
    unroll = Unroll(None, layer, nn.Linear(24, 5), per=rows * steps).double()
    optimizer, strategy = torch.optim.Adam(unroll.parameters(), lr=5e-3), Truncated(steps)
    for number in range(updates):
        list(strategy.gradients(unroll, signs(rows, steps, number), strategy.start(unroll, rows)))
        optimizer.step()
        optimizer.zero_grad()
    return unroll


def signs(rows, steps, seed):
    drawn = torch.randint(5, (rows, steps), generator=torch.Generator().manual_seed(seed))
    return Window.of(nn.functional.one_hot(drawn, 6).double(), drawn.roll(4, 1))


def off(strategy, unroll, window, carry):
    """Relative bias of the gradient summed over `window`, against autograd through it from the state before its past."""
    unroll.zero_grad()
    run_on = Window.cat(carry.memory["past"], window)
    loss, _ = unroll.segment(run_on, carry.state)
    unroll.backward(loss)
    wanted = gradients(unroll)
    unroll.zero_grad()
    for part in (window, window[:, :0]):
        for estimate in strategy.gradients(unroll, part, carry):
            carry = estimate.carry
    found = gradients(unroll)
    return norm({n: found[n] - wanted[n] for n in wanted}) / norm(wanted)


def test_a_trained_network_keeps_the_bias_that_is_allowed():
    unroll, window, lengths = trained(), signs(32, 700, -1), []
    for bias in (0.1, 0.03):
        strategy = Adaptive(bias, limit=64)
        carry = strategy.start(unroll, 32)
        for estimate in strategy.gradients(unroll, window[:, :150], carry):
            carry = estimate.carry
        lengths.append(carry.memory["k"])
        # It goes on with the K it has found, from where its stretch stands; a further look would change K again.
        carry = carry._replace(memory={**carry.memory, "open": None, "look": math.inf})
        assert off(strategy, unroll, window[:, 150:], carry) < bias
        # A loss that has K terms and no more is what the bound is for; in plain stretches most have less.
        for other, below in ((PerOutput(lengths[-1] - 1), True), (Truncated(lengths[-1]), False)):
            assert (off(other, unroll, window[:, 150:], other.start(unroll, 32)) < bias) == below
    assert 8 < lengths[0] < lengths[1] < 64


def test_it_is_truncated_with_overlap_for_the_k_that_it_has():
    setting = problem("lstm")
    found = run(Adaptive(bias=0.1, limit=100), copy.deepcopy(setting.unroll), setting.window, setting.state, 5)
    wanted = run(Truncated(8, 15), setting.unroll, setting.window, setting.state)
    assert norm({n: found[n] - wanted[n] for n in wanted}) <= 1e-12 * norm(wanted)
    assert norm({n: found[n] - exact(problem("lstm"))[n] for n in found}) >= 1e-6 * norm(found)


def test_a_probe_begins_with_the_state_before_its_first_step(monkeypatch):
    setting, seen = problem("lstm", steps=60), []
    measure = adaptive.credits_of_last
    monkeypatch.setattr(adaptive, "credits_of_last", lambda *a: seen.append(a[1:]) or measure(*a))
    run(Adaptive(bias=1e-6, limit=10, every=10), setting.unroll, setting.window, setting.state, 7)
    assert len(seen) >= 3
    states = setting.unroll.states(setting.window, setting.state)
    for probe, state in seen:
        starts = [t for t in range(60) if torch.equal(setting.window.inputs[:, t], probe.inputs[:, 0])]
        assert len(starts) == 1 and torch.equal(probe.inputs, setting.window.inputs[:, starts[0] : starts[0] + probe.steps])
        for leaf, whole in zip(state, states, strict=True):
            torch.testing.assert_close(leaf, whole[:, starts[0]], rtol=1e-12, atol=1e-12)


def test_sparse_losses_are_waited_for():
    unroll, window, state = scalar(0.9, 400, 0.0)
    unroll.recurrent.cell.w.requires_grad_(False)
    window.mask[:] = False
    window.mask[:, 5::13] = True
    strategy = Adaptive(bias=0.5, limit=100)
    carry = strategy.start(unroll, 1)._replace(state=state)
    for estimate in strategy.gradients(unroll, window, carry):
        carry = estimate.carry
    assert carry.memory["k"] == 7 and carry.memory["expected"] < 0.5


@pytest.mark.parametrize("value", [0.0, math.inf])
def test_credits_that_say_nothing_leave_k_as_it_was_and_this_is_said(value, monkeypatch):
    setting, strategy = problem("gru", steps=60), Adaptive(bias=0.3, limit=10, every=10)
    measure, looks = adaptive.credits_of_last, []

    def blind(*arguments):
        credits, norms = measure(*arguments)
        looks.append(len(looks))
        return (torch.full_like(credits, value) if looks[-1] == 1 else credits), norms

    monkeypatch.setattr(adaptive, "credits_of_last", blind)
    infos = [e.info for e in strategy.gradients(setting.unroll, setting.window, strategy.start(setting.unroll, 3)) if e.ready]
    told = [number for number, info in enumerate(infos) if "blind" in info]
    assert told and infos[told[0]] == {**infos[told[0] - 1], "blind": 1.0}
    assert "blind" not in infos[-1] and len(looks) >= 3, "the next look saw something"


def test_a_window_shows_k_and_the_bias_expected():
    setting = problem("gru")
    strategy = Adaptive(bias=0.3, limit=10)
    infos = [e.info for e in strategy.gradients(setting.unroll, setting.window, strategy.start(setting.unroll, 3)) if e.ready]
    assert infos[0] == {"k": 8} and set(infos[-1]) == {"k", "bias", "decay", "capped"}


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"bias": 0}, "bias"),
        ({"bias": "x"}, "bias"),
        ({"bias": 0.1, "limit": 0}, "limit"),
        ({"bias": 0.1, "every": 0}, "every"),
    ],
)
def test_bad_settings_are_named(arguments, names):
    with pytest.raises(InputError, match=names):
        Adaptive(**arguments)

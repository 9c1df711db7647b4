"""Randomised truncation: unbiased by enumeration of every draw, with the variance and the lengths that theory gives."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from tiny_nets import run, scalar
from torch import nn

from bptt import InputError, Randomized, Unroll
from bptt import nn as layers
from bptt.gradients import randomized
from bptt.gradients.growth import growth_rate
from bptt.gradients.settings import generator
from bptt.testing.examples import RECURRENT, distance, exact, gradients, norm, problem


def small(name):
    """Six steps with a reset in one row and a loss that does not count in another."""
    setting = problem(name, steps=6, seed=1)
    reset, mask = torch.zeros(3, 6, dtype=torch.bool), torch.ones(3, 6, dtype=torch.bool)
    reset[0, 3], mask[1, 2] = True, False
    return dataclasses.replace(setting, window=dataclasses.replace(setting.window, reset=reset, mask=mask))


KINDS = {
    "constant": Randomized(mean=2.5),
    "hazard": Randomized(mean=2.5, tail=4),
    "blocks": Randomized(mean=4.5, tail=4, multiple=2),
}


def lengths_of(cuts):
    """The stretch lengths of a pattern of cuts before the steps 1, 2, …"""
    places = [0, *(t for t, cut in enumerate(cuts, 1) if cut)]
    return dict(itertools.pairwise([*places, math.inf]))


def forced(strategy, cuts, kind=None):
    """The strategy with its draws replaced by a pattern."""
    ends = lengths_of(cuts)

    class Forced(kind or type(strategy)):
        def length(self, memory):
            return ends[memory["position"]] - memory["position"]

    return Forced(**dataclasses.asdict(strategy))


def probability(strategy, cuts):
    """Of a pattern, step by step, from the rates alone."""
    chance, distance_ = 1.0, 1
    for cut in cuts:
        rate = strategy.rate(distance_)
        chance *= rate if cut else 1 - rate
        distance_ = 1 if cut else distance_ + 1
    return chance


def test_with_a_multiple_lengths_are_multiples_of_the_same_mean_and_few_edges_are_weighed():
    strategy = Randomized(mean=24, tail=6, multiple=8)
    drawn = [strategy.length({"position": at}) for at in range(4000)]
    assert not any(length % 8 for length in drawn) and abs(np.mean(drawn) - 24) <= 4 * np.std(drawn) / math.sqrt(4000)
    edges = strategy.edges(problem("rnn").window)[0]
    assert (edges[:8] == 1).all() and edges[8] > 1 and (edges != 1).sum() == 3
    assert strategy.finite(0.99) and not Randomized(mean=24, multiple=8).finite(0.99)


def expectation(strategy, setting, steps, kind=None, cut=None):
    mean, total = None, 0.0
    for cuts in itertools.product((False, True), repeat=steps - 1):
        unroll = copy.deepcopy(setting.unroll)
        found = run(forced(strategy, cuts, kind), unroll, setting.window, setting.state, cut)
        weight = probability(strategy, cuts)
        total += weight
        mean = {n: weight * g + (0 if mean is None else mean[n]) for n, g in found.items()}
    assert total == pytest.approx(1, abs=1e-12)
    return mean


@pytest.mark.parametrize("cut", [None, 2])
@pytest.mark.parametrize("strategy", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru-deep-dropout", "nested"])
def test_the_mean_over_all_cuts_is_the_exact_gradient(name, strategy, cut):
    setting = small(name)
    wanted = exact(setting)
    assert norm(wanted) >= 1e-8
    assert distance(expectation(strategy, setting, 6, cut=cut), wanted) <= 1e-12


class Unweighed(Randomized):
    """The factor 1/(1 − c) forgotten."""

    def edges(self, run):
        return None


class Shifted(Randomized):
    """The rate of the step before."""

    def edges(self, run):
        weights = [1.0, *(1 / (1 - self.rate(max(d - 1, 1))) for d in range(1, run.steps))]
        return torch.tensor(weights, dtype=torch.float64).expand(run.batch_size, -1)


@pytest.mark.parametrize(("kind", "strategy"), [(Unweighed, "constant"), (Unweighed, "hazard"), (Shifted, "hazard")])
def test_a_missing_or_misplaced_factor_is_caught(kind, strategy):
    setting = small("rnn")
    assert distance(expectation(KINDS[strategy], setting, 6, kind), exact(setting)) >= 1e-3


def test_the_draws_have_the_probabilities_that_the_weights_assume():
    for strategy in KINDS.values():
        drawn = [strategy.length({"position": at}) for at in range(20_000)]
        for length in (1, 2, 3, 5):
            share = np.mean([d >= length for d in drawn])
            wanted = math.prod(1 - strategy.rate(d) for d in range(1, length))
            assert abs(share - wanted) <= 4 * math.sqrt(wanted * (1 - wanted) / len(drawn)) + 1e-12


@pytest.mark.parametrize("strategy", [*KINDS.values(), Randomized(mean=16, tail=6), Randomized(mean=300)], ids=str)
def test_a_draw_inverts_the_product_of_the_rates(strategy):
    for blocks in (1, 2, 3, 10, 40):
        product = math.prod(1 - strategy.rate(d * strategy.multiple) for d in range(1, blocks + 1))
        assert strategy.survival(blocks) == pytest.approx(product, rel=1e-11)
    for at in range(200):
        draw, blocks = generator(0, at).random(), strategy.length({"position": at}) / strategy.multiple
        assert strategy.survival(blocks) <= draw and (blocks == 1 or strategy.survival(blocks - 1) > draw)


@pytest.mark.parametrize("mean", [1e4, 1e6, 1e9])
def test_a_long_stretch_is_drawn_at_once(mean):
    lengths = [Randomized(mean=mean, tail=tail).length({"position": 0}) for tail in (None, 4)]
    assert all(length > mean / 1e4 for length in lengths)
    assert Randomized(mean=mean, limit=7).length({"position": 0}) == 7


@pytest.mark.parametrize(("mean", "tail"), [(16, 4), (16, 6), (2.5, 4), (16, None)])
def test_the_mean_length_is_the_one_asked_for(mean, tail):
    # E length = Σ_l P(length > l), the survival function being the product of 1 − c(d).
    strategy = Randomized(mean=mean, tail=tail)
    survival, total, lags = 1.0, 1.0, 200_000
    for d in range(1, lags):
        survival *= 1 - strategy.rate(d)
        total += survival
    rest = 0 if tail is None else survival * ((tail - 2) * mean + lags) / (tail - 2)
    assert total + rest == pytest.approx(mean, rel=1e-4)


def test_the_survival_falls_like_the_power_that_the_tail_names():
    strategy = Randomized(mean=16, tail=6)
    for length in (100, 1000):
        survival = math.exp(sum(math.log1p(-strategy.rate(d)) for d in range(1, length)))
        assert survival == pytest.approx((1 + length / (4 * 16)) ** -5, rel=0.2)


def test_the_variance_of_the_scalar_net_is_the_closed_form():
    w, rate, steps = 0.9, 0.0625, 7
    strategy, mask = Randomized(mean=1 / rate), torch.zeros(1, 7, dtype=torch.bool)
    mask[0, -1] = True
    first = second = 0.0
    for cuts in itertools.product((False, True), repeat=steps - 1):
        unroll, window, state = scalar(w, steps, 0.3, mask)
        z = run(forced(strategy, cuts), unroll, window, state)["recurrent.cell.b"].item()
        first, second = first + probability(strategy, cuts) * z, second + probability(strategy, cuts) * z * z
    mean = square = 1.0
    for _ in range(steps - 1):  # z' = 1 + ξ w z, E ξ = 1, E ξ² = 1/(1 − c)
        mean, square = 1 + w * mean, 1 + 2 * w * mean + w * w / (1 - rate) * square
    assert first == pytest.approx(mean, rel=1e-12) and second == pytest.approx(square, rel=1e-12)
    for _ in range(2000):
        mean, square = 1 + w * mean, 1 + 2 * w * mean + w * w / (1 - rate) * square
    closed = (1 + 2 * w / (1 - w)) / (1 - w * w / (1 - rate)) - 1 / (1 - w) ** 2
    assert square - mean**2 == pytest.approx(closed, rel=1e-9) and round(closed, 1) == 39.7


@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_never_cut_it_is_the_exact_gradient(name):
    # torch's dropout is not repeatable, but nothing is run twice here.
    setting, wanted = problem(name), exact(problem(name))
    assert norm(wanted) >= 1e-8
    assert distance(run(Randomized(mean=math.inf), setting.unroll, setting.window, setting.state, 5), wanted) <= 1e-12


def test_another_seed_draws_otherwise_and_a_limit_is_kept_and_said():
    setting = problem("gru")
    found = [run(Randomized(mean=4, seed=s), copy.deepcopy(setting.unroll), setting.window, setting.state) for s in (0, 1)]
    assert norm({n: found[0][n] - found[1][n] for n in found[0]}) >= 1e-6 * norm(found[0])
    strategy = Randomized(mean=6, limit=4)
    assert not strategy.unbiased and Randomized(mean=6).unbiased
    assert strategy.omits == "what lies before a stretch of 4 steps" and Randomized(mean=6).omits == "nothing on average"
    estimates = list(strategy.gradients(setting.unroll, setting.window, strategy.start(setting.unroll, 3)))
    infos = [e.info for e in estimates if e.ready]
    assert max(info["k"] for info in infos) == 4 and {info["capped"] for info in infos} == {0.0, 1.0}
    assert all(info["weight"] == pytest.approx((6 / 5) ** (info["k"] - 1)) for info in infos)


def test_the_growth_rate_of_a_scaled_rotation_is_its_scale():
    turned, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    layer = layers.RNN(4, 5, nonlinearity="identity").double()
    with torch.no_grad():
        layer.weight_hh_l0.copy_(0.83 * turned)
    setting = problem(layer)
    unroll = Unroll(None, layer, nn.Linear(5, 6)).double()
    window = dataclasses.replace(setting.window, reset=torch.zeros_like(setting.window.reset))
    assert growth_rate(unroll, window, unroll.initial_state(3), generator(0, 0)) == pytest.approx(0.83, rel=1e-12)
    assert norm(gradients(unroll)) == 0
    window.reset[1, 11] = True  # this row says nothing of 29 steps
    assert growth_rate(unroll, window, unroll.initial_state(3), generator(0, 0)) == pytest.approx(0.83, rel=1e-12)


@pytest.mark.parametrize("top", [0.99, 1.02])
def test_the_growth_rate_finds_one_direction_among_many(top):
    """A random vector has an eighth of its length in the leading direction of 64: one pull through 8 steps would say 0.7."""
    turned, _ = torch.linalg.qr(torch.randn(64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    layer = layers.RNN(4, 64, nonlinearity="identity").double()
    with torch.no_grad():
        layer.weight_hh_l0.copy_(turned @ torch.diag(torch.tensor([top] + [0.5] * 63, dtype=torch.float64)) @ turned.t())
    unroll = Unroll(None, layer, nn.Linear(64, 6)).double()
    window = problem("rnn").window
    window = dataclasses.replace(window, reset=torch.zeros_like(window.reset))[:, :8]
    assert growth_rate(unroll, window, unroll.initial_state(3), generator(0, 0)) == pytest.approx(top, rel=1e-3)


class Deaf(nn.Module):
    """A cell whose state does not depend on the state before."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 5)

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, 5, dtype=self.inner.weight.dtype)

    def forward(self, x, h):
        return torch.tanh(self.inner(x)), torch.tanh(self.inner(x))


def test_a_cell_that_does_not_listen_to_its_state_grows_nothing():
    setting = problem(Deaf())
    window = dataclasses.replace(setting.window, reset=torch.zeros_like(setting.window.reset))
    assert growth_rate(setting.unroll, window, setting.state, generator(0, 0)) < 1e-6
    wanted = exact(setting)
    assert norm(wanted) >= 1e-8
    assert distance(run(Randomized(mean=16), setting.unroll, setting.window, setting.state), wanted) <= 1e-12


def warnings_of(strategy, w, steps=3000):
    unroll, window, state = scalar(w, steps, 0.3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        carry = strategy.start(unroll, 1)._replace(state=state)
        for part in (window[:, :1500], window[:, 1500:]):
            for estimate in strategy.gradients(unroll, part, carry):
                carry = estimate.carry
                unroll.zero_grad()
    return [str(w.message) for w in caught], carry


def test_an_infinite_variance_is_said_once_with_its_figures():
    said, carry = warnings_of(Randomized(mean=4), 0.9)
    assert len(said) == 1 and "0.25" in said[0] and "0.19" in said[0] and carry.memory["warned"]
    assert warnings_of(Randomized(mean=6), 0.9)[0] == []  # 1/6 < 0.19
    assert warnings_of(Randomized(mean=4, tail=4), 0.9)[0] == []
    assert "Give a limit" in warnings_of(Randomized(mean=16, tail=4), 1.01, 2000)[0][0]


def test_stretches_too_short_to_say_anything_are_looked_at_together():
    said, carry = warnings_of(Randomized(mean=1.2), 0.9, 1600)
    assert len(said) == 1 and "0.833" in said[0] and "0.19" in said[0]
    assert carry.memory["growth"] == pytest.approx(0.9, rel=1e-12) and carry.memory["probe"] is None
    assert warnings_of(Randomized(mean=1.2), 0.3, 100)[0] == []  # 0.83 < 0.91


@pytest.mark.parametrize("strategy", [Randomized(16, 4, limit=64), Randomized(16, limit=4), Randomized(1.2, limit=4)], ids=str)
def test_with_a_limit_the_variance_has_a_bound(strategy):
    said, carry = warnings_of(strategy, 1.01, 100)
    assert said == [] and carry.memory["growth"] == pytest.approx(1.01, rel=1e-12)


@pytest.mark.filterwarnings("ignore:Randomized")
@pytest.mark.parametrize("mean", [1.2, 5, 20])
def test_a_look_takes_the_same_steps_whatever_the_stretches(mean, monkeypatch):
    """Resets on the way say nothing: the look is made again on the steps behind them."""
    seen, look = [], randomized.growth_rate
    monkeypatch.setattr(randomized, "growth_rate", lambda *a: seen.append((a[1], a[2])) or look(*a))
    setting = problem("lstm", steps=200)
    setting.window.reset[:] = False
    setting.window.reset[:, 3] = True
    run(Randomized(mean), copy.deepcopy(setting.unroll), setting.window, setting.state, 7)
    states = setting.unroll.states(setting.window, setting.state)
    assert len(seen) == 2
    for probe, state in seen:
        (start,) = [t for t in range(200) if torch.equal(setting.window.inputs[:, t], probe.inputs[:, 0])]
        assert torch.equal(probe.inputs, setting.window.inputs[:, start : start + 16])
        for leaf, whole in zip(state, states, strict=True):
            torch.testing.assert_close(leaf, whole[:, start], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"mean": 1}, "mean"),
        ({"mean": float("nan")}, "mean"),
        ({"mean": "4"}, "mean"),
        ({"mean": 1e300}, "mean"),
        ({"mean": 4, "tail": 2}, "tail"),
        ({"mean": math.inf, "tail": 4}, "tail"),
        ({"mean": 4, "tail": 1e300}, "tail"),
        ({"mean": 4, "multiple": 4}, "mean"),
        ({"mean": 4, "multiple": 0}, "multiple"),
        ({"mean": 4, "limit": 0}, "limit"),
        ({"mean": 4, "seed": -1}, "seed"),
    ],
)
def test_bad_settings_are_named(arguments, names):
    with pytest.raises(InputError, match=names):
        Randomized(**arguments)


def test_a_model_that_looks_ahead_is_refused():
    unroll = Unroll(None, nn.GRU(3, 4, bidirectional=True), None)
    with pytest.raises(InputError, match="looks ahead"):
        Randomized(mean=4).start(unroll, 2)


def test_positions_share_no_random_numbers():
    assert len({generator(seed, at).random() for seed in range(20) for at in (*range(50), 2**32, 2**40)}) == 20 * 52

"""Telescoping sums: every draw enumerated gives the gradient of the largest horizon; the variances that theory gives."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from tiny_nets import credits, run

from bptt import InputError, PerOutput, Telescoping, Truncated
from bptt.gradients.telescoping import best_roulette, best_single
from bptt.testing.examples import distance, exact, norm, problem


def forced(strategy, drawn):
    class Forced(type(strategy)):
        def draw(self, position):
            return drawn

    return Forced(strategy.k, strategy.estimator, strategy.ratio)


def expectation(strategy, name, steps, factor=None):
    setting, mean = problem(name, steps=steps), None
    for n, chance in enumerate(strategy.probabilities):
        unroll = copy.deepcopy(setting.unroll)
        found = run(forced(strategy, n), unroll, setting.window, setting.state)
        mean = {key: (factor or chance) * g + (0 if mean is None else mean[key]) for key, g in found.items()}
    return mean


@pytest.mark.parametrize("ratio", [0.5, 1.0, 0.7])
@pytest.mark.parametrize("estimator", ["single", "roulette"])
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru-deep-dropout", "nested"])
def test_the_mean_over_all_draws_is_the_gradient_of_the_largest_horizon(name, estimator, ratio):
    for k in (0, 1, 6):
        wanted = run(PerOutput(k), *parts(name, 9))
        assert norm(wanted) >= 1e-8
        assert distance(expectation(Telescoping(k, estimator, ratio), name, 9), wanted) <= 1e-12
    assert distance(expectation(Telescoping(8, estimator, ratio), name, 9), exact(problem(name, steps=9))) <= 1e-12


def parts(name, steps):
    setting = problem(name, steps=steps)
    return setting.unroll, setting.window, setting.state


@pytest.mark.parametrize("estimator", ["single", "roulette"])
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru-deep-dropout", "nested"])
def test_the_mean_over_all_draws_of_several_windows(name, estimator):
    """Losses reach over the borders, as far as their own window's draw says; the oracle goes back loss by loss."""
    strategy, setting, cut = Telescoping(6, estimator, 0.7), problem(name, steps=9), 4
    mean, total, counts = None, 0.0, range(len(strategy.horizons))
    for drawn in itertools.product(counts, repeat=3):
        found = run(by_position(strategy, drawn, cut), copy.deepcopy(setting.unroll), setting.window, setting.state, cut)
        chance = math.prod(strategy.probabilities[n] for n in drawn)
        total += chance
        mean = {key: chance * g + (0 if mean is None else mean[key]) for key, g in found.items()}
    wanted = run(Truncated(1, 7), *parts(name, 9))
    within = run(PerOutput(3), *parts(name, 9), cut)
    assert total == pytest.approx(1, abs=1e-12) and norm(wanted) >= 1e-8
    assert distance(wanted, within) >= 1e-6 and distance(mean, wanted) <= 1e-12


def by_position(strategy, drawn, cut):
    class Forced(type(strategy)):
        def draw(self, position):
            return drawn[position // cut]

    return Forced(strategy.k, strategy.estimator, strategy.ratio)


def test_a_missing_factor_is_caught():
    strategy = Telescoping(6, "roulette", 0.5)
    wanted = run(PerOutput(6), *parts("rnn", 9))
    assert distance(expectation(strategy, "rnn", 9, factor=1 / len(strategy.horizons)), wanted) >= 1e-3


@pytest.mark.parametrize(("k", "horizons"), [(0, [0]), (1, [1]), (2, [1, 2]), (8, [1, 2, 4, 8]), (11, [1, 2, 4, 8, 11])])
def test_horizons_double_up_to_k(k, horizons):
    assert Telescoping(k).horizons == horizons and sum(Telescoping(k).probabilities) == pytest.approx(1, abs=1e-15)


def test_a_draw_weighs_whole_blocks_of_lags():
    single, roulette = Telescoping(4, "single", 1.0), Telescoping(4, "roulette", 1.0)
    for drawn, weights in enumerate(([3, 3], [0, 0, 3], [0, 0, 0, 3, 3])):
        assert single.weights_of(drawn) == pytest.approx(weights)
    for drawn, weights in enumerate(([1, 1], [1, 1, 1.5], [1, 1, 1.5, 3, 3])):
        assert roulette.weights_of(drawn) == pytest.approx(weights)
    for strategy, drawn, weights in ((roulette, 2, [1, 1, 1.5, 3, 3]), (single, 0, [3, 3]), (single, 1, [0, 0, 3])):
        wanted = sum(w * torch.diag(torch.ones(7 - lag), -lag) for lag, w in enumerate(weights))
        assert torch.allclose(credits(forced(strategy, drawn), 7), wanted.double(), atol=1e-14)


def test_each_window_has_its_own_draw_with_the_probabilities_assumed():
    strategy = Telescoping(8, seed=3)
    drawn = np.bincount([strategy.draw(29 * n) for n in range(20_000)], minlength=4) / 20_000
    chances = np.array(strategy.probabilities)
    assert (abs(drawn - chances) <= 4 * np.sqrt(chances * (1 - chances) / 20_000)).all()


def moments(values, chances):
    mean = (chances * values).sum()
    return mean, (chances * values**2).sum() - mean**2


def test_variances_of_the_geometric_series():
    n = np.arange(41)
    delta, costs = 0.7**n, n + 1.0
    rest = np.array([delta[i:].sum() for i in n])
    q, half = best_single(delta**2, costs), 0.5**n / (0.5**n).sum()
    survival = best_roulette(rest**2, costs)
    of_single = np.array([q[i:].sum() for i in n])
    mean, variance = moments(delta / q, q)
    assert mean == pytest.approx(3.3333, abs=1e-4) and round(variance, 2) == 1.66
    assert round(moments(delta / half, half)[1], 1) == 45.2
    mean, variance = moments(np.cumsum(delta / survival), survival - np.append(survival[1:], 0))
    assert mean == pytest.approx(3.3333, abs=1e-4) and round(variance, 2) == 7.78
    assert round(moments(np.cumsum(delta / of_single), of_single - np.append(of_single[1:], 0))[1], 1) == 15.9


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"k": -1}, "largest lag"),
        ({"k": 4, "estimator": "rulette"}, "roulette"),
        ({"k": 4, "ratio": 0}, "ratio"),
        ({"k": 4, "ratio": float("nan")}, "ratio"),
        ({"k": 64, "ratio": 1e200}, "never be drawn"),
        ({"k": 64, "ratio": 1e-9}, "never be drawn"),
        ({"k": 4, "seed": 1.5}, "seed"),
    ],
)
def test_bad_settings_are_named(arguments, names):
    with pytest.raises(InputError, match=names):
        Telescoping(**arguments)

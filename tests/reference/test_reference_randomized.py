"""The randomised sum: unbiased over all its patterns, its variance two ways, the limits of both, and what goes wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from same_network import relative

from bptt import InputError
from bptt.reference import forward_sum, randomized

STEPS = 9
RATES = {"constant": 0.8, "one each": np.linspace(0.3, 0.95, STEPS), "never cut": 1.0, "rarely kept": 0.05}


def partials():
    network = forward_sum.tanh_network(1.1, np.random.default_rng(0).standard_normal(STEPS) * 0.3, 0.7)
    return network.b, network.c


@pytest.mark.parametrize("pi", RATES.values(), ids=RATES)
def test_over_all_patterns_the_expectation_is_the_exact_derivative(pi):
    b, c = partials()
    mean, _ = randomized.enumerated(b, c, pi)
    assert relative(mean, forward_sum.recursion(b, c)) <= 1e-12


@pytest.mark.parametrize("pi", RATES.values(), ids=RATES)
def test_the_patterns_are_all_there_are(pi):
    found = list(randomized.patterns(pi, STEPS))
    assert len(found) == len({tuple(xi) for _, xi in found} if np.min(pi) < 1 else found) == 2 ** (STEPS - 1)
    assert math.fsum(p for p, _ in found) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(sum(p * xi for p, xi in found), 1, rtol=1e-12)


@pytest.mark.parametrize("pi", RATES.values(), ids=RATES)
def test_the_moments_equal_those_over_all_patterns(pi):
    b, c = partials()
    for found, wanted in zip(randomized.moments(b, c, pi), randomized.enumerated(b, c, pi), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-14)


def test_a_pattern_is_a_sum_that_starts_again_at_every_cut():
    b, c = partials()
    whole = randomized.draw(b, c, np.ones(STEPS))
    np.testing.assert_array_equal(whole, forward_sum.recursion(b, c))
    cut = randomized.draw(b, c, [1, 1, 1, 1, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(cut, np.r_[forward_sum.recursion(b[:4], c[:4]), forward_sum.recursion(b[4:], c[4:])])


def test_long_runs_are_rare_and_weigh_more():
    (rare, longest), *_ = randomized.patterns(0.5, STEPS)
    assert rare == 2.0**-8 and longest.prod() == 2.0**8


def test_a_missing_factor_is_biased():
    b, c = partials()
    kept = [(p, (xi > 0).astype(float)) for p, xi in randomized.patterns(0.8, STEPS)]
    mean = sum(p * randomized.draw(b, c, xi) for p, xi in kept)
    assert relative([mean], [forward_sum.recursion(b, c)]) >= 1e-2


def test_the_exact_derivative_on_the_right_is_another_estimator():
    """z_t = b_t + ξ_t c_t dh_{t−1}/dw has the same expectation, so only its variance and its draws betray it."""
    b, c = partials()
    exact = forward_sum.recursion(b, c)
    before = np.r_[0.0, exact[:-1]]
    slips = [(p, xi, b + xi * c * before) for p, xi in randomized.patterns(0.8, STEPS)]
    mean = sum(p * z for p, _, z in slips)
    assert relative([mean], [exact]) <= 1e-12
    variance = sum(p * (z - mean) ** 2 for p, _, z in slips)
    right = randomized.moments(b, c, 0.8)[1]
    assert np.all(variance <= right + 1e-14) and relative([variance[2:]], [right[2:]]) >= 0.1
    assert max(relative([z], [randomized.draw(b, c, xi)]) for _, xi, z in slips) >= 0.1


@pytest.mark.parametrize(
    ("w", "pi", "b"), [(0.9, 0.9375, 1.0), (0.5, 0.3, 2.0), (-0.8, 0.9, 1.5), (0.0, 0.5, 1.0), (0.9, 1.0, 1.0)]
)
def test_the_limits_are_where_the_moments_go(w, pi, b):
    mean, variance = randomized.moments(np.full(2000, b), np.full(2000, w), pi)
    assert randomized.limit_mean(w, b) == pytest.approx(mean[-1], rel=1e-12)
    assert randomized.limit_variance(w, pi, b) == pytest.approx(variance[-1], rel=1e-10, abs=1e-10)


def test_the_variance_of_the_example():
    w, pi = 0.9, 0.9375
    assert randomized.limit_variance(w, pi) == pytest.approx(39.7, abs=0.05)
    written_out = (1 + 2 * w / (1 - w)) / (1 - w**2 / pi) - 1 / (1 - w) ** 2
    assert randomized.limit_variance(w, pi) == pytest.approx(written_out, rel=1e-12)


@pytest.mark.parametrize("w", [0.5, -0.75])
def test_the_variance_is_finite_if_and_only_if_pi_is_above_w_squared(w):
    assert randomized.limit_variance(w, w**2) == randomized.limit_variance(w, 0.9 * w**2) == math.inf
    assert math.isfinite(randomized.limit_variance(w, 1.01 * w**2))
    for pi, growth in ((w**2, 1.9), (0.9 * w**2, 1e4)):
        _, variance = randomized.moments(np.ones(400), np.full(400, w), pi)
        assert variance[399] >= growth * variance[199]
    _, variance = randomized.moments(np.ones(4000), np.full(4000, w), 1.01 * w**2)
    assert variance[-1] == pytest.approx(randomized.limit_variance(w, 1.01 * w**2), rel=1e-10)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: randomized.moments([1.0], [1.0], 0.0),
        lambda: randomized.moments([1.0], [1.0], 1.1),
        lambda: randomized.moments([1.0, 1.0], [1.0, 1.0], [0.5, math.nan]),
        lambda: randomized.moments([1.0, 1.0], [1.0, 1.0], [0.5]),
        lambda: next(randomized.patterns(0.5, 17)),
        lambda: randomized.limit_mean(1.0),
        lambda: randomized.limit_variance(0.5, 0.0),
    ],
)
def test_what_has_no_answer_is_refused(wrong):
    with pytest.raises(InputError):
        wrong()

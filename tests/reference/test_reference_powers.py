"""Powers of W_hhᵀ: what bounds them, where they go, and that they are what a linear RNN multiplies gradients by."""

from __future__ import annotations

import numpy as np
import pytest
from same_network import linear_problem, orthogonal, relative

from bptt.reference import linear, powers


def random_matrix(size=5, seed=0):
    return np.random.default_rng(seed).standard_normal((size, size)) / np.sqrt(size)


def influence_balancing(size=23):
    """½ on the diagonal and above it."""
    return 0.5 * (np.eye(size) + np.eye(size, k=1))


def test_they_are_powers_of_the_transpose():
    W = random_matrix()
    wanted = [np.linalg.matrix_power(W.T, k) for k in range(8)]
    assert relative(powers.powers(W, 7), wanted) <= 1e-12
    assert relative([wanted[1].T], [powers.powers(W, 1)[1]]) >= 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_norms_lie_between_the_powers_of_radius_and_norm(seed):
    W = random_matrix(seed=seed)
    k, norms, radius = np.arange(31), powers.norms(W, 30), powers.spectral_radius(W)
    assert np.all(radius**k <= norms * (1 + 1e-9)) and np.all(norms <= norms[1] ** k * (1 + 1e-9))
    assert norms[1] == pytest.approx(np.linalg.svd(W)[1][0], rel=1e-12) and norms[1] > 1.05 * radius


def test_in_the_long_run_only_the_radius_counts():
    W = random_matrix()
    assert powers.norms(W, 2000)[-1] ** (1 / 2000) == pytest.approx(powers.spectral_radius(W), rel=2e-3)


def test_at_first_the_norm_counts():
    norms = powers.norms([[0.9, 5.0], [0.0, 0.9]], 200)
    assert norms.max() > 15 and norms[-1] < 1e-5


def test_influence_balancing_has_a_norm_near_one_and_a_radius_of_one_half():
    A = influence_balancing()
    assert powers.norms(A, 1)[1] == pytest.approx(0.998, abs=5e-4)
    assert powers.spectral_radius(A) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize(("scale", "after_fifty"), [(0.9, 0.9**50), (1.0, 1.0), (1.1, 1.1**50)])
def test_gradients_vanish_hold_and_explode(scale, after_fifty):
    assert powers.norms(orthogonal(np.random.default_rng(0), 5, scale), 50)[-1] == pytest.approx(after_fifty, rel=1e-12)


def test_a_gradient_that_travels_k_steps_is_multiplied_by_the_kth_power():
    weights, *_ = linear_problem(10)
    dL_do = np.zeros((10, 4))
    dL_do[-1] = [1.0, -2.0, 0.5, 3.0]
    wanted = powers.powers(weights.W_hh, 10)[::-1] @ (weights.W_qh.T @ dL_do[-1])
    assert relative(linear.adjoints(weights, dL_do), wanted) <= 1e-12

"""The forward sum against its recursion, against autograd and differences, and against its closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from same_network import WIDTH, relative

from bptt import ShapeError
from bptt.reference import forward_sum


def random_partials(steps):
    random = np.random.default_rng(0)
    return random.standard_normal(steps), 1 + 0.3 * random.standard_normal(steps)


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_written_out_it_equals_the_recursion(steps):
    b, c = random_partials(steps)
    assert relative(forward_sum.unrolled(b, c), forward_sum.recursion(b, c)) <= 1e-12


@pytest.mark.parametrize("steps", [1, 7, 50])
def test_equals_autograd_and_differences(steps):
    w, x, h_0 = 1.1, np.random.default_rng(0).standard_normal(steps) * 0.3, 0.7
    partials = forward_sum.tanh_network(w, x, h_0)
    weight, h, wanted = torch.tensor(w, dtype=torch.float64, requires_grad=True), torch.tensor(h_0, dtype=torch.float64), []
    for x_t in x:
        h = torch.tanh(weight * h + float(x_t))
        wanted.append(torch.autograd.grad(h, weight, retain_graph=True)[0].item())
    found = forward_sum.recursion(partials.b, partials.c)
    assert relative(found, np.array(wanted)) <= 1e-12
    above, below = (forward_sum.tanh_network(w + d, x, h_0).h[1:] for d in (WIDTH, -WIDTH))
    assert relative([found], [(above - below) / (2 * WIDTH)]) <= 1e-7


def test_forwards_and_backwards_give_the_same_gradient():
    partials = forward_sum.tanh_network(1.1, np.linspace(-0.3, 0.4, 50), 0.7)
    dl_dh, c = np.random.default_rng(1).standard_normal(50), partials.c
    forwards = dl_dh @ forward_sum.recursion(partials.b, c)
    adjoint, backwards = 0.0, 0.0
    for t in range(49, -1, -1):
        adjoint = dl_dh[t] + (c[t + 1] * adjoint if t < 49 else 0.0)
        backwards += adjoint * partials.b[t]
    assert forwards == pytest.approx(backwards, rel=1e-12) and abs(forwards) >= 1e-8


@pytest.mark.parametrize("terms", [1, 2, 5, 12])
def test_the_error_of_the_first_terms_has_a_closed_form(terms):
    w, steps = 0.7, 12
    b, c = np.ones(steps), np.full(steps, w)
    exact, cut = forward_sum.recursion(b, c)[-1], forward_sum.unrolled(b, c, terms)[-1]
    assert (exact - cut) / exact == pytest.approx((w**terms - w**steps) / (1 - w**steps), abs=1e-12)


def test_as_many_terms_as_steps_are_all():
    b, c = random_partials(7)
    for terms in (7, 8, 100):
        np.testing.assert_array_equal(forward_sum.unrolled(b, c, terms), forward_sum.unrolled(b, c))
    assert relative([forward_sum.unrolled(b, c, 6)], [forward_sum.unrolled(b, c)]) >= 1e-6


def test_c_of_the_wrong_step_is_another_sum():
    """The product ends at c_{i+1}: c_i belongs to the step in which w acted, and has no part in it."""
    b, c = random_partials(7)
    late = forward_sum.recursion(b, np.r_[0.0, c[:-1]])
    assert relative([late], [forward_sum.recursion(b, c)]) >= 1e-6


def test_c_of_the_first_step_does_not_matter():
    b, c = random_partials(7)
    np.testing.assert_array_equal(forward_sum.recursion(b, c), forward_sum.recursion(b, np.r_[99.0, c[1:]]))


def test_two_lengths_are_refused():
    with pytest.raises(ShapeError, match="c does not fit"):
        forward_sum.recursion([1.0, 2.0], [1.0])

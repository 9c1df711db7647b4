"""The from-scratch recipe: small normal weights, zero biases."""

from __future__ import annotations

import pytest
import torch

import bptt.nn
from bptt.errors import InputError
from bptt.nn.init import from_scratch_


def test_weights_are_small_and_biases_zero():
    module = from_scratch_(bptt.nn.RNN(40, 300))
    assert not module.bias_ih_l0.any() and not module.bias_hh_l0.any()
    for weight in (module.weight_ih_l0, module.weight_hh_l0):
        assert abs(weight.std() - 0.01) < 5 * 0.01 / (2 * weight.numel()) ** 0.5
        assert abs(weight.mean()) < 5 * 0.01 / weight.numel() ** 0.5
    assert module.weight_hh_l0.requires_grad


def test_it_follows_the_seed_and_its_deviation():
    made = []
    for std in (0.01, 0.02):
        torch.manual_seed(1)
        made.append(from_scratch_(torch.nn.Linear(3, 4), std).weight)
    torch.testing.assert_close(made[0] * 2, made[1])


@pytest.mark.parametrize("std", [-1.0, float("nan"), float("inf")])
def test_wrong_deviation_is_refused(std):
    with pytest.raises(InputError, match="standard deviation"):
        from_scratch_(torch.nn.Linear(1, 1), std)

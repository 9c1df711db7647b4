"""The short way of a single step without gradient against torch.nn, and that what it returns stands alone."""

from __future__ import annotations

import itertools

import pytest
import torch

import bptt
from bptt import nest
from bptt.kernels import library

NAMES = ("RNN", "LSTM", "GRU")


def pair(name, dtype, **given):
    torch.manual_seed(5)
    ours, theirs = getattr(bptt.nn, name)(7, 11, dtype=dtype, **given), getattr(torch.nn, name)(7, 11, dtype=dtype, **given)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def start(name, layers, rows, dtype):
    leaves = torch.randn(2, layers, rows, 11, dtype=dtype).unbind(0)
    return leaves if name == "LSTM" else leaves[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "rows, layers, batch_first, bias", itertools.product((1, 2, 4, 5), (1, 3), (False, True), (False, True))
)
@torch.no_grad()
def test_a_chain_of_steps(name, rows, layers, batch_first, bias):
    ours, theirs = pair(name, torch.float64, num_layers=layers, batch_first=batch_first, bias=bias)
    state = other = start(name, layers, rows, torch.float64)
    found = library.load()
    before = getattr(found, "calls", 0)
    for x in torch.randn(6, 1, rows, 7, dtype=torch.float64):
        x = x.transpose(0, 1) if batch_first else x
        (y, state), (z, other) = ours(x, state), theirs(x, other)
        for a, b in zip([y, *nest.leaves(state)], [z, *nest.leaves(other)], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    if isinstance(found, library.Library):
        assert found.calls >= before + 6 * layers


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_output_and_states_do_not_share_memory(name):
    layer, _ = pair(name, torch.float32)
    x, state = torch.randn(1, 2, 7), start(name, 1, 2, torch.float32)
    y, first = layer(x, state)
    kept = [leaf.clone() for leaf in nest.leaves(first)]
    y.zero_()
    layer(x, first)  # neither an output that is changed nor the next step, in whatever memory it works, reaches a state
    assert all(torch.equal(a, b) and a.abs().max() > 1e-8 for a, b in zip(nest.leaves(first), kept, strict=True))

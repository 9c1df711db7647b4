"""The states before every step: from one call of a compiled layer as from single steps."""

from __future__ import annotations

import pytest
import torch

import bptt.nn
from bptt import nest
from bptt.kernels import library, readable
from bptt.nn import Lookup, adapt


@pytest.mark.parametrize("layer", [bptt.nn.RNN, bptt.nn.GRU, bptt.nn.LSTM])
@pytest.mark.parametrize("looked_up", [False, True])
def test_one_call_equals_single_steps(layer, looked_up):
    """Two layers with dropout between them in training, resets, a state that is not zero."""
    recurrent = adapt(layer(3, 5, num_layers=2, dropout=0.5, batch_first=True).double())
    state = nest.map(lambda leaf: torch.randn_like(leaf), recurrent.initial_state(2))
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    if looked_up:
        x = Lookup(torch.randint(4, (2, 9)), torch.randn(4, 3, dtype=torch.float64), 4, torch.float64)
    masks = {"reset": torch.rand(2, 9) < 0.3, "noise": torch.randint(2**60, (2, 9))}
    found = nest.leaves(recurrent.states(x, state, **masks))
    with readable():
        expected = nest.leaves(recurrent.states(x, state, **masks))
    assert [leaf.shape for leaf in found] == [leaf.shape for leaf in expected]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(found[0][:, 0], nest.leaves(state)[0]) and not found[0].requires_grad


@pytest.mark.skipif(isinstance(library.load(), str), reason="no compiled kernels")
def test_it_is_one_call_per_layer():
    recurrent, calls = adapt(bptt.nn.GRU(3, 5, num_layers=2)), library.loaded().calls
    recurrent.states(torch.randn(2, 9, 3), recurrent.initial_state(2))
    assert library.loaded().calls == calls + 2

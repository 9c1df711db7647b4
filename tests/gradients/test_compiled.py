"""Every strategy takes the compiled recurrences, and gets from them what it gets from the readable ones."""

from __future__ import annotations

import pytest
import torch

import bptt
from bptt.kernels import library, readable
from bptt.types import Window

pytestmark = pytest.mark.skipif(isinstance(library.load(), str), reason="no compiled kernels")
STRATEGIES = [
    bptt.Full(),
    bptt.Truncated(3),
    bptt.Truncated(2, 5),
    bptt.PerOutput(3),
    bptt.Randomized(3, tail=4),
    bptt.Telescoping(3),
    bptt.Adaptive(0.1, every=4, limit=4),
    bptt.Checkpointed(slots=2),
    bptt.RTRL(2),
    bptt.UORO(2, seed=1),
    bptt.SnAp(1, every=2),
]


def gradients(strategy, layer):
    """All gradients over two windows of one stream, added up."""
    torch.manual_seed(0)
    unroll = bptt.Unroll(torch.nn.Embedding(7, 3), layer(3, 5, batch_first=True), torch.nn.Linear(5, 7)).double()
    windows = [Window.of(torch.randint(7, (2, 9)), torch.randint(7, (2, 9))) for _ in range(2)]
    carry = strategy.start(unroll, 2)
    for window in [*windows, windows[0][:, :0]]:
        for estimate in strategy.gradients(unroll, window, carry):
            carry = estimate.carry
    return [p.grad for p in unroll.parameters()]


@pytest.mark.parametrize("layer", [bptt.nn.RNN, bptt.nn.GRU, bptt.nn.LSTM])
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
def test_compiled_equals_readable_and_ran(strategy, layer):
    calls = library.loaded().calls
    found = gradients(strategy, layer)
    assert library.loaded().calls > calls
    calls = library.loaded().calls
    with readable():
        expected = gradients(strategy, layer)
    assert library.loaded().calls == calls
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    assert min(float(g.abs().max()) for g in expected) > 1e-8

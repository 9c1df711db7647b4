"""The Jacobians of a step in closed form are those that torch.func takes, and the rules use them."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_nets import run
from torch import nn
from torch.nn.utils import prune

from bptt import RTRL, SnAp, Unroll, Window, nest
from bptt.gradients.online import sparse
from bptt.gradients.online.rows import jacobians, pulled, ravel
from bptt.gradients.online.sparse import Plan
from bptt.nn import GRU, LSTM, RNN, Stack
from bptt.testing.examples import distance

LAYERS = {
    "rnn": lambda: RNN(3, 5),
    "rnn-relu": lambda: RNN(3, 5, nonlinearity="relu", batch_first=True),
    "rnn-identity": lambda: RNN(3, 5, nonlinearity="identity", bias=False),
    "torch-rnn": lambda: nn.RNN(3, 5, nonlinearity="relu"),
    "gru": lambda: GRU(3, 5),
    "gru-no-bias": lambda: GRU(3, 5, bias=False),
    "lstm": lambda: LSTM(3, 5),
    "lstm-one-unit": lambda: LSTM(3, 1),
    "torch-lstm": lambda: nn.LSTM(3, 5, batch_first=True),
    "rnn-cell": lambda: nn.RNNCell(3, 5, nonlinearity="relu"),
    "gru-cell": lambda: nn.GRUCell(3, 5, bias=False),
    "lstm-cell": lambda: nn.LSTMCell(3, 5),
}


def summed(outputs, targets):
    return outputs.sum(2)


def step_of(recurrent, ids=False):
    """Four rows, of which the second resets, and a state that is not zero."""
    torch.manual_seed(0)
    unroll = Unroll(nn.Embedding(7, 3) if ids else None, recurrent, None, summed).double()
    x = torch.randint(7, (4, 1)) if ids else torch.randn(4, 1, 3).double()
    window = Window.of(x, torch.zeros(4, 1), reset=torch.tensor([[False], [True], [False], [False]]))
    return unroll, window, nest.map(torch.randn_like, unroll.initial_state(4))


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_against_torch_func(name):
    unroll, window, state = step_of(LAYERS[name]())
    names = [name for name, _ in unroll.named_parameters()]
    before, direct = unroll.local(window, state)
    assert set(direct) == set(names) == set(unroll.structure().moves)
    wanted, whole = jacobians(unroll, names, window, state)
    torch.testing.assert_close(before, wanted, rtol=1e-12, atol=1e-13)
    assert wanted[0].norm() > 0.1 and not wanted[1].any()
    basis = Plan.of(unroll, math.inf).pattern.direct.basis.to(ravel(state))
    coloured = pulled(unroll, names, window, state, basis)[1]
    for name in names:
        torch.testing.assert_close(direct[name], coloured[name], rtol=1e-12, atol=1e-13, msg=name)
        torch.testing.assert_close(direct[name].sum(1), whole[name].sum(1), rtol=1e-12, atol=1e-13, msg=name)
        assert direct[name].norm() > 0.01


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "torch-lstm", "gru-cell"])
@pytest.mark.parametrize("rule", [RTRL(), SnAp(1)], ids=str)
def test_the_rules_use_them_and_give_what_they_give_without(name, rule, monkeypatch):
    unroll, step, state = step_of(LAYERS[name]())
    window = Window.cat(*[step] * 3, Window.of(torch.randn(4, 4, 3).double(), torch.zeros(4, 4)))

    def refuse(*_):
        raise AssertionError("the slow way was taken")

    with monkeypatch.context() as patch:
        patch.setattr(sparse, "pulled", refuse)
        patch.setattr(sparse, "jacobians", refuse)
        fast = run(rule, unroll, window, state)
    unroll.zero_grad()
    monkeypatch.setattr(Unroll, "local", lambda *_: None)
    assert distance(fast, run(rule, unroll, window, state)) <= 1e-12
    assert min(float(block.norm()) for block in fast.values()) >= 1e-3


def test_what_has_no_closed_form_says_so():
    hooked = GRU(3, 5)
    hooked.register_forward_hook(lambda module, given, found: found)
    pruned = GRU(3, 5).double()
    prune.random_unstructured(pruned, "weight_hh_l0", amount=0.5)
    for recurrent in (GRU(3, 5, 2), hooked, pruned, Stack(GRU(3, 5)), Stack(nn.GRUCell(3, 5), nn.GRUCell(5, 5))):
        unroll, window, state = step_of(recurrent)
        assert unroll.local(window, state) is None
    unroll, window, state = step_of(GRU(3, 5), ids=True)
    assert unroll.local(window, state) is not None
    unroll.autocast = torch.bfloat16
    assert unroll.local(window, state) is None

"""`bptt.nn.replace`: the same model, the same parameter objects, our layers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import bptt.nn
from bptt.nn import replace


class Model(nn.Module):
    """Every kind of layer, one of them used twice, and some that must stay."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.first = nn.LSTM(4, 5, num_layers=2, batch_first=True, bidirectional=True)
        self.inner = nn.ModuleDict({"gru": nn.GRU(10, 6, batch_first=True, bias=False)})
        self.second = nn.RNN(6, 6, nonlinearity="relu", batch_first=True)
        self.same = self.second
        self.projected = nn.LSTM(6, 7, proj_size=3, batch_first=True)

    def forward(self, ids):
        x = self.embed(ids)
        for layer in (self.first, self.inner["gru"], self.second, self.same, self.projected):
            x = layer(x)[0]
        return x


def test_same_parameters_results_and_gradients():
    model = Model().double()
    ids, parameters = torch.randint(11, (3, 7)), dict(model.named_parameters())
    before = model(ids)
    grads = torch.autograd.grad(before.square().sum(), list(parameters.values()))
    seen = []
    model.second.register_forward_hook(lambda *_: seen.append(1))
    assert replace(model) is model
    assert [type(m) for m in (model.first, model.inner["gru"], model.second)] == [bptt.nn.LSTM, bptt.nn.GRU, bptt.nn.RNN]
    assert model.same is model.second and type(model.projected) is nn.LSTM
    assert {name: id(p) for name, p in model.named_parameters()} == {name: id(p) for name, p in parameters.items()}
    after = model(ids)
    assert len(seen) == 2, "the hooks stay"
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)
    found = torch.autograd.grad(after.square().sum(), list(parameters.values()))
    torch.testing.assert_close(found, grads, rtol=1e-11, atol=1e-12)
    assert max(float(g.abs().max()) for g in grads) > 1e-8


def test_a_layer_by_itself():
    layer = replace(nn.GRU(3, 4))
    assert type(layer) is bptt.nn.GRU and layer(torch.randn(2, 1, 3))[0].shape == (2, 1, 4)


def test_the_replaced_model_is_like_any_other():
    model = replace(Model())
    twin = copy.deepcopy(model)
    twin.load_state_dict(Model().state_dict())
    model.load_state_dict(twin.state_dict())
    ids = torch.randint(11, (2, 3))
    assert torch.equal(model(ids), twin(ids))
    model.double().eval().requires_grad_(False)
    assert model(ids).dtype == torch.float64


@pytest.mark.parametrize("module", [nn.Linear(2, 3), nn.GRUCell(2, 3)])
def test_what_it_does_not_know_stays(module):
    assert replace(module) is module


def test_subclasses_stay():
    class Mine(nn.GRU):
        pass

    assert type(replace(nn.Sequential(Mine(2, 3)))[0]) is Mine

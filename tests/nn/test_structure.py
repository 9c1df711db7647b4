"""What a module says of the zeros in its Jacobians is so, a lie is found out, and stacks and models put it together."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from bptt import ContractError, LanguageModel, Unroll, nest
from bptt.nn import GRU, LSTM, RNN, Stack, adapt
from bptt.structure import NOTHING, OUTPUT, Structure, rows, stacked
from bptt.testing import check_cell
from bptt.testing.cells import check_structure
from bptt.testing.examples import RECURRENT, NestedCell


class Leaky(nn.Module):
    """h_i' = a_i h_i + W x, y = C h: no unit moves another, C moves the output alone."""

    lie: dict = {}  # noqa: RUF012

    def __init__(self, inputs=3, hidden=4):
        super().__init__()
        self.decay = nn.Parameter(torch.rand(hidden))
        self.weight, self.out = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, len(self.decay), dtype=self.decay.dtype)

    def forward(self, x, h):
        h = self.decay * h + self.weight(x)
        return torch.tanh(self.out(h)), h

    def structure(self):
        hidden = len(self.decay)
        moves = {"decay": torch.arange(hidden), "weight.weight": rows(self.weight.weight, hidden)}
        moves |= {"weight.bias": torch.arange(hidden), "out.weight": torch.full((hidden, hidden), OUTPUT)}
        return dataclasses.replace(Structure(torch.arange(hidden), moves), **self.lie)


@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_ours_and_torch_s_modules_say_what_is_so(name):
    check_cell(RECURRENT[name](), inputs=4)


@pytest.mark.parametrize(
    "cell", [Leaky(), Stack(Leaky(), Leaky(4)), Stack(Leaky(), NestedCell(4, 5), nn.GRUCell(5, 4)), LSTM(3, 4, 3)], ids=str
)
def test_own_cells_and_stacks_of_them(cell):
    assert adapt(cell).structure() is not None
    check_cell(cell, inputs=3)


@pytest.mark.parametrize("layer", [RNN, GRU, LSTM, nn.GRU])
def test_pruned_weights(layer):
    torch.manual_seed(1)
    pruned = layer(3, 6, 2).double()
    for name in ("weight_hh_l0", "weight_ih_l1"):
        prune.random_unstructured(pruned, name, amount=0.9)
    found = adapt(pruned).structure()
    gone = pruned.weight_hh_l0_mask == 0
    assert torch.equal(found.moves["layer.weight_hh_l0_orig"] == NOTHING, gone) and gone.sum() >= 30
    assert not found.coupling[:6, :6].all() and found.coupling[6:12, 6:12].all() and not found.coupling[:6, 6:12].any()
    own = torch.eye(6, dtype=torch.bool) & (layer is not RNN)
    assert torch.equal(found.coupling[:6, :6], ~gone.view(-1, 6, 6).all(0) | own)
    wrapped, x = adapt(pruned), torch.randn(2, 1, 3, dtype=torch.float64)
    check_structure(wrapped, x, nest.map(torch.randn_like, wrapped.initial_state(2)))


LIES = [
    ({"coupling": torch.zeros(4, 4, dtype=torch.bool)}, "couple it to"),
    ({"moves": {"decay": torch.tensor([0, 1, 3, 2])}}, "does not name"),
    ({"moves": {"decay": torch.full((4,), OUTPUT)}}, "does not name"),
    ({"moves": {"decays": torch.arange(4)}}, "that there is not"),
    ({"moves": {"decay": torch.arange(3)}}, "does not fit a parameter"),
    ({"units": torch.arange(5)}, "does not fit the state"),
]


@pytest.mark.parametrize(("lie", "message"), LIES)
def test_lies_are_found_out(lie, message):
    cell = Leaky()
    cell.lie = lie
    with pytest.raises(ContractError, match=message):
        check_cell(cell, inputs=3)


def test_a_structure_is_a_structure():
    cell = Leaky()
    cell.structure = lambda: {"decay": 3}
    with pytest.raises(ContractError, match=r"bptt\.structure\.Structure"):
        adapt(cell).structure()
    unroll = Unroll(None, Leaky(), None)
    unroll.recurrent.cell.lie = {"units": torch.arange(7)}
    with pytest.raises(ContractError, match="7 units for 4 numbers"):
        unroll.structure()


def test_two_layers_by_hand():
    one = Structure(torch.tensor([0, 1, 0, 1]), {"a": torch.tensor([0, 1, NOTHING]), "c": torch.tensor([OUTPUT])})
    two = Structure(torch.tensor([0]), {"b": torch.tensor([0])}, torch.tensor([[True]]))
    both = stacked([one.under("x."), two])
    assert both.units.tolist() == [0, 1, 0, 1, 2] and both.size == 5
    assert {name: units.tolist() for name, units in both.moves.items()} == {"x.a": [0, 1, NOTHING], "x.c": [3], "b": [2]}
    assert both.coupling[:3, :3].int().tolist() == [[1, 0, 0], [0, 1, 0], [1, 1, 1]] and not both.coupling[:, 3:].tril(-4).any()
    assert both.within[:3].int().tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 1, 1, 1, 0]]


def test_a_model_leaves_out_what_is_used_in_two_ways():
    names = set(LanguageModel("lstm", vocab=7, hidden_size=5).unroll().structure().moves)
    assert names == {f"recurrent.layer.{kind}_{end}_l0" for kind in ("weight", "bias") for end in ("ih", "hh")}
    cell, other = nn.RNNCell(4, 4), nn.RNNCell(4, 4)
    other.weight_hh, other.bias_ih = cell.weight_hh, cell.bias_hh
    encode = nn.Linear(4, 4)
    encode.weight = cell.weight_ih
    unroll = Unroll(encode, Stack(cell, other), None)
    found = unroll.structure()
    prefix = "recurrent.layers."
    assert set(found.moves) == {f"{prefix}0.cell.bias_ih", f"{prefix}1.cell.weight_ih", f"{prefix}1.cell.bias_hh"}
    assert found.moves[f"{prefix}1.cell.bias_hh"].tolist() == [4, 5, 6, 7]
    assert set(Unroll(None, NestedCell(), None).structure().moves) == set()
    assert Unroll(None, NestedCell(), None).structure().units.tolist() == [0] * 10

"""`adapt`: one look for every kind of recurrent module, and a clear word for what is none."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import bptt.nn
from bptt import nest
from bptt.errors import ContractError
from bptt.nn import Layer, adapt

B, T, IN, H = 3, 7, 3, 5


def test_one_look(layer):
    x = torch.randn(B, T, IN, dtype=torch.float64)
    state = layer.initial_state(B)
    y, end = layer(x, state)
    assert y.shape[:2] == (B, T) and y.dim() == 3
    shapes = [(leaf.shape, leaf.dtype) for leaf in nest.leaves(state)]
    assert shapes == [(leaf.shape, leaf.dtype) for leaf in nest.leaves(end)] and all(shape[0] == B for shape, _ in shapes)
    assert torch.equal(layer(x)[0], y) and layer.causal
    assert adapt(layer) is layer


def test_rows_do_not_influence_each_other(layer):
    x = torch.randn(B, T, IN, dtype=torch.float64)
    other = x.clone()
    other[1] += 1
    changed = (layer(x)[0] != layer(other)[0]).flatten(1).any(1)
    assert changed.tolist() == [False, True, False]


def test_steps_one_by_one_equal_the_whole(layer):
    x, state = torch.randn(B, T, IN, dtype=torch.float64), layer.initial_state(B)
    outputs = []
    for t in range(T):
        y, state = layer(x[:, t : t + 1], state)
        outputs.append(y)
    whole, end = layer(x)
    for a, b in zip([torch.cat(outputs, 1), *nest.leaves(state)], [whole, *nest.leaves(end)], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_initial_state_is_made_anew_with_its_graph(layer):
    """Two backward passes, and a change of the parameters in between, must reach a learned initial state."""
    for _ in range(2):
        state = layer.initial_state(B)
        for leaf in nest.leaves(state):
            if nest.is_float(leaf) and leaf.requires_grad:
                leaf.sum().backward()
    before = [leaf.clone() for leaf in nest.leaves(layer.initial_state(B))]
    learned = [p for n, p in layer.named_parameters() if "first" in n]
    with torch.no_grad():
        for parameter in learned:
            parameter.add_(1)
    changed = any(not torch.equal(a, b) for a, b in zip(before, nest.leaves(layer.initial_state(B)), strict=True))
    assert changed == bool(learned) and all(p.grad is not None for p in learned)


def test_parameters_are_the_modules_own(layer):
    inner = [module for module in layer.modules() if not isinstance(module, Layer | nn.ModuleList)]
    assert {id(p) for p in layer.parameters()} == {id(p) for module in inner for p in module.parameters()}
    x, twin = torch.randn(B, T, IN, dtype=torch.float64), copy.deepcopy(layer)
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x)[0], twin(x)[0])


def test_names_say_where_a_parameter_lives():
    assert next(iter(dict(adapt(bptt.nn.GRU(2, 3)).named_parameters()))) == "layer.weight_ih_l0"
    assert next(iter(dict(adapt(nn.GRUCell(2, 3)).named_parameters()))) == "cell.weight_ih"
    names = list(dict(bptt.nn.Stack(nn.GRUCell(2, 3), nn.LSTM(3, 4)).named_parameters()))
    assert names[0] == "layers.0.cell.weight_ih" and names[-1] == "layers.1.layer.bias_hh_l0"


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_ours_torchs_and_the_cells_agree(name, batch_first):
    x = torch.randn(B, T, IN)
    theirs = getattr(nn, name)(IN, H, batch_first=batch_first)
    ours = getattr(bptt.nn, name)(IN, H, batch_first=batch_first)
    cell = getattr(nn, name + "Cell")(IN, H)
    ours.load_state_dict(theirs.state_dict())
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in theirs.state_dict().items()})
    expected = theirs(x if batch_first else x.transpose(0, 1))[0]
    expected = expected if batch_first else expected.transpose(0, 1)
    for module in (theirs, ours, cell):
        torch.testing.assert_close(adapt(module)(x)[0], expected, rtol=1e-5, atol=1e-6)
    state = None
    steps = []
    for step in x.unbind(1):
        state = cell(step, state)
        steps.append(state[0] if name == "LSTM" else state)
    torch.testing.assert_close(torch.stack(steps, 1), expected, rtol=1e-5, atol=1e-6)


def test_hooks_and_parametrizations_are_kept():
    """A layer is called as a module; a cell of torch's is not, so it must refuse what would be skipped."""
    layer, seen = nn.GRU(IN, H), []
    layer.register_forward_hook(lambda *_: seen.append(1))
    adapt(layer)(torch.randn(B, T, IN))
    assert seen
    hooked = nn.GRUCell(IN, H)
    hooked.register_forward_hook(lambda *_: None)
    with pytest.raises(ContractError, match="GRUCell carries forward hooks, which would not run"):
        adapt(hooked)
    cell = nn.utils.parametrizations.weight_norm(nn.GRUCell(IN, H), "weight_hh")
    x, first = torch.randn(B, T, IN), torch.nn.utils.parametrize.cached
    with first():
        expected = [state := cell(x[:, 0]), *(state := cell(step, state) for step in x[:, 1:].unbind(1))]
    torch.testing.assert_close(adapt(cell)(x)[0], torch.stack(expected, 1), rtol=1e-5, atol=1e-6)


class NoState(nn.Module):
    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return x, state


class OneArgument(nn.Module):
    def initial_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x


class OnlyOutput(OneArgument):
    def forward(self, x: Tensor, state: Tensor) -> Tensor:  # type: ignore[override]
        return x


@pytest.mark.parametrize(
    "module, message",
    [
        (NoState(), r"NoState has no initial_state\(batch_size\). forward\(state, x\). Write a cell"),
        (OneArgument(), r"OneArgument is neither a cell nor a layer. forward\(x\)"),
        (nn.Linear(2, 3), r"Linear has no initial_state"),
        (print, "A recurrent module is a torch.nn.Module. builtin"),
    ],
)
def test_anything_else_is_told_what_is_missing(module, message):
    with pytest.raises(ContractError, match=message):
        adapt(module)


def test_a_cell_must_return_output_and_state():
    with pytest.raises(ContractError, match=r"The cell OnlyOutput does not return \(y, state\). Tensor"):
        adapt(OnlyOutput())(torch.randn(B, T, 1))
    with pytest.raises(ContractError, match="A stack needs at least one cell"):
        bptt.nn.Stack()


class Bound(nn.Module):
    """A whole layer that says it looks ahead and records what it was handed."""

    causal = False

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, 1)

    def forward(self, x: Tensor, state: Tensor, *, reset: Tensor, edge: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        self.given = reset, edge, noise
        return x, state


def test_a_written_layer_is_handed_what_it_names():
    module = Bound()
    layer, noise = adapt(module), torch.zeros(B, T, dtype=torch.int64)
    layer(torch.randn(B, T, 1), noise=noise)
    assert not layer.causal and module.given == (None, None, noise)
    assert not bptt.nn.Stack(nn.GRUCell(1, 1), module).causal and not adapt(nn.LSTM(1, 1, bidirectional=True)).causal

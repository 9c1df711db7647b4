"""RNN, LSTM and GRU against torch.nn: outputs, final states and all gradients, for every shape of input torch takes."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import bptt.nn

IN, H, B, T = 3, 5, 4, 7
NAMES = ["RNN", "RELU", "LSTM", "GRU"]


def pair(name: str, dtype: torch.dtype = torch.float64, **options: Any) -> tuple[nn.Module, nn.Module]:
    """torch's module and ours from the same seed."""
    if name == "RELU":
        name, options = "RNN", {**options, "nonlinearity": "relu"}
    made = []
    for library in (nn, bptt.nn):
        torch.manual_seed(3)
        made.append(getattr(library, name)(IN, H, dtype=dtype, **options))
    return made[0], made[1]


def states(name: str, count: int, *batch: int, dtype: torch.dtype = torch.float64) -> Any:
    """Random states [count, *batch, H] that want a gradient."""
    leaves = [torch.randn(count, *batch, H, dtype=dtype, requires_grad=True) for _ in range(2 if name == "LSTM" else 1)]
    return tuple(leaves) if len(leaves) > 1 else leaves[0]


def flat(*values: Any) -> list[Tensor]:
    """All tensors in nests of tuples."""
    found = []
    for value in values:
        if isinstance(value, PackedSequence):
            value = value.data
        found += [value] if isinstance(value, Tensor) else flat(*value)
    return found


def compare(modules: tuple[nn.Module, nn.Module], run: Any, inputs: list[Tensor], tolerance: float = 1e-12) -> None:
    """`run(module)` on both: the same tensors and the same gradients of a random weighting of them."""
    found = []
    for module in modules:
        tensors = flat(run(module))
        generator = torch.Generator().manual_seed(5)
        loss = sum((v * torch.randn(v.shape, dtype=v.dtype, generator=generator)).sum() for v in tensors)
        found.append([*tensors, *torch.autograd.grad(loss, [*inputs, *module.parameters()])])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(b, a, rtol=tolerance, atol=tolerance)


def laid_out(x: Tensor, batch_first: bool) -> Tensor:
    """x [B, T, IN] as the module wants it."""
    return x if batch_first else x.transpose(0, 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layers, bidirectional, batch_first, bias", list(itertools.product([1, 2, 3], *[[False, True]] * 3)))
def test_parity(name, layers, bidirectional, batch_first, bias):
    options = {"num_layers": layers, "bidirectional": bidirectional, "batch_first": batch_first, "bias": bias}
    modules = pair(name, **options)
    x = torch.randn((B, T, IN) if batch_first else (T, B, IN), dtype=torch.float64, requires_grad=True)
    hx = states(name, layers * (1 + bidirectional), B)
    compare(modules, lambda module: module(x, hx), [x, *flat(hx)])
    compare(modules, lambda module: module(x), [x])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows, steps", [(1, 1), (1, T), (B, 1)])
def test_single_rows_and_steps(name, rows, steps):
    x, hx = torch.randn(steps, rows, IN, dtype=torch.float64, requires_grad=True), states(name, 2, rows)
    compare(pair(name, num_layers=2), lambda module: module(x, hx), [x, *flat(hx)])


@pytest.mark.parametrize("name", NAMES)
def test_float32(name):
    x, hx = torch.randn(T, B, IN, requires_grad=True), states(name, 4, B, dtype=torch.float32)
    compare(pair(name, torch.float32, num_layers=2, bidirectional=True), lambda module: module(x, hx), [x, *flat(hx)], 1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch_first", [False, True])
def test_unbatched(name, batch_first):
    modules, x = pair(name, num_layers=2, batch_first=batch_first), torch.randn(T, IN, dtype=torch.float64, requires_grad=True)
    hx = states(name, 2)
    compare(modules, lambda module: module(x, hx), [x, *flat(hx)])
    assert [v.shape for v in flat(modules[0](x, hx))] == [v.shape for v in flat(modules[1](x, hx))]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch_first", [False, True])
def test_strided_inputs(name, batch_first):
    """Every second feature of a larger tensor, and one row expanded to all."""
    base = torch.randn(B, T, 2 * IN, dtype=torch.float64, requires_grad=True)
    row = torch.randn(1, T, IN, dtype=torch.float64, requires_grad=True)
    modules, hx = pair(name, batch_first=batch_first), states(name, 1, 1)
    wide = nn.utils.parameters_to_vector(flat(hx)).view(-1, 1, 1, H).expand(-1, 1, B, H).unbind(0)
    wide = tuple(wide) if len(wide) > 1 else wide[0]
    compare(modules, lambda module: module(laid_out(base[..., ::2], batch_first), wide), [base, *flat(hx)])
    compare(modules, lambda module: module(laid_out(row.expand(B, T, IN), batch_first), wide), [row, *flat(hx)])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths, enforce_sorted", [([7, 5, 5, 1], True), ([2, 7, 1, 7], False)])
def test_packed_sequences(name, bidirectional, lengths, enforce_sorted):
    modules = pair(name, num_layers=2, bidirectional=bidirectional)
    x, hx = torch.randn(B, T, IN, dtype=torch.float64, requires_grad=True), states(name, 2 * (1 + bidirectional), B)

    def packed() -> PackedSequence:
        return pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=enforce_sorted)

    compare(modules, lambda module: module(packed(), hx), [x, *flat(hx)])
    compare(modules, lambda module: module(packed()), [x])
    ours, torchs = modules[1](packed())[0], modules[0](packed())[0]
    for field in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        a, b = getattr(ours, field), getattr(torchs, field)
        assert (a is None and b is None) or torch.equal(a, b)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_parameters_and_state_dict(name):
    theirs, ours = pair(name, num_layers=2, bidirectional=True)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert all(torch.equal(a, b) for a, b in zip(theirs.parameters(), ours.parameters(), strict=True))
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(T, B, IN, dtype=torch.float64)
    torch.testing.assert_close(theirs(x)[0], ours(x)[0], rtol=1e-12, atol=1e-12)
    ours.load_state_dict(pair(name, num_layers=2, bidirectional=True)[0].state_dict())
    assert not torch.equal(theirs.weight_hh_l1, ours.weight_hh_l1)
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_copies_and_conversions_keep_running(name):
    _, module = pair(name)
    x = torch.randn(T, B, IN, dtype=torch.float64)
    twin = copy.deepcopy(module)
    module.flatten_parameters()
    with torch.no_grad():
        twin.weight_hh_l0.zero_()
    assert not torch.equal(twin(x)[0], module(x)[0])
    assert module.float()(x.float())[0].dtype == torch.float32


def test_time_first_output_can_be_viewed():
    """Code written for torch.nn views the output of a time-first layer, and its states."""
    for module in pair("GRU", num_layers=2, bidirectional=True):
        y, h = module(torch.randn(T, B, IN, dtype=torch.float64))
        assert y.view(T * B, -1).shape == (28, 10) and h.view(2, 2, B, H).shape == (2, 2, 4, 5)


WRONG = {
    "4-D input": (torch.zeros(1, 1, 1, IN), None),
    "wrong features": (torch.zeros(T, B, IN + 1), None),
    "wrong type": (torch.zeros(T, B, IN, dtype=torch.float64), None),
    "unbatched, batched state": (torch.zeros(T, IN), (1, B, H)),
    "batched, unbatched state": (torch.zeros(T, B, IN), (1, H)),
    "wrong rows": (torch.zeros(T, B, IN), (1, B + 1, H)),
    "wrong layers": (torch.zeros(T, B, IN), (2, B, H)),
}


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("problem", WRONG)
def test_errors_are_torchs(name, problem):
    x, shape = WRONG[problem]
    hx = None if shape is None else torch.zeros(shape)
    if hx is not None and name == "LSTM":
        hx = (hx, hx)
    raised = []
    for module in pair(name, torch.float32):
        with pytest.raises((RuntimeError, ValueError)) as caught:
            module(x, hx)
        raised.append((caught.type, str(caught.value).replace("D tensor instead", "D instead")))
    assert raised[0] == raised[1]


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_packed_state_of_other_rows_is_refused(name):
    """torch's LSTM lets it pass."""
    with pytest.raises(RuntimeError, match=r"Expected hidden.* size \(1, 1, 5\), got \[1, 2, 5\]"):
        pair(name)[1](pack_sequence([torch.zeros(3, IN, dtype=torch.float64)]), states(name, 1, 2))


@pytest.mark.parametrize("options", [{"hidden_size": 0}, {"num_layers": 0}, {"dropout": 1.5}, {"bias": 1}])
def test_wrong_constructor_arguments_raise_what_torch_raises(options):
    raised = []
    for library in (nn, bptt.nn):
        with pytest.raises((TypeError, ValueError)) as caught:
            library.GRU(**{"input_size": IN, "hidden_size": H, **options})
        raised.append((caught.type, str(caught.value)))
    assert raised[0] == raised[1]


def test_what_torch_has_and_we_do_not():
    with pytest.raises(bptt.errors.InputError, match="proj_size=2"):
        bptt.nn.LSTM(IN, H, proj_size=2)
    with pytest.raises(bptt.errors.InputError, match="'relu'"):
        bptt.nn.RNN(IN, H, nonlinearity="rleu")


def test_concatenated_form_and_linear_network():
    """x W_ihᵀ + h W_hhᵀ + b is [x h 1]·W; with the identity the whole network is a product of matrices."""
    module = bptt.nn.RNN(IN, H, dtype=torch.float64)
    x, h = torch.randn(T, B, IN, dtype=torch.float64), torch.randn(1, B, H, dtype=torch.float64)
    bias = (module.bias_ih_l0 + module.bias_hh_l0)[None]
    weight = torch.cat([module.weight_ih_l0.T, module.weight_hh_l0.T, bias])
    state = h[0]
    for step in x:
        state = torch.tanh(torch.cat([step, state, torch.ones(B, 1, dtype=torch.float64)], 1) @ weight)
    torch.testing.assert_close(module(x, h)[1][0], state, rtol=1e-12, atol=1e-12)
    linear = bptt.nn.RNN(IN, H, nonlinearity="identity", bias=False, dtype=torch.float64)
    power = torch.linalg.matrix_power(linear.weight_hh_l0, T)
    torch.testing.assert_close(linear(torch.zeros_like(x), h)[1][0], h[0] @ power.T, rtol=1e-12, atol=1e-12)


def test_parameter_count_does_not_depend_on_time():
    module = bptt.nn.RNN(IN, H)
    before = sum(p.numel() for p in module.parameters())
    module(torch.randn(50, 1, IN))
    assert before == sum(p.numel() for p in module.parameters()) == H * (IN + H + 2)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_autocast_runs(name):
    _, module = pair(name, torch.float32, num_layers=2)
    x = torch.randn(T, B, IN)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = module(x, reset=torch.rand(B, T) < 0.5, edge=torch.rand(B, T))
    y.float().sum().backward()
    assert module.weight_hh_l0.grad.isfinite().all()

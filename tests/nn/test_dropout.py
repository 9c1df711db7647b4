"""Dropout masks: the documented formula, its statistics, independence, and that cutting steps never changes them."""

from __future__ import annotations

import math

import pytest
import torch

import bptt.nn
import bptt.nn.dropout as dropout_module
from bptt.errors import InputError
from bptt.kernels import library, readable
from bptt.nn import GRU, Dropout, Stack, adapt
from bptt.nn.dropout import draw, dropout, kept, mix, signed

B, T, IN, H = 3, 7, 4, 6
MODULUS = 2**64


def by_hand(noise: int, layer: int, unit: int) -> int:
    """The documented hash in Python's unbounded integers."""

    def mix(v: int) -> int:
        v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9 % MODULUS
        v = (v ^ v >> 27) * 0x94D049BB133111EB % MODULUS
        return v ^ v >> 31

    golden = 0x9E3779B97F4A7C15
    key = mix((noise + (layer + 1) * golden) % MODULUS)
    return mix((key + (unit + 1) * golden) % MODULUS) >> 11


@pytest.mark.parametrize("layer", [-3, 0, 1, 1000])
def test_formula(layer):
    noise = torch.cat([draw((5,), torch.device("cpu")), torch.tensor([0, -1, 2**63 - 1, -(2**63)])])
    for p in (0.1, 0.5, 0.999):
        expected = [[by_hand(n, layer, u) >= round(p * 2**53) for u in range(9)] for n in noise.tolist()]
        assert kept(noise, 9, p, layer).tolist() == expected


def test_hash_is_splitmix64():
    """The published first outputs of splitmix64 with seed 0, whose state starts at g: unit by unit with key 0."""
    states = torch.tensor([signed(0x9E3779B97F4A7C15 * k) for k in (1, 2, 3)])
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [value % MODULUS for value in mix(states).tolist()] == expected


@pytest.mark.parametrize("p", [0.05, 0.5, 0.8])
@pytest.mark.parametrize("counting", [False, True])
def test_keep_rate(p, counting):
    """Also for noise 0, 1, 2, …, the worst that a caller may give."""
    noise = torch.arange(2000) if counting else draw((2000,), torch.device("cpu"))
    count = 2000 * 100
    rate = kept(noise, 100, p).double()
    assert abs(rate.mean() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / count)
    assert (rate.mean(0) - (1 - p)).abs().max() < 6 * math.sqrt(p * (1 - p) / 2000)
    assert (rate.mean(1) - (1 - p)).abs().max() < 6 * math.sqrt(p * (1 - p) / 100)


@pytest.mark.parametrize("counting", [False, True])
def test_layers_units_and_steps_are_independent(counting):
    noise = torch.arange(4000) if counting else draw((4000,), torch.device("cpu"))
    masks = [kept(noise, 20, 0.5, layer).double() * 2 - 1 for layer in (0, 1, 2, -1)]
    columns = torch.cat(masks, 1)
    correlation = columns.T @ columns / len(noise)
    correlation.fill_diagonal_(0)
    bound = 6 / math.sqrt(len(noise))
    assert correlation.abs().max() < bound
    assert ((columns[1:] * columns[:-1]).mean(0)).abs().max() < bound


def test_scale_and_evaluation():
    x = torch.randn(B, T, 2, 3)
    drop = Dropout(0.25)
    y = drop(x, draw((B, T), x.device))
    torch.testing.assert_close(y[y != 0], (x / 0.75)[y != 0])
    assert 0 < (y == 0).sum() < y.numel()
    assert torch.equal(drop.eval()(x), x)
    assert not Dropout(1.0)(x).any() and torch.equal(Dropout(0.0)(x), x)


def test_same_noise_same_mask_however_steps_are_cut():
    noise, drop = draw((B, T), torch.device("cpu")), Dropout(0.5, layer=2)
    x = torch.ones(B, T, 2, 3)
    whole = drop(x, noise)
    assert torch.equal(whole, torch.cat([drop(x[:, :2], noise[:, :2]), drop(x[:, 2:], noise[:, 2:])], 1))
    rows = drop(x.flatten(0, 1).unsqueeze(1), noise.flatten().view(-1, 1))
    assert torch.equal(whole, rows.view_as(whole))
    assert not torch.equal(whole, Dropout(0.5, layer=3)(x, noise))
    assert drop(x[:0], noise[:0]).shape == (0, T, 2, 3)


def test_without_noise_it_follows_torchs_generator():
    x, drop = torch.ones(B, T, 5), Dropout(0.5)
    torch.manual_seed(4)
    first, second = drop(x), drop(x)
    torch.manual_seed(4)
    assert torch.equal(first, drop(x)) and not torch.equal(first, second)


MAKES = {
    "rnn": lambda: bptt.nn.RNN(IN, H, 3, dropout=0.4),
    "lstm": lambda: bptt.nn.LSTM(IN, H, 3, dropout=0.4),
    "gru": lambda: bptt.nn.GRU(IN, H, 3, dropout=0.4, bidirectional=True),
    "stack": lambda: bptt.nn.Stack(torch.nn.GRUCell(IN, H), torch.nn.LSTMCell(H, 5), torch.nn.RNNCell(5, H), dropout=0.4),
}


@pytest.mark.parametrize("name", MAKES)
def test_between_layers(name):
    """The same noise draws the same masks, other noise others; none above the last layer; evaluation has none."""
    layer, x = adapt(MAKES[name]()), torch.randn(B, T, IN)
    noise = draw((B, T), x.device)
    y = layer(x, noise=noise)[0]
    assert torch.equal(y, layer(x, noise=noise)[0]) and not torch.equal(y, layer(x, noise=noise + 1)[0])
    assert not torch.equal(y, layer(x)[0]) and (y != 0).all()
    layer.eval()
    assert torch.equal(layer(x, noise=noise)[0], layer(x)[0]) and not torch.equal(y, layer(x)[0])


@pytest.mark.parametrize("name", ["rnn", "lstm", "stack"])
def test_pieces_draw_the_same_masks(name):
    layer, x = adapt(MAKES[name]()).double(), torch.randn(B, T, IN, dtype=torch.float64)
    noise = draw((B, T), x.device)
    y1, state = layer(x[:, :3], noise=noise[:, :3])
    y2, _ = layer(x[:, 3:], state, noise=noise[:, 3:])
    torch.testing.assert_close(torch.cat([y1, y2], 1), layer(x, noise=noise)[0], rtol=1e-12, atol=1e-12)


def test_between_layers_the_mask_is_the_documented_one():
    """Two layers made by hand, with the public mask of layer 0 between them."""
    module, x, noise = (
        bptt.nn.GRU(IN, H, 2, dropout=0.4, batch_first=True),
        torch.randn(B, T, IN),
        torch.arange(B * T).view(B, T),
    )
    lower, upper = bptt.nn.GRU(IN, H, batch_first=True), bptt.nn.GRU(H, H, batch_first=True)
    names = module.state_dict()
    lower.load_state_dict({name: value for name, value in names.items() if "l0" in name})
    upper.load_state_dict({name.replace("l1", "l0"): value for name, value in names.items() if "l1" in name})
    y = upper(lower(x)[0] * kept(noise, H, 0.4, 0) / 0.6)[0]
    torch.testing.assert_close(module(x, noise=noise)[0], y)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), "0.5", True])
def test_wrong_probabilities_are_refused(p):
    with pytest.raises(InputError, match="Dropout is not a probability"):
        Dropout(p)
    with pytest.raises(InputError, match="Dropout is not a probability"):
        bptt.nn.Stack(torch.nn.GRUCell(2, 2), dropout=p)


def test_masks_of_nested_layers_differ():
    """A stack of deep layers numbers gaps at two levels, from 0 each."""
    seen = []
    original = dropout_module.kept

    def keep(noise, units, p, layer=0):
        seen.append(original(noise, units, p, layer))
        return seen[-1]

    stack = Stack(GRU(3, 32, 2, dropout=0.5), GRU(32, 32, 2, dropout=0.5), dropout=0.5)
    noise = torch.randint(2**62, (2, 5))
    with pytest.MonkeyPatch.context() as patch, readable():
        patch.setattr(dropout_module, "kept", keep)
        stack(torch.randn(2, 5, 3), noise=noise)
    assert len(seen) == 3
    for i, a in enumerate(seen):
        for b in seen[i + 1 :]:
            assert 0.3 < float((a != b).float().mean()) < 0.7


@pytest.mark.skipif(isinstance(library.load(), str), reason="no compiled kernels")
@pytest.mark.parametrize("p", [0.3, 1.0])
@pytest.mark.parametrize("layout", ["rows", "steps", "expanded", "deep", "sliced", "single"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_equals_readable(p, layout, dtype, monkeypatch):
    """In values, gradients and second derivatives, however x lies in memory; and it is the compiled one that ran."""
    x = torch.randn(B, T, H, dtype=dtype)
    if layout == "steps":
        x = torch.randn(T, B, H, dtype=dtype).transpose(0, 1)
    elif layout == "expanded":
        x = torch.randn(B, 1, H, dtype=dtype).expand(B, T, H)
    elif layout == "deep":
        x = torch.randn(B, T, 2, H, dtype=dtype)
    x, noise = x.clone(memory_format=torch.preserve_format).requires_grad_(), draw((B, T), torch.device("cpu"))
    whole, cut = x, {"sliced": slice(1, 4), "single": slice(2, 3)}.get(layout, slice(None))
    noise = noise[:, cut]

    def results():
        y = dropout(whole[:, cut], p, noise, -2)
        (grad,) = torch.autograd.grad(y.square().sum(), whole, create_graph=True)
        return y, grad, torch.autograd.grad(grad.square().sum(), whole)[0]

    with readable():
        expected = results()
    monkeypatch.setattr(dropout_module, "kept", None)
    torch.testing.assert_close(results(), expected)
    assert p == 1 or float(expected[2].abs().max()) > 1e-8


def test_no_rows():
    assert dropout(torch.zeros(0, 4, 3), 0.5).shape == (0, 4, 3) and dropout(torch.zeros(2, 0, 3), 0.5).shape == (2, 0, 3)

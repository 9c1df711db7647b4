"""LRU and MinGRU against their equations in NumPy, step by step; what their states, masks and first values are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from bptt import nest
from bptt.errors import InputError, ShapeError
from bptt.nn import LRU, MinGRU, Stack, adapt
from bptt.structure import OUTPUT
from bptt.testing import check_cell
from bptt.testing.cells import check_structure

B, T, IN, H, N = 3, 53, 3, 5, 4
PHI = {"tanh": np.tanh, "relu": lambda a: np.maximum(a, 0), "identity": lambda a: a}


def lru(layers: int = 1, nonlinearity: str = "identity", **extra) -> LRU:
    return LRU(IN, H, layers, N, nonlinearity, dtype=torch.float64, **extra)


def mingru(layers: int = 1, **extra) -> MinGRU:
    return MinGRU(IN, H, layers, dtype=torch.float64, **extra)


def start(layer) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Inputs and a state that is not zero."""
    return torch.randn(B, T, IN, dtype=torch.float64), tuple(torch.randn_like(leaf) for leaf in layer.initial_state(B))


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: each.detach().numpy() for name, each in module.named_parameters()}


def lru_by_hand(layer: LRU, x: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """h = λ h + exp(γ) (B x), y = φ(Re(C h) + D x), complex numbers as NumPy has them."""
    ends = []
    for each, first in zip(layer.layers, state, strict=True):
        p = arrays(each)
        lam = np.exp(-np.exp(p["nu"]) + 1j * p["theta"])
        b, c = p["input"][:, 0] + 1j * p["input"][:, 1], p["output"][..., 0] + 1j * p["output"][..., 1]
        h, outputs = first[..., 0] + 1j * first[..., 1], []
        for t in range(x.shape[1]):
            h = lam * h + np.exp(p["gamma"]) * (x[:, t] @ b.T)
            outputs.append(PHI[layer.nonlinearity]((h @ c.T).real + x[:, t] @ p["skip"].T))
        ends.append(np.stack([h.real, h.imag], -1))
        x = np.stack(outputs, 1)
    return x, ends


def mingru_by_hand(layer: MinGRU, x: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """z = σ(W_z x + b_z), h = (1 − z) h + z (W_h x + b_h)."""
    ends = []
    for each, h in zip(layer.layers, state, strict=True):
        p, outputs = arrays(each), []
        for t in range(x.shape[1]):
            both = x[:, t] @ p["linear.weight"].T + p.get("linear.bias", 0)
            z = 1 / (1 + np.exp(-both[:, :H]))
            h = (1 - z) * h + z * both[:, H:]
            outputs.append(h)
        ends.append(h)
        x = np.stack(outputs, 1)
    return x, ends


@pytest.mark.parametrize(
    ("layer", "by_hand"),
    [
        (lambda: lru(), lru_by_hand),
        (lambda: lru(3, "tanh"), lru_by_hand),
        (lambda: lru(2, "relu"), lru_by_hand),
        (lambda: mingru(), mingru_by_hand),
        (lambda: mingru(3, bias=False), mingru_by_hand),
    ],
)
def test_equals_its_equation(layer, by_hand):
    layer = layer()
    x, state = start(layer)
    y, ends = layer(x, state)
    expected, last = by_hand(layer, x.numpy(), [leaf.numpy() for leaf in state])
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-12, atol=1e-12)
    for found, meant in zip(ends, last, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), meant, rtol=1e-12, atol=1e-12)
    assert np.abs(expected).max() > 0.1


LAYERS = {
    "lru": lambda: lru(),
    "two lru": lambda: lru(2, "tanh"),
    "mingru": lambda: mingru(),
    "three mingru": lambda: mingru(3),
    "both": lambda: Stack(lru(), MinGRU(H, 2, dtype=torch.float64)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("steps", [5, 40])
def test_keeps_the_contract(name, steps):
    """In one scan, and in several chunks of it; of what moves what as well."""
    check_cell(LAYERS[name](), inputs=IN, rows=3, steps=steps)
    assert adapt(LAYERS[name]()).structure() is not None


@pytest.mark.parametrize("name", LAYERS)
def test_rows_of_unequal_length_with_every_mask(name):
    """Outputs, last states and gradients are those of every row alone, cut where it ends, one step after another."""
    layer = adapt(LAYERS[name]())
    x, state = start(layer) if name != "both" else (start(lru())[0], nest.map(torch.randn_like, layer.initial_state(B)))
    reset, edge, lengths = torch.rand(B, T) < 0.1, torch.rand(B, T, dtype=torch.float64) * 2, [37, 0, T]
    x.requires_grad_()
    leaves = [leaf.requires_grad_() for leaf in nest.leaves(state)]
    y, ends = layer(x, state, reset=reset, edge=edge, lengths=torch.tensor(lengths))
    outputs, last = torch.zeros_like(y), []
    for b, n in enumerate(lengths):
        own, alone = slice(b, b + 1), nest.map(lambda leaf, b=b: leaf[b : b + 1], state)
        for t in range(n):
            at = slice(t, t + 1)
            one, alone = layer(x[own, at], alone, reset=reset[own, at], edge=edge[own, at])
            outputs = outputs.index_put((torch.tensor([b]), torch.tensor([t])), one[:, 0])
        last.append(alone)
    last = nest.map(lambda *each: torch.cat(each), *last)
    pulls = [torch.randn_like(each) for each in (y, *nest.leaves(ends))]
    grads = []
    for results in ((y, *nest.leaves(ends)), (outputs, *nest.leaves(last))):
        value = sum((a * b).sum() for a, b in zip(results, pulls, strict=True))
        grads.append([*results, *torch.autograd.grad(value, [x, *leaves, *layer.parameters()])])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)
        assert b.abs().max() > 1e-3


@pytest.mark.parametrize("name", ["two lru", "three mingru"])
def test_states_before_every_step_come_from_the_same_scan(name):
    layer = LAYERS[name]()
    x, state = start(layer)
    reset, noise = torch.rand(B, T) < 0.1, torch.randint(2**62, (B, T))
    layer.dropout = 0.3
    found = layer.states(x, state, reset=reset, noise=noise)
    expected = super(type(layer).__mro__[1], layer).states(x, state, reset=reset, noise=noise)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert not any(leaf.requires_grad for leaf in found) and min(leaf.abs().max() for leaf in found) > 0.1


def test_no_steps_change_nothing():
    layer = mingru(2)
    x, state = start(layer)
    y, ends = layer(x[:, :0], state)
    assert y.shape == (B, 0, H) and all(torch.equal(a, b) for a, b in zip(ends, state, strict=True))


def test_an_oscillation_by_its_closed_form():
    """One unit that gets a single impulse: Re(λ^t), whatever the number of steps."""
    layer = LRU(1, 1, dtype=torch.float64)
    (units,) = layer.layers
    with torch.no_grad():
        for name, value in {"nu": -9.0, "theta": 0.1, "gamma": 0.0, "skip": 0.0}.items():
            getattr(units, name).fill_(value)
        units.input.copy_(torch.tensor([[[1.0], [0.0]]]))
        units.output.copy_(torch.tensor([[[1.0, 0.0]]]))
    x = torch.zeros(1, 5000, 1, dtype=torch.float64)
    x[0, 0] = 1
    t = torch.arange(5000, dtype=torch.float64)
    expected = torch.exp(-t * math.exp(-9)) * torch.cos(0.1 * t)
    torch.testing.assert_close(layer(x)[0][0, :, 0], expected, rtol=0, atol=1e-11)


def test_the_first_oscillations_lie_between_the_circles_and_keep_the_size_of_white_noise():
    layer = LRU(6, 2, 1, 4_000, radius=(0.6, 0.95), phase=1.5, dtype=torch.float64)
    (units,) = layer.layers
    size = torch.exp(-units.nu.detach().exp())
    assert 0.6 <= size.min() < 0.605 and 0.94 < size.max() <= 0.95
    # Uniform over the area: half of |λ|² on either side of the middle.
    assert (size.square() < (0.36 + 0.9025) / 2).double().mean() == pytest.approx(0.5, abs=0.03)
    turn = units.theta.detach()
    assert 0 <= turn.min() < 0.01 and 1.49 < turn.max() <= 1.5
    _, (h,) = layer(torch.randn(40, 64, 6, dtype=torch.float64))
    assert float(h.square().sum(2).mean()) == pytest.approx(1, abs=0.06)
    before = units.nu.detach().clone()
    layer.reset_parameters()
    assert not torch.equal(before, units.nu)


def test_dropout_between_the_layers_is_read_off_the_noise():
    for layer in (lru(2, "tanh", dropout=0.5), mingru(2, dropout=0.5)):
        x, state = start(layer)
        noise = torch.randint(2**62, (B, T))
        whole, _ = layer(x, state, noise=noise)
        assert torch.equal(whole, layer(x, state, noise=noise)[0])
        assert not torch.equal(whole, layer(x, state, noise=noise + 1)[0])
        first, middle = layer(x[:, :4], state, noise=noise[:, :4])
        cut = torch.cat([first, layer(x[:, 4:], middle, noise=noise[:, 4:])[0]], 1)
        torch.testing.assert_close(cut, whole, rtol=1e-12, atol=1e-12)
        assert not torch.equal(layer.eval()(x, state)[0], whole)


def test_under_autocast_the_state_keeps_its_type():
    for layer in (LRU(IN, H, 2), MinGRU(IN, H, 2)):
        with torch.autocast("cpu", torch.bfloat16):
            y, state = layer(torch.randn(B, T, IN))
        plain, _ = layer(torch.randn(B, T, IN))
        assert {leaf.dtype for leaf in state} == {torch.float32} and y.shape == plain.shape
        y.float().square().sum().backward()
        assert all(p.grad is not None for p in layer.parameters())


def test_weights_that_are_pruned_or_watched_say_less():
    layer = mingru(2)
    prune.l1_unstructured(layer.layers[0].linear, "weight", amount=0.5)
    found = layer.structure()
    assert set(found.moves) == {"layers.0.linear.bias", "layers.1.linear.weight", "layers.1.linear.bias"}
    x, state = start(layer)
    check_structure(layer, x, state)
    layer.layers[1].linear.register_forward_hook(lambda module, args, output: output.flip(-1))
    assert layer.structure() is None
    oscillators = lru()
    prune.l1_unstructured(oscillators.layers[0], "input", amount=0.5)
    assert set(oscillators.structure().moves) == {f"layers.0.{name}" for name in ("nu", "theta", "gamma", "output", "skip")}
    assert set(oscillators.structure().moves["layers.0.skip"].flatten().tolist()) == {OUTPUT}


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (LRU, {"hidden_size": 0}, "hidden_size must be a whole number, at least 1. hidden_size=0"),
        (LRU, {"state_size": 0}, "state_size"),
        (LRU, {"radius": (0.5, 1.1)}, r"circles .* radius=\(0.5, 1.1\). Give \(0.9, 0.999\)"),
        (LRU, {"radius": (0.9, 0.5)}, "circles"),
        (LRU, {"nonlinearity": "tahn"}, "'tanh'"),
        (MinGRU, {"num_layers": 1.5}, "num_layers"),
        (MinGRU, {"dropout": 1.5}, "Dropout is not a probability"),
    ],
)
def test_what_cannot_be_is_named(kind, arguments, message):
    with pytest.raises(InputError, match=message):
        kind(**{"input_size": IN, "hidden_size": H, **arguments})


def test_inputs_and_states_that_do_not_fit_are_named():
    with pytest.raises(ShapeError, match=r"inputs do not fit the layer. \(3, 5, 4\). Give them as \[B, T, 3\]"):
        mingru()(torch.zeros(B, 5, IN + 1, dtype=torch.float64))
    with pytest.raises(ShapeError, match=r"state does not fit the layer. \(3, 4\). Give \(3, 4, 2\)"):
        lru()(torch.zeros(B, 5, IN, dtype=torch.float64), (torch.zeros(B, N, dtype=torch.float64),))

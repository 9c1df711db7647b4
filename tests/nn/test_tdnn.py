"""The time-delay network against its equation in NumPy, an unrolled graph with weights per step, and torch's conv1d."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from bptt.errors import InputError, ShapeError
from bptt.nn import TDNN, Stack
from bptt.testing import check_cell

B, T, IN, H = 3, 11, 3, 5
PHI = {"tanh": np.tanh, "relu": lambda a: np.maximum(a, 0), "identity": lambda a: a}
SHAPES = [(1, 1, ()), (1, 4, ()), (2, 2, (1, 3)), (3, 3, (2, 1, 2))]


def make(layers: int, kernel: int, dilations: tuple[int, ...], nonlinearity: str = "tanh", **extra) -> TDNN:
    return TDNN(IN, H, layers, kernel, dilations, nonlinearity, dtype=torch.float64, **extra)


def start(layer: TDNN) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Inputs and a past that is not zero."""
    return torch.randn(B, T, IN, dtype=torch.float64), tuple(torch.randn_like(leaf) for leaf in layer.initial_state(B))


def by_hand(layer: TDNN, x: np.ndarray, past: list[np.ndarray]) -> np.ndarray:
    """y^l_t = φ(b^l + Σ_k W^l_k y^{l−1}_{t−k·d}) one number after another, `past` before the first step."""
    phi = PHI[layer.nonlinearity]
    for conv, dilation, line in zip(layer.layers, layer.dilations, past, strict=True):
        weight, bias = conv.weight.detach().numpy(), 0 if conv.bias is None else conv.bias.detach().numpy()
        below, x = x, np.zeros((B, T, H))
        for b, t in itertools.product(range(B), range(T)):
            total = np.zeros(H) + bias
            for k in range(layer.kernel_size):
                s = t - k * dilation
                total += weight[:, :, layer.kernel_size - 1 - k] @ (below[b, s] if s >= 0 else line[b, s])
            x[b, t] = phi(total)
    return x


@pytest.mark.parametrize("nonlinearity", list(PHI))
@pytest.mark.parametrize(("layers", "kernel", "dilations"), SHAPES)
def test_equals_its_equation(layers, kernel, dilations, nonlinearity):
    layer = make(layers, kernel, dilations, nonlinearity, bias=nonlinearity != "relu")
    x, past = start(layer)
    y, _ = layer(x, past)
    expected = by_hand(layer, x.numpy(), [line.numpy() for line in past])
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-12, atol=1e-12)
    assert np.abs(expected).max() > 0.1


def test_gradients_are_those_of_the_unrolled_network_summed_over_its_copies():
    """Every step gets a copy of the weights; what flows into the copies adds up to what flows into the shared ones."""
    layer = make(2, 3, (2, 1))
    x, past = start(layer)
    x.requires_grad_()
    past = tuple(line.requires_grad_() for line in past)
    q = torch.randn(B, T, H, dtype=torch.float64)
    copies, below = [], [[*line.unbind(1)] for line in past]
    steps = list(x.unbind(1))
    for conv, dilation, line in zip(layer.layers, layer.dilations, below, strict=True):
        values, outputs, each = line + steps, [], []
        for t in range(T):
            weight, bias = conv.weight.detach().clone().requires_grad_(), conv.bias.detach().clone().requires_grad_()
            each.append((weight, bias))
            taps = [values[t + k * dilation] @ weight[:, :, k].t() for k in range(3)]
            outputs.append(torch.tanh(bias + taps[0] + taps[1] + taps[2]))
        copies.append(each)
        steps = outputs
    flat = [leaf for each in copies for pair in each for leaf in pair]
    grads = torch.autograd.grad((torch.stack(steps, 1) * q).sum(), [x, *past, *flat])
    pairs = iter(grads[1 + len(past) :])
    expected = [*grads[: 1 + len(past)]]
    for each in copies:
        found = [(next(pairs), next(pairs)) for _ in each]
        expected += [sum(weight for weight, _ in found), sum(bias for _, bias in found)]
    found = torch.autograd.grad((layer(x, past)[0] * q).sum(), [x, *past, *layer.parameters()])
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
        assert b.abs().max() > 1e-3


def test_is_torchs_convolution_over_the_past():
    layer = make(1, 4, (3,), "identity")
    x, _ = start(layer)
    conv = layer.layers[0]
    expected = functional.conv1d(functional.pad(x.transpose(1, 2), (9, 0)), conv.weight, conv.bias, dilation=3)
    torch.testing.assert_close(layer(x)[0], expected.transpose(1, 2), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("layers", "kernel", "dilations", "reach"), [(1, 4, (), 4), (2, 3, (), 7), (3, 2, (1, 2, 4), 8)])
def test_reads_exactly_as_far_as_it_says(layers, kernel, dilations, reach):
    layer = make(layers, kernel, dilations, "identity")
    x = torch.randn(1, T, IN, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(x)[0][0, T - 1].sum(), x)
    assert layer.reach == reach
    assert (slope[0].abs().amax(1) > 0).tolist() == [t >= T - reach for t in range(T)]


def test_the_state_is_the_past_and_nothing_larger():
    layer = make(1, 3, (2,))
    x, past = start(layer)
    _, (line,) = layer(x[:, :3], past)
    assert torch.equal(line, torch.cat([past[0], x[:, :3]], 1)[:, -4:])
    assert line.untyped_storage().nbytes() == line.numel() * line.element_size()
    _, (line,) = layer(x[:1, :7], (past[0][:1],))
    assert line.untyped_storage().nbytes() == line.numel() * line.element_size()


def test_any_cut_gives_the_same():
    layer = make(3, 3, (2, 1, 2))
    x, state = start(layer)
    whole, end = layer(x, state)
    parts = []
    for a, b in [(0, 1), (1, 1), (1, 6), (6, 8), (8, T)]:
        y, state = layer(x[:, a:b], state)
        parts.append(y)
    torch.testing.assert_close((torch.cat(parts, 1), state), (whole, end), rtol=1e-12, atol=1e-12)


def test_rows_of_unequal_length_end_with_their_own_past():
    """With resets and edge weights: outputs, last states and gradients are those of every row alone, cut where it ends."""
    layer = make(2, 3, (2, 1))
    x, state = start(layer)
    reset, edge = torch.rand(B, T) < 0.15, torch.rand(B, T, dtype=torch.float64) * 2
    lengths = [6, 0, T]
    q = [torch.randn(B, T, H, dtype=torch.float64), *(torch.randn_like(leaf) for leaf in state)]

    def pulled(y, ends) -> list[torch.Tensor]:
        value = sum((a * b[..., : a.shape[1], :]).sum() for a, b in zip((y, *ends), q, strict=True))
        return list(torch.autograd.grad(value, [x, *state, *layer.parameters()]))

    x.requires_grad_()
    state = tuple(leaf.requires_grad_() for leaf in state)
    y, ends = layer(x, state, reset=reset, edge=edge, lengths=torch.tensor(lengths))
    rows = []
    for b, n in enumerate(lengths):
        own = slice(b, b + 1)
        past = tuple(leaf[own] for leaf in state)
        rows.append(layer(x[own, :n], past, reset=reset[own, :n], edge=edge[own, :n]))
    padded = torch.cat([functional.pad(row, (0, 0, 0, T - row.shape[1])) for row, _ in rows])
    alone = tuple(torch.cat(leaves) for leaves in zip(*(end for _, end in rows), strict=True))
    torch.testing.assert_close((y, ends), (padded, alone), rtol=1e-12, atol=1e-12)
    for a, b in zip(pulled(y, ends), pulled(padded, alone), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
        assert b.abs().max() > 1e-3


def test_dropout_between_the_layers_is_read_off_the_noise():
    layer = make(2, 2, (), dropout=0.5)
    x, state = start(layer)
    noise = torch.randint(2**62, (B, T))
    whole, _ = layer(x, state, noise=noise)
    assert torch.equal(whole, layer(x, state, noise=noise)[0])
    assert not torch.equal(whole, layer(x, state, noise=noise + 1)[0])
    first, middle = layer(x[:, :4], state, noise=noise[:, :4])
    torch.testing.assert_close(
        torch.cat([first, layer(x[:, 4:], middle, noise=noise[:, 4:])[0]], 1), whole, rtol=1e-12, atol=1e-12
    )
    assert torch.equal(layer.eval()(x, state)[0], layer(x, state, noise=noise)[0])


@pytest.mark.parametrize(("layers", "kernel", "dilations"), SHAPES)
def test_keeps_the_contract(layers, kernel, dilations):
    check_cell(make(layers, kernel, dilations), inputs=IN)
    check_cell(Stack(make(layers, kernel, dilations), torch.nn.GRUCell(H, 2)), inputs=IN)


def test_under_autocast_the_state_keeps_its_type():
    layer = TDNN(IN, H, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y, state = layer(torch.randn(B, T, IN))
    assert y.dtype == torch.bfloat16 and {leaf.dtype for leaf in state} == {torch.float32}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, r"kernel_size must be a whole number, at least 1. kernel_size=0"),
        ({"dilations": (1, 0), "num_layers": 2}, "A dilation must be a whole number"),
        ({"dilations": (1, 2)}, "one dilation per layer. 2 dilations, 1 layers"),
        ({"num_layers": 1.5}, "num_layers"),
        ({"nonlinearity": "tahn"}, "'tanh'"),
        ({"dropout": 1.5}, "Dropout is not a probability"),
    ],
)
def test_what_cannot_be_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        TDNN(IN, H, **arguments)


def test_inputs_and_states_that_do_not_fit_are_named():
    layer = make(1, 3, ())
    with pytest.raises(ShapeError, match=r"inputs do not fit the layer. \(3, 11, 4\). Give them as \[B, T, 3\]"):
        layer(torch.zeros(B, T, IN + 1, dtype=torch.float64))
    with pytest.raises(ShapeError, match=r"state does not fit the layer. \(3, 1, 3\). Give"):
        layer(torch.zeros(B, T, IN, dtype=torch.float64), (torch.zeros(B, 1, IN, dtype=torch.float64),))

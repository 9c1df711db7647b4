"""Reset, edge weight and lengths through every kind of recurrent layer, in outputs and all gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bptt.nn
from bptt import nest
from bptt.errors import ContractError, ShapeError
from bptt.nn import adapt

B, T, IN, H = 3, 7, 3, 5


def floats(state: Any) -> list[Tensor]:
    return [leaf for leaf in nest.leaves(state) if nest.is_float(leaf)]


def start(layer, rows: int = B) -> tuple[Tensor, Any]:
    """Random inputs and a random state that wants a gradient; counters begin at 2."""
    x = torch.randn(rows, T, IN, dtype=torch.float64, requires_grad=True)
    state = nest.map(
        lambda leaf: torch.randn_like(leaf).requires_grad_() if nest.is_float(leaf) else torch.full_like(leaf, 2),
        nest.detach(layer.initial_state(rows)),
    )
    return x, state


def scalar(y: Tensor, state: Any) -> Tensor:
    """A random weighting of outputs and last state, the same at every call."""
    generator = torch.Generator().manual_seed(7)
    return sum((v * torch.randn(v.shape, dtype=v.dtype, generator=generator)).sum() for v in [y, *floats(state)])


def gradients(layer, x: Tensor, state: Any, value: Tensor) -> list[Tensor]:
    return torch.autograd.grad(value, [x, *floats(state), *layer.parameters()], materialize_grads=True)


def close(a, b, tolerance: float = 1e-12) -> None:
    for u, v in zip(a, b, strict=True):
        torch.testing.assert_close(u, v, rtol=tolerance, atol=tolerance)


def row(state: Any, b: int) -> Any:
    return nest.map(lambda leaf: leaf[b : b + 1], state)


def joined(rows: list[Any]) -> Any:
    return nest.map(lambda *leaves: torch.cat(leaves), rows[0], *rows[1:])


def in_pieces(layer, x: Tensor, state: Any, reset: Tensor) -> tuple[Tensor, Any]:
    """Every row on its own, cut at its resets, every piece after a reset from a new initial state."""
    outputs, ends = [], []
    for b in range(len(x)):
        cuts = [t for t in range(1, T) if reset[b, t]]
        current, parts = row(state, b), []
        for first, last in zip([0, *cuts], [*cuts, T], strict=True):
            if reset[b, first]:
                current = layer.initial_state(1)
            y, current = layer(x[b : b + 1, first:last], current)
            parts.append(y)
        outputs.append(torch.cat(parts, 1))
        ends.append(current)
    return torch.cat(outputs), joined(ends)


def some_resets() -> Tensor:
    reset = torch.zeros(B, T, dtype=torch.bool)
    reset[0, 0] = reset[0, 4] = reset[2, 2] = reset[2, 3] = True
    return reset


def test_reset_is_a_new_sequence(layer):
    x, state = start(layer)
    found, expected = layer(x, state, reset=some_resets()), in_pieces(layer, x, state, some_resets())
    close([found[0], *nest.leaves(found[1])], [expected[0], *nest.leaves(expected[1])])
    close(gradients(layer, x, state, scalar(*found)), gradients(layer, x, state, scalar(*expected)))


def test_reset_wins_over_the_edge(layer):
    x, state = start(layer)
    plain = gradients(layer, x, state, scalar(*layer(x, state, reset=some_resets())))
    edge = torch.ones(B, T, dtype=torch.float64).masked_fill(some_resets(), 9.0)
    close(gradients(layer, x, state, scalar(*layer(x, state, reset=some_resets(), edge=edge))), plain)


def test_edge_follows_the_recursion(layer):
    """δ_{t-1} = q_{t-1}ᵀ + ξ_t D_tᵀ δ_t over every leaf, each step differentiated on its own, the sum over time done here."""
    x, state = start(layer)
    edge = torch.randn(B, T, dtype=torch.float64) * 1.5
    edge[0, 0], edge[1, 3], edge[2, 5] = 0, 0, 1
    y, end = layer(x, state, edge=edge)
    close([y, *nest.leaves(end)], [layer(x, state)[0], *nest.leaves(layer(x, state)[1])])
    generator = torch.Generator().manual_seed(7)
    q = torch.randn(y.shape, dtype=y.dtype, generator=generator)
    delta = [torch.randn(leaf.shape, dtype=leaf.dtype, generator=generator) for leaf in floats(end)]
    states = [nest.detach(state)]
    for t in range(T):
        states.append(nest.detach(layer(x[:, t : t + 1], states[-1])[1]))
    weights, inputs = [torch.zeros_like(p) for p in layer.parameters()], torch.zeros_like(x)
    for t in reversed(range(T)):
        before, piece = nest.as_leaves(states[t]), x[:, t : t + 1].detach().requires_grad_()
        out, after = layer(piece, before)
        value = (out[:, 0] * q[:, t]).sum() + sum((a * d).sum() for a, d in zip(floats(after), delta, strict=True))
        back = gradients(layer, piece, before, value)
        inputs[:, t] = back[0][:, 0]
        delta = [nest.align(edge[:, t], g) * g for g in back[1 : 1 + len(delta)]]
        weights = [w + g for w, g in zip(weights, back[1 + len(delta) :], strict=True)]
    close(gradients(layer, x, state, scalar(y, end)), [inputs, *delta, *weights], 1e-11)


def test_edge_of_ones_changes_nothing(layer):
    x, state = start(layer)
    plain = gradients(layer, x, state, scalar(*layer(x, state)))
    ones = torch.ones(B, T, dtype=torch.float64)
    close(gradients(layer, x, state, scalar(*layer(x, state, edge=ones))), plain)


def test_padding_is_ignored_exactly(layer):
    """A padded minibatch: outputs, last states and gradients are those of each sequence alone, NaN in the padding or not."""
    x, state = start(layer)
    lengths = torch.tensor([4, T, 1])
    if "OwnLayer" in repr(layer):
        with pytest.raises(ContractError, match="OwnLayer cannot run rows of unequal length"):
            layer(x, state, lengths=lengths)
        return
    padded = torch.where((torch.arange(T) < lengths[:, None])[..., None], x, torch.nan)
    y, end = layer(padded, state, lengths=lengths)
    alone = [layer(x[b : b + 1, :n], row(state, b)) for b, n in enumerate(lengths.tolist())]
    parts = torch.cat([nn.functional.pad(part, (0, 0, 0, T - part.shape[1])) for part, _ in alone])
    ends = joined([last for _, last in alone])
    close([y, *nest.leaves(end)], [parts, *nest.leaves(ends)])
    close(gradients(layer, x, state, scalar(y, end)), gradients(layer, x, state, scalar(parts, ends)))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_softmax_on_sequences_of_unequal_length(name, bidirectional):
    """One prediction per step, mean over the real steps: the loss and every gradient as if there were no padding."""
    module = getattr(bptt.nn, name)(IN, H, 2, batch_first=True, bidirectional=bidirectional, dtype=torch.float64)
    head = nn.Linear(H * (1 + bidirectional), 4, dtype=torch.float64)
    parameters = [*module.parameters(), *head.parameters()]
    x, lengths = torch.randn(B, T, IN, dtype=torch.float64), [5, T, 2]
    targets = torch.randint(4, (B, T))

    def loss(x, targets, **masks):
        return nn.functional.cross_entropy(head(module(x, **masks)[0]).flatten(0, 1), targets.flatten(), reduction="sum")

    padded, ignored = x.clone(), targets.clone()
    for b, n in enumerate(lengths):
        padded[b, n:], ignored[b, n:] = torch.nan, -100
    together = loss(padded, ignored, lengths=torch.tensor(lengths))
    alone = sum(loss(x[b : b + 1, :n], targets[b : b + 1, :n]) for b, n in enumerate(lengths))
    close([together, *torch.autograd.grad(together, parameters)], [alone, *torch.autograd.grad(alone, parameters)])


@pytest.mark.parametrize("ragged", [False, True])
def test_reset_splits_both_directions(ragged):
    """A bidirectional layer with a reset at step 3 equals two runs; the state behind the last step is still the given one."""
    layer = adapt(bptt.nn.GRU(IN, H, 2, bidirectional=True, dtype=torch.float64))
    assert not layer.causal
    x, h = start(layer, 1)
    n, reset = (6 if ragged else T), torch.zeros(1, T, dtype=torch.bool)
    reset[0, 3] = True
    first = layer(x[:, :3], torch.stack([h[:, 0], torch.zeros(1, H), h[:, 2], torch.zeros(1, H)], 1).double())
    second = layer(x[:, 3:n], torch.stack([torch.zeros(1, H), h[:, 1], torch.zeros(1, H), h[:, 3]], 1).double())
    y, end = layer(x, h, reset=reset, lengths=torch.tensor([n]) if ragged else None)
    ends = torch.stack([second[1][:, 0], first[1][:, 1], second[1][:, 2], first[1][:, 3]], 1)
    expected = torch.cat([first[0], second[0]], 1)
    close([y[:, :n], end], [expected, ends])
    close(gradients(layer, x, h, scalar(y[:, :n], end)), gradients(layer, x, h, scalar(expected, ends)))


def test_edge_belongs_to_the_same_border_in_both_directions():
    """With ξ = 0 between steps 2 and 3, no gradient crosses that border, and every other step is reached."""
    module = bptt.nn.RNN(IN, H, bidirectional=True, batch_first=True)
    x, edge = torch.randn(1, T, IN, requires_grad=True), torch.ones(1, T)
    edge[0, 3] = 0
    y, _ = module(x, edge=edge)
    forward = torch.autograd.grad(y[0, 5, :H].sum(), x, retain_graph=True)[0].abs().sum(-1)[0] > 0
    backward = torch.autograd.grad(y[0, 1, H:].sum(), x)[0].abs().sum(-1)[0] > 0
    assert forward.tolist() == [False] * 3 + [True] * 3 + [False]
    assert backward.tolist() == [False, True, True] + [False] * 4


def test_packed_sequences_take_masks_in_the_callers_order():
    module = bptt.nn.LSTM(IN, H, 2, dtype=torch.float64)
    x, lengths, reset = torch.randn(B, T, IN, dtype=torch.float64), torch.tensor([2, T, 4]), some_resets()
    edge = torch.rand(B, T, dtype=torch.float64)
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, state = module(packed, reset=reset, edge=edge)
    y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True)
    padded = module(x.transpose(0, 1), reset=reset, edge=edge, lengths=lengths)
    found = torch.autograd.grad(scalar(y, state), list(module.parameters()))
    expected = torch.autograd.grad(scalar(padded[0].transpose(0, 1), padded[1]), list(module.parameters()))
    close([y, *state, *found], [padded[0].transpose(0, 1), *padded[1], *expected])


@pytest.mark.parametrize("batch_first", [False, True])
def test_masks_are_rows_first_whatever_batch_first(batch_first):
    module = bptt.nn.GRU(IN, H, batch_first=batch_first)
    x = torch.randn((B, T, IN) if batch_first else (T, B, IN))
    module(x, reset=some_resets())
    with pytest.raises(ShapeError, match=r"reset does not fit the input. \(7, 3\)"):
        module(x, reset=some_resets().T)


def test_wrong_masks_are_refused(layer):
    x, state = start(layer)
    for masks, message in [
        ({"reset": torch.zeros(B, T)}, r"reset has the wrong type. torch.float32. Convert it: reset.to\(torch.bool\)"),
        ({"edge": torch.ones(B)}, r"edge does not fit the input. \(3,\). Give it as \(3, 7\)"),
        ({"lengths": torch.tensor([1, 2, T + 1])}, "longer than the input. lengths 1 to 8, 7 steps"),
        ({"noise": [1]}, "noise is not a tensor. list"),
    ]:
        with pytest.raises(ShapeError, match=message):
            layer(x, state, **masks)


def test_a_torch_layer_says_what_it_cannot_do():
    layer = adapt(nn.GRU(IN, H, bidirectional=True))
    assert layer(torch.randn(B, T, IN))[0].shape == (B, T, 2 * H)
    with pytest.raises(ContractError, match=r"Use the bptt\.nn layer"):
        layer(torch.randn(B, T, IN), reset=some_resets())


def test_lengths_may_stay_in_main_memory():
    """As torch's packed sequences have them; the meta device stands for any other."""
    layer = adapt(bptt.nn.LSTM(IN, H, 2, device="meta"))
    y, (h, _) = layer(torch.zeros(B, T, IN, device="meta"), lengths=torch.tensor([4, T, 1]))
    assert y.shape == (B, T, H) and h.shape == (B, 2, H) and y.device.type == "meta"

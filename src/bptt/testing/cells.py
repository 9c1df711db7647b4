"""`check_cell`: does a recurrent cell keep its contract?

Knows the contract of a cell and the adapter that runs it; must not know any cell, so that anybody's can be checked.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from bptt import nest
from bptt.nn import adapt
from bptt.testing.expect import expect
from bptt.types import State


def check_cell(cell: nn.Module, *, inputs: int, rows: int = 4, steps: int = 5) -> None:
    """Check the contract of a recurrent cell or layer; ContractError says where it is broken.

    Arguments: cell, a module with `forward(x [B, I], state) -> (y [B, H], state)` and `initial_state(batch_size)`, or anything
    else that `bptt.nn.adapt` takes; inputs, I.

    Checked, in float64 on a copy in evaluation mode:

    * the state is a nest of tensors whose axis 0 is the row, and keeps its shape from step to step;
    * the same call gives the same result; rows do not influence each other;
    * the outputs carry a gradient to inputs, parameters and the state before, equal to central differences;
    * a reset row starts from `initial_state`, with gradient to a learned one; edge weights and resets at any steps give what
      they mean, step by step, in outputs and gradients;
    * one pass over T steps equals T passes over one;
    * where it says what moves what, with `structure()`, the Jacobians of a step are zero wherever it says so, at a reset too.

    >>> check_cell(nn.GRUCell(3, 5), inputs=3)
    """
    layer = adapt(copy.deepcopy(cell).double().eval())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x = torch.randn(rows, steps, inputs, dtype=torch.float64)
        state = _somewhere(layer.initial_state(rows))
    check_state(layer, x, state)
    check_rows(layer, x, state)
    check_steps(layer, x, state)
    check_reset(layer, x, state)
    check_gradient(layer, x, state)
    check_edge(layer, x, state)
    check_structure(layer, x, state)


def check_state(layer: Any, x: Tensor, state: State) -> None:
    """Axis 0 is the row, the shape stays."""
    rows = x.shape[0]
    y, after = layer(x[:, :1], state)
    _expect(y.dim() >= 2 and tuple(y.shape[:2]) == (rows, 1), "y is not [B, H] per step", f"{tuple(y.shape)}")
    before, found = nest.leaves(layer.initial_state(rows)), nest.leaves(after)
    _expect(
        len(before) == len(found), "The state changes its shape from step to step", f"{len(before)}, then {len(found)} leaves"
    )
    for a, b in zip(before, found, strict=True):
        _expect(isinstance(a, Tensor), "A leaf of the state is no tensor", type(a).__name__)
        _expect(a.shape[:1] == (rows,), "Axis 0 of a leaf of the state is not the row", f"{tuple(a.shape)} for {rows} rows")
        _expect(
            a.shape == b.shape and a.dtype == b.dtype,
            "A leaf of the state changes",
            f"{a.shape} {a.dtype} → {b.shape} {b.dtype}",
        )


def check_rows(layer: Any, x: Tensor, state: State) -> None:
    """Twice the same, and every row as if it were alone."""
    y, after = layer(x, state)
    again, _ = layer(x, state)
    _expect(torch.equal(y, again), "The same call gives two results", "is there state outside of `state`?")
    for row in range(x.shape[0]):
        alone, end = layer(x[row : row + 1], nest.map(lambda leaf, row=row: leaf[row : row + 1], state))
        close = _close(alone, y[row : row + 1])
        close &= all(_close(a, b[row : row + 1]) for a, b in zip(nest.leaves(end), nest.leaves(after), strict=True))
        _expect(close, "Rows influence each other", f"row {row} alone differs from row {row} in a batch")


def check_steps(layer: Any, x: Tensor, state: State) -> None:
    """T steps at once equal T times one step."""
    y, end = layer(x, state)
    for t in range(x.shape[1]):
        piece, state = layer(x[:, t : t + 1], state)
        _expect(_close(piece, y[:, t : t + 1]), "Steps one by one differ from steps at once", f"step {t}")
    same = all(_close(a, b) for a, b in zip(nest.leaves(state), nest.leaves(end), strict=True))
    _expect(same, "The state after steps one by one differs", "from the state after all at once")


def check_reset(layer: Any, x: Tensor, state: State) -> None:
    """A row that resets forgets what was before."""
    if not layer.causal:
        return
    reset = torch.zeros(x.shape[:2], dtype=torch.bool)
    reset[0, 2] = True
    y, _ = layer(x, state, reset=reset)
    fresh, _ = layer(x[:1, 2:], layer.initial_state(1))
    _expect(_close(y[:1, 2:], fresh), "A row that resets does not start from initial_state", "row 0, reset at step 2")
    _expect(_close(y[1:], layer(x, state)[0][1:]), "The reset of one row reaches another", "row 0 resets")


def check_gradient(layer: Any, x: Tensor, state: State) -> None:
    """Gradients to inputs, parameters and state equal central differences along a random direction."""
    reset = torch.zeros(x.shape[:2], dtype=torch.bool)
    reset[0, 1] = layer.causal
    weights = torch.randn(layer(x, state)[0].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    floats = [leaf for leaf in nest.leaves(state) if nest.is_float(leaf)]
    points = [x, *floats, *layer.parameters()]

    def value() -> Tensor:
        return (layer(x, state, reset=reset)[0] * weights).sum()

    for point in points:
        point.requires_grad_(True)
    found = torch.autograd.grad(value(), points, allow_unused=True)
    _expect(
        found[0] is not None and bool(found[0].norm() >= 1e-8), "The gradient with respect to the input is dead", "norm < 1e-8"
    )
    generator = torch.Generator().manual_seed(2)
    for number, (point, gradient) in enumerate(zip(points, found, strict=True)):
        direction = torch.randn(point.shape, dtype=torch.float64, generator=generator)
        slope = 0.0 if gradient is None else float((gradient * direction).sum())
        numeric = _slope(value, point, direction)
        what = "the input" if number == 0 else "the state" if number <= len(floats) else "a parameter"
        off = abs(slope - numeric) / max(abs(numeric), 1.0)
        _expect(off <= 1e-6, f"The gradient with respect to {what} is wrong", f"{slope:.9g}, central difference {numeric:.9g}")


@torch.no_grad()
def _slope(value: Any, point: Tensor, direction: Tensor, width: float = 1e-6) -> float:
    point.add_(direction, alpha=width)
    above = float(value())
    point.sub_(direction, alpha=2 * width)
    below = float(value())
    point.add_(direction, alpha=width)
    return (above - below) / (2 * width)


def check_edge(layer: Any, x: Tensor, state: State) -> None:
    """Edge weights scale what flows back into the state on entering each step, and resets cut it, in any combination."""
    if not layer.causal:
        return
    generator = torch.Generator().manual_seed(3)
    edge = torch.rand(x.shape[:2], dtype=torch.float64, generator=generator) * 2
    reset = torch.rand(x.shape[:2], generator=generator) < 0.25
    ways = []
    for way in (by_layer, by_steps):
        start = nest.as_leaves(state)
        y = way(layer, x, start, reset, edge)
        wanted = [leaf for leaf in nest.leaves(start) if nest.is_float(leaf)] + list(layer.parameters())
        ways.append((y, torch.autograd.grad(y.square().sum(), wanted, allow_unused=True)))
    (ours, found), (theirs, meant) = ways
    _expect(
        _close(ours, theirs), "Resets and edge weights give another output than step by step", "edges may only scale gradients"
    )
    for a, b in zip(found, meant, strict=True):
        same = a is b is None or (a is not None and b is not None and _close(a, b))
        _expect(same, "Resets and edge weights give another gradient than step by step", "see nest.weigh and nest.where")


def by_layer(layer: Any, x: Tensor, state: State, reset: Tensor, edge: Tensor) -> Tensor:
    """The layer's own way."""
    return layer(x, state, reset=reset, edge=edge)[0]


def by_steps(layer: Any, x: Tensor, state: State, reset: Tensor, edge: Tensor) -> Tensor:
    """What the masks mean: before each step weigh the state, then replace it where the row resets."""
    outputs = []
    for t in range(x.shape[1]):
        state = nest.where(reset[:, t], layer.initial_state(x.shape[0]), nest.weigh(state, edge[:, t]))
        y, state = layer(x[:, t : t + 1], state)
        outputs.append(y)
    return torch.cat(outputs, 1)


def check_structure(layer: Any, x: Tensor, state: State) -> None:
    """Nothing moves what the cell's `structure` says it does not move."""
    found = layer.structure()
    if found is None or not layer.causal:
        return
    named = dict(layer.named_parameters(remove_duplicate=False))
    for name, units in found.moves.items():
        _expect(name in named, "The structure names a parameter that there is not", name)
        _expect(units.shape == named[name].shape, "The structure does not fit a parameter", f"{name}: {tuple(units.shape)}")
    numbers = sum(leaf[0].numel() for leaf in nest.leaves(state) if nest.is_float(leaf))
    _expect(len(found.units) == numbers, "The structure does not fit the state", f"{len(found.units)} units, {numbers} numbers")
    alone = torch.eye(found.size, dtype=torch.bool)
    coupling, within = (alone if matrix is None else matrix for matrix in (found.coupling, found.within))
    reads = coupling[found.units][:, found.units]
    for row, reset in ((0, False), (1, True)):
        start = nest.as_leaves(nest.map(lambda leaf, row=row: leaf[row : row + 1], state))
        _, after = layer(x[row : row + 1, :1], start, reset=torch.tensor([[reset]]))
        numbers_after = torch.cat([leaf.flatten() for leaf in nest.leaves(after) if nest.is_float(leaf)])
        before = [leaf for leaf in nest.leaves(start) if nest.is_float(leaf)]
        for number, unit in enumerate(found.units.tolist()):
            wanted = [*before, *(named[name] for name in found.moves)]
            slopes = torch.autograd.grad(numbers_after[number], wanted, retain_graph=True, allow_unused=True)
            back = torch.cat([_or_zeros(slope, leaf).flatten() for slope, leaf in zip(slopes, before, strict=False)])
            stray = bool(back[~reads[number]].any())
            _expect(not stray, "A unit is moved by one that its structure does not couple it to", f"unit {unit}")
            for name, slope in zip(found.moves, slopes[len(before) :], strict=True):
                units = found.moves[name]
                allowed = (units >= 0) & within[unit][units.clamp_min(0)]
                stray = bool(_or_zeros(slope, named[name])[~allowed].any())
                _expect(not stray, "A parameter moves a unit that its structure does not name", f"{name}, unit {unit}")


def _or_zeros(slope: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if slope is None else slope


def _somewhere(state: State) -> State:
    """A state of the same shape that is not the initial one."""
    return nest.map(lambda leaf: leaf.detach() + 0.3 * torch.randn_like(leaf) if nest.is_float(leaf) else leaf.clone(), state)


def _close(a: Tensor, b: Tensor) -> bool:
    return bool(torch.allclose(a.double(), b.double(), rtol=1e-9, atol=1e-10))


def _expect(kept: bool, wrong: str, given: str) -> None:
    expect(kept, wrong, given, "check_cell")

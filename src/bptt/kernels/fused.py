"""A whole stretch of one layer on the compiled recurrences: forward, and backward from what the forward kept.

Knows tensors, their layout (step after step, [T, B, …]) and which large products surround a recurrence; must not know autograd
or modules. The products over all steps are torch's; only what depends on the step before is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bptt.kernels.library import Library, Work

# Rows up to which a single step is made of dot products rather than of a matrix product.
FEW = 4
GATES = {"tanh": 1, "relu": 1, "identity": 1, "lstm": 4, "gru": 3}


class Layer(NamedTuple):
    """What a stretch is computed from. `x` holds vectors [T, B, I], or ids [T, B] that stand for one-hot vectors."""

    cell: str
    x: Tensor
    h: Tensor
    c: Tensor | None
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    initial: Tensor | None = None
    initial_cell: Tensor | None = None
    reset: Tensor | None = None
    edge: Tensor | None = None
    lengths: Tensor | None = None

    @property
    def gates(self) -> int:
        return GATES[self.cell]

    @property
    def elman(self) -> bool:
        return self.gates == 1


class Kept(NamedTuple):
    """What the forward leaves for the backward.

    states  [T+1, B, H], h_0 … h_T
    cells   [T+1, B, H], c_0 … c_T, of an LSTM
    gates   [T, B, G·H] and inner [T, B, H] (GRU), or None: to be rebuilt
    """

    states: Tensor
    cells: Tensor | None
    gates: Tensor | None
    inner: Tensor | None


def forward(library: Library, layer: Layer, *, keep: bool, chunk: int) -> Kept:
    """The states of a stretch; its gates too if `keep`. Otherwise at most `chunk` steps of gates exist at a time."""
    steps, rows = layer.x.shape[:2]
    states = layer.h.new_empty(steps + 1, rows, layer.weight_hh.shape[1])
    cells = None if layer.c is None else torch.empty_like(states)
    if not steps or not rows:
        states[0] = layer.h
        if cells is not None and layer.c is not None:
            cells[0] = layer.c
    size = steps if keep and not layer.elman else min(chunk, steps)
    gates, inner = (states[1:], None) if layer.elman else _buffers(layer, size)
    for a in range(0, steps if rows else 0, max(1, size)):
        b = min(steps, a + size)
        # An Elman layer projects its inputs to where its states will lie, chunk by chunk as well: there they stay in the cache.
        part = (gates[a:b], None) if layer.elman else (gates[: b - a], None if inner is None else inner[: b - a])
        _advance(library, layer, a, b, states, cells, *part)
    return Kept(states, cells, None, None) if layer.elman or not keep else Kept(states, cells, gates, inner)


def _advance(
    library: Library, layer: Layer, a: int, b: int, states: Tensor, cells: Tensor | None, gates: Tensor, inner: Tensor | None
) -> None:
    """The states of the steps [a, b), and their gates."""
    kept: dict[str, Tensor | None] = {"states": states, "cells": cells, "gates": gates, "inner": inner}
    if not a:
        kept["carry"], kept["carry_cell"] = layer.h, layer.c
    if layer.x.shape[0] == 1 and layer.x.shape[1] <= FEW and layer.x.is_floating_point():
        # One call reads every weight once.
        outer = {"weight_ih": layer.weight_ih.contiguous(), "x": layer.x, "bias_ih": layer.bias_ih}
        work(library, layer, Work.SINGLE, a, b, **kept, **outer)
        return
    _project(layer, layer.x[a:b], gates)
    if b - a > 1:
        work(library, layer, Work.FORWARD, a, b, **kept)
        return
    # A product of torch's costs less than arranging the weights for ours.
    h = layer.h.unsqueeze(0) if a == 0 else states[a:b]
    _recur(layer, gates, inner, anew(layer, h, a, b))
    work(library, layer, Work.STEP, a, b, **kept)


def _buffers(layer: Layer, steps: int) -> tuple[Tensor, Tensor | None]:
    rows, units = layer.x.shape[1], layer.weight_hh.shape[1]
    gates = layer.h.new_empty(steps, rows, layer.gates * units)
    return gates, layer.h.new_empty(steps, rows, units) if layer.cell == "gru" else None


def _project(layer: Layer, x: Tensor, out: Tensor) -> None:
    """out [T, B, G·H] ← x W_ihᵀ + b_ih."""
    bias, flat = layer.bias_ih, out.view(-1, out.shape[-1])
    if not x.is_floating_point():
        table = layer.weight_ih.t()
        table = table.contiguous() if bias is None else table + bias
        torch.index_select(table, 0, x.reshape(-1), out=flat)
    elif bias is None:
        torch.mm(x.reshape(-1, x.shape[-1]), layer.weight_ih.t(), out=flat)
    else:
        torch.addmm(bias, x.reshape(-1, x.shape[-1]), layer.weight_ih.t(), out=flat)


def work(library: Library, layer: Layer, kind: Work, a: int, b: int, **tensors: Tensor | None) -> None:
    """Run the steps [a, b): whole-stretch tensors are handed over from step a on."""
    if a:
        for name in ("states", "cells"):
            whole = tensors[name]
            tensors[name] = None if whole is None else whole[a:]
    library.run(
        kind, layer.cell, b - a, layer.x.shape[1], layer.h.dtype,
        weight=layer.weight_hh.contiguous(), bias=layer.bias_hh,
        reset=None if layer.reset is None else layer.reset[a:],
        edge=None if layer.edge is None else layer.edge[a:],
        lengths=None if layer.lengths is None else layer.lengths - a,
        initial=layer.initial, initial_cell=layer.initial_cell, **tensors,
    )  # fmt: skip


def anew(layer: Layer, states: Tensor, a: int, b: int) -> Tensor:
    """h_{t-1} as the steps [a, b) saw it, [T, B, H]: rows that were reset took `initial`."""
    if layer.reset is None:
        return states
    reset = layer.reset[a:b].unsqueeze(-1)
    return states.masked_fill(reset, 0) if layer.initial is None else torch.where(reset, layer.initial, states)


class Needs(NamedTuple):
    """Which of the large products of a backward pass somebody wants."""

    x: bool
    weights: bool

    @classmethod
    def of(cls, needs: Sequence[bool]) -> Needs:
        """From autograd's flags, in the order of a layer's fields after the name of its cell."""
        return cls(needs[0], any(needs[3:7]))


class Gradients(NamedTuple):
    """One gradient per differentiable field of a layer, None where there is nothing to differentiate."""

    x: Tensor | None
    h: Tensor
    c: Tensor | None
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    initial: Tensor | None
    initial_cell: Tensor | None


def backward(
    library: Library,
    layer: Layer,
    kept: Kept,
    grad_y: Tensor | None,
    grad_h: Tensor | None,
    grad_c: Tensor | None,
    *,
    chunk: int,
    needs: Needs,
) -> Gradients:
    """All gradients of a stretch from those of its outputs [T, B, H] and last states [B, H]. Overwrites the kept gates."""
    steps, rows = layer.x.shape[:2]
    grad_y = None if grad_y is None else grad_y.contiguous()
    carry, carry_cell = _start(layer.h, grad_h), None if layer.c is None else _start(layer.c, grad_c)
    initial = None if layer.initial is None else torch.zeros_like(layer.h)
    initial_cell = None if layer.initial_cell is None else torch.zeros_like(layer.h)
    sums = Sums(layer, needs)
    size = max(1, min(chunk, steps) if kept.gates is None else steps)
    gates, inner = (kept.gates, kept.inner) if kept.gates is not None else _buffers(layer, size)
    for b in range(steps if rows else 0, 0, -size):
        a = max(0, b - size)
        part = gates[: b - a], None if inner is None else inner[: b - a]
        h_before = anew(layer, kept.states[a:b], a, b)
        if kept.gates is None and not layer.elman:
            _rebuild(library, layer, kept, a, b, *part, h_before)
        work(
            library, layer, Work.BACKWARD, a, b, states=kept.states, cells=kept.cells, gates=part[0], inner=part[1],
            outputs_grad=None if grad_y is None else grad_y[a:], carry=carry, carry_cell=carry_cell,
            initial_grad=initial, initial_cell_grad=initial_cell,
        )  # fmt: skip
        sums.add(a, b, *part, h_before)
    return sums.gradients(carry, carry_cell, initial, initial_cell)


def _start(state: Tensor, gradient: Tensor | None) -> Tensor:
    """A copy of the gradient of a last state, which the kernel turns into that of the first."""
    return torch.zeros_like(state) if gradient is None else gradient.clone(memory_format=torch.contiguous_format)


class Sums:
    """The gradients of weights, biases and inputs: large products over the gate gradients of many steps at once."""

    def __init__(self, layer: Layer, needs: Needs) -> None:
        self.layer, self.needs, self.units = layer, needs, layer.weight_hh.shape[1]
        self.ids = not layer.x.is_floating_point()
        self.x = torch.empty_like(layer.x) if needs.x and not self.ids else None
        self.weight_ih: Tensor | None = None
        self.weight_hh: Tensor | None = None
        self.bias: Tensor | None = None
        self.inner_bias: Tensor | None = None

    def add(self, a: int, b: int, gates: Tensor, inner: Tensor | None, h_before: Tensor) -> None:
        """Take in the gate gradients of the steps [a, b)."""
        layer, flat, h = self.layer, gates.view(-1, gates.shape[-1]), h_before.reshape(-1, self.units)
        x = layer.x[a:b].reshape(flat.shape[0], -1)
        if self.x is not None:
            torch.mm(flat, layer.weight_ih, out=self.x[a:b].view(x.shape))
        if not self.needs.weights:
            return
        if self.ids:
            table = torch.ops.aten.embedding_dense_backward(flat, x.view(-1), layer.weight_ih.shape[1], -1, False)
            self.weight_ih = _plus(self.weight_ih, table.t())
        else:
            self.weight_ih = _product(self.weight_ih, flat, x)
        if layer.bias_ih is not None or layer.bias_hh is not None:
            self.bias = _plus(self.bias, flat.sum(0))
        if inner is None:
            self.weight_hh = _product(self.weight_hh, flat, h)
            return
        inner = inner.view(-1, self.units)
        outer, first = 2 * self.units, self.weight_hh is None
        if self.weight_hh is None:
            self.weight_hh = layer.weight_hh.new_empty(layer.weight_hh.shape)
        _product(None if first else self.weight_hh[:outer], flat[:, :outer], h, out=self.weight_hh[:outer])
        _product(None if first else self.weight_hh[outer:], inner, h, out=self.weight_hh[outer:])
        if layer.bias_hh is not None:
            self.inner_bias = _plus(self.inner_bias, inner.sum(0))

    def gradients(self, h: Tensor, c: Tensor | None, initial: Tensor | None, initial_cell: Tensor | None) -> Gradients:
        """Everything, zeros where there was no step."""
        layer = self.layer
        if self.weight_ih is None:
            self.weight_ih = torch.zeros_like(layer.weight_ih)
            like = layer.bias_hh if layer.bias_ih is None else layer.bias_ih
            self.bias = None if like is None else torch.zeros_like(like)
        weight_hh = torch.zeros_like(layer.weight_hh) if self.weight_hh is None else self.weight_hh
        bias_hh = None if self.bias is None or layer.bias_hh is None else self.bias.clone()
        if bias_hh is not None and self.bias is not None and self.inner_bias is not None:
            bias_hh = torch.cat([self.bias[: 2 * self.units], self.inner_bias])
        bias_ih = None if layer.bias_ih is None else self.bias
        return Gradients(self.x, h, c, self.weight_ih, weight_hh, bias_ih, bias_hh, initial, initial_cell)


def _plus(total: Tensor | None, term: Tensor) -> Tensor:
    return term if total is None else total.add_(term)


def _product(total: Tensor | None, gates: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
    """total + gatesᵀ x, in `total`, or in `out` if there is nothing yet."""
    return torch.mm(gates.t(), x, out=out) if total is None else total.addmm_(gates.t(), x)


def _rebuild(
    library: Library, layer: Layer, kept: Kept, a: int, b: int, gates: Tensor, inner: Tensor | None, h_before: Tensor
) -> None:
    """The gates of the steps [a, b) from their states: one large product instead of b − a small ones."""
    _project(layer, layer.x[a:b], gates)
    _recur(layer, gates, inner, h_before)
    work(library, layer, Work.GATES, a, b, states=kept.states, cells=kept.cells, gates=gates, inner=inner)


def _recur(layer: Layer, gates: Tensor, inner: Tensor | None, h_before: Tensor) -> None:
    """Add h_{t-1} W_hhᵀ to the projected inputs; a GRU keeps the part of its new gate apart."""
    units = layer.weight_hh.shape[1]
    h, flat = h_before.reshape(-1, units), gates.view(-1, gates.shape[-1])
    if inner is None:
        flat.addmm_(h, layer.weight_hh.t())
        return
    outer, new = layer.weight_hh.split([2 * units, units])
    flat[:, : 2 * units].addmm_(h, outer.t())
    torch.mm(h, new.t(), out=inner.view(-1, units))

"""The compiled recurrences as differentiable functions of tensors.

Knows autograd, torch.compile and autocast; must not know modules. Two routes lead to the same two functions of `fused`: an
autograd.Function with nothing in between, and an operator registered with torch.library where a graph is being captured.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bptt import nest
from bptt.errors import ContractError, InputError, ShapeError, did_you_mean
from bptt.kernels import library, readable
from bptt.kernels.fused import GATES, Gradients, Kept, Layer, Needs, backward, forward
from bptt.kernels.library import Library
from bptt.kernels.observers import captured, differentiated_again

State = Any
MEMORY = ("auto", "gates", "lean")
# Gates of more bytes than this are rebuilt in the backward pass rather than kept, unless the caller chooses.
KEPT_AT_MOST = 2**29


def fused(compiled: Library, cell: str, *given: Any, memory: str = "auto", **masks: Any) -> tuple[Tensor, State]:
    """One layer over a whole stretch: outputs [B, T, H] and the last state. The arguments are those of `arranged`.

    memory  "gates": keep what the backward pass needs; "lean": keep the states alone and rebuild the gates; "auto": keep them
            while they are small
    """
    if memory not in MEMORY:
        raise InputError("No such memory mode", repr(memory), did_you_mean(memory, list(MEMORY)))
    layer = arranged(cell, *given, **masks)
    if layer is None:
        return readable.layer(cell, *given, **masks)  # where torch says what is wrong
    keep = keeps(layer, memory)
    with whole_precision():
        if captured():
            ends = operated(layer, keep)
        elif torch.is_grad_enabled() and any(t.requires_grad for t in layer[1:10] if t is not None):
            ends = Recurrence.apply(compiled, keep, *layer)
        else:
            ends = outputs(layer, forward(compiled, layer, keep=False, chunk=chunk_of(layer)))
    y, h, c = ends
    return y.transpose(0, 1), h if c is None else (h, c)


@torch.no_grad()
def traced(compiled: Library, cell: str, *given: Any, memory: str = "lean", **masks: Any) -> tuple[Tensor, State]:
    """Outputs [B, T, H] as `fused` computes them, without gradient, and the states before every step, leaves [B, T, H].

    Nothing is kept for a backward pass, whatever `memory` says. Raises ShapeError for what does not fit together.
    """
    layer = arranged(cell, *given, **masks)
    if layer is None:
        raise ShapeError("Input, state and weights do not fit together", shapes(given), "Give a state for as many rows")
    with whole_precision():
        kept = forward(compiled, layer, keep=False, chunk=chunk_of(layer))
    leaves = [leaf[:-1].transpose(0, 1) for leaf in (kept.states, kept.cells) if leaf is not None]
    return outputs(layer, kept)[0].transpose(0, 1), tuple(leaves) if layer.c is not None else leaves[0]


def arranged(
    cell: str,
    x: Tensor,
    state: State,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    *,
    initial: State = None,
    reset: Tensor | None = None,
    edge: Tensor | None = None,
    lengths: Tensor | None = None,
    nonlinearity: str = "tanh",
) -> Layer | None:
    """The arguments of a kernel as `Layer` has them, step after step in memory; None if they are not what it takes for granted.

    x [B, T, I], or ids [B, T] that stand for one-hot vectors; states [B, H]. Under autocast everything takes the precision of
    the weights: the recurrence gains nothing from half of it on a CPU.
    """
    dtype = weight_hh.dtype
    if torch.is_autocast_enabled("cpu"):
        every = (x, state, weight_ih, bias_ih, bias_hh, initial)
        whole = nest.map(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, every)
        x, state, weight_ih, bias_ih, bias_hh, initial = whole
    if not fits(x, state, weight_ih, weight_hh, bias_ih, bias_hh, initial=initial):
        return None
    h, c = state if cell == "lstm" else (state, None)
    first, first_cell = initial if cell == "lstm" and initial is not None else (initial, None)
    return Layer(
        nonlinearity if cell == "elman" else cell, turned(x), packed(h), packed(c), weight_ih, weight_hh,
        packed(bias_ih), packed(bias_hh), packed(first), packed(first_cell),
        None if reset is None else turned(reset), None if edge is None else turned(edge.to(dtype)),
        None if lengths is None else lengths.to(torch.int64).contiguous(),
    )  # fmt: skip


def whole_precision() -> contextlib.AbstractContextManager[Any]:
    """Within this context autocast does not reach our products. Free where there is none."""
    return torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else contextlib.nullcontext()


def fits(x: Tensor, state: State, weight_ih: Tensor, weight_hh: Tensor, *biases: Tensor | None, initial: State = None) -> bool:
    """Whether everything has the shape, the type and the place that the compiled code takes for granted."""
    gates, units = weight_hh.shape if weight_hh.dim() == 2 else (0, 1)
    leaves = nest.leaves((state, initial))
    shaped = (
        gates % units == 0
        and weight_ih.dim() == 2
        and weight_ih.shape[0] == gates
        and all(leaf.shape == (x.shape[0], units) for leaf in leaves)
        and all(bias is None or bias.shape == (gates,) for bias in biases)
        and (x.shape[2:] == weight_ih.shape[1:] if x.is_floating_point() else x.dim() == 2)
    )
    floats = [weight_ih, weight_hh, *leaves, *(bias for bias in biases if bias is not None)]
    floats += [x] if x.is_floating_point() else []
    return shaped and x.device.type == "cpu" and all(t.dtype == weight_hh.dtype and t.device.type == "cpu" for t in floats)


def shapes(given: Any) -> str:
    """What was handed over, for a person."""
    return ", ".join(f"{str(leaf.dtype).removeprefix('torch.')}{list(leaf.shape)}" for leaf in nest.leaves(given))


def operated(layer: Layer, keep: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """`outputs` by way of the registered operator."""
    states, last, *_ = torch.ops.bptt.recurrence(*layer, keep)
    y, h, _ = outputs(layer, Kept(states, None, None, None))
    return y, h, None if layer.c is None else last


def turned(values: Tensor) -> Tensor:
    """[B, T, …] as [T, B, …], contiguous. Free if they lie step after step already."""
    return values.transpose(0, 1).contiguous()


def packed(values: Any) -> Any:
    """A state, a bias, or None, contiguous."""
    return None if values is None else values.contiguous()


def keeps(layer: Layer, memory: str) -> bool:
    """Whether the gates are kept."""
    if memory != "auto":
        return memory == "gates"
    steps, rows = layer.x.shape[:2]
    return steps * rows * GATES[layer.cell] * layer.weight_hh.shape[1] * layer.weight_hh.element_size() <= KEPT_AT_MOST


def chunk_of(layer: Layer) -> int:
    """How many steps of gates exist at a time where they are not kept: about four million numbers, as the products like it."""
    return max(1, 2**22 // max(1, layer.x.shape[1] * GATES[layer.cell] * layer.weight_hh.shape[1]))


def outputs(layer: Layer, kept: Kept) -> tuple[Tensor, Tensor, Tensor | None]:
    """y [T, B, H] and the last states. They are copied: a state that is carried on must not hold the whole stretch."""
    y = kept.states[1:]
    if layer.lengths is not None:
        ended = torch.arange(y.shape[0], device=y.device).unsqueeze(1) >= layer.lengths
        y = y.masked_fill(ended.unsqueeze(-1), 0)
    return y, kept.states[-1].clone(), None if kept.cells is None else kept.cells[-1].clone()


class Recurrence(torch.autograd.Function):
    """The compiled layer, its gates overwritten by their gradients in the backward pass."""

    @staticmethod
    def forward(ctx: Any, compiled: Library, keep: bool, *inputs: Any) -> tuple[Tensor, Tensor, Tensor | None]:
        layer = Layer(*inputs)
        kept = forward(compiled, layer, keep=keep, chunk=chunk_of(layer))
        ctx.compiled, ctx.cell, ctx.spent = compiled, layer.cell, False
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*layer[1:], *kept)
        return outputs(layer, kept)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        saved = ctx.saved_tensors
        layer, kept = Layer(ctx.cell, *saved[: len(Layer._fields) - 1]), Kept(*saved[len(Layer._fields) - 1 :])
        needs = ctx.needs_input_grad[3:]
        if differentiated_again(grads):
            return None, None, None, *again(layer, grads, needs)
        if ctx.spent:  # a graph that is used twice has lost its gates to the first use
            kept = kept._replace(gates=None, inner=None)
        ctx.spent = True
        with whole_precision():
            found = backward(ctx.compiled, layer, kept, *grads, chunk=chunk_of(layer), needs=Needs.of(needs))
        return None, None, None, *spread(found, needs)


def spread(found: Gradients, needs: Sequence[bool]) -> list[Tensor | None]:
    """One gradient per input of a layer after the name of its cell; the masks have none."""
    every = [*found, *[None] * (len(Layer._fields) - 1 - len(found))]
    return [gradient if need else None for gradient, need in zip(every, needs, strict=True)]


def again(layer: Layer, grads: Sequence[Tensor | None], needs: Sequence[bool]) -> list[Tensor | None]:
    """The gradients in plain torch operations, for those who want to differentiate them again."""
    with torch.enable_grad():
        ends = plainly(layer)
        pairs = [(end, grad) for end, grad in zip(ends, grads, strict=True) if end is not None and grad is not None]
        wanted: list[Any] = [tensor for tensor, need in zip(layer[1:], needs, strict=True) if need]
        found = torch.autograd.grad(
            [end for end, _ in pairs], wanted, [grad for _, grad in pairs],
            create_graph=True, allow_unused=True, materialize_grads=True,
        )  # fmt: skip
    each = iter(found)
    return [next(each) if need else None for need in needs]


def plainly(layer: Layer) -> tuple[Tensor, Tensor, Tensor | None]:
    """`outputs` of the layer in plain torch operations."""
    pair = layer.cell == "lstm"
    first = None if layer.initial is None else (layer.initial, layer.initial_cell) if pair else layer.initial
    extra = {"nonlinearity": layer.cell} if layer.elman else {}
    y, state = readable.layer(
        "elman" if layer.elman else layer.cell, layer.x.transpose(0, 1), (layer.h, layer.c) if pair else layer.h,
        layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.bias_hh, initial=first,
        reset=None if layer.reset is None else layer.reset.t(), edge=None if layer.edge is None else layer.edge.t(),
        lengths=layer.lengths, **extra,
    )  # fmt: skip
    h, c = state if pair else (state, None)
    return y.transpose(0, 1), h, c


@torch.library.custom_op("bptt::recurrence", mutates_args=())
def recurrence(
    cell: str,
    x: Tensor,
    h: Tensor,
    c: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    initial: Tensor | None,
    initial_cell: Tensor | None,
    reset: Tensor | None,
    edge: Tensor | None,
    lengths: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A layer for captured graphs: states [T+1, B, H], c_T, and for its backward pass cells, gates and inner.

    What a cell does not have is empty. Only the first two may be differentiated.
    """
    given = x, h, c, weight_ih, weight_hh, bias_ih, bias_hh, initial, initial_cell, reset, edge, lengths
    layer = Layer(cell, *map(packed, given))
    states, cells, gates, inner = forward(library.loaded(), layer, keep=keep, chunk=chunk_of(layer))

    def present(tensor: Tensor | None) -> Tensor:
        return h.new_empty(0) if tensor is None else tensor

    last = None if cells is None else cells[-1].clone()
    return states, present(last), present(cells), present(gates), present(inner)


@recurrence.register_fake
def _(cell: str, x: Tensor, h: Tensor, c: Tensor | None, weight_ih: Tensor, weight_hh: Tensor, *rest: Any) -> Any:
    steps, rows, units, keep = x.shape[0], x.shape[1], weight_hh.shape[1], rest[-1]
    gated = GATES[cell] > 1 and keep
    shapes: list[tuple[int, ...]] = [
        (steps + 1, rows, units),
        (0,) if c is None else (rows, units),
        (0,) if c is None else (steps + 1, rows, units),
        (steps, rows, GATES[cell] * units) if gated else (0,),
        (steps, rows, units) if gated and cell == "gru" else (0,),
    ]
    return tuple(h.new_empty(shape) for shape in shapes)


@torch.library.custom_op("bptt::recurrence_backward", mutates_args=())
def recurrence_backward(
    cell: str,
    x: Tensor,
    h: Tensor,
    c: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    initial: Tensor | None,
    initial_cell: Tensor | None,
    reset: Tensor | None,
    edge: Tensor | None,
    lengths: Tensor | None,
    states: Tensor,
    cells: Tensor,
    gates: Tensor,
    inner: Tensor,
    grad_states: Tensor | None,
    grad_cell: Tensor | None,
) -> list[Tensor]:
    """The gradients of `recurrence` in the order of `Gradients`, each empty where there is none."""
    given = x, h, c, weight_ih, weight_hh, bias_ih, bias_hh, initial, initial_cell, reset, edge, lengths
    layer = Layer(cell, *map(packed, given))
    # A captured graph may run twice on what it kept, so the gates are not ours to overwrite.
    kept = Kept(states, *(tensor.clone() if tensor.numel() else None for tensor in (cells, gates, inner)))
    grad_y = None if grad_states is None else grad_states[1:].contiguous()
    needs = Needs(True, True)
    result = backward(library.loaded(), layer, kept, grad_y, None, grad_cell, chunk=chunk_of(layer), needs=needs)
    if grad_states is not None:
        result = result._replace(h=result.h + grad_states[0])
    return [h.new_empty(0) if tensor is None else tensor for tensor in result]


@recurrence_backward.register_fake
def _(cell: str, x: Tensor, h: Tensor, *rest: Any) -> list[Tensor]:
    return [h.new_empty(0) if like is None else torch.empty_like(like) for like in differentiable(x, h, *rest)]


def differentiable(x: Tensor, *rest: Any) -> list[Tensor | None]:
    """The inputs of a layer that have a gradient, in the order of `Gradients`."""
    return [x if x.is_floating_point() else None, *rest[: len(Gradients._fields) - 1]]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    cell, *tensors, _ = inputs
    states, _, cells, gates, inner = output
    ctx.cell = cell
    ctx.save_for_backward(*tensors, states, cells, gates, inner)


def _backward(ctx: Any, grad_states: Tensor | None, grad_cell: Tensor | None, *_: Any) -> tuple[Any, ...]:
    saved = ctx.saved_tensors
    grads = torch.ops.bptt.recurrence_backward(ctx.cell, *saved, grad_states, grad_cell if saved[2] is not None else None)
    present = differentiable(*saved[: len(Layer._fields) - 1])
    every = [None if like is None else grad for like, grad in zip(present, grads, strict=True)]
    return None, *every, *[None] * (len(Layer._fields) - 1 - len(every)), None


recurrence.register_autograd(_backward, setup_context=_setup)
recurrence.register_autocast("cpu", torch.float32)


@torch.library.register_vmap("bptt::recurrence")
def _(*_: Any) -> None:
    raise ContractError(
        "The compiled recurrence cannot be batched by vmap", "torch.ops.bptt.recurrence under vmap",
        "Call the layer itself, which then runs in plain torch operations",
    )  # fmt: skip

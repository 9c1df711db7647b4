"""The operations of the graph: of each its value, the shape of its result, and its vector-Jacobian product.

Knows the calculus of single operations; must not know graphs, tables or time.

An operation is one Python function; called with nodes it makes a node:

    @operation(the gradient at its first input, at its second, …)
    def name(first, second, …, *, attributes):
        \"\"\"What it computes, and its gradient g times what.\"\"\"
        return its value, from arrays

A vector-Jacobian product is a function (g, y, *inputs, **attributes) of nodes: y is the result, g is ∂z/∂y in the shape of y,
and what it returns is ∂z/∂input in the shape of that input. It is written with the operations of this file, so a gradient is
made of nodes and can be differentiated again. None stands for an input that no gradient flows to.

Operations that go number by number want equal shapes. What differs is first broadcast, by a node of its own, whose gradient is
the sum over the copies, whose gradient is a broadcast: so no product below has to think of broadcasting.
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from bptt.graph.node import Node, Shape, as_node
from bptt.graph.operation import Array, lengths, operation, unfit

# Sums, products, powers.


@operation(lambda g, y, a, b: g, lambda g, y, a, b: g, spread=True)
def add(a: Array, b: Array) -> Array:
    """a + b. Gradients g and g."""
    return a + b


@operation(lambda g, y, a, b: g, lambda g, y, a, b: -g, spread=True)
def subtract(a: Array, b: Array) -> Array:
    """a − b. Gradients g and −g."""
    return a - b


@operation(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a, spread=True)
def multiply(a: Array, b: Array) -> Array:
    """a ∘ b, number by number. Gradients g ∘ b and g ∘ a."""
    return a * b


@operation(lambda g, y, a, b: g / b, lambda g, y, a, b: -(g * y / b), spread=True)
def divide(a: Array, b: Array) -> Array:
    """a / b, number by number. Gradients g / b and −g ∘ y / b."""
    return a / b


@operation(lambda g, y, x: -g)
def negate(x: Array) -> Array:
    """−x. Gradient −g."""
    return -x


def _power_shape(x: Node, exponent: float) -> Shape:
    if not isinstance(exponent, int | float) or isinstance(exponent, bool):
        raise ValueError("the exponent is a number; for a node b write exp(b * log(a))")
    return x.shape


def _power_gradient(g: Node, y: Node, x: Node, exponent: float) -> Node:
    # 0, 1 and 2 by themselves: x⁻¹ has no value at 0, and the gradient of a square should read 2x.
    if exponent == 0:
        return broadcast(0.0, x.shape)
    slope = 1 if exponent == 1 else x if exponent == 2 else power(x, exponent - 1)
    return g if exponent == 1 else g * (exponent * slope)


@operation(_power_gradient, shape=_power_shape)
def power(x: Array, *, exponent: float) -> Array:
    """x to the power p, a number. Gradient g ∘ p x^(p−1)."""
    return x**exponent


# Functions of one number.


@operation(lambda g, y, x: g * y)
def exp(x: Array) -> Array:
    """eˣ. Gradient g ∘ y."""
    return np.exp(x)


@operation(lambda g, y, x: g / x)
def log(x: Array) -> Array:
    """The natural logarithm. Gradient g / x."""
    return np.log(x)


@operation(lambda g, y, x: g * (1 - y * y))
def tanh(x: Array) -> Array:
    """tanh x. Gradient g ∘ (1 − y²)."""
    return np.tanh(x)


@operation(lambda g, y, x: g * (y * (1 - y)))
def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ). Gradient g ∘ y (1 − y)."""
    return 0.5 * (1 + np.tanh(0.5 * x))  # no power of e that could overflow


@operation(None)
def positive(x: Array) -> Array:
    """1 where x is above 0, else 0. It is flat, so no gradient flows through it."""
    return (x > 0).astype(x.dtype)


@operation(lambda g, y, x: g * positive(x))
def relu(x: Array) -> Array:
    """x where it is above 0, else 0. Gradient g where x is above 0; at 0 itself none."""
    return np.maximum(x, 0)


# Matrices: a vector has one axis, a matrix two; more axes in front are a stack of matrices.


def _matmul_shape(a: Node, b: Node) -> Shape:
    if not a.shape or not b.shape:
        raise ValueError("vectors, matrices or stacks of matrices; a number is multiplied by *")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError("the columns of the first are as many as the rows of the second")
    if min(a.ndim, b.ndim) == 1 and max(a.ndim, b.ndim) > 2:
        raise ValueError("a stack of matrices is multiplied by matrices; reshape the vector to one")
    columns = b.shape[-1:] if b.ndim > 1 else ()
    return np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) + a.shape[:-1][-1:] + columns


def _matmul_first(g: Node, y: Node, a: Node, b: Node) -> Node:
    if b.ndim == 1:
        return g * b if a.ndim == 1 else outer(g, b)
    return b @ g if a.ndim == 1 else sum_to(g @ swapped(b), a.shape)


def _matmul_second(g: Node, y: Node, a: Node, b: Node) -> Node:
    if a.ndim == 1:
        return g * a if b.ndim == 1 else outer(a, g)
    return swapped(a) @ g if b.ndim == 1 else sum_to(swapped(a) @ g, b.shape)


@operation(_matmul_first, _matmul_second, shape=_matmul_shape)
def matmul(a: Array, b: Array) -> Array:
    """a b, of vectors, matrices and stacks of matrices. Gradients g bᵀ and aᵀ g."""
    return a @ b


def outer(a: Node, b: Node) -> Node:
    """a bᵀ of two vectors: a matrix."""
    return reshape(a, (*a.shape, 1)) @ reshape(b, (1, *b.shape))


def swapped(x: Node) -> Node:
    """The last two axes in the other order."""
    return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _transpose_shape(x: Node, axes: Shape) -> Shape:
    if sorted(axes) != list(range(x.ndim)):
        raise ValueError("axes name every axis once")
    return tuple(x.shape[axis] for axis in axes)


def _transpose_gradient(g: Node, y: Node, x: Node, axes: Shape) -> Node:
    return transpose(g, tuple(map(axes.index, range(len(axes)))))


@operation(_transpose_gradient, shape=_transpose_shape)
def transpose(x: Array, *, axes: Shape) -> Array:
    """The axes in another order (`x.T`: reversed). Gradient g in the old one."""
    return x.transpose(axes)


# Shapes.


def _reshape_shape(x: Node, shape: Shape) -> Shape:
    if int(np.prod(lengths(shape))) != int(np.prod(x.shape)):
        raise ValueError("another shape has as many numbers")
    return shape


def _reshape_gradient(g: Node, y: Node, x: Node, shape: Shape) -> Node:
    return reshape(g, x.shape)


@operation(_reshape_gradient, shape=_reshape_shape, settled=True)
def reshape(x: Array, *, shape: Shape) -> Array:
    """The same numbers in another shape, row by row. Gradient g in the old one."""
    return x.reshape(shape)


def _grows(small: Shape, large: Shape) -> bool:
    """True if an array of the small shape can be broadcast to the large one."""
    new = len(large) - len(small)
    return new >= 0 and all(n in (1, m) for n, m in zip(small, large[new:], strict=True))


def _broadcast_shape(x: Node, shape: Shape) -> Shape:
    if not _grows(x.shape, lengths(shape)):
        raise ValueError("lengths are equal, or 1 in the input, counted from the last axis")
    return shape


def _broadcast_gradient(g: Node, y: Node, x: Node, shape: Shape) -> Node:
    return sum_to(g, x.shape)


@operation(_broadcast_gradient, shape=_broadcast_shape, settled=True)
def broadcast(x: Array, *, shape: Shape) -> Array:
    """Copies along axes that are new or of length 1. Gradient: the sum of g over the copies."""
    return np.broadcast_to(x, shape)


def _sum_to_shape(x: Node, shape: Shape) -> Shape:
    if not _grows(lengths(shape), x.shape):
        raise ValueError("lengths are equal, or 1 in the result, counted from the last axis")
    return shape


@operation(lambda g, y, x, shape: broadcast(g, x.shape), shape=_sum_to_shape, settled=True)
def sum_to(x: Array, *, shape: Shape) -> Array:
    """The sum over all axes that `shape` lacks, or has with length 1: the inverse of broadcast. Gradient: copies of g."""
    new = x.ndim - len(shape)
    ones = tuple(axis + new for axis, n in enumerate(shape) if n == 1 and x.shape[axis + new] != 1)
    return x.sum(axis=(*range(new), *ones), keepdims=True).reshape(shape)


def sum(x: Any, axis: int | None = None, keepdims: bool = False) -> Node:
    """The sum of all numbers of x, or along one axis."""
    x = as_node(x)
    if axis is None:
        return sum_to(x, (1,) * x.ndim if keepdims else ())
    if isinstance(axis, bool) or not isinstance(axis, int) or not -x.ndim <= axis < x.ndim:
        raise unfit("sum", (x,), f"one axis, from {-x.ndim} to {x.ndim - 1}", {"axis": axis})
    axis %= x.ndim
    kept = sum_to(x, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    return kept if keepdims else reshape(kept, x.shape[:axis] + x.shape[axis + 1 :])


# Parts. A slice is (start, stop, step) for every axis; stop None: to the very end, where the step is negative.

Slices = tuple[tuple[int, int | None, int], ...]


def _at(x: Array, slices: Slices) -> Array:
    return x[tuple(np.s_[start:stop:step] for start, stop, step in slices)]


def _part_shape(x: Node, slices: Slices) -> Shape:
    return tuple(len(range(n)[start:stop:step]) for n, (start, stop, step) in zip(x.shape, slices, strict=True))


def _part_gradient(g: Node, y: Node, x: Node, slices: Slices) -> Node:
    return pad(g, x.shape, slices)


@operation(_part_gradient, shape=_part_shape, settled=True)
def part(x: Array, *, slices: Slices) -> Array:
    """A part of x (`x[1:3, 0]` makes one). Gradient: g in its place, zeros around it."""
    return _at(x, slices)


@operation(lambda g, y, x, shape, slices: part(g, slices), shape=lambda x, shape, slices: shape)
def pad(x: Array, *, shape: Shape, slices: Slices) -> Array:
    """x in its place, zeros around it: the inverse of part. Gradient: that part of g."""
    whole = np.zeros(shape, x.dtype)
    _at(whole, slices)[...] = x
    return whole


def _concatenate_shape(*parts: Node, axis: int) -> Shape:
    first = parts[0].shape
    if not 0 <= axis < len(first):
        raise ValueError("an axis of the parts, counted from 0")
    if len({(*one.shape[:axis], *one.shape[axis + 1 :], one.ndim) for one in parts}) > 1:
        raise ValueError("parts differ along the axis only")
    return (*first[:axis], builtins.sum(one.shape[axis] for one in parts), *first[axis + 1 :])


def _concatenate_gradient(number: int, g: Node, y: Node, *parts: Node, axis: int) -> Node:
    start = builtins.sum(one.shape[axis] for one in parts[:number])
    slices = [(0, n, 1) for n in g.shape]
    slices[axis] = (start, start + parts[number].shape[axis], 1)
    return part(g, tuple(slices))


@operation(_concatenate_gradient, shape=_concatenate_shape)
def concatenate(*parts: Array, axis: int) -> Array:
    """The parts one after another along an axis. Gradient of each: its part of g."""
    return np.concatenate(parts, axis=axis)


# Indices choose; no gradient flows to them.


def _take_shape(x: Node, at: Node, axis: int) -> Shape:
    if not 0 <= axis < x.ndim:
        raise ValueError("an axis of the first, counted from 0")
    if at.below is None or at.below > x.shape[axis]:
        raise ValueError(f"indices below the length of axis {axis}: make them with index(name, below={x.shape[axis]})")
    return x.shape[:axis] + at.shape + x.shape[axis + 1 :]


def _take_gradient(g: Node, y: Node, x: Node, at: Node, axis: int) -> Node:
    return put(g, at, axis, x.shape[axis])


@operation(_take_gradient, None, shape=_take_shape)
def take(x: Array, at: Array, *, axis: int) -> Array:
    """The rows, columns, … of x at these indices: a product with one-hot vectors. Gradient: g added into those places."""
    return np.take(x, at, axis)


def _put_shape(x: Node, at: Node, axis: int, length: int) -> Shape:
    if at.below is None or at.below > length or x.shape[axis : axis + at.ndim] != at.shape:
        raise ValueError(f"indices below {length}, one for each place along the axis")
    return (*x.shape[:axis], length, *x.shape[axis + at.ndim :])


@operation(lambda g, y, x, at, axis, length: take(g, at, axis), None, shape=_put_shape)
def put(x: Array, at: Array, *, axis: int, length: int) -> Array:
    """Zeros, and x added into the places that the indices name: the inverse of take. Gradient: g at those places."""
    whole: Array = np.zeros((*x.shape[:axis], length, *x.shape[axis + at.ndim :]), x.dtype)
    places: Any = (*[slice(None)] * axis, at)
    np.add.at(whole, places, x)
    return whole


def _one_hot_shape(at: Node, classes: int) -> Shape:
    if at.below is None or not isinstance(classes, int) or at.below > classes:
        raise ValueError(f"indices below {classes}: make them with index(name, below={classes})")
    return (*at.shape, classes)


@operation(None, shape=_one_hot_shape)
def one_hot(at: Array, *, classes: int) -> Array:
    """A vector for each index: 1 at its place, 0 elsewhere. No gradient."""
    return np.eye(classes)[at]


# Distributions, along the last axis.


def _has_axis(x: Node) -> Shape:
    if not x.shape:
        raise ValueError("a distribution over the last axis needs one")
    return x.shape


@operation(lambda g, y, o: y * (g - sum(y * g, -1, keepdims=True)), shape=_has_axis)
def softmax(o: Array) -> Array:
    """ŷ = exp o / Σ exp o. Gradient ŷ ∘ (g − Σ ŷ ∘ g)."""
    powers = np.exp(o - o.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _cross_entropy_shape(o: Node, target: Node) -> Shape:
    if not o.shape or target.below is None or target.below > o.shape[-1] or target.shape != o.shape[:-1]:
        raise ValueError("scores [… , classes], and for each row of them the index of a class")
    return target.shape


@operation(
    lambda g, y, o, target: reshape(g, (*g.shape, 1)) * (softmax(o) - one_hot(target, o.shape[-1])),
    None,
    shape=_cross_entropy_shape,
)
def cross_entropy(o: Array, target: Array) -> Array:
    """−log ŷ[target], ŷ = softmax o. Gradient g (ŷ − y), y the one-hot vector of the target."""
    largest = o.max(-1, keepdims=True)
    log_sum = np.log(np.exp(o - largest).sum(-1)) + largest[..., 0]
    return log_sum - np.take_along_axis(o, target[..., None], -1)[..., 0]


# Edges of the unrolled graph: the value passes as it is, the gradient does not.


@operation(None)
def stop_gradient(x: Array) -> Array:
    """x, and no gradient flows back: a cut edge."""
    return x


def _scalar_weight(x: Node, weight: Node) -> Shape:
    if weight.shape:
        raise ValueError("the weight of an edge is one number")
    return x.shape


@operation(lambda g, y, x, weight: weight * g, None, shape=_scalar_weight)
def edge_weight(x: Array, weight: Array) -> Array:
    """x, and the gradient that flows back is multiplied by the weight ξ. With respect to ξ itself the value is constant."""
    return x

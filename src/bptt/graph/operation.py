"""What an operation is, and how one Python function becomes one.

Knows values, products and shapes as functions; must not know any operation (`operations` has them all).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bptt.errors import InputError, ShapeError
from bptt.graph.node import OPERATORS, Node, Shape, as_node, made

Array = Any  # a NumPy array of whichever float type the graph is evaluated in
Product = Callable[..., Node] | None
OPERATIONS: dict[str, Operation] = {}


class Operation:
    """An operation: `value` on arrays, `products` on nodes, `shape` of its result. Called with nodes it makes a node.

    spread   its inputs are first broadcast to one shape
    settled  on an input that has the shape of the result already it does nothing, and makes no node
    """

    def __init__(
        self, value: Callable[..., Array], products: Sequence[Product], shape: Callable[..., Shape], spread: bool, settled: bool
    ) -> None:
        functools.update_wrapper(self, value)
        self.name, self.value, self.products, self.shape = value.__name__, value, products, shape
        self.spread, self.settled = spread, settled
        parameters = inspect.signature(value).parameters.values()
        self.signature = "(" + ", ".join(str(one).partition(":")[0] for one in parameters) + ")"
        self.attributes = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
        self.arity = (
            None if any(one.kind is one.VAR_POSITIONAL for one in parameters) else len(parameters) - len(self.attributes)
        )
        OPERATIONS[self.name] = OPERATORS[self.name] = self

    def __call__(self, *inputs: Any, **attributes: Any) -> Node:
        """The node of this operation. Attributes may also follow the inputs, in their order."""
        count = len(inputs)
        if self.arity is not None:
            attributes |= zip(self.attributes, inputs[self.arity :], strict=False)
            inputs = inputs[: self.arity]
            count -= len(inputs)
        self._check(inputs, attributes, 0 if self.arity is None else count)
        attributes = {name: tuple(one) if isinstance(one, list) else one for name, one in attributes.items()}
        nodes = tuple([as_node(one) for one in inputs])
        for node, product in zip(nodes, self.products, strict=False):
            if product is not None and node.below is not None:
                raise unfit(self.name, nodes, "real numbers; an index only chooses, by take, one_hot or cross_entropy", {})
        if self.spread:
            nodes = together(self.name, nodes)
        try:
            shape = self.shape(*nodes, **attributes)
        except ValueError as reason:
            raise unfit(self.name, nodes, str(reason), attributes) from None
        if self.settled and shape == nodes[0].shape:
            return nodes[0]
        return made(self.name, nodes, attributes, shape)

    def _check(self, inputs: tuple[Any, ...], attributes: dict[str, Any], more: int) -> None:
        """InputError unless every input and attribute is given, and nothing else: what is left over would go unnoticed."""
        whole = len(inputs) == self.arity or (self.arity is None and inputs)
        if not whole or more > len(self.attributes) or attributes.keys() != set(self.attributes):
            given = f"{len(inputs) + max(0, more - len(self.attributes))} inputs, {', '.join(attributes) or 'no attributes'}"
            raise InputError(f"{self.name} is called with other arguments", given, f"Call {self.name}{self.signature}")

    def product(self, number: int) -> Product:
        """The vector-Jacobian product at input `number`. One for any number of inputs is first told which it is."""
        if self.arity is not None:
            return self.products[number]
        (product,) = self.products
        return product and functools.partial(product, number)


def operation(
    *products: Product, shape: Callable[..., Shape] | None = None, spread: bool = False, settled: bool = False
) -> Callable[[Callable[..., Array]], Operation]:
    """Make an operation of a function on arrays; without `shape` it keeps that of its first input."""
    return lambda value: Operation(value, products, shape or (lambda x, *_, **__: x.shape), spread, settled)


def together(name: str, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The nodes in one shape, by NumPy's rules."""
    if nodes[0].shape == nodes[1].shape:
        return nodes
    try:
        shape = np.broadcast_shapes(*(node.shape for node in nodes))
    except ValueError:
        raise unfit(name, nodes, "lengths are equal or 1, counted from the last axis", {}) from None
    return tuple(OPERATIONS["broadcast"](node, shape) for node in nodes)


def lengths(shape: Shape) -> Shape:
    """The shape, if it is one; ValueError, which a node tells with its name, if not."""
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 1 for n in shape):
        raise ValueError("a shape is a tuple of lengths, whole numbers of at least 1")
    return shape


def unfit(name: str, nodes: tuple[Node, ...], rule: str, attributes: dict[str, Any]) -> ShapeError:
    """The error for inputs that do not fit: it names them and their shapes."""
    given = "; ".join([*map(repr, nodes), *(f"{key}={value}" for key, value in attributes.items())])
    return ShapeError(f"{name} cannot be applied to this", given, f"The rule: {rule}")

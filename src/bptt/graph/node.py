"""Nodes: what a computation graph is made of.

    variable   a value that is given when the graph is evaluated
    constant   a value that is known already
    the rest   an operation on nodes that were there before

Knows shapes, names and how to walk a graph; must not know any operation, nor values, nor gradients.

A node never changes the nodes that it reads, and they must exist before it: so no graph has a cycle. The same operation on the
same nodes is the same node, however often it is written (hash-consing), so nothing in a graph is computed twice, and asking for
the same gradient again adds nothing. All walks are loops: a chain of a million nodes is as good as one of three.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, Self

import numpy as np

from bptt.errors import InputError, ShapeError

Shape = tuple[int, ...]
# The operators of Python, +, *, @ …, by their names; `operations` enters itself here, since it is built on nodes.
OPERATORS: dict[str, Callable[..., Node]] = {}
_MADE: weakref.WeakValueDictionary[tuple[Any, ...], Node] = weakref.WeakValueDictionary()


class Node:
    """One value of a computation graph: an operation, the nodes that it reads, and the shape of what comes out.

    op          "variable", "constant", or the name of an operation
    inputs      the nodes that it reads
    attributes  what else the operation depends on: an axis, an exponent, the value of a constant
    shape       of its value
    below       None for real numbers; n for indices 0 … n − 1
    name        what it is called in messages and pictures; empty if nobody has named it
    """

    op: str
    inputs: tuple[Node, ...]
    attributes: Mapping[str, Any]
    shape: Shape
    below: int | None
    name: str
    __slots__ = ("__weakref__", "attributes", "below", "inputs", "name", "op", "shape")
    __array_ufunc__ = None  # so that `array * node` is a node, and not an array of nodes

    def __init__(
        self,
        op: str,
        inputs: tuple[Node, ...],
        attributes: Mapping[str, Any],
        shape: Shape,
        *,
        below: int | None = None,
        name: str = "",
    ) -> None:
        put = object.__setattr__
        put(self, "op", op)
        put(self, "inputs", inputs)
        put(self, "attributes", attributes)
        put(self, "shape", shape)
        put(self, "below", below)
        put(self, "name", name)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"a node does not change: {self}")

    def named(self, name: str) -> Self:
        """This node, called `name` from now on. InputError if it is called something else already."""
        if self.name not in ("", name):
            raise InputError(f"A node has one name, and this one is called {self.name}", f"{name}: {self}", "Keep the first")
        object.__setattr__(self, "name", name)
        return self

    @property
    def ndim(self) -> int:
        """How many axes the value has."""
        return len(self.shape)

    @property
    def label(self) -> str:
        """The name; without one the operation on what it reads, one level deep."""
        if self.name:
            return self.name
        if self.op == "constant":
            value = self.attributes["value"]
            return f"{value:g}" if not self.shape else self.op
        return f"{self.op}({', '.join(one.name or one.op for one in self.inputs)})"

    def __repr__(self) -> str:
        kind = self.op if self.below is None else f"index below {self.below},"
        return f"{self.label} {list(self.shape)}" if not self.name else f"{self.name}: {kind} {list(self.shape)}"

    def __add__(self, other: Any) -> Node:
        return OPERATORS["add"](self, other)

    def __radd__(self, other: Any) -> Node:
        return OPERATORS["add"](other, self)

    def __sub__(self, other: Any) -> Node:
        return OPERATORS["subtract"](self, other)

    def __rsub__(self, other: Any) -> Node:
        return OPERATORS["subtract"](other, self)

    def __mul__(self, other: Any) -> Node:
        return OPERATORS["multiply"](self, other)

    def __rmul__(self, other: Any) -> Node:
        return OPERATORS["multiply"](other, self)

    def __truediv__(self, other: Any) -> Node:
        return OPERATORS["divide"](self, other)

    def __rtruediv__(self, other: Any) -> Node:
        return OPERATORS["divide"](other, self)

    def __matmul__(self, other: Any) -> Node:
        return OPERATORS["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Node:
        return OPERATORS["matmul"](other, self)

    def __neg__(self) -> Node:
        return OPERATORS["negate"](self)

    def __pow__(self, exponent: float) -> Node:
        return OPERATORS["power"](self, exponent)

    def __getitem__(self, where: Any) -> Node:
        return OPERATORS["item"](self, where)

    def __iter__(self) -> Any:
        raise TypeError(f"a node is not iterable: {self}")

    def __bool__(self) -> bool:
        raise TypeError(f"a node has no value before it is evaluated: {self}")

    @property
    def T(self) -> Node:
        """Its transpose."""
        return self if self.ndim < 2 else OPERATORS["transpose"](self, tuple(range(self.ndim))[::-1])


def variable(name: str, shape: Iterable[int] = ()) -> Node:
    """A node whose value is given when the graph is evaluated.

    Arguments: its name, which messages and pictures use; the shape of the value, () for one number.

    >>> variable("W_hh", (5, 5))
    W_hh: variable [5, 5]
    """
    return Node("variable", (), {}, _checked(name, shape), name=_called(name))


def index(name: str, below: int, shape: Iterable[int] = ()) -> Node:
    """A variable that holds whole numbers 0 … below − 1, as a token does: nothing is differentiated with respect to it.

    >>> index("x_1", below=28)
    x_1: index below 28, []
    """
    if isinstance(below, bool) or not isinstance(below, int) or below < 1:
        raise InputError(f"The indices {name} are below a whole number, at least 1", f"below={below!r}", "Give for example 28")
    return Node("variable", (), {}, _checked(name, shape), below=below, name=_called(name))


def constant(value: Any, name: str = "", *, below: int | None = None) -> Node:
    """A node whose value is known: a number, or an array of real numbers; with `below`, of indices 0 … below − 1.

    >>> constant([[1.0, 2.0]])
    constant [1, 2]
    """
    try:
        array = np.array(value)
    except ValueError:  # rows of unequal length
        array = np.array(None)
    if array.dtype.kind not in "biuf":
        raise InputError("A constant is a number or an array of numbers", f"{name} {value!r}".strip(), "Give real numbers")
    if below is not None and (array.dtype.kind not in "iu" or (array < 0).any() or (array >= below).any()):
        raise InputError("Indices are whole numbers from 0 on", f"{name} {value!r}, below {below}".strip(), "Give such numbers")
    array.setflags(write=False)
    return Node("constant", (), {"value": array}, array.shape, below=below, name=name)


def as_node(value: Any) -> Node:
    """`value` if it is a node, else a constant; the same number is the same constant."""
    if isinstance(value, Node):
        return value
    if not isinstance(value, int | float):
        return constant(value)
    node = _MADE.get(("constant", float(value)))
    if node is None:
        node = _MADE["constant", float(value)] = constant(float(value))
    return node


def made(op: str, inputs: tuple[Node, ...], attributes: Mapping[str, Any], shape: Shape) -> Node:
    """The node of an operation on these inputs: the one that is there, or a new one.

    The key holds the identities of the inputs, not the inputs: as long as the node lives, they do.
    """
    key = (op, *map(id, inputs), *sorted(attributes.items()))
    node = _MADE.get(key)
    if node is None:
        node = _MADE[key] = Node(op, inputs, attributes, shape)
    return node


def subgraph(results: Iterable[Node]) -> list[Node]:
    """All nodes that the results depend on, themselves included, each once, inputs before what reads them.

    Depth first, on a stack of our own.
    """
    order: dict[Node, None] = {}
    stack = [(node, False) for node in reversed(list(results))]
    while stack:
        node, inputs_done = stack.pop()
        if node in order:
            continue
        if inputs_done:
            order[node] = None
        else:
            stack.append((node, True))
            stack.extend((one, False) for one in reversed(node.inputs) if one not in order)
    return list(order)


def _called(name: str) -> str:
    if not isinstance(name, str) or not name:
        raise InputError("A variable needs a name: messages and pictures use it", repr(name), 'Give for example "W"')
    return name


def _checked(name: str, shape: Iterable[int]) -> Shape:
    lengths = tuple(shape) if isinstance(shape, Iterable) else (None,)
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in lengths):
        raise ShapeError(f"The shape of {name} is no list of lengths", repr(shape), "Give whole numbers of at least 1")
    return lengths

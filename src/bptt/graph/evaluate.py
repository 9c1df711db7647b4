"""The values of nodes, with NumPy.

Knows values, types and when a value is no longer needed; must not know gradients (they are nodes like any other).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import DTypeLike

from bptt.errors import InputError, ShapeError
from bptt.graph.node import Node, subgraph
from bptt.graph.operation import OPERATIONS

Array = Any


@overload
def evaluate(
    nodes: Node,
    given: Mapping[Node, Any],
    *,
    dtype: DTypeLike = ...,
    table: MutableMapping[Node, Array] | None = ...,
    observe: Callable[[Node, Array], None] | None = ...,
) -> Array: ...


@overload
def evaluate(
    nodes: Sequence[Node],
    given: Mapping[Node, Any],
    *,
    dtype: DTypeLike = ...,
    table: MutableMapping[Node, Array] | None = ...,
    observe: Callable[[Node, Array], None] | None = ...,
) -> list[Array]: ...


def evaluate(
    nodes: Node | Sequence[Node],
    given: Mapping[Node, Any],
    *,
    dtype: DTypeLike = np.float64,
    table: MutableMapping[Node, Array] | None = None,
    observe: Callable[[Node, Array], None] | None = None,
) -> Array | list[Array]:
    """The value of a node, or of several: every node that they depend on is computed once, and no other.

    Arguments:
        nodes    one node, or several
        given    the values of variables
        dtype    the float type of all real numbers; indices are int64
        table    where to keep the value of every node. What is in it already is not computed again, so the same table belongs
                 to the same given values. None: a value is let go after its last use
        observe  called with every node and its value, in the order in which they are computed

    Raises InputError for a variable without a value, ShapeError for a value of another shape; both name the variable.

    >>> from bptt import graph
    >>> x = graph.variable("x", (2,))
    >>> [value.tolist() for value in graph.evaluate([x * x, graph.sum(x)], {x: [1.0, 3.0]})]
    [[1.0, 9.0], 4.0]
    """
    single = isinstance(nodes, Node)
    results = [nodes] if isinstance(nodes, Node) else list(nodes)
    kind = np.dtype(dtype)
    if kind.kind != "f":
        raise InputError("A graph is evaluated in a float type", f"dtype={dtype!r}", "Give for example numpy.float64")
    check_given(given)
    order = subgraph(results)
    values: MutableMapping[Node, Array] = {} if table is None else table
    uses = Counter(one for node in order for one in node.inputs) + Counter(results)
    for node in order:
        if node not in values:
            values[node] = value_of(node, given, values, kind, results)
            if observe is not None:
                observe(node, values[node])
        if table is None:
            for one in node.inputs:
                uses[one] -= 1
                if not uses[one]:
                    del values[one]
    found = [values[node] for node in results]
    return found[0] if single else found


def value_of(
    node: Node, given: Mapping[Node, Any], values: Mapping[Node, Array], dtype: np.dtype, results: Sequence[Node]
) -> Array:
    """The value of one node whose inputs have theirs."""
    if node.op == "constant":
        value = node.attributes["value"]
    elif node.op == "variable":
        value = value_given(node, given, results)
    else:
        value = OPERATIONS[node.op].value(*(values[one] for one in node.inputs), **node.attributes)
    return np.asarray(value, np.int64 if node.below is not None else dtype)


def value_given(node: Node, given: Mapping[Node, Any], results: Sequence[Node]) -> Array:
    """What was given for a variable, if it fits."""
    if node not in given:
        needed = ", ".join(one.label for one in results[:3]) + (" …" if len(results) > 3 else "")
        raise InputError(f"{node.name} has no value", f"{node!r}, needed for {needed}", "Give one: evaluate(…, {node: value})")
    try:
        value = np.asarray(given[node])
    except ValueError:
        raise ShapeError(f"The rows of {node.name} are not equally long", repr(node), "Give it that shape") from None
    if value.shape != node.shape:
        raise ShapeError(
            f"The value of {node.name} has another shape", f"{list(value.shape)} for {node!r}", "Give it that shape"
        )
    if node.below is None:
        if value.dtype.kind not in "biuf":
            raise InputError(
                f"The value of {node.name} is not made of real numbers", f"{value.dtype} for {node!r}", "Give floats"
            )
    elif value.dtype.kind not in "iu" or (value < 0).any() or (value >= node.below).any():
        todo = f"Give whole numbers from 0 to {node.below - 1}"
        raise InputError(f"The value of {node.name} is no index", f"{value.tolist()!r} for {node!r}", todo)
    return value


def check_given(given: Mapping[Node, Any]) -> None:
    """InputError for a value of what is no variable: it would go unnoticed."""
    for node in given:
        if not isinstance(node, Node) or node.op != "variable":
            raise InputError("Only variables are given values", repr(node), "Give a mapping from variables to values")

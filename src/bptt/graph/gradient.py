"""The gradient of a node, as new nodes of its graph.

Knows the table and the order in which it is filled; must not know any operation (each brings its own vector-Jacobian product),
nor values, nor time.

    build_grad(V):                       if V is in the table, that is it
        for every consumer C of V that z depends on
            D_C = build_grad(C)
            the term of C is C's vector-Jacobian product at V, applied to D_C
        the sum of the terms is new nodes of the graph, and goes into the table

That is the algorithm as it is taught, which calls itself from V towards z. `differentiate` fills the same table from z towards
V: when a node's turn comes, its consumers are in the table already. So nothing recurs, however deep the graph is, and every
entry is made once. Source: Goodfellow, Bengio and Courville, Deep Learning, section 6.5.6, algorithms 6.5 and 6.6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from bptt.errors import InputError, ShapeError
from bptt.graph.node import Node, as_node, subgraph
from bptt.graph.operation import OPERATIONS
from bptt.graph.operations import broadcast, sum


@dataclasses.dataclass(frozen=True)
class Table:
    """What one run of the algorithm found.

    of         z, the node that was differentiated
    gradients  ∂z/∂V by V: for the nodes asked for, and for all between them and z
    terms      the term of consumer C in ∂z/∂V, by (C, V): the gradient that flows back over that edge. What is absent, is not
               on the way, or lets no gradient through
    """

    of: Node
    gradients: dict[Node, Node]
    terms: dict[tuple[Node, Node], Node]


def differentiate(z: Node, wanted: Iterable[Node], seed: Any = None) -> Table:
    """Fill the table of z for the wanted nodes, and keep all of it.

    ∂z/∂V = Σ_C vjp_C(∂z/∂C),  C over the consumers of V on which z depends

    Arguments: z, one number, or of any shape if there is a seed; the wanted nodes; seed, ∂(what is meant)/∂z in the shape of z,
    1 by default. Raises InputError for a wanted node that z does not depend on, ShapeError for a seed that does not fit.
    """
    wanted = dict.fromkeys(wanted)
    for node in (z, *wanted):
        if not isinstance(node, Node):
            raise InputError("Only nodes are differentiated, with respect to nodes", repr(node), "Give nodes of the graph")
    order = subgraph([z])
    check(z, wanted, set(order))
    between = reached(order, wanted)
    consumers: dict[Node, list[tuple[Node, Callable[..., Node]]]] = {V: [] for V in between}
    for C in order:
        for number, V in enumerate(C.inputs):
            if C in between and V in between and (product := OPERATIONS[C.op].product(number)) is not None:
                consumers[V].append((C, product))
    gradients, terms = {z: seed_of(z, seed)}, dict[tuple[Node, Node], Node]()
    for V in reversed(order):
        if V not in between or V is z:
            continue
        arrived: dict[Node, Node] = {}  # a consumer that reads V twice has two terms
        for C, product in consumers[V]:
            if C in gradients:  # else nothing of C comes back from z
                term = product(gradients[C], C, *C.inputs, **C.attributes)
                arrived[C] = arrived[C] + term if C in arrived else term
        if arrived or V in wanted:
            gradients[V] = total(list(arrived.values()), V)
            terms |= {(C, V): term for C, term in arrived.items()}
    return Table(z, gradients, terms)


def gradients(
    z: Node, wanted: Sequence[Node], *, seed: Any = None, independent: Literal["refuse", "zero"] = "refuse"
) -> list[Node]:
    """∂z/∂V for every wanted V, as nodes that can be evaluated, drawn and differentiated again.

    Arguments:
        z            what is differentiated: one number, or any shape with a seed
        wanted       variables, or any other nodes that z depends on
        seed         ∂(what is meant)/∂z in the shape of z: then the results are vector-Jacobian products
        independent  what to do for a V that z does not depend on: "refuse", or "zero", a node of zeros

    Raises InputError and ShapeError, naming the node and its shape. Source: as of this module.

    >>> from bptt import graph
    >>> x = graph.variable("x")
    >>> first, = graph.gradients(x**3, [x])
    >>> second, = graph.gradients(first, [x])
    >>> [float(value) for value in graph.evaluate([first, second], {x: 2.0})]
    [12.0, 12.0]
    """
    if independent not in ("refuse", "zero"):
        raise InputError("What z does not depend on is refused, or is zero", repr(independent), 'Take "refuse" or "zero"')
    if independent == "refuse":
        table = differentiate(z, wanted, seed).gradients
        return [table[V] for V in wanted]
    inside = set(subgraph([z]))
    table = differentiate(z, [V for V in wanted if V in inside], seed).gradients
    return [table[V] if V in inside else broadcast(0.0, V.shape) for V in wanted]


def hessian_vector_product(z: Node, wanted: Sequence[Node], vectors: Sequence[Any]) -> list[Node]:
    """H v, H the second derivatives of z by the wanted nodes, without making H: the gradient of ⟨∂z/∂V, v⟩.

    Arguments: z, one number; the wanted nodes; for each a vector in its shape, a node or an array. What the first gradient does
    not depend on any more gets zeros. Source: Pearlmutter, Fast exact multiplication by the Hessian, 1994.

    >>> from bptt import graph
    >>> x = graph.variable("x", (2,))
    >>> product, = graph.hessian_vector_product(graph.sum(x**3), [x], [[1.0, 0.0]])
    >>> graph.evaluate(product, {x: [2.0, 5.0]}).tolist()
    [12.0, 0.0]
    """
    slopes, given = gradients(z, wanted), [as_node(vector) for vector in vectors]
    if [V.shape for V in wanted] != [vector.shape for vector in given]:
        said = f"{', '.join(map(repr, given))} for {', '.join(map(repr, wanted))}"
        raise ShapeError("Every wanted node has a vector in its shape", said, "Give as many, in the same shapes")
    along = [sum(slope * vector) for slope, vector in zip(slopes, given, strict=True)]
    return gradients(total(along, z), wanted, independent="zero")


def norm(nodes: Sequence[Node]) -> Node:
    """√(Σ ‖node‖²) over all of them, as one node: for gradients, their global norm. Where it is 0 it has no gradient."""
    if not nodes:
        raise InputError("A norm is that of at least one node", "none", "Give gradients, or other nodes")
    return total([sum(node * node) for node in nodes], nodes[0]) ** 0.5


def total(terms: Sequence[Node], like: Node) -> Node:
    """Their sum; of none, zeros in the shape of `like`."""
    if not terms:
        return broadcast(0.0, like.shape)
    found = terms[0]
    for term in terms[1:]:
        found = found + term
    return found


def reached(order: Sequence[Node], wanted: Iterable[Node]) -> set[Node]:
    """The nodes that depend on a wanted node by a way that lets gradients through, and the wanted nodes."""
    found = set(wanted)
    for C in order:
        if C not in found and any(V in found and OPERATIONS[C.op].product(n) is not None for n, V in enumerate(C.inputs)):
            found.add(C)
    return found


def check(z: Node, wanted: Iterable[Node], inside: set[Node]) -> None:
    """InputError for what cannot be asked for."""
    for V in wanted:
        if V.below is not None:
            raise InputError(f"There is no gradient with respect to {V.label}", repr(V), "Ask for a node of real numbers")
        if V not in inside:
            todo = 'Leave it out, or take independent="zero"'
            raise InputError(f"{z.label} does not depend on {V.label}", f"{z!r}; {V!r}", todo)


def seed_of(z: Node, seed: Any) -> Node:
    """∂z/∂z."""
    if seed is None:
        if z.shape:
            todo = "Sum it up first, or give a seed in its shape"
            raise ShapeError(f"{z.label} is not one number, so it has no gradient", repr(z), todo)
        return as_node(1.0)
    seed = as_node(seed)
    if seed.shape != z.shape:
        raise ShapeError(f"The seed does not have the shape of {z.label}", f"{seed!r}; {z!r}", f"Give it as {list(z.shape)}")
    return seed

"""A recurrent network as a graph: folded, one step that is used again and again, and unrolled over T steps.

Knows times, names and where in a picture a node belongs; must not know any particular network (`networks` brings them).

A step reads parameters, the input of its time, and what earlier steps have left; it gives the nodes that it makes, by name.
Unrolling calls it once per step (more often where a flow runs steps again) and calls the nodes h_1, h_2, … In a flow of several
ways a step is run once for each way that reaches it: h_3^2 is h_3 as the second way runs it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from bptt.errors import InputError, did_you_mean
from bptt.graph.flow import Flow, Way, chained, full
from bptt.graph.gradient import total
from bptt.graph.node import Node, Shape, index, variable
from bptt.graph.operations import edge_weight, stop_gradient

Kind = Literal["parameter", "input", "target", "initial", "hidden", "output", "loss", "total"]
KINDS: Mapping[str, Kind] = {"o": "output", "l": "loss"}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a node belongs: what it is, its name without time, its time (None: it has none), its way (0, 1, … from below)."""

    kind: Kind
    base: str
    time: int | None = None
    way: int = 0


@dataclasses.dataclass(frozen=True)
class Network:
    """A network before it is unrolled.

    name        as on the command line
    title       what it is, in a few words
    equations   what a step computes, for people
    parameters  their shapes by name
    carried     what a step hands on to the next: shapes by name, or a number of classes; h_0 and the like are variables
    rows        the names that a step makes, and x, from below upwards, as they are drawn
    inputs      the shape of x_t, or a number of classes: x_t is an index
    targets     the same for y_t
    step        the step: from what it sees (`Step`) to the nodes that it makes, the loss "l" among them
    mean        L is the mean of the losses instead of their sum
    reach       how many steps back a step reads
    """

    name: str
    title: str
    equations: Sequence[str]
    parameters: Mapping[str, Shape]
    carried: Mapping[str, Shape | int]
    rows: Sequence[Sequence[str]]
    inputs: Shape | int
    targets: Shape | int
    step: Callable[[Step], Mapping[str, Node]]
    mean: bool = False
    reach: int = 1

    def unroll(self, steps: int, flow: Flow | None = None) -> Unrolled:
        """The graph over `steps` steps; `flow` says where gradients are cut, None: nowhere.

        Raises InputError for a number of steps below 1, and for a flow of another number of steps.
        """
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise InputError(
                "A network is unrolled over a whole number of steps, at least 1", f"steps={steps!r}", "Give steps=3"
            )
        return _unrolled(self, steps, full(steps) if flow is None else list(flow))


@dataclasses.dataclass(frozen=True)
class Unrolled:
    """A network over T steps: a graph whose nodes have names and places.

    nodes       every node that has a name, by it
    places      where it belongs
    parameters  the parameters, by name
    loss        L
    """

    network: Network
    steps: int
    flow: Flow
    nodes: Mapping[str, Node]
    places: Mapping[Node, Place]
    loss: Node

    @property
    def parameters(self) -> dict[str, Node]:
        return {name: self.nodes[name] for name in self.network.parameters}

    @property
    def variables(self) -> list[Node]:
        """All that is given a value, in the order in which it was made."""
        return [node for node in self.nodes.values() if node.op == "variable"]

    def __getitem__(self, name: str) -> Node:
        """The node of that name: `net["h_3"]`."""
        if name not in self.nodes:
            raise InputError(f"There is no node {name} in this graph", "", did_you_mean(name, list(self.nodes)))
        return self.nodes[name]

    def given(self, values: Mapping[str, Any]) -> dict[Node, Any]:
        """Values for the variables by their names, as `evaluate` takes them; x and y stand for x_1 … x_T and y_1 … y_T.

        Raises InputError for a name that there is not, and for another number of steps.
        """
        found: dict[Node, Any] = {}
        for name, value in values.items():
            if name not in ("x", "y"):
                found[self[name]] = value
                continue
            if len(value) != self.steps:
                raise InputError(f"{name} has a row for every step", f"{len(value)} rows, {self.steps} steps", "Give as many")
            found |= {self[f"{name}_{t}"]: row for t, row in enumerate(value, 1)}
        return found

    def example(self, seed: int = 0) -> dict[Node, Any]:
        """Values to try it on, not too small and not too large: the same for the same seed."""
        random = np.random.default_rng(seed)
        return {
            node: random.integers(node.below, size=node.shape) if node.below is not None else random.normal(size=node.shape)
            for node in self.variables
        }


@dataclasses.dataclass(frozen=True)
class Step:
    """What a step sees."""

    time: int
    x: Node
    y: Node
    way: Way
    _parameters: Mapping[str, Node]
    _past: Callable[[str, int], Node | None]

    def __getitem__(self, name: str) -> Node:
        """A parameter, as it is used at this step."""
        return weighed(self._parameters[name], self.way.uses.get(self.time, 1.0))

    def before(self, name: str, lag: int = 1) -> Node | None:
        """What was called `name` some steps ago; None if there is none. States pass the edge into this step: it may be cut."""
        return self._past(name, lag)

    def state(self, name: str) -> Node:
        """What the step before has left, by a name that is carried."""
        node = self._past(name, 1)
        assert node is not None
        return node


def weighed(node: Node, weight: float) -> Node:
    """The node behind an edge of this weight. Over an index no gradient flows anyway."""
    return node if weight == 1 or node.below is not None else stop_gradient(node) if weight == 0 else edge_weight(node, weight)


def _unrolled(network: Network, steps: int, flow: Flow) -> Unrolled:
    """Run the step over every way of the flow, and add up the losses."""
    if [t for way in flow for t in way.losses] != list(range(1, steps + 1)):
        raise InputError(
            "The ways of a flow have every loss once, in order", f"{flow}, {steps} steps", "Make it for these steps"
        )
    graph = _Builder(network, single=chained(flow))
    for t in range(1, steps + 1):
        graph.variable("input", "x", t, network.inputs)
        graph.variable("target", "y", t, network.targets)
    losses: dict[int, Node] = {}
    for number, way in enumerate(flow):
        for t in way.steps:
            made = network.step(
                Step(t, graph.nodes[f"x_{t}"], graph.nodes[f"y_{t}"], way, graph.parameters, graph.past(t, way))
            )
            for base, node in made.items():
                kind = KINDS.get(base, "hidden")
                if t in way.losses or base in network.carried or kind == "hidden":
                    graph.add(node, Place(kind, base, t, number))
            if t in way.losses:
                losses[t] = made["l"]
    whole = total(list(losses.values()), losses[1])
    whole = whole / steps if network.mean else whole
    if whole is not losses[1]:
        graph.add(whole, Place("total", "L"))
    return Unrolled(network, steps, flow, graph.nodes, graph.places, whole)


class _Builder:
    """Names and places, as they are given away."""

    def __init__(self, network: Network, single: bool) -> None:
        self.single = single
        self.nodes: dict[str, Node] = {}
        self.places: dict[Node, Place] = {}
        self.latest: dict[tuple[str, int], Node] = {}  # the node of a name and a time, as it was last made
        self.carried = network.carried
        for name, shape in network.parameters.items():
            self.add(variable(name, shape), Place("parameter", name))
        self.parameters = dict(self.nodes)
        for name, what in network.carried.items():
            self.variable("initial", name, 0, what)

    def variable(self, kind: Kind, base: str, time: int, what: Shape | int) -> None:
        """A variable of a time: of this shape, or an index below this number."""
        name = f"{base}_{time}"
        self.add(index(name, what) if isinstance(what, int) else variable(name, what), Place(kind, base, time))

    def add(self, node: Node, place: Place) -> Node:
        """Give the node its name and place; what two ways make alike is one node, and keeps the first."""
        name = place.base if place.time is None else f"{place.base}_{place.time}"
        if place.kind in ("hidden", "output", "loss") and not self.single:
            name += f"^{place.way + 1}"
        if node not in self.places:
            self.places[node] = place
            node.named(name)
        self.nodes[name] = node
        if place.time is not None:
            self.latest[place.base, place.time] = node
        return node

    def past(self, t: int, way: Way) -> Callable[[str, int], Node | None]:
        """What a step at t finds in earlier steps."""

        def before(name: str, lag: int) -> Node | None:
            node = self.latest.get((name, t - lag))
            return weighed(node, way.edges.get(t, 1.0)) if node is not None and name in self.carried else node

        return before

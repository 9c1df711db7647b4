"""What a picture shows: items and the links between them, read off the graph itself.

Knows nodes with names and what lies between them; must not know where anything is drawn.

A link u → v is there if v reads u, directly or through operations that have no name. It is cut if all ways between them lead
through a stop-gradient node, it weighs what the edge-weight nodes on the way say, and a gradient flows back over it if the
table of the algorithm has a term for every edge on the way.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from bptt.errors import InputError, did_you_mean
from bptt.graph.evaluate import evaluate
from bptt.graph.flow import chained
from bptt.graph.gradient import Table, differentiate
from bptt.graph.node import Node, subgraph
from bptt.graph.unroll import Kind, Network, Place, Unrolled

KindShown = Kind | Literal["variable", "constant", "operation", "slope"]
SYMBOLS = {
    **{"add": "+", "subtract": "−", "multiply": "∘", "divide": "÷", "negate": "−", "matmul": "·", "transpose": "T"},
    **{"sum_to": "Σ", "sigmoid": "σ", "positive": "> 0", "broadcast": "copy", "part": "[ : ]"},
    **{"concatenate": "join", "one_hot": "one-hot", "cross_entropy": "CE", "stop_gradient": "stop", "edge_weight": "ξ"},
}


@dataclasses.dataclass(frozen=True)
class Item:
    """One circle or box: what is written in it, what it is, its time and way, what is written beside it."""

    key: str
    text: str
    kind: KindShown
    base: str
    time: int | None = None
    way: int = 0
    value: str = ""
    gradient: str = ""


@dataclasses.dataclass(frozen=True)
class Link:
    """One arrow. `lag` is the number of steps that it bridges in a folded picture."""

    source: str
    target: str
    cut: bool = False
    weight: float = 1.0
    gradient: bool = False
    lag: int = 0


@dataclasses.dataclass(frozen=True)
class Scene:
    """All that a picture shows.

    network  whose scene it is; None: a graph of any nodes
    ways     a label for each way, where steps are run more than once; else empty
    """

    network: Network | None
    title: str
    items: Mapping[str, Item]
    links: tuple[Link, ...]
    folded: bool = False
    ways: tuple[str, ...] = ()

    def sources(self, key: str) -> set[str]:
        """What an item depends on directly. InputError for an item that there is not."""
        if key not in self.items:
            raise InputError(f"There is no {key} in this picture", "", did_you_mean(key, list(self.items)))
        return {link.source for link in self.links if link.target == key}


def unrolled(net: Unrolled, values: Mapping[Node, Any] | None = None, *, numbers: bool = False, norms: bool = False) -> Scene:
    """The scene of an unrolled network; with values for its variables also the numbers, and the norms of gradients."""
    order = subgraph([net.loss])
    table = differentiate(net.loss, [node for node in net.parameters.values() if node in order])
    shown = {node: place for node, place in net.places.items() if place.kind != "total" or chained(net.flow)}
    told = written(net, table, values or {}, numbers, norms)
    links = between(shown, order, table)
    drawn = {name for link in links for name in (link.source, link.target)}
    items = {
        node.name: Item(node.name, text(place), place.kind, place.base, place.time, place.way, *told(node))
        for node, place in shown.items()
        if node.name in drawn
    }
    title = f"{net.network.title}, unrolled over {net.steps} step{'s' * (net.steps != 1)}"
    scene = Scene(net.network, title, items, tuple(links))
    return scene if chained(net.flow) else banded(scene, net)


def operations(
    nodes: Sequence[Node],
    original: Sequence[Node] = (),
    values: Mapping[Node, Any] | None = None,
    labels: Mapping[Node, str] | None = None,
) -> Scene:
    """The scene of any graph: every node that the given ones depend on, operations too.

    What the `original` nodes do not depend on is shown as new: so gradients can be told from what they were made of.
    """
    order = subgraph(nodes)
    old = set(subgraph(original)) if original else set(order)
    told = dict(zip(order, map(number, evaluate(order, values)), strict=True)) if values is not None else {}
    times = Counter(node.name for node in order)  # a name that two nodes have is no key
    keys = {node: node.name if node.name and times[node.name] == 1 else f"#{place}" for place, node in enumerate(order)}
    items, links = {}, []
    for node in order:
        leaf = node.op in ("variable", "constant")
        kind: KindShown = "constant" if leaf else "operation" if node in old else "slope"
        kind = "variable" if node.op == "variable" else kind
        symbol = symbol_of(node)
        name = (labels or {}).get(node, node.name)
        items[keys[node]] = Item(
            keys[node], name or symbol, kind, node.op, value=told.get(node, symbol * bool(name and not leaf))
        )
        for one in dict.fromkeys(node.inputs):
            links.append(Link(keys[one], keys[node], cut=node.op == "stop_gradient", gradient=node not in old))
    return Scene(None, "a computation graph" + " and its gradients" * bool(set(order) - old), items, tuple(links))


def symbol_of(node: Node) -> str:
    """What stands for a node that has no name."""
    if node.op == "constant":
        return number(node.attributes["value"])
    if node.op == "power":
        return {2: "x²", 3: "x³"}.get(node.attributes["exponent"], f"x^{short(node.attributes['exponent'])}")
    return SYMBOLS.get(node.op, node.op)


def folded(network: Network) -> Scene:
    """The scene of a network before it is unrolled: every name once, and links that bridge steps.

    It is the last step of a network unrolled far enough that nothing of its beginning is left in it.
    """
    last = network.reach + 2
    whole = unrolled(network.unroll(last))
    links: dict[Link, None] = {}
    items: dict[str, Item] = {}
    for link in whole.links:
        source, target = whole.items[link.source], whole.items[link.target]
        if target.time == last:
            for item in (source, target):
                items.setdefault(item.base, dataclasses.replace(item, key=item.base, text=item.base, time=None))
            links[Link(source.base, target.base, lag=last - (last if source.time is None else source.time))] = None
    return Scene(network, f"{network.title}, folded", items, tuple(links), folded=True)


def banded(scene: Scene, net: Unrolled) -> Scene:
    """The same where steps are run once for every way: each has inputs of its own; parameters and targets are left out."""
    items = {key: item for key, item in scene.items.items() if item.kind not in ("parameter", "input", "target")}
    links = []
    for link in scene.links:
        source = scene.items[link.source]
        if source.kind == "input":
            band = scene.items[link.target].way
            key = f"{source.key}^{band + 1}"
            items[key] = dataclasses.replace(source, key=key, way=band)
            links.append(dataclasses.replace(link, source=key))
        elif source.kind not in ("parameter", "target"):
            links.append(link)
    for number, way in enumerate(net.flow):
        for t, weight in way.uses.items():
            key = f"h_{t}^{number + 1}"
            if key in items:
                items[key] = dataclasses.replace(items[key], gradient=f"θ × {short(weight)}")
    labels = tuple(named_losses(way.losses) for way in net.flow)
    return dataclasses.replace(scene, items=items, links=tuple(links), ways=labels)


def named_losses(losses: range) -> str:
    """As the label of a way."""
    return f"loss {losses.start}" if len(losses) == 1 else f"losses {losses.start} to {losses.stop - 1}"


def between(shown: Mapping[Node, Place], order: Iterable[Node], table: Table) -> list[Link]:
    """The links between nodes that are shown, past those that are not."""
    links: list[Link] = []
    arrived: dict[Node, dict[Node, Link]] = {}  # of every node: what it depends on, and how
    for node in order:
        found: dict[Node, Link] = {}
        for one in node.inputs:
            flows = (node, one) in table.terms
            start = Link(one.name, "", gradient=flows)
            for source, link in ({one: start} if one in shown else arrived[one]).items():
                link = dataclasses.replace(link, gradient=link.gradient and flows, **passed(node, link))
                found[source] = merged(found[source], link) if source in found else link
        arrived[node] = found
        if node in shown:
            links += [dataclasses.replace(link, target=node.name) for link in found.values()]
    return links


def passed(node: Node, link: Link) -> dict[str, Any]:
    """What an operation on the way does to the gradient of a link."""
    if node.op == "stop_gradient":
        return {"cut": True}
    weight = node.inputs[1].attributes.get("value") if node.op == "edge_weight" else None
    return {} if weight is None else {"weight": link.weight * float(weight)}


def merged(a: Link, b: Link) -> Link:
    """Two ways between the same nodes as one link."""
    return dataclasses.replace(a, cut=a.cut and b.cut, gradient=a.gradient or b.gradient)


def written(net: Unrolled, table: Table, values: Mapping[Node, Any], numbers: bool, norms: bool) -> Any:
    """A function from a node to what is written beside it: its value, and the norm of the gradient at it."""
    nodes = list(net.places) if numbers else []
    slopes = {V: G for V, G in table.gradients.items() if V in net.places} if norms else {}
    found = evaluate([*nodes, *slopes.values()], values) if nodes or slopes else []
    value = {node: number(one) for node, one in zip(nodes, found, strict=False)}
    slope = {node: f"‖∂‖ {short(np.linalg.norm(one))}" for node, one in zip(slopes, found[len(nodes) :], strict=True)}
    return lambda node: (value.get(node, ""), slope.get(node, ""))


def text(place: Place) -> str:
    """What is written in an item."""
    return place.base if place.time is None else f"{place.base}_{place.time}"


def number(value: Any) -> str:
    """A value in few characters: one number, two of them, or the norm of more."""
    flat = np.ravel(value)
    if len(flat) > 2:
        return f"‖·‖ {short(np.linalg.norm(flat))}"
    return short(flat[0]) if len(flat) == 1 else f"({flat[0]:.2g}, {flat[1]:.2g})".replace("-", "−")


def short(value: Any) -> str:
    """A number in three digits, with a minus sign."""
    return f"{value:.3g}".replace("-", "−")

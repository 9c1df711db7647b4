"""Pictures of graphs: a network folded and unrolled as in a textbook, and any graph, gradients included.

    scene    what is shown, read off the graph
    grid     where: time from left to right, layers upwards
    layered  where, for any graph; Graphviz lays it out if it is installed
    svg      as a file
    dot      as text

Knows the graph room; must not know terminals, nor files.

    net = graph.networks.rnn().unroll(3)
    graph.draw(net, highlight="h_3")                            # SVG, as a string
    graph.draw(net, gradients=True)
    graph.draw(net.network)                                     # folded
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bptt.errors import InputError, did_you_mean
from bptt.graph.drawing import grid, layered, scene
from bptt.graph.drawing.dot import dot as _dot
from bptt.graph.drawing.scene import Scene
from bptt.graph.drawing.svg import svg
from bptt.graph.node import Node
from bptt.graph.unroll import Network, Unrolled

Drawable = Network | Unrolled | Node | Sequence[Node]
READABLE = 8  # steps that a picture of ordinary size shows well


def draw(
    what: Drawable,
    *,
    highlight: str | None = None,
    gradients: bool = False,
    values: Mapping[Node, Any] | None = None,
    numbers: bool = False,
    norms: bool = False,
    original: Sequence[Node] = (),
    labels: Mapping[Node, str] | None = None,
    title: str = "",
    layout: Literal["auto", "grid", "graphviz"] = "auto",
) -> str:
    """A picture as SVG, one self-contained string.

    Arguments:
        what       an unrolled network; a network, which is drawn folded; or any nodes, drawn with all that they depend on
        highlight  the name of a node ("h_3"): it and what it depends on directly stand out
        gradients  draw the way of the gradient beside that of the value
        values     values for the variables; then numbers=True writes values beside nodes, norms=True norms of gradients
        original   of any nodes: what these do not depend on is drawn as new
        labels     of any nodes: what to call them
        title      above the picture, in the place of our own
        layout     "grid": our own; "graphviz"; "auto": networks on our grid, other graphs by Graphviz if it is installed

    Raises InputError for a name that there is not, and for what needs values and has none.

    >>> from bptt import graph
    >>> graph.draw(graph.networks.rnn().unroll(3)).startswith("<svg")
    True
    """
    shown = scene_of(what, values, numbers, norms, original, labels, title)
    if layout not in ("auto", "grid", "graphviz"):
        raise InputError("There is no such layout", f"layout={layout!r}", did_you_mean(layout, ["auto", "grid", "graphviz"]))
    if gradients and (shown.network is None or shown.folded):
        given = "a folded network" if shown.folded else "a graph of nodes"
        raise InputError("The way of the gradient is drawn beside an unrolled network", given, "Draw network.unroll(3)")
    if highlight is not None:
        shown.sources(highlight)  # a name that there is not is refused
    if shown.network is None or layout == "graphviz":
        return svg(layered.layout(shown, layout, highlight, gradients))
    return svg(grid.layout(shown, highlight, gradients))


def dot(
    what: Drawable,
    *,
    highlight: str | None = None,
    gradients: bool = False,
    values: Mapping[Node, Any] | None = None,
    numbers: bool = False,
    norms: bool = False,
    original: Sequence[Node] = (),
    labels: Mapping[Node, str] | None = None,
    title: str = "",
) -> str:
    """The same as DOT text; arguments and errors as of `draw`."""
    return _dot(scene_of(what, values, numbers, norms, original, labels, title), gradients=gradients, highlight=highlight)


def scene_of(
    what: Drawable,
    values: Mapping[Node, Any] | None = None,
    numbers: bool = False,
    norms: bool = False,
    original: Sequence[Node] = (),
    labels: Mapping[Node, str] | None = None,
    title: str = "",
) -> Scene:
    """What a picture of this shows."""
    if (numbers or norms) and (values is None or isinstance(what, Network)):
        given = "a folded network" if isinstance(what, Network) else "values=None"
        raise InputError("Numbers need values for the variables", given, "Unroll the network, and give values=net.example()")
    if isinstance(what, Network):
        found = scene.folded(what)
    elif isinstance(what, Unrolled):
        found = scene.unrolled(what, values, numbers=numbers, norms=norms)
    elif norms:
        raise InputError("Norms of gradients are drawn in a network", "a graph of nodes", "Draw the gradients: they are nodes")
    else:
        nodes = [what] if isinstance(what, Node) else list(what)
        if not nodes or not all(isinstance(node, Node) for node in nodes):
            raise InputError("What is drawn is a network, or at least one node", repr(what), "Give networks.rnn().unroll(3)")
        found = scene.operations(nodes, original, values if numbers else None, labels)
    return dataclasses.replace(found, title=title or found.title)


__all__ = ["READABLE", "Drawable", "dot", "draw", "scene_of"]

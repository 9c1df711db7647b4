"""The layout of any graph: inputs at the bottom, every node above what it reads.

Knows layers, and Graphviz if it is installed; must not know networks.

Without Graphviz: layers by the longest way from below; an arrow over several layers passes each of them at a place of its own;
the order in a layer by the mean place of neighbours, a few times up and down. After Sugiyama, Tagawa and Toda, Methods for
visual understanding of hierarchical system structures, 1981.
"""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bptt.errors import InputError
from bptt.graph.drawing.dot import dot
from bptt.graph.drawing.routes import returning
from bptt.graph.drawing.scene import Item, Scene, short
from bptt.graph.drawing.sheet import Line, Shape, Sheet, State, Words, look

STEP, ROW, MARGIN, SWEEPS = 76.0, 66.0, 24.0, 8
PATIENCE, INCH = 30, 72.0  # seconds for Graphviz; its unit, in points


def layout(scene: Scene, engine: str = "auto", highlight: str | None = None, gradients: bool = False) -> Sheet:
    """Put any graph on a sheet. engine: "grid", "graphviz", or "auto": Graphviz if it is installed. gradients: of networks."""
    installed = shutil.which("dot")
    if engine == "graphviz" and installed is None:
        raise InputError("Graphviz is not installed", "layout=graphviz", "Install it, or take layout=grid")
    use = engine == "graphviz" or (engine == "auto" and installed is not None)
    places = by_graphviz(scene, str(installed)) if use else by_layers(scene)
    left, top = (min(point[n] for way in places.values() for point in way) for n in (0, 1))
    shift = {key: [(x - left + MARGIN + 30, y - top + MARGIN + 62) for x, y in way] for key, way in places.items()}
    lit = set() if highlight is None else {highlight, *scene.sources(highlight)}
    shapes = {key: shape(item, *shift[key][0], look(key in lit, highlight)) for key, item in scene.items.items()}
    lines = []
    for link in scene.links:
        key = f"{link.source}>{link.target}"
        inner = shift.get(f"{key}+{link.lag}", shift.get(key, []))
        a, b = shapes[link.source], shapes[link.target]
        points = (a.edge(inner[0] if inner else (b.x, b.y)), *inner, b.edge(inner[-1] if inner else (a.x, a.y), 1))
        kind: Literal["value", "gradient"] = "gradient" if link.gradient and scene.network is None else "value"
        label, state = f"×{short(link.weight)}" * (link.weight != 1), look(link.target == highlight, highlight)
        curved = use and len(points) % 3 == 1
        line = Line(points, kind, state, curved, cut=link.cut, label=label, delay=link.lag)
        back = gradients and scene.network is not None and link.gradient and not link.cut
        lines += [line, dataclasses.replace(returning(line), state=state)] if back else [line]
    width = max(x for way in shift.values() for x, _ in way) + 30 + MARGIN
    height = max(y for way in shift.values() for _, y in way) + 20 + MARGIN
    words = (Words(MARGIN, MARGIN + 8, scene.title, "title"),)
    said = "; ".join(f"{link.target} reads {link.source}" for link in scene.links)
    width = max(width, 8.0 * len(scene.title) + 2 * MARGIN)
    return Sheet(width, height, scene.title, said, [*shapes.values()], lines, words)


def shape(item: Item, x: float, y: float, state: State) -> Shape:
    """A circle for an operation, a box for what is given."""
    boxed = item.kind in ("variable", "constant", "parameter")
    wide = max(30.0, 14 + 7.0 * len(item.text.replace("_", "")))
    flat = boxed or len(item.text) > 3
    return Shape(
        item.key,
        item.text,
        item.kind,
        x,
        y,
        wide if flat else 30,
        24 if flat else 30,
        not boxed,
        state,
        item.value,
        item.gradient,
    )


Places = Mapping[str, list[tuple[float, float]]]


def by_layers(scene: Scene) -> Places:
    """The place of every item, and of every arrow (as "source>target") where it passes a layer."""
    layer = depths(scene)
    neighbours: dict[str, list[str]] = {key: [] for key in scene.items}
    layers: dict[int, list[str]] = {}
    for key, depth in layer.items():
        layers.setdefault(depth, []).append(key)
    for link in scene.links:
        chain = [link.source]
        for depth in range(layer[link.source] + 1, layer[link.target]):
            chain.append(f"{link.source}>{link.target}@{depth}")
            layers[depth].append(chain[-1])
            neighbours[chain[-1]] = []
        for a, b in zip(chain, [*chain[1:], link.target], strict=True):
            neighbours[a].append(b)
            neighbours[b].append(a)
    x = arranged(layers, neighbours)
    found: dict[str, list[tuple[float, float]]] = {}
    for depth, keys in sorted(layers.items()):
        for key in keys:
            found.setdefault(key.partition("@")[0], []).append((x[key], -ROW * depth))
    return found


def depths(scene: Scene) -> dict[str, int]:
    """The layer of every item: one above the highest that it reads; what reads nothing, just below the lowest that reads it."""
    layer = dict.fromkeys(scene.items, 0)
    for link in scene.links:  # in the order of the targets, each of which comes after what it reads
        layer[link.target] = max(layer[link.target], layer[link.source] + 1)
    leaves = scene.items.keys() - {link.target for link in scene.links}
    above = {key: [layer[link.target] - 1 for link in scene.links if link.source == key] for key in leaves}
    return layer | {key: min(lowest) for key, lowest in above.items() if lowest}


def arranged(layers: Mapping[int, list[str]], neighbours: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """x of everything: near its neighbours, and no nearer than a step to what is beside it."""
    x = {key: STEP * place for keys in layers.values() for place, key in enumerate(keys)}
    for sweep in range(2 * SWEEPS):
        for depth in sorted(layers, reverse=bool(sweep % 2)):
            keys = layers[depth]
            wanted = {key: sum(x[one] for one in neighbours[key]) / max(1, len(neighbours[key])) for key in keys}
            keys.sort(key=lambda key: (wanted[key], x[key]))
            at = -1e9
            for key in keys:
                at = x[key] = max(wanted[key], at + STEP)
            back = sum(x[key] - wanted[key] for key in keys) / len(keys)
            for key in keys:
                x[key] -= back
    return x


def by_graphviz(scene: Scene, program: str) -> Places:
    """The places that Graphviz gives, in points; y downwards. InputError if it does not answer."""
    try:
        asked: dict[str, Any] = {"input": dot(scene).encode(), "capture_output": True, "timeout": PATIENCE, "check": True}
        done = subprocess.run([program, "-Tplain"], **asked)
    except (OSError, subprocess.SubprocessError) as reason:
        raise InputError("Graphviz did not lay out the graph", f"{program}: {reason}", "Take layout=grid") from reason
    found: dict[str, list[tuple[float, float]]] = {}
    for kind, *row in map(shlex.split, done.stdout.decode().splitlines()):
        if kind == "node":
            found[row[0]] = [(INCH * float(row[1]), -INCH * float(row[2]))]
        elif kind == "edge":  # a spline of cubic pieces, whose ends are the shapes' own
            numbers = [float(text) for text in row[3 : 3 + 2 * int(row[2])]]
            points = [*zip(numbers[::2], numbers[1::2], strict=True)][1:-1]
            lag = row[4 + 2 * int(row[2]) - 1].partition(" step")  # the label, if there is one
            key = f"{row[0]}>{row[1]}" + (f"+{lag[0]}" if lag[1] else "")
            found[key] = [(INCH * x, -INCH * y) for x, y in points]
    return found

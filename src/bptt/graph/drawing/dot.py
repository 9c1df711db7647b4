"""A scene as DOT text, for Graphviz and everything else that reads it.

Knows the language; must not know where anything is drawn.
"""

from __future__ import annotations

from bptt.graph.drawing.scene import Item, Link, Scene, short

BOXES = ("parameter", "variable", "constant")


def dot(scene: Scene, *, gradients: bool = False, highlight: str | None = None) -> str:
    """The text. Steps of a network stand in columns; gradients, if asked for, are arrows of their own."""
    lit = set() if highlight is None else {highlight, *scene.sources(highlight)}
    lines = [f"digraph {quoted(scene.title)} {{", f"  rankdir={'LR' if scene.network else 'BT'}; node [shape=circle];"]
    for key, item in scene.items.items():
        lines.append(f"  {quoted(key)} [{', '.join(look(item, key in lit))}];")
    for time in sorted({item.time for item in scene.items.values() if item.time is not None and not scene.ways}):
        together = " ".join(quoted(key) for key, item in scene.items.items() if item.time == time)
        lines.append(f"  {{ rank=same; {together} }}")
    for link in scene.links:
        lines.append(f"  {quoted(link.source)} -> {quoted(link.target)}{marks(link, highlight)};")
        if gradients and link.gradient and not link.cut:
            lines.append(f"  {quoted(link.target)} -> {quoted(link.source)} [color=orangered, constraint=false];")
    return "\n".join([*lines, "}"]) + "\n"


def look(item: Item, lit: bool) -> list[str]:
    """The attributes of a node."""
    beside = [text for text in (item.value, item.gradient) if text]
    found = [f"label={quoted(item.text)}"] + [f"xlabel={quoted(', '.join(beside))}"] * bool(beside)
    found += ["shape=box"] * (item.kind in BOXES) + ["style=dashed"] * (item.kind == "initial")
    return found + ["color=blue, penwidth=2"] * lit


def marks(link: Link, highlight: str | None) -> str:
    """The attributes of an edge."""
    found = ['label="cut", style=dashed'] if link.cut else []
    found += [f'label="×{short(link.weight)}"'] if link.weight != 1 else []
    found += [f'label="{link.lag} step{"s" * (link.lag != 1)}"'] if link.lag else []
    found += ["color=blue, penwidth=2"] if link.target == highlight else []
    return f" [{', '.join(found)}]" if found else ""


def quoted(text: str) -> str:
    """A string of the language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

"""A picture in coordinates: shapes, lines and words at their places, in points, from the upper left.

Knows geometry; must not know networks, nor any file format.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

Point = tuple[float, float]
State = Literal["plain", "lit", "faint"]


@dataclasses.dataclass(frozen=True)
class Shape:
    """A circle or a box around a centre, with a word in it and words beside it; round and wider than high it is a pill."""

    key: str
    text: str
    kind: str
    x: float
    y: float
    width: float
    height: float
    round: bool
    state: State = "plain"
    value: str = ""
    gradient: str = ""
    beside: Literal["above", "left"] = "above"

    def edge(self, towards: Point, gap: float = 0.0) -> Point:
        """Where a line from the centre to a point leaves the shape."""
        dx, dy = towards[0] - self.x, towards[1] - self.y
        length = math.hypot(dx, dy) or 1.0
        if self.round and self.width == self.height:
            reach = self.width / 2 + gap
        else:
            reach = length * min((self.width / 2 + gap) / (abs(dx) or 1e-9), (self.height / 2 + gap) / (abs(dy) or 1e-9))
        return self.x + dx / length * reach, self.y + dy / length * reach


@dataclasses.dataclass(frozen=True)
class Line:
    """An arrow along points, straight between them, or (curved) cubic curves, each with two control points.

    kind   "value" or "gradient"
    cut    marked as cut at its middle
    label  at its middle
    lane   the parameter in whose lane it runs; it leaves the lane at its second point
    head   whether it ends in an arrowhead
    delay  a square at its middle: what passes arrives that many steps later
    """

    points: tuple[Point, ...]
    kind: Literal["value", "gradient"] = "value"
    state: State = "plain"
    curved: bool = False
    cut: bool = False
    label: str = ""
    lane: str = ""
    head: bool = True
    delay: int = 0

    def middle(self) -> tuple[Point, Point]:
        """The point half way, and the direction there."""
        if self.curved:
            piece = (len(self.points) - 1) // 3 // 2 * 3
            a, b, c, d = self.points[piece : piece + 4]
            at = tuple((p + 3 * q + 3 * r + s) / 8 for p, q, r, s in zip(a, b, c, d, strict=True))
            way = tuple(r + s - p - q for p, q, r, s in zip(a, b, c, d, strict=True))
            return (at[0], at[1]), unit((way[0], way[1]))
        (ax, ay), (bx, by) = self.points[-2:]
        return ((ax + bx) / 2, (ay + by) / 2), unit((bx - ax, by - ay))


@dataclasses.dataclass(frozen=True)
class Words:
    """A line of text. style: "title", "said" (below it), "band"."""

    x: float
    y: float
    text: str
    style: str


@dataclasses.dataclass(frozen=True)
class Sheet:
    """The whole picture. Lines are drawn in their order, then shapes, then words."""

    width: float
    height: float
    title: str
    description: str
    shapes: Sequence[Shape]
    lines: Sequence[Line]
    words: Sequence[Words] = ()


def look(lit: bool, highlight: str | None) -> State:
    """How something looks where something is highlighted, or nothing is."""
    return "plain" if highlight is None else "lit" if lit else "faint"


def unit(vector: Point) -> Point:
    """The direction of a vector."""
    length = math.hypot(*vector) or 1.0
    return vector[0] / length, vector[1] / length


def beside(points: tuple[Point, ...], distance: float) -> tuple[Point, ...]:
    """Points moved to the right of the way that they lead (down and up being as on a screen)."""
    (ax, ay), (bx, by) = points[0], points[-1]
    dx, dy = unit((bx - ax, by - ay))
    return tuple((x - dy * distance, y + dx * distance) for x, y in points)

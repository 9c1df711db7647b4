"""The way of every arrow on the grid: along a lane, around, through the gap between columns, or straight.

Knows points; must not know rows, nor colours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from bptt.graph.drawing.scene import Link, short
from bptt.graph.drawing.sheet import Line, Point, Shape, beside

APART, NEAR = 6.0, 4.0  # a gradient runs beside the value, this far away; in a lane
STEEP = 110.0  # what leads further down than this into the next column goes through the gap
OUT, FURTHER = 56.0, 80.0  # how far out a loop goes, and each more step that it bridges
BUS = 18.0  # below L


@dataclasses.dataclass(frozen=True)
class Routes:
    """Shapes by key, lanes by parameter (y, and where branches enter, for a circle of ordinary size), the width of a column."""

    shapes: Mapping[str, Shape]
    lanes: Mapping[str, tuple[float, float]]
    column: float

    def length(self, link: Link) -> float:
        """What enters a lane further from its end is drawn later, so that it can go on from what is there."""
        a, b = self.shapes[link.source], self.shapes[link.target]
        return abs(a.x - b.x) if b.kind == "total" else 0.0

    def line(self, link: Link) -> Line:
        """The way of a link, and its marks."""
        label = f"×{short(link.weight)}" if link.weight != 1 else ""
        return dataclasses.replace(self.way(link), cut=link.cut, label=label)

    def way(self, link: Link) -> Line:
        """The way of a link."""
        a, b = self.shapes[link.source], self.shapes[link.target]
        if a.kind == "parameter":
            return self.branch(a, b)
        if b.kind == "total":
            bus = b.y + b.height / 2 + BUS
            side = "<" if a.x < b.x else ">" if a.x > b.x else "="
            return Line(((a.x, a.y - a.height / 2), (a.x, bus), (b.x, bus), (b.x, b.y + b.height / 2 + 1)), lane=f"L{side}")
        if link.lag:
            return self.loop(a, b, link.lag)
        if abs(a.x - b.x) > self.column / 2 and b.y - a.y > STEEP:
            start, end = (a.x + a.width / 2, a.y), (b.x - b.width / 2 - 1, b.y)
            bend = (start[0] + end[0]) / 2
            return Line((start, (bend, a.y), (bend, b.y), end), curved=True)
        return Line((a.edge((b.x, b.y)), b.edge((a.x, a.y), 1)))

    def branch(self, a: Shape, b: Shape) -> Line:
        """From the box of a parameter along its lane, and up into a circle."""
        y, offset = self.lanes[a.key]
        offset *= b.width / 38
        end = b.y + ((b.width / 2) ** 2 - offset**2) ** 0.5 + 1
        return Line(((a.x + a.width / 2, y), (b.x + offset, y), (b.x + offset, end)), lane=a.key)

    def loop(self, a: Shape, b: Shape, lag: int) -> Line:
        """What arrives some steps later, in a folded picture: around the right of all between."""
        if a is b:
            r = a.width / 2
            start, end = (a.x + 0.6 * r, a.y - 0.8 * r), (a.x + r + 1, a.y)
            return Line((start, (a.x + r + 22, a.y - r - 28), (a.x + r + 56, a.y - 2), end), curved=True, delay=lag)
        low, high = sorted((a.y, b.y))
        side = max(one.x + one.width / 2 for one in self.shapes.values() if low <= one.y <= high)
        # It leaves at 37° towards where it leads: a loop to the circle itself is at its side.
        left, right, y = a.x + 0.4 * a.width, b.x + b.width / 2 + 1, a.y + (0.3 if b.y > a.y else -0.3) * a.width
        bend = (side + 0.75 * (OUT + FURTHER * (lag - 1)) - (left + right) / 8) / 0.75  # the middle lies at ¾
        return Line(((left, y), (bend, y), (bend, b.y), (right, b.y)), curved=True, delay=lag)

    def continued(self, line: Line, lines: Sequence[Line]) -> Line:
        """A line in a lane, only from where the last one like it branched off: no piece of a lane is drawn twice."""
        alike = [one for one in lines if (one.lane[:1], one.kind, one.state) == (line.lane[:1], line.kind, line.state)]
        last = next((one for one in reversed(alike) if one.lane == line.lane), None)
        forward = line.kind == "value"
        if len(line.points) == 4 and line.lane:
            return to_total(line, last, forward) if alike else line
        if not line.lane or last is None:
            return line
        if forward:
            return dataclasses.replace(line, points=(last.points[1], *line.points[1:]))
        return dataclasses.replace(line, points=(*line.points[:-1], last.points[1]), head=False)


def to_total(line: Line, last: Line | None, forward: bool) -> Line:
    """The piece of a line to L that is not there yet: as far as the last one of its side, or as the way up into L."""
    if forward:
        joint = line.points[2] if last is None else last.points[1]
        return dataclasses.replace(line, points=(*line.points[:2], joint), head=False)
    joint = line.points[1] if last is None else last.points[-2]
    return dataclasses.replace(line, points=(joint, *line.points[2:]))


def returning(line: Line) -> Line:
    """The gradient that flows back along a line, beside it."""
    if line.lane and len(line.points) == 4:
        (x, top), (_, bus), (to, _), (_, end) = line.points
        points: tuple[Point, ...] = ((to + APART, end), (to + APART, bus + NEAR), (x + APART, bus + NEAR), (x + APART, top))
        return Line(points, "gradient", lane=line.lane)
    if line.lane:
        (x, y), (bx, _), (_, end) = line.points
        return Line(((bx + NEAR, end), (bx + NEAR, y + NEAR), (x + 1, y + NEAR)), "gradient", lane=line.lane)
    return Line(beside(line.points[::-1], -APART), "gradient", curved=line.curved)

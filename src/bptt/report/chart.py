"""Line charts for a page: from points to percentages, paths and ticks. Knows no run, and leaves the markup to its template.

The plot is stretched to whatever width the page gives it, while lines keep their thickness and labels their size: so the
template draws the paths in a 1000 × 1000 box and places every text as HTML by percentages.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from bptt.report.series import Point, thin
from bptt.report.words import compact, significant

BOX = 1000
HUGE = 1e100  # beyond it a number is not drawn: differences and ratios of what is drawn stay finite


@dataclasses.dataclass(frozen=True)
class Axis:
    """The stretch of numbers from `lo` to `hi` along one side of a chart."""

    lo: float
    hi: float
    log: bool = False

    def share(self, value: float) -> float:
        """Where `value` lies between lo (0) and hi (1)."""
        if self.log:
            return math.log(value / self.lo) / math.log(self.hi / self.lo)
        return (value - self.lo) / (self.hi - self.lo)

    def ticks(self) -> list[float]:
        """Three to eight round numbers in [lo, hi]."""
        if self.log:
            for digits in ((1,), (1, 3), (1, 2, 5)):
                powers = range(_exponent(self.lo), _exponent(self.hi) + 1)
                found = [tick for power in powers for digit in digits if self.holds(tick := digit * 10.0**power)]
                if len(found) >= (3 if len(digits) == 3 else 4):
                    return found[:: math.ceil(len(found) / 7)]
        step = _round_step((self.hi - self.lo) / 6)
        first, last = math.ceil(self.lo / step - 1e-9), math.floor(self.hi / step + 1e-9)
        return [float(f"{index * step:.12g}") for index in range(first, last + 1)]

    def holds(self, value: float) -> bool:
        """Whether `value` lies on the axis, up to rounding."""
        return -1e-9 <= self.share(value) <= 1 + 1e-9


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve. `kind` picks its look: "raw" (faint, cut at the frame), "main", "valid", or "s0" … "s11", one of several.

    All but raw and main have a dot at each point.
    """

    name: str
    points: Sequence[Point]
    kind: str = "main"


@dataclasses.dataclass(frozen=True)
class Band:
    """An area between a lower and an upper curve over the same places; `kind` as of a `Line`, whose colour it takes."""

    name: str
    lower: Sequence[Point]
    upper: Sequence[Point]
    kind: str = "main"


@dataclasses.dataclass(frozen=True)
class Chart:
    """One plot: curves over the step, or over what `over` names.

    levels dashed horizontal lines with their labels, for instance a threshold
    mark   a point (x, y) that matters, with its label
    log    a logarithmic y axis; values ≤ 0 become gaps
    log_x  a logarithmic x axis, from the least x to the largest; points at x ≤ 0 are left out
    zero   the y axis starts at 0
    lo     where the x axis starts
    labels places on the x axis and what stands there, such as dates, in place of round numbers
    bands  areas behind the curves
    """

    title: str
    about: str
    lines: Sequence[Line]
    log: bool = False
    zero: bool = False
    levels: Sequence[tuple[float, str]] = ()
    mark: tuple[float, float, str] | None = None
    tone: str = "train"
    over: str = "step"
    log_x: bool = False
    lo: float = 0.0
    labels: Sequence[tuple[float, str]] = ()
    bands: Sequence[Band] = ()

    def view(self) -> dict[str, Any]:
        """Everything that `chart.html` prints, or a view with `empty` set when no point can be drawn."""
        lines = [dataclasses.replace(line, points=thin(self._drawable(line.points))) for line in self.lines]
        lines = [line for line in lines if any(y is not None for _, y in line.points)]
        if not lines:
            return {"title": self.title, "about": self.about, "empty": True}
        x, y = self._axes(lines)
        return {
            "title": self.title,
            "about": self.about,
            "empty": False,
            "tone": self.tone,
            "over": self.over,
            "legend": [line for line in lines if len(lines) > 1],
            "areas": [{"kind": band.kind, "line": area(band, x, y)} for band in self.bands],
            "paths": [{"kind": line.kind, "line": path(line.points, x, y), "dots": dots(line, x, y)} for line in lines],
            "x_ticks": [(100 * x.share(t), label) for t, label in self.labels if x.holds(t)]
            or [(100 * x.share(t), compact(t)) for t in x.ticks() if t == round(t) or self.over != "step"],
            "y_ticks": [(100 * (1 - y.share(t)), compact(t)) for t in y.ticks()],
            "levels": [(100 * (1 - y.share(at)), label) for at, label in self.levels],
            "mark": self.mark
            and self._drawable([self.mark[:2]])[0][1] is not None
            and (100 * x.share(self.mark[0]), 100 * (1 - y.share(self.mark[1])), self.mark[2]),
            "data": {
                "lo": x.lo,
                "hi": x.hi,
                "log": x.log,
                "at": "step #" if self.over == "step" else f"# {self.over}",
                "lines": [_readout(line) for line in lines if line.kind != "raw"],
            },
        }

    def _drawable(self, points: Sequence[Point]) -> list[Point]:
        lowest = 1 / HUGE if self.log else -HUGE
        least = 1 / HUGE if self.log_x else self.lo
        return [(x, y if y is not None and lowest <= y <= HUGE else None) for x, y in points if least <= x <= HUGE]

    def _axes(self, lines: Sequence[Line]) -> tuple[Axis, Axis]:
        values = [y for line in lines for y in _framed(line)] + [at for at, _ in self.levels]
        values += [
            y for band in self.bands for edge in (band.lower, band.upper) for _, y in self._drawable(edge) if y is not None
        ]
        hi = max(x for line in lines for x, _ in line.points)
        lo = min(x for line in lines for x, _ in line.points) if self.log_x else self.lo
        width = Axis(lo, hi if hi > lo else 2 * lo if self.log_x else lo + 1.0, log=self.log_x)
        return width, _padded(min(values), max(values), self.log, self.zero)


def path(points: Sequence[Point], x: Axis, y: Axis) -> str:
    """The SVG path of a curve in the 1000 × 1000 box: one piece between two gaps, a dot where a point stands alone."""
    pieces: list[str] = []
    pen_down = False
    for at, value in points:
        if value is None:
            pen_down = False
            continue
        pieces.append(f"{'L' if pen_down else 'M'}{_place(at, value, x, y)}{'' if pen_down else 'h0'}")
        pen_down = True
    return "".join(pieces)


def area(band: Band, x: Axis, y: Axis) -> str:
    """The SVG path around a band, once forth along its upper edge and back along the lower, where both are known."""
    both = [
        (at, low, high)
        for (at, low), (_, high) in zip(band.lower, band.upper, strict=False)  # of a damaged file one edge may be shorter
        if low is not None and high is not None
    ]
    if not both:
        return ""
    there = [_place(at, high, x, y) for at, _, high in both]
    back = [_place(at, low, x, y) for at, low, _ in reversed(both)]
    return "M" + "L".join([*there, *back]) + "Z"


def dots(line: Line, x: Axis, y: Axis) -> str:
    """A dot at each point where points are few, as zero-length strokes (circles would be stretched with the plot)."""
    if len(line.points) > {"raw": 0, "main": 3}.get(line.kind, 60):
        return ""
    return "".join(f"M{_place(at, value, x, y)}h0" for at, value in line.points if value is not None)


def _place(at: float, value: float, x: Axis, y: Axis) -> str:
    return f"{BOX * x.share(at):.6g} {BOX * min(max(1 - y.share(value), 0), 1):.5g}"


def _readout(line: Line) -> dict[str, Any]:
    points = [[at, None if value is None else significant(value, 4)] for at, value in line.points]
    return {"name": line.name, "kind": line.kind, "points": points}


def _framed(line: Line) -> list[float]:
    """The values that the frame must hold: all of them, but of a raw curve not the 1 % that stick out."""
    known = sorted(y for _, y in line.points if y is not None)
    cut = len(known) // 200 if line.kind == "raw" else 0
    return known[cut : len(known) - cut]


def _padded(lo: float, hi: float, log: bool, zero: bool) -> Axis:
    if log:
        room = max((hi / lo) ** 0.05, 1.05)
        return Axis(lo / room, hi * room, log=True)
    room = 0.06 * (hi - lo) or 0.1 * abs(hi) or 1.0
    return Axis(0.0 if zero and lo >= 0 else lo - room, hi + room)


def _exponent(value: float) -> int:
    return math.floor(math.log10(value))


def _round_step(rough: float) -> float:
    base = 10.0 ** _exponent(rough)
    return next(base * digit for digit in (1, 2, 5, 10) if base * digit >= rough * (1 - 1e-9))

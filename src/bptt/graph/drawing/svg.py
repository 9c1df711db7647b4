"""A sheet as SVG: one file, nothing fetched, the same bytes for the same sheet.

Knows colours and marks; must not know networks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from bptt.graph.drawing.sheet import Line, Point, Shape, Sheet, unit

INK, QUIET, FAINT = "#1d2127", "#5c6470", "#d9dce1"
GRADIENT, CUT, LIT = "#d1480b", "#b3261e", "#2563c9"
FILLS = {
    "parameter": "#e4e4e0",
    "input": "#f1efe8",
    "target": "#ffffff",
    "initial": "#ffffff",
    "hidden": "#dbe8fb",
    "output": "#dff1e6",
    "loss": "#fdeadf",
    "total": "#fdeadf",
    "variable": "#e4e4e0",
    "constant": "#f6f6f4",
    "operation": "#ffffff",
    "slope": "#fdeadf",
}
STYLE = f"""
text {{ font-family: "Latin Modern Math", "STIX Two Text", "Cambria Math", Georgia, "Times New Roman", serif; fill: {INK}; }}
.in {{ font-style: italic; font-size: 16px; text-anchor: middle; }}
.small {{ font-size: 13px; }}
.title {{ font: 600 14px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }}
.said {{ font-size: 13.5px; font-style: italic; fill: {QUIET}; }}
.legend, .band, .note {{ font: 11px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: {QUIET}; }}
.band {{ font-size: 12px; font-weight: 600; }}
.halo {{ paint-order: stroke; stroke: #ffffff; stroke-width: 3.5px; stroke-linejoin: round; }}
""".strip()
SUBSCRIPT = re.compile(r"(?:_\{([^}]*)\}|_(\w+))")


def svg(sheet: Sheet) -> str:
    """The file's content."""
    width, height = round(sheet.width), round(sheet.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(sheet.title)}</title>",
        f"<desc>{escape(sheet.description)}</desc>",
        f"<style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" rx="10" fill="#ffffff"/>',
        *(part for line in sheet.lines for part in drawn_line(line)),
        *(part for shape in sheet.shapes for part in drawn_shape(shape)),
        *(f'<text class="{one.style}" x="{at(one.x)}" y="{at(one.y)}">{marked(one.text)}</text>' for one in sheet.words),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def drawn_line(line: Line) -> Iterator[str]:
    """An arrow, on a white halo that lets it pass over what it crosses, and its marks."""
    plain = GRADIENT if line.kind == "gradient" else INK
    colour = {"plain": plain, "faint": FAINT, "lit": LIT if line.kind == "value" else GRADIENT}[line.state]
    wide = 2.0 if line.state == "lit" else 1.25
    path = d(line)
    if not line.lane:
        yield f'<path d="{path}" fill="none" stroke="#ffffff" stroke-width="{wide + 3.5}"/>'
    yield f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{wide}"/>'
    if line.head:
        yield head(line, colour)
    if line.lane and not line.lane.startswith("L"):
        yield f'<circle cx="{at(line.points[1][0])}" cy="{at(line.points[1][1])}" r="2.2" fill="{colour}"/>'
    (x, y), (dx, dy) = line.middle()
    if line.cut:
        for shift in (-2.6, 2.6):
            cx, cy = x + dx * shift, y + dy * shift
            ends = f'x1="{at(cx - dy * 7)}" y1="{at(cy + dx * 7)}" x2="{at(cx + dy * 7)}" y2="{at(cy - dx * 7)}"'
            yield f'<line {ends} stroke="{FAINT if line.state == "faint" else CUT}" stroke-width="2"/>'
    if line.label:
        place = f'x="{at(x)}" y="{at(y - 9)}" text-anchor="middle"'
        yield f'<text class="note halo" {place} style="fill:{GRADIENT}">{escape(line.label)}</text>'
    if line.delay:
        yield f'<rect x="{at(x - 5)}" y="{at(y - 5)}" width="10" height="10" fill="{colour}"/>'
        steps = f"{line.delay} step{'s' * (line.delay != 1)}"
        yield f'<text class="note" x="{at(x + 10)}" y="{at(y + 4)}">{steps}</text>'


def d(line: Line) -> str:
    """The path; the end stops where the head begins."""
    points = list(line.points)
    if line.head:
        points[-1] = short_of(points[-2], points[-1])
    if line.curved:
        a, *controls = points
        return f"M{xy(a)} C{' '.join(map(xy, controls))}"
    return "M" + " L".join(map(xy, points))


def short_of(before: Point, end: Point, by: float = 4.0) -> Point:
    """A point a little before the end."""
    dx, dy = unit((end[0] - before[0], end[1] - before[1]))
    return end[0] - dx * by, end[1] - dy * by


def head(line: Line, colour: str) -> str:
    """The arrowhead."""
    before, tip = line.points[-2:]
    dx, dy = unit((tip[0] - before[0], tip[1] - before[1]))
    x, y = tip[0] - dx * 7.5, tip[1] - dy * 7.5
    corners = " ".join(map(xy, (tip, (x - dy * 3, y + dx * 3), (x + dy * 3, y - dx * 3))))
    return f'<polygon points="{corners}" fill="{colour}"/>'


def drawn_shape(shape: Shape) -> Iterator[str]:
    """A circle or a box with its word, and what is written beside it."""
    stroke = {"plain": INK, "faint": FAINT, "lit": LIT}[shape.state]
    fill = "#ffffff" if shape.state == "faint" else FILLS[shape.kind]
    look = f'fill="{fill}" stroke="{stroke}" stroke-width="{2.4 if shape.state == "lit" else 1.25}"'
    if shape.kind == "initial":
        look += ' stroke-dasharray="3 2.5"'
    if shape.round and shape.width == shape.height:
        yield f'<circle cx="{at(shape.x)}" cy="{at(shape.y)}" r="{at(shape.width / 2)}" {look}/>'
    else:
        place = f'x="{at(shape.x - shape.width / 2)}" y="{at(shape.y - shape.height / 2)}"'
        yield f'<rect {place} width="{at(shape.width)}" height="{at(shape.height)}" rx="{12 if shape.round else 3}" {look}/>'
    small = " small" if shape.width < 36 or shape.height < 26 else ""
    tone = ' style="fill:#a9b0ba"' if shape.state == "faint" else ""
    yield f'<text class="in{small}" x="{at(shape.x)}" y="{at(shape.y + 4.5)}"{tone}>{marked(shape.text)}</text>'
    if shape.state != "faint":
        yield from notes(shape)


def notes(shape: Shape) -> Iterator[str]:
    """The value and the gradient of a shape: to the upper and lower right, or both at the left of a box."""
    if shape.beside == "left":
        x, anchor = shape.x - shape.width / 2 - 6, "end"
        ys = (shape.y - 1, shape.y + 11) if shape.value and shape.gradient else (shape.y + 4, shape.y + 4)
    else:
        x, anchor = shape.x + 0.39 * shape.width + 2, "start"
        ys = (shape.y - shape.height / 2, shape.y + shape.height / 2 + 9)
    for text, y, tone in ((shape.value, ys[0], ""), (shape.gradient, ys[1], f' style="fill:{GRADIENT}"')):
        if text:
            yield f'<text class="note halo" x="{at(x)}" y="{at(y)}" text-anchor="{anchor}"{tone}>{escape(text)}</text>'


def marked(text: str) -> str:
    """Text with its subscripts, h_3 and h_{t−1}, set lower and smaller."""
    parts, end = [], 0
    for found in SUBSCRIPT.finditer(text):
        parts.append(escape(text[end : found.start()]))
        parts.append(f'<tspan dy="4" font-size="72%">{escape(found[1] or found[2])}</tspan><tspan dy="-4">\u200b</tspan>')
        end = found.end()
    return "".join([*parts, escape(text[end:])])


def xy(point: Point) -> str:
    """A point, as in a path."""
    return f"{at(point[0])},{at(point[1])}"


def at(value: float) -> str:
    """A coordinate in tenths."""
    return f"{value:.1f}".removesuffix(".0").replace("-0", "0") if abs(value) < 0.05 else f"{value:.1f}".removesuffix(".0")

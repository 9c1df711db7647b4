"""The layout of a textbook: time from left to right, layers upwards, every parameter once, at the left of its lane.

Knows rows, columns and lanes; must not know colours, nor file formats.

    lane   a horizontal line between two rows, from the box of a parameter past all steps, with a branch into each of them
    band   the rows of one way, where steps are run once for every way; else there is one band
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from bptt.graph.drawing.routes import Routes, returning
from bptt.graph.drawing.scene import Item, Link, Scene
from bptt.graph.drawing.sheet import Line, Shape, Sheet, State, Words, look
from bptt.graph.unroll import Network

RADIUS, SMALL = 19.0, 15.0  # of a circle; of one that shares its row with others
COLUMN, TARGET = 122.0, 46.0  # between steps; from a loss to its target
BESIDE, WIDE = 38.0, 70.0  # between circles of a row, without and with numbers
ROW, LOW = 70.0, 60.0  # between rows; the same in bands
LANES, LANE = 12.0, 25.0  # more for lanes between two rows; more for each of these but the first
BAND, TOTAL = 26.0, 70.0  # more between bands; from the losses to L
BRANCHES = {1: (-10,), 2: (-14, -6), 3: (-15, -8, 9), 4: (-16, -9, 8, 15)}  # where branches enter, from the middle of a circle
MARGIN, HEAD, WRITTEN, LEGEND, LEAST = 22.0, 30.0, 17.0, 16.0, 420.0
BOXES, NOTES, LABELS = 96.0, 84.0, 130.0  # room at the left: for boxes, for what is written beside them, for names of bands


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where rows, columns and lanes are; y grows downwards.

    rows    y by band and number
    lanes   y by parameter, and where its branches enter
    left    x of column 0
    column  from one column to the next
    beside  from one circle to the next, where several share a row
    total   y of L
    height  of the whole picture
    """

    rows: Mapping[tuple[int, int], float]
    lanes: Mapping[str, tuple[float, float]]
    left: float
    column: float
    beside: float
    total: float
    height: float


def layout(scene: Scene, highlight: str | None = None, gradients: bool = False) -> Sheet:
    """Put a scene on the grid; `highlight` an item and what it depends on; with or without the way of the gradient."""
    head, legend = equations(scene), list(explained(scene))
    grid = measured(scene, len(head), len(legend))
    lit = set() if highlight is None else {highlight, *scene.sources(highlight)}
    shapes = {key: shape(scene, item, grid, look(key in lit, highlight)) for key, item in scene.items.items()}
    routes = Routes(shapes, grid.lanes, grid.column)
    lines: list[Line] = []
    for link in sorted(scene.links, key=lambda one: (one.target == highlight, routes.length(one))):
        line = routes.line(link)
        both = [line, returning(line)] if gradients and link.gradient and not link.cut else [line]
        seen = look(link.target == highlight, highlight)
        lines += [routes.continued(dataclasses.replace(one, state=seen), lines) for one in both]
    words = [Words(MARGIN, MARGIN + 10, scene.title, "title")]
    words += [Words(MARGIN, MARGIN + HEAD + WRITTEN * n, one, "said") for n, one in enumerate(head)]
    words += [Words(MARGIN, grid.rows[way, 1] + 4, label, "band") for way, label in enumerate(scene.ways)]
    words += [Words(MARGIN, grid.height - MARGIN - LEGEND * n, one, "legend") for n, one in enumerate(reversed(legend))]
    size = width(scene, shapes, lines), grid.height
    return Sheet(*size, scene.title, described(scene), [*shapes.values()], lines, words)


def width(scene: Scene, shapes: Mapping[str, Shape], lines: Sequence[Line]) -> float:
    """Of the whole picture: to the right of all that is drawn, and of what is written beside it."""
    notes = 56.0 if any(item.value or item.gradient for item in scene.items.values()) else 0.0
    right = max(one.x + one.width / 2 for one in shapes.values()) + notes
    return max(LEAST, right + MARGIN, *(x + MARGIN + 44 * scene.folded for line in lines for x, _ in line.points))


def equations(scene: Scene) -> list[str]:
    """What a step computes, in lines that fit above the picture."""
    times = [item.time for item in scene.items.values() if item.time is not None]
    room = 46 if not times else int(18 * (max(times) + 1.5))
    whole = ", ".join(one.replace(" ", "\u00a0") for one in of_network(scene).equations)
    return textwrap.wrap(whole, max(46, room), break_long_words=False, break_on_hyphens=False)


def measured(scene: Scene, head: int, legend: int) -> Grid:
    """Find every row, upwards from the bottom, and the lanes below it; then count from the top."""
    rows, lanes, y = dict[tuple[int, int], float](), dict[str, tuple[float, float]](), 0.0
    network = of_network(scene)
    for band in range(max(1, len(scene.ways))):
        for number, names in enumerate(network.rows):
            entering = parameters_into(scene, names)
            if number or band:
                y -= (LOW if scene.ways else ROW) + BAND * (not number)
                y -= LANES * bool(entering) + LANE * max(0, len(entering) - 1)
            rows[band, number] = y
            for n, name in enumerate(entering):
                lanes[name] = (y + RADIUS + 22 + LANE * n, BRANCHES[len(entering)][n])
    top = y - TOTAL * any(item.kind == "total" for item in scene.items.values())
    down = MARGIN + HEAD + WRITTEN * head + RADIUS + 6 - top
    widest = max(len(names) for names in network.rows)
    beside = WIDE if any(item.value or item.gradient for item in scene.items.values()) else BESIDE
    column = max(COLUMN, beside * widest + 62)
    left = MARGIN + (LABELS if scene.ways else BOXES) + NOTES * noted(scene)
    if not any(item.time == 0 for item in scene.items.values()):
        left += beside * (widest - 1) / 2 - column * (not scene.folded)
    bottom = down + RADIUS + MARGIN + (LEGEND * (legend + 1) if legend else 0)
    return Grid(
        {key: value + down for key, value in rows.items()},
        {key: (value + down, offset) for key, (value, offset) in lanes.items()},
        left,
        column,
        beside,
        top + down,
        bottom,
    )


def noted(scene: Scene) -> bool:
    """True if something is written beside parameters."""
    return any(item.value or item.gradient for item in scene.items.values() if item.kind == "parameter")


def parameters_into(scene: Scene, names: Sequence[str]) -> list[str]:
    """The parameters that enter a row, and none below it."""
    found = []
    for name in of_network(scene).parameters:
        targets = {scene.items[link.target].base for link in scene.links if link.source == name}
        if next((row for row in of_network(scene).rows if targets & set(row)), None) is names:
            found.append(name)
    return found


def shape(scene: Scene, item: Item, grid: Grid, state: State) -> Shape:
    """The circle or box of an item, at its place."""
    rows = of_network(scene).rows
    x, size = grid.left + grid.column * (item.time or 0), 2 * RADIUS
    if item.kind == "parameter":
        wide = 16 + 8.0 * len(item.text.replace("_", ""))
        x, y = MARGIN + NOTES * noted(scene) + 28, grid.lanes[item.key][0]
        return Shape(item.key, item.text, item.kind, x, y, wide, 21, False, state, item.value, item.gradient, beside="left")
    if item.kind == "total":
        times = [one.time or 0 for one in scene.items.values() if one.kind == "loss"]
        x, y, size = grid.left + grid.column * (min(times) + max(times)) / 2, grid.total, 34.0
    elif item.base == "y":
        x, y, size = x + TARGET, grid.rows[0, len(rows) - 1], 2 * SMALL
    else:
        number = next(n for n, row in enumerate(rows) if item.base in row)
        y, fellows = grid.rows[item.way if scene.ways else 0, number], rows[number]
        if len(fellows) > 1:
            aside = grid.beside * (fellows.index(item.base) - (len(fellows) - 1) / 2)
            x, size = x + (-aside if scene.folded else aside), 2 * SMALL
    return Shape(item.key, item.text, item.kind, x, y, size, size, True, state, item.value, item.gradient)


def explained(scene: Scene) -> Iterator[str]:
    """What the marks mean, of those that are there."""
    items = scene.items.values()
    if scene.ways:
        yield "A step is drawn, and run, once for each group of losses that reaches it. L is the sum of all losses."
        yield "All steps read the same parameters; these, and the targets, are not drawn."
    if any(link.cut for link in scene.links):
        yield "∥  cut: the value passes, no gradient comes back"
    if any(link.weight != 1 for link in scene.links):
        yield "×  the gradient that comes back is multiplied by this number; the value is not"
    if any("θ" in item.gradient for item in items):
        yield "θ ×  what the parameters get from this step is multiplied by this number"
    if any("·" in item.value for item in items):
        yield "‖·‖  norm of a value of more than two numbers"
    if any("∂" in item.gradient for item in items):
        yield "‖∂‖  norm of the gradient of L at this place"
    if any(link.lag for link in scene.links):
        yield "■  what passes here arrives as many steps later"


def described(scene: Scene) -> str:
    """The picture in words: what every item depends on."""
    found: dict[str, list[str]] = {}
    for link in scene.links:
        found.setdefault(link.target, []).append(link.source + later(link))
    return "; ".join(f"{key} depends on {', '.join(sources)}" for key, sources in found.items())


def later(link: Link) -> str:
    """How many steps before, if at all."""
    return f" {link.lag} step{'s' * (link.lag != 1)} before" if link.lag else ""


def of_network(scene: Scene) -> Network:
    """The network of a scene; only networks have rows."""
    assert scene.network is not None
    return scene.network

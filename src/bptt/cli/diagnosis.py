"""A diagnosis on standard output: the verdict first, then a curve, a table and what to change.

Knows a diagnosis; must not know how it is made or written.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence

from bptt.cli.comparison import paragraph
from bptt.cli.output import figure, table
from bptt.diagnostics import Diagnosis
from bptt.diagnostics.verdict import share

BARS = "▁▂▃▄▅▆▇█"
DECADES = 8  # that the curve shows at most
NOTHING = "–"
COLUMN = 8  # characters of a column of figures


def show(found: Diagnosis, title: str) -> None:
    """Everything, no wider than the terminal."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 110)
    print(f"{title}, {found.setting['rows']} rows × {found.setting['steps']} steps\n")
    for line in found.words():
        paragraph(line, width)
    for part in (by_lag(found, width), truncated(found, width), products(found, width)):
        print("", *part, sep="\n")
    if found.advice():
        print("\nwhat to change")
        for line in found.advice():
            paragraph(f"· {line}", width)
    for note in found.notes:
        paragraph(f"\nnote: {note}.", width)


def by_lag(found: Diagnosis, width: int) -> list[str]:
    """The size of the gradient over the lag, as bars on a logarithmic scale."""
    sizes = found.lags.sizes[: found.lags.seen].tolist()
    bars, pool = curve(sizes, width - 2)
    seen = [size for size in sizes if size > 0]
    ends = f"{figure(sizes[0])} at k = 1, {figure(sizes[-1])} at k = {len(sizes)}" if seen else "all zero"
    return [f"‖∂l_t/∂h_(t−k)‖ by lag k, logarithmic: {ends}", f"  {bars}", f"  {marks(len(sizes), pool)}"]


def curve(sizes: Sequence[float], width: int) -> tuple[str, int]:
    """One bar for every `pool` sizes, such that they fit, and `pool`; each bar is 1/8 of the decades between the extremes.

    >>> curve([1, 0.1, 0.01], 10)
    ('█▅▁', 1)
    """
    pool = max(1, math.ceil(len(sizes) / max(width, 8)))
    blocks = [sizes[at : at + pool] for at in range(0, len(sizes), pool)]
    means = [sum(block) / len(block) for block in blocks]
    logs = [math.log10(mean) if mean > 0 else -math.inf for mean in means]
    top = max(logs)
    floor = max(min(logs), top - DECADES)
    unit = (top - floor) / (len(BARS) - 1) or 1.0
    bars = "".join(BARS[max(0, round((log - floor) / unit))] if log > -math.inf else " " for log in logs)
    return bars, pool


def marks(count: int, pool: int) -> str:
    """Round lags below their bars, ten characters or more apart.

    >>> marks(24, 1)
    '1        10        20'
    """
    step = next(step for step in (10, 20, 50, 100, 200, 500, 1000, 5000, 10**6) if step >= 10 * pool)
    line = "1"
    for lag in range(step, count + 1, step):
        line = f"{line:<{(lag - 1) // pool}}{lag}"
    return line


def truncated(found: Diagnosis, width: int) -> list[str]:
    """What is lost with K terms of each loss, and with plain stretches of K steps."""
    errors = dict(zip(found.lags.terms.tolist(), found.lags.errors.tolist(), strict=True))
    doubling = {k for k in (2**i for i in range(1, 20)) if k in errors and k < found.setting["steps"]}
    terms = sorted(doubling | found.stretches.keys())
    rows = [
        ("K", [str(k) for k in terms]),
        ("K terms of each loss", [share(errors[k]) if k in errors else NOTHING for k in terms]),
        ("stretches of K steps", [share(found.stretches[k]) if k in found.stretches else NOTHING for k in terms]),
    ]
    return ["off the exact gradient", *lines(rows, width)]


def products(found: Diagnosis, width: int) -> list[str]:
    """Singular values of products of Jacobians, spectral radii, exponents."""
    spans, largest = found.jacobians.spans.tolist(), found.jacobians.mean_singular()
    rows = [("k", [str(k) for k in spans]), ("largest singular value", [figure(float(s[0])) for s in largest])]
    radii = found.jacobians.radii.flatten().tolist()
    first = [f"{value:.3f}" for value in found.exponents[:6].tolist()]
    facts = [
        ("spectral radius of D_t", f"{figure(min(radii))} … {figure(max(radii))}" if radii else NOTHING),
        ("Lyapunov exponents", ", ".join(first) + (", …" if len(found.exponents) > len(first) else "")),
    ]
    heading = f"products of k Jacobians D_t … D_(t−k+1), {found.jacobians.where}"
    product = [heading, *lines(rows, width)] if spans else []
    return [*product, table(facts)]


def lines(rows: Sequence[tuple[str, Sequence[str]]], width: int) -> list[str]:
    """Names to the left, figures below each other; the last columns are left out where there is no room."""
    names = max(len(name) for name, _ in rows)
    column = max([COLUMN, *(1 + len(cell) for _, cells in rows for cell in cells)])
    room = max(1, (width - 2 - names) // column)
    return [f"  {name:{names}}" + "".join(f"{cell:>{column}}" for cell in cells[:room]) for name, cells in rows]

"""Tables of text on standard output: names to the left, figures to the right, no wider than the terminal.

Knows rich and terminals; must not know what the figures mean.
"""

from __future__ import annotations

import io
import shutil
import textwrap
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bptt.cli.ending import visible


def columns() -> int:
    """The width of the terminal, as far as it is good to read."""
    return min(shutil.get_terminal_size((100, 24)).columns, 110)


def figures(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under a head: the first column to the left, the others to the right; what does not fit is wrapped."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    table.add_column(visible(head[0]), overflow="fold")
    for name in head[1:]:
        table.add_column(visible(name), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    return drawn(table)


def drawn(table: Table) -> str:
    """The lines of a table."""
    console = Console(file=io.StringIO(), width=columns(), highlight=False, markup=False, emoji=False, color_system=None)
    with console.capture() as lines:
        console.print(table)
    return "\n".join(line.rstrip() for line in lines.get().splitlines())


def paragraph(text: str) -> str:
    """Lines no wider than the terminal; a figure and its percent sign stay together."""
    filled = textwrap.fill(visible(text).replace(" %", "\u00a0%"), columns(), break_on_hyphens=False)
    return filled.replace("\u00a0", " ")

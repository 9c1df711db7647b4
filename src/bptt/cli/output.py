"""What commands print: results on standard output for people, or as JSON for machines.

Knows streams and numbers; must not know any command.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from bptt.cli.ending import visible
from bptt.files import to_json
from bptt.training.listeners import readable


def emit(value: Any) -> None:
    """One JSON value on a line of its own, at once."""
    print(to_json(clean(value)), flush=True)


def clean(value: Any) -> Any:
    """`value` with null where JSON has no number, and text where it has no type."""
    if isinstance(value, Mapping):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return readable(value) if isinstance(value, str | int | float | None) else str(value)


def table(rows: Iterable[tuple[str, str]], indent: int = 2) -> str:
    """Names and values in two columns."""
    pairs = list(rows)
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{'':{indent}}{name:{width}}  {value}".rstrip() for name, value in pairs)


def figure(value: float | None) -> str:
    """A number for people: four significant digits, no exponent where it is not needed."""
    if value is None or not math.isfinite(value):
        return "–" if value is None or math.isnan(value) else "∞"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4g}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.3e}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def printable(text: str) -> str:
    """`text` as standard output may have it: a terminal gets no control characters, a file or a pipe gets everything."""
    return visible(text) if sys.stdout.isatty() else text

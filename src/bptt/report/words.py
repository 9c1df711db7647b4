"""Numbers and tokens as people read them. Knows no file, no chart and no HTML."""

from __future__ import annotations

import math

VISIBLE = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u3000": "␣ (wide)", "": "(empty)"}


def number(value: object) -> float | None:
    """`value` as a finite float, or None: what a curve can draw and a tile can show."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def significant(value: float, digits: int = 3) -> str:
    """`value` to `digits` significant digits, thousands grouped: 6.42, 12,346, 1.2e+20."""
    if value and not 1e-4 <= abs(value) < 1e12:
        return f"{value:.{digits}g}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    decimals = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{decimals}f}"


def compact(value: float) -> str:
    """`value` as short as a tile or an axis wants it: 850, 12.5k, 3.2M, 1e-5."""
    size = abs(value)
    if value and not 1e-4 <= size < 1e15:
        return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e")
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= limit:
            return f"{value / limit:.4g}{letter}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """`seconds` in the two largest units that say something: 4.2 s, 5 min 12 s, 3 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def percent(share: float) -> str:
    """A share of 1 in percent: 12.3 %, 0.94 %; never a bare 0 for something that happened."""
    if 0 < share < 1e-4:
        return "< 0.01 %"
    shown = f"{100 * share:.{1 if share >= 0.1 else 2}f}"
    return (shown.split(".")[0] if shown.strip("0").endswith(".") else shown) + " %"


def visible(token: str, limit: int = 24) -> str:
    """A token that can be seen: blanks get a glyph, long tokens an ellipsis."""
    shown = VISIBLE.get(token) or "".join(VISIBLE.get(letter, letter) for letter in token)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"

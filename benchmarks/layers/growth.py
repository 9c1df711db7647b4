"""How time grows with T, with H and with B: exponents fitted to rows that differ in one of them.

Knows fits; must not know how a row is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rows import Row

FIELDS = {"T": "steps", "H": "units", "B": "rows"}


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """p of value ∝ size^p, least squares in logarithms."""
    return float(np.polyfit([math.log(size) for size in sizes], [math.log(value) for value in values], 1)[0])


def fit(varied: str, rows: list[Row]) -> dict[str, Any]:
    """The exponents of ours, keep-gates, and of torch.nn."""
    sizes = [row[FIELDS[varied]] for row in rows]
    fixed = {letter: rows[0][field] for letter, field in FIELDS.items() if letter != varied}
    return {
        "cell": rows[0]["cell"],
        "varied": varied,
        "sizes": sizes,
        "fixed": fixed,
        **{peer: exponent(sizes, [row["ms"][peer] for row in rows]) for peer in ("gates", "torch")},
        "rows": rows,
    }

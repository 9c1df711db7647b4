"""Very long sequences, B = 1: full back-propagation over up to a million steps, each length in a process of its own.

Knows time and peak memory of one run; must not know peers: nobody else finishes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from correctness import check
from growth import exponent
from memory import resident
from peers import Here, ours
from problem import Problem
from sizes import Size

UNITS = 256
SHORT = 300


def here(cell: str, steps: int) -> dict[str, Any]:
    """Forward and backward over so many steps in this process: seconds (the best of a few if short) and bytes it grew by.

    The bytes, at their peak in the first run, hold everything: the input, the output, their gradients, what is kept in between
    and the working memory.
    """
    short = Problem(Size(cell, SHORT, 1, UNITS, UNITS))
    check(cell, {"torch": Here(short, short.layer), "auto": Here(short, ours(short, "auto"))})
    before, _ = resident()
    problem = Problem(Size(cell, steps, 1, UNITS, UNITS))
    layer, seconds, peaks = ours(problem, "auto"), [], []
    for _ in range(max(1, min(5, 200_000 // steps))):
        started = time.perf_counter()
        results = problem.derive(layer)
        seconds.append(time.perf_counter() - started)
        peaks.append(resident()[1])
        del results
    return {"cell": cell, "steps": steps, "units": UNITS, "seconds": min(seconds), "bytes": peaks[0] - before}


def apart(cell: str, steps: int, threads: int) -> dict[str, Any]:
    """`here` in a fresh process, and what follows from it."""
    command = [sys.executable, str(Path(__file__).parent), "--one", cell, str(steps), "--threads", str(threads)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found | {"floats": found["bytes"] / 4 / steps / UNITS}


def growth(found: list[dict[str, Any]]) -> float:
    """The exponent of time in the number of steps."""
    return exponent([row["steps"] for row in found], [row["seconds"] for row in found])

"""What a synthetic task says of its losses, from corpus.json: the floor, and the levels above it.

Knows the keys of that file and trusts none of its values; must not know tasks.
"""

from __future__ import annotations

import math
from typing import Any

from bptt.report.run import Run
from bptt.report.words import number


def levels_of(run: Run) -> list[tuple[str, float]]:
    """Name and loss per counted step, the floor last; empty for what is no task."""
    said: Any = run.corpus.get("levels")
    found = [(str(name)[:40], number(loss)) for name, loss in said.items()] if isinstance(said, dict) else []
    return [(name, loss) for name, loss in found if loss is not None and 0 <= loss < 100]


def view(run: Run, reached: float | None) -> dict[str, Any] | None:
    """What the section on the task prints; None for what is no task. `reached`: the best mean loss, if it is known."""
    found = levels_of(run)
    if not found:
        return None
    text = run.corpus.get("floor_unit") == "nats"

    def row(name: str, loss: float, own: bool = False) -> dict[str, Any]:
        figure = math.exp(min(loss, 700.0)) if text else math.sqrt(max(loss, 0.0))
        return {"name": name, "loss": loss, "bits": loss / math.log(2), "figure": figure, "own": own}

    *above, (best, floor) = found
    rows = [*(row(name, loss) for name, loss in above), row(f"{best}: the floor", floor)]
    if reached is not None:
        rows = sorted([*rows, row("this run, best validation", reached, True)], key=lambda one: -one["loss"])
    return {"rows": rows, "text": text, "about": str(run.corpus.get("about", "")), "floor": floor, "reached": reached}

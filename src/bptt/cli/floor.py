"""What a synthetic task says of its figures: the floor, and the levels above it.

Knows the facts of a task and the measure of a model; must not know tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bptt.cli.output import figure
from bptt.metrics import Measure


def floor_rows(facts: Mapping[str, Any], measure: Measure) -> list[tuple[str, str]]:
    """The rows of a task for a table; none for anything else."""
    if "floor" not in facts:
        return []
    *above, (best, floor) = facts["levels"].items()
    known = " · ".join(f"{name} {figure(measure.of(loss))}" for name, loss in above)
    unit = f"{figure(floor)} {facts['floor_unit']} per step that counts"
    return [
        ("floor", f"{figure(measure.of(floor))} ({unit}; {best}): no model can do better"),
        ("above it", known),
    ]

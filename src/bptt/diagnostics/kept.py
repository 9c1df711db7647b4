"""What a rule keeps of the influence of parameters on the state, drawn for a net whose units stand in a ring.

Knows how far a rule looks; must not know rules by name. It stands where the credit map would, of rules that weigh no credits.
"""

from __future__ import annotations

import torch

from bptt.gradients.online.kept import Pattern
from bptt.structure import Structure

UNITS = 12
NO_MAP = "There is no credit map: this gradient is no weighted sum of credits."


def kept_in_a_ring(reach: float, units: int = UNITS) -> torch.Tensor:
    """[U, U] bool, at [i, j] whether the influence on unit i of what moves unit j is kept, `reach` steps after it moved it.

    Every unit reads itself and the one before it.

    >>> kept_in_a_ring(1, 4).int().tolist()
    [[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    """
    one = torch.eye(units, dtype=torch.bool)
    kept = Pattern.of(Structure(torch.arange(units), {"": torch.arange(units)}, one | one.roll(1, 0)), reach).kept
    assert kept is not None
    return kept


def pattern(reach: float) -> str:
    """The same in characters, with what one sees."""
    kept = kept_in_a_ring(reach)
    lines = [f"{row:4} {''.join('██' if one else '· ' for one in line)}" for row, line in enumerate(kept.tolist())]
    share = f"{float(kept.double().mean()):.0%}"
    return "\n".join(
        [
            "unit  influence of what moves unit 0, 1, … →",
            *lines,
            f"\n{UNITS} units in a ring, each reading itself and the one before it: {share} of the influence is kept (██).",
            "Between the units of a dense layer n = 1 keeps the diagonal, and n = 2 keeps everything.",
            NO_MAP,
        ]
    )

"""Settings of teacher forcing, which language models and models of series share: how likely a step is forced, and when.

Knows probabilities and shares of a training; must not know any layer.
"""

from __future__ import annotations

from typing import Any

from bptt.errors import InputError
from bptt.nn.forcing import scheduled

FORCING = ("teacher_forcing", "forcing_end", "forcing_schedule")


class Taught:
    """What such settings can do; whoever has them declares the fields."""

    teacher_forcing: float
    forcing_end: float | None
    forcing_schedule: Any

    def check_forcing(self) -> None:
        """InputError for what is no probability."""
        for name in ("teacher_forcing", "forcing_end"):
            value = getattr(self, name)
            if not (value is None and name == "forcing_end") and (not number(value) or not 0 <= value <= 1):
                raise InputError(f"{name} must be a probability from 0 to 1", f"{name}={value!r}", "Try 0.5")

        if self.forcing_schedule != "linear" and self.forcing_at_last == self.teacher_forcing:
            given = f"forcing_schedule={self.forcing_schedule!r}, teacher_forcing={self.teacher_forcing}"
            todo = "Give forcing_end another probability, or leave forcing_schedule out"
            raise InputError("Teacher forcing stays the same, and nothing follows a schedule", given, todo)

    @property
    def taught(self) -> bool:
        """Whether any step of the training may be forced."""
        return max(self.teacher_forcing, self.forcing_at_last) > 0

    @property
    def forcing_at_last(self) -> float:
        """The probability of teacher forcing at the end of the training."""
        return self.teacher_forcing if self.forcing_end is None else self.forcing_end

    def forcing_after(self, share: float) -> float:
        """The probability of teacher forcing after `share` of the training."""
        return scheduled(share, self.teacher_forcing, self.forcing_at_last, self.forcing_schedule)


def suit(settings: Any, cell: str, own: dict[str, tuple[str, ...]]) -> None:
    """InputError for a setting with another value than its default that `cell` does not have.

    own  by the names of settings that only some cells have, which those are
    """
    for name, cells in own.items():
        value, default = getattr(settings, name), type(settings).__dataclass_fields__[name].default
        if value != default and cell not in cells:
            raise InputError(
                f"The {cell} cell has no choice of {name}", f"{name}={value!r}", f"Use {' or '.join(cells)}, or leave it out"
            )


def number(value: Any) -> bool:
    """Whether it is one; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)

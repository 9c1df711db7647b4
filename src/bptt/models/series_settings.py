"""What a recurrent model of a series is made of, as settings.

Knows names, sizes and which of them go together; must not know any layer or loss.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from bptt.errors import InputError, did_you_mean
from bptt.models.settings import LanguageSettings
from bptt.models.taught import FORCING, Taught, number, suit
from bptt.nn.forcing import CURVES

CHOICES: dict[str, tuple[str, ...]] = {
    "nonlinearity": ("tanh", "relu", "identity"),
    "loss": ("squared", "absolute"),
    "forcing_schedule": tuple(CURVES),
}
# Settings that only some cells have.
OWN = {
    "nonlinearity": ("rnn", "lru", "tdnn", "output-to-hidden"),
    "kernel_size": ("tdnn",),
    "layers": ("rnn", "lstm", "gru", "lru", "mingru", "tdnn"),
    **dict.fromkeys(FORCING, ("output-to-hidden",)),
}


@dataclasses.dataclass(frozen=True)
class SeriesSettings(Taught):
    """What a recurrent model of a series is made of.

    Arguments:
        hidden_size: hidden units H per layer
        layers: recurrent layers, one above the other; the output-to-hidden cell has one
        dropout: share of units dropped between and after the layers while training
        nonlinearity: of the rnn, lru, tdnn and output-to-hidden cells: tanh, relu or identity
        kernel_size: of the tdnn cell: how many steps a layer reads
        loss: squared (mean forecasts, judged by their RMSE) or absolute (median forecasts, judged by their MAE)
        teacher_forcing: of the output-to-hidden cell: 0: free running: it reads every value, and beside it what it had said;
            above 0: it reads one of the two, in training the true value with this probability (1: teacher forcing)
        forcing_end: that probability at the end of the training, for scheduled sampling; none: the same all the time
        forcing_schedule: how it goes there: linear, exponential or sigmoid
    """

    hidden_size: int = 32
    layers: int = 1
    dropout: float = 0.0
    nonlinearity: Literal["tanh", "relu", "identity"] = "tanh"
    kernel_size: int = 8
    loss: Literal["squared", "absolute"] = "squared"
    teacher_forcing: float = 0.0
    forcing_end: float | None = None
    forcing_schedule: Literal["linear", "exponential", "sigmoid"] = "linear"

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise InputError(f"There is no such {name}", f"{name}={value!r}", did_you_mean(str(value), list(known)))
        for name in ("hidden_size", "layers", "kernel_size"):
            size = getattr(self, name)
            if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < 2**31:
                what = f"{name} must be a whole number, at least 1 and below 2³¹"
                raise InputError(what, f"{name}={size!r}", "Give a number between them")
        if not number(self.dropout) or not 0 <= self.dropout < 1:
            raise InputError("dropout must be a share from 0 up to, not including, 1", f"dropout={self.dropout!r}", "Try 0.2")
        self.check_forcing()

    def suit(self, cell: str) -> SeriesSettings:
        """Itself; InputError for settings that `cell` does not have."""
        suit(self, cell, OWN)
        return self

    def about(self, cell: str) -> str:
        """What a network of `cell` remembers, in a line for tables and pages."""
        if cell == "tdnn":
            return "convolutions over the last steps"
        if cell != "output-to-hidden":
            return "a recurrent network, its state carried from the first step on"
        if not self.taught:
            return "a recurrent network that remembers what it said last, free running"
        always = min(self.teacher_forcing, self.forcing_at_last) == 1
        how = "teacher forcing" if always else "scheduled sampling"
        return f"a recurrent network that reads the last value, or what it said in its place; {how}"

    def to_json(self) -> dict[str, Any]:
        """The fields by name, as plain JSON."""
        return dataclasses.asdict(self)


def series_settings(said: LanguageSettings) -> dict[str, Any]:
    """What the settings of a language model mean for a model of numbers; InputError for one that it does not have."""
    taken = {"cell", *(field.name for field in dataclasses.fields(SeriesSettings))}
    given = vars(said)
    for field in dataclasses.fields(said):
        if field.name not in taken and given[field.name] != field.default:
            todo = f"Leave {field.name} out"
            raise InputError("A model of numbers has no such setting", f"{field.name}={given[field.name]!r}", todo)
    return {name: value for name, value in given.items() if name in taken}

"""What a language model is made of, as settings. Knows names, sizes and which of them go together; must not know any layer."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from bptt.errors import InputError, did_you_mean
from bptt.models.taught import FORCING, Taught, number, suit
from bptt.nn.forcing import CURVES
from bptt.nn.leaky_rnn import leak_share

CELLS = ("rnn", "leaky-rnn", "lstm", "gru", "lru", "mingru", "tdnn", "output-to-hidden")
CHOICES: dict[str, tuple[str, ...]] = {
    "cell": CELLS,
    "nonlinearity": ("tanh", "relu", "identity"),
    "init": ("torch", "scratch"),
    "feedback": ("softmax", "sample"),
    "forcing_schedule": tuple(CURVES),
}
# Settings that only some cells have.
OWN = {
    "nonlinearity": ("rnn", "leaky-rnn", "lru", "tdnn", "output-to-hidden"),
    "leak": ("leaky-rnn",),
    "kernel_size": ("tdnn",),
    "dilations": ("tdnn",),
    **dict.fromkeys(("feedback", *FORCING), ("output-to-hidden",)),
}


@dataclasses.dataclass(frozen=True)
class LanguageSettings(Taught):
    """What a language model is made of, apart from its vocabulary.

    Arguments:
        cell: rnn, lstm, gru; leaky-rnn: an rnn whose units move by a share; lru, mingru: linear in the past,
            all steps at once; tdnn: convolutions over the last tokens; output-to-hidden: its only memory is what it said
        hidden_size: hidden units H per layer
        layers: recurrent layers, one above the other
        embedding_size: width of a token's vector; none: as hidden_size; 0: one-hot vectors, no embedding
        dropout: share of units dropped before, between and after the layers while training
        tie_weights: the readout uses the embedding's table as its weights
        nonlinearity: of the rnn, leaky-rnn, lru, tdnn and output-to-hidden cells: tanh, relu or identity
        leak: of the leaky-rnn cell: the share of the way that a unit moves at a step, above 0, at most 1
        init: torch: torch's own; scratch: weights from N(0, 0.01²), zero biases
        kernel_size: of the tdnn cell: how many steps a layer reads
        dilations: of the tdnn cell: steps between two that a layer reads, one number per layer; none: 1, 2, 4, …
        feedback: of the output-to-hidden cell: softmax: it reads the token and the distribution that it gave before; sample: it
            reads one token, the true one or one drawn from that distribution
        teacher_forcing: of the output-to-hidden cell: probability that a step reads the true token as what was said before
        forcing_end: that probability at the end of the training; none: the same all the time
        forcing_schedule: how it goes there: linear, exponential or sigmoid
    """

    cell: Literal["rnn", "leaky-rnn", "lstm", "gru", "lru", "mingru", "tdnn", "output-to-hidden"] = "gru"
    hidden_size: int = 256
    layers: int = 1
    embedding_size: int | None = None
    dropout: float = 0.0
    tie_weights: bool = False
    nonlinearity: Literal["tanh", "relu", "identity"] = "tanh"
    leak: float = 0.1
    init: Literal["torch", "scratch"] = "torch"
    kernel_size: int = 8
    dilations: tuple[int, ...] = ()
    feedback: Literal["softmax", "sample"] = "softmax"
    teacher_forcing: float = 0.0
    forcing_end: float | None = None
    forcing_schedule: Literal["linear", "exponential", "sigmoid"] = "linear"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dilations", tuple(self.dilations))  # JSON knows no tuples
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                raise InputError(f"There is no such {name}", f"{name}={value!r}", did_you_mean(str(value), list(known)))
        sizes = [(f"dilations[{layer}]", dilation, 1) for layer, dilation in enumerate(self.dilations)]
        sizes += [(name, getattr(self, name), 1) for name in ("hidden_size", "layers", "kernel_size")]
        for name, size, least in [*sizes, ("embedding_size", self.width, 0)]:
            if isinstance(size, bool) or not isinstance(size, int) or not least <= size < 2**31:
                what = f"{name} must be a whole number, at least {least} and below 2³¹"
                raise InputError(what, f"{name}={size!r}", "Give a number between them")
        if not number(self.dropout) or not 0 <= self.dropout < 1:
            raise InputError("dropout must be a share from 0 up to, not including, 1", f"dropout={self.dropout!r}", "Try 0.2")
        leak_share(self.leak)
        self.check_forcing()
        self._fit_the_cell()

    def _fit_the_cell(self) -> None:
        """InputError for settings that this cell does not have."""
        suit(self, self.cell, OWN)
        if self.dilations and len(self.dilations) != self.layers:
            given = f"{len(self.dilations)} dilations, layers={self.layers}"
            raise InputError("There must be one dilation per layer", given, f"Give layers={len(self.dilations)}")
        if self.tie_weights and self.width != self.hidden_size:
            raise InputError(
                "Tied weights need an embedding as wide as the hidden state",
                f"embedding_size={self.width}, hidden_size={self.hidden_size}",
                f"Give embedding_size={self.hidden_size}, or no tie_weights",
            )
        if self.cell == "output-to-hidden":
            self._fit_output_to_hidden()

    def _fit_output_to_hidden(self) -> None:
        if self.layers != 1:
            raise InputError("The output-to-hidden cell has one layer", f"layers={self.layers}", "Leave layers out")
        if self.tie_weights:
            raise InputError("The output-to-hidden cell has its readout inside it", "tie_weights", "Leave tie_weights out")
        if self.feedback == "sample" and not self.teacher_forcing:
            todo = "Give teacher_forcing above 0, or feedback=softmax"
            raise InputError("A model that reads only its own samples never sees the text", "teacher_forcing=0", todo)

    def to_json(self) -> dict[str, Any]:
        """The fields by name, as plain JSON."""
        return {**dataclasses.asdict(self), "dilations": list(self.dilations)}

    @property
    def width(self) -> int:
        """Width of a token's vector; 0 for one-hot."""
        return self.hidden_size if self.embedding_size is None else self.embedding_size

"""A recurrent model of a series: what comes next, given all before it.

    h_t = cell(x_t, h_{t−1}),  o_t = h_t W_hqᵀ + b_q

Knows its parts; must not know scaling, times, optimisers, gradients or files. That what it says becomes what it reads
next is the business of whoever forecasts with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bptt import inference
from bptt.data.series import SeriesPart
from bptt.errors import ContractError, InputError, did_you_mean
from bptt.metrics import MAE, RMSE, Measure, Score
from bptt.models.parts import Readout
from bptt.models.recurrent import RecurrentModel
from bptt.models.unroll import Unroll
from bptt.nn import GRU, LSTM, RNN, TDNN
from bptt.types import State


@dataclasses.dataclass(frozen=True)
class SeriesSettings:
    """What a recurrent model of a series is made of.

    Arguments:
        hidden_size: hidden units H per layer
        layers: recurrent layers, one above the other
        dropout: share of units dropped between and after the layers while training
        nonlinearity: of the rnn and tdnn cells: tanh, relu or identity
        kernel_size: of the tdnn cell: how many steps a layer reads
        loss: squared (mean forecasts, judged by their RMSE) or absolute (median forecasts, judged by their MAE)
    """

    hidden_size: int = 32
    layers: int = 1
    dropout: float = 0.0
    nonlinearity: Literal["tanh", "relu", "identity"] = "tanh"
    kernel_size: int = 8
    loss: Literal["squared", "absolute"] = "squared"

    def __post_init__(self) -> None:
        for name, known in (("nonlinearity", ["tanh", "relu", "identity"]), ("loss", list(LOSSES))):
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise InputError(f"There is no such {name}", f"{name}={value!r}", did_you_mean(str(value), known))
        for name in ("hidden_size", "layers", "kernel_size"):
            size = getattr(self, name)
            if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < 2**31:
                what = f"{name} must be a whole number, at least 1 and below 2³¹"
                raise InputError(what, f"{name}={size!r}", "Give a number between them")
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise InputError("dropout must be a share from 0 up to, not including, 1", f"dropout={self.dropout!r}", "Try 0.2")

    def to_json(self) -> dict[str, Any]:
        """The fields by name, as plain JSON."""
        return dataclasses.asdict(self)


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of the outputs whose targets are known: l[b, t] = (1/O) Σ_i s_i (o_i − y_i)².

    Arguments: outputs [B, T, O]; targets [B, T, O, 2], each value y beside its s, 1 where it is known and 0 elsewhere.
    """
    value, seen = targets.unbind(-1)
    return ((outputs - value).square() * seen).mean(-1)


def absolute(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute error of the outputs whose targets are known: l[b, t] = (1/O) Σ_i s_i |o_i − y_i|; see `squared`."""
    value, seen = targets.unbind(-1)
    return ((outputs - value).abs() * seen).mean(-1)


LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Measure]] = {
    "squared": (squared, RMSE),
    "absolute": (absolute, MAE),
}


def _elman(inputs: int, s: SeriesSettings) -> nn.Module:
    return RNN(inputs, s.hidden_size, s.layers, dropout=between(s), batch_first=True, nonlinearity=s.nonlinearity)


def _delays(inputs: int, s: SeriesSettings) -> nn.Module:
    return TDNN(inputs, s.hidden_size, s.layers, s.kernel_size, nonlinearity=s.nonlinearity, dropout=between(s))


def _gated(kind: type[nn.Module]) -> Callable[[int, SeriesSettings], nn.Module]:
    def make(inputs: int, s: SeriesSettings) -> nn.Module:
        if s.nonlinearity != "tanh":
            given = f"nonlinearity={s.nonlinearity!r}"
            raise InputError("Only the rnn and tdnn cells have a choice of nonlinearity", given, "Use rnn, or leave it out")
        return kind(inputs, s.hidden_size, s.layers, dropout=between(s), batch_first=True)

    return make


def between(s: SeriesSettings) -> float:
    """Dropout between layers, of which there must be two."""
    return s.dropout if s.layers > 1 else 0.0


# By name, what makes the recurrent part from the width of its inputs: outputs are as wide as hidden_size.
CELLS: dict[str, Callable[[int, SeriesSettings], nn.Module]] = {
    "rnn": _elman,
    "lstm": _gated(LSTM),
    "gru": _gated(GRU),
    "tdnn": _delays,
}


class SeriesModel(RecurrentModel):
    """recurrent → readout over vectors: a latent autoregressive model.

    Arguments:
        cell      a name in `CELLS`, or your own recurrent layer or cell on `inputs` numbers that puts out `hidden_size`
        inputs    I, how many numbers a step reads
        outputs   O, how many it says
        settings  the fields of `SeriesSettings` by name

    >>> model = SeriesModel("gru", inputs=3, outputs=2, hidden_size=8)
    >>> outputs, state = model.step(torch.randn(5, 3), model.initial_state(5))
    >>> outputs.shape
    torch.Size([5, 2])
    """

    vocab = None

    def __init__(self, cell: str | nn.Module = "gru", *, inputs: int, outputs: int, **settings: Any) -> None:
        super().__init__()
        self.settings = SeriesSettings(**settings)
        self.cell = cell if isinstance(cell, str) else type(cell).__name__
        self.own_cell = not isinstance(cell, str)
        if isinstance(cell, str) and cell not in CELLS:
            raise InputError("There is no such recurrent model", f"{cell!r}", did_you_mean(cell, sorted(CELLS)))
        self.inputs, self.size = inputs, outputs
        self.recurrent = CELLS[cell](inputs, self.settings) if isinstance(cell, str) else cell
        self.readout = Readout(self.settings.hidden_size, outputs, self.settings.dropout)
        self.loss, self.measure = LOSSES[self.settings.loss]
        unrolled = Unroll(None, self.recurrent, self.readout, self.loss)
        self.hold(unrolled, "A model of a series may not look ahead: it would read what it should predict")

    def unroll(self, *, per: float = 1.0, autocast: torch.dtype | None = None) -> Unroll:
        """This model for gradient strategies: the same parameters and its own loss."""
        return Unroll(None, self.recurrent, self.readout, self.loss, per=per, autocast=autocast)

    def progress(self, share: float) -> None:
        """Nothing of it changes with the share of the training that is done."""

    @property
    def dtype(self) -> torch.dtype:
        """Of parameters, inputs and outputs."""
        return self.readout.linear.weight.dtype

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step per row: x [B, I] → outputs [B, O], and the state after it."""
        outputs, state = self.through(x.unsqueeze(1), state)
        return outputs.squeeze(1), state

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Every step: x [B, T, I] → outputs [B, T, O], and the state after the last."""
        return self.through(x, state)

    def states(self, x: Tensor) -> State:
        """The state before every step of x [B, T, I], leaves [B, T, …], from the initial state."""
        return self._unrolled[0].recurrent.states(x, self.initial_state(x.shape[0]))

    def evaluate(self, part: SeriesPart, *, chunk: int = 1024, progress: Any = None, stop: Any = None) -> Score:
        """The sum of the losses that count in `part`, read as one lane, and how many they are."""
        count = int(part.counts[:-1].sum())
        report = None if progress is None else lambda done: progress(done, count)
        losses = inference.quiet(self, self._unrolled[0].losses)
        return inference.evaluate(losses, self.initial_state(1), part.whole(chunk), progress=report, stop=stop)

    def to_json(self) -> dict[str, Any]:
        """Everything but the numbers."""
        if self.own_cell:
            raise ContractError(
                "A model with a cell of your own cannot be described in a file",
                self.cell,
                "Build it again in your code and load its parameters with load_state_dict",
            )
        sizes = {"cell": self.cell, "inputs": self.inputs, "outputs": self.size}
        return {"kind": "series", "settings": {**sizes, **self.settings.to_json()}, "vocab": self.size}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> SeriesModel:
        """The model that `to_json` described, with fresh parameters."""
        return cls(**saved["settings"])

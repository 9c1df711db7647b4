"""A recurrent model of a series: what comes next, given all before it.

    h_t = cell(x_t, h_{t−1}),  o_t = h_t W_hqᵀ + b_q

Knows its parts; must not know scaling, times, optimisers, gradients or files. That what it says becomes what it reads
next is the business of whoever forecasts with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bptt import inference
from bptt.data.series import SeriesPart
from bptt.errors import ContractError, InputError, did_you_mean
from bptt.metrics import MAE, RMSE, Measure, Score
from bptt.models.parts import Readout
from bptt.models.recurrent import RecurrentModel
from bptt.models.series_settings import SeriesSettings
from bptt.models.unroll import Unroll
from bptt.nn import GRU, LRU, LSTM, RNN, TDNN, MinGRU, OutputToHidden
from bptt.types import State


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


class Parts(NamedTuple):
    """recurrent → readout."""

    recurrent: nn.Module
    readout: nn.Module


Make = Callable[[int, int, SeriesSettings], Parts]


def _elman(inputs: int, s: SeriesSettings) -> nn.Module:
    return RNN(inputs, s.hidden_size, s.layers, dropout=between(s), batch_first=True, nonlinearity=s.nonlinearity)


def _delays(inputs: int, s: SeriesSettings) -> nn.Module:
    return TDNN(inputs, s.hidden_size, s.layers, s.kernel_size, nonlinearity=s.nonlinearity, dropout=between(s))


def _oscillators(inputs: int, s: SeriesSettings) -> nn.Module:
    return LRU(inputs, s.hidden_size, s.layers, nonlinearity=s.nonlinearity, dropout=between(s))


def _gated(kind: type[nn.Module], **extra: Any) -> Callable[[int, SeriesSettings], nn.Module]:
    return lambda inputs, s: kind(inputs, s.hidden_size, s.layers, dropout=between(s), **extra)


def between(s: SeriesSettings) -> float:
    """Dropout between layers, of which there must be two."""
    return s.dropout if s.layers > 1 else 0.0


def _read_out(layer: Callable[[int, SeriesSettings], nn.Module]) -> Make:
    return lambda inputs, outputs, s: Parts(layer(inputs, s), Readout(s.hidden_size, outputs, s.dropout))


def output_to_hidden(inputs: int, outputs: int, s: SeriesSettings) -> Parts:
    """A layer that holds its own readout, because it reads what that says.

    Where steps may be forced, the last `outputs` of the inputs are what should have been said the step before. Out of training
    they are always read: what is seen is true, and behind the end whoever forecasts puts there what was said.
    """
    beside = inputs - outputs * s.taught
    if beside < 0:
        given = f"{inputs} inputs, {outputs} outputs"
        raise InputError("The inputs must end in the true previous output", given, f"Give at least {outputs} inputs")
    recurrent = OutputToHidden(
        beside,
        s.hidden_size,
        outputs,
        nonlinearity=s.nonlinearity,
        teacher=s.taught,
        forcing=s.forcing_at_last,
        free_running=not s.taught,
        dropout=s.dropout,
    )
    return Parts(recurrent, nn.Identity())


# By name, what makes the parts from the width of inputs and outputs.
CELLS: dict[str, Make] = {
    "rnn": _read_out(_elman),
    "lstm": _read_out(_gated(LSTM, batch_first=True)),
    "gru": _read_out(_gated(GRU, batch_first=True)),
    "lru": _read_out(_oscillators),
    "mingru": _read_out(_gated(MinGRU)),
    "tdnn": _read_out(_delays),
    "output-to-hidden": output_to_hidden,
}


class SeriesModel(RecurrentModel):
    """recurrent → readout over vectors: a latent autoregressive model.

    Arguments:
        cell      a name in `CELLS`, or your own recurrent layer or cell on `inputs` numbers that puts out `hidden_size`
        inputs    I, how many numbers a step reads; of "output-to-hidden" with teacher forcing, the last O are what the step
                  before should have said
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
        if isinstance(cell, str):
            self.recurrent, self.readout = CELLS[cell](inputs, outputs, self.settings.suit(cell))
        else:
            self.recurrent, self.readout = cell, Readout(self.settings.hidden_size, outputs, self.settings.dropout)
        self.loss, self.measure = LOSSES[self.settings.loss]
        unrolled = Unroll(None, self.recurrent, self.readout, self.loss)
        self.hold(unrolled, "A model of a series may not look ahead: it would read what it should predict")

    def unroll(self, *, per: float = 1.0, autocast: torch.dtype | None = None) -> Unroll:
        """This model for gradient strategies: the same parameters and its own loss."""
        return Unroll(None, self.recurrent, self.readout, self.loss, per=per, autocast=autocast)

    def progress(self, share: float) -> None:
        """What changes with the training: the probability of teacher forcing, after `share` of all its steps."""
        if isinstance(self.recurrent, OutputToHidden) and not self.own_cell:
            self.recurrent.forcing = self.settings.forcing_after(share)

    @property
    def dtype(self) -> torch.dtype:
        """Of parameters, inputs and outputs."""
        return next(self.parameters()).dtype

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

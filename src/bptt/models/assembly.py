"""The parts of a language model, put together as its settings say.

Knows which layer a cell's name means and what that layer reads; must not know vocabularies or texts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from bptt.models.parts import Embed, Following, OneHot, Readout
from bptt.models.settings import LanguageSettings
from bptt.nn import GRU, LRU, LSTM, RNN, TDNN, LeakyRNN, MinGRU, OutputToHidden

DROP_INS = {"rnn": RNN, "leaky-rnn": LeakyRNN, "lstm": LSTM, "gru": GRU}


class Parts(NamedTuple):
    """encode → recurrent → readout."""

    encode: nn.Module
    recurrent: nn.Module
    readout: nn.Module


def assemble(s: LanguageSettings, size: int, own: nn.Module | None = None) -> Parts:
    """The parts of a model over `size` tokens; `own` takes the place of the recurrent layer."""
    if own is None and s.cell == "output-to-hidden":
        return output_to_hidden(s, size)
    encode = ends(s, size)
    recurrent = layer(s, size) if own is None else own
    return Parts(encode, recurrent, Readout(s.hidden_size, size, s.dropout))


def ends(s: LanguageSettings, size: int) -> Embed | OneHot:
    """What turns tokens into vectors."""
    return Embed(size, s.width, s.dropout) if s.width else OneHot(size)


def layer(s: LanguageSettings, size: int) -> nn.Module:
    """The recurrent layer between encoding and readout."""
    between = s.dropout if s.layers > 1 else 0.0
    width = s.width or size
    if s.cell == "tdnn":
        return TDNN(width, s.hidden_size, s.layers, s.kernel_size, s.dilations, s.nonlinearity, dropout=between)
    if s.cell == "lru":
        return LRU(width, s.hidden_size, s.layers, nonlinearity=s.nonlinearity, dropout=between)
    if s.cell == "mingru":
        return MinGRU(width, s.hidden_size, s.layers, dropout=between)
    extra: dict[str, Any] = {"nonlinearity": s.nonlinearity} if s.cell in ("rnn", "leaky-rnn") else {}
    if s.cell == "leaky-rnn":
        extra["leak"] = s.leak
    return DROP_INS[s.cell](width, s.hidden_size, s.layers, dropout=between, batch_first=True, **extra)


def output_to_hidden(s: LanguageSettings, size: int) -> Parts:
    """A layer that holds its own readout, because it reads what that says.

    The target of the step before is the token itself. So where steps may be forced, the token is handed over twice: as what is
    read, and as what should have been said. A model that reads samples is given no token beside them.
    """
    alone, teacher = s.feedback == "sample", s.taught
    token: Embed | OneHot = OneHot(size) if alone else ends(s, size)
    recurrent = OutputToHidden(
        0 if alone else s.width or size,
        s.hidden_size,
        size,
        nonlinearity=s.nonlinearity,
        feedback=s.feedback,
        teacher=teacher,
        forcing=s.forcing_at_last,
        free_running=not alone and s.forcing_at_last < 1,
        dropout=s.dropout,
    )
    return Parts(Following(token, size) if teacher and not alone else token, recurrent, nn.Identity())

"""A recurrent language model: which token comes next, given all before it.

Knows its parts and its vocabulary; must not know corpora, optimisers, gradients or files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bptt import inference
from bptt.data import Tokens, Vocabulary
from bptt.errors import ContractError, InputError, did_you_mean
from bptt.inference import TokenScore
from bptt.metrics import PERPLEXITY, Measure, Score
from bptt.models.parts import Embed, OneHot, Readout
from bptt.models.unroll import Unroll
from bptt.nn import GRU, LSTM, RNN, from_scratch_
from bptt.types import State

CELLS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


@dataclasses.dataclass(frozen=True)
class LanguageSettings:
    """What a language model is made of, apart from its vocabulary.

    Arguments:
        cell: rnn, lstm or gru
        hidden_size: hidden units H per layer
        layers: recurrent layers, one above the other
        embedding_size: width of a token's vector; none: as hidden_size; 0: one-hot vectors, no embedding
        dropout: share of units dropped before, between and after the layers while training
        tie_weights: the readout uses the embedding's table as its weights
        nonlinearity: of the rnn cell: tanh, relu or identity
        init: torch: torch's own; scratch: weights from N(0, 0.01²), zero biases
    """

    cell: Literal["rnn", "lstm", "gru"] = "gru"
    hidden_size: int = 256
    layers: int = 1
    embedding_size: int | None = None
    dropout: float = 0.0
    tie_weights: bool = False
    nonlinearity: Literal["tanh", "relu", "identity"] = "tanh"
    init: Literal["torch", "scratch"] = "torch"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("cell", self.cell, list(CELLS)),
            ("nonlinearity", self.nonlinearity, ["tanh", "relu", "identity"]),
            ("init", self.init, ["torch", "scratch"]),
        ):
            if value not in known:
                raise InputError(f"There is no such {name}", f"{name}={value!r}", did_you_mean(str(value), known))
        for name, size, least in (
            ("hidden_size", self.hidden_size, 1),
            ("layers", self.layers, 1),
            ("embedding_size", self.width, 0),
        ):
            if isinstance(size, bool) or not isinstance(size, int) or size < least:
                raise InputError(f"{name} must be a whole number, at least {least}", f"{name}={size!r}", "Give a larger number")
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise InputError("dropout must be a share from 0 up to, not including, 1", f"dropout={self.dropout!r}", "Try 0.2")
        if self.nonlinearity != "tanh" and self.cell != "rnn":
            raise InputError(
                f"The {self.cell} cell has no choice of nonlinearity", f"nonlinearity={self.nonlinearity!r}", "Use rnn"
            )
        if self.tie_weights and self.width != self.hidden_size:
            raise InputError(
                "Tied weights need an embedding as wide as the hidden state",
                f"embedding_size={self.width}, hidden_size={self.hidden_size}",
                f"Give embedding_size={self.hidden_size}, or no tie_weights",
            )

    @property
    def width(self) -> int:
        """Width of a token's vector; 0 for one-hot."""
        return self.hidden_size if self.embedding_size is None else self.embedding_size


class LanguageModel(nn.Module):
    """encode → recurrent → readout over a vocabulary.

    P(x_{t+1} | x_1 … x_t) = softmax(o_t),  o_t = h_t W_hqᵀ + b_q,  h_t = cell(encode(x_t), h_{t−1})

    Arguments:
        cell      "rnn", "lstm", "gru", or your own recurrent layer or cell on inputs of the embedding's width
        vocab     a `Vocabulary`, or its size (then text methods such as `generate` are not available)
        settings  the fields of `LanguageSettings` by name

    >>> model = LanguageModel("gru", vocab=50, hidden_size=8)
    >>> logits, state = model.step(torch.tensor([3, 4]), model.initial_state(2))
    >>> logits.shape
    torch.Size([2, 50])
    """

    measure: Measure = PERPLEXITY

    def __init__(self, cell: str | nn.Module = "gru", *, vocab: Vocabulary | int, **settings: Any) -> None:
        super().__init__()
        own = cell if isinstance(cell, nn.Module) else None
        named: dict[str, Any] = settings if own is not None else {"cell": cell, **settings}
        self.settings = LanguageSettings(**named)
        self.vocab = vocab if isinstance(vocab, Vocabulary) else None
        self.size = vocab if isinstance(vocab, int) else len(vocab)
        self.own_cell = own is not None
        s = self.settings
        self.encode = Embed(self.size, s.width, s.dropout) if s.width else OneHot(self.size)
        self.recurrent = _layer(s, self.size) if own is None else own
        self.readout = Readout(s.hidden_size, self.size, s.dropout)
        if s.init == "scratch":
            from_scratch_(self)
        if s.tie_weights:
            self.readout.linear.weight = self.encode.table.weight  # type: ignore[union-attr, assignment]
        unrolled = Unroll(self.encode, self.recurrent, self.readout)
        if not unrolled.causal:
            raise ContractError(
                "A language model may not look ahead: it would read the token that it should predict",
                "a bidirectional layer",
                "Use one direction",
            )
        self._unrolled = (unrolled,)  # in a tuple: not a second set of parameters

    def unroll(self, *, per: float = 1.0, autocast: torch.dtype | None = None) -> Unroll:
        """This model for gradient strategies: the same parameters, cross-entropy as the loss."""
        return Unroll(self.encode, self.recurrent, self.readout, per=per, autocast=autocast)

    def initial_state(self, batch_size: int) -> State:
        """The state before the first token."""
        return self._unrolled[0].initial_state(batch_size)

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """One token per row: ids [B] → scores of the next [B, V], and the state after it."""
        hidden, state = self._unrolled[0].recurrent(self.encode(ids.unsqueeze(1)), state)
        return self.readout(hidden).squeeze(1), state

    def forward(self, ids: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Scores of every next token: ids [B, T] → [B, T, V], and the state after the last."""
        state = self.initial_state(ids.shape[0]) if state is None else state
        hidden, state = self._unrolled[0].recurrent(self.encode(ids), state)
        return self.readout(hidden), state

    def stream(self, prefix: str = "", *, length: int = 200, allow_reserved: bool = False, **sampling: Any) -> Iterator[str]:
        """The continuation of `prefix` by `length` tokens, in pieces of text as they come: see `bptt.inference.stream`.

        `sampling` may hold temperature (1.0), top_k, top_p and seed (none), as in `bptt.inference.generate`.
        """
        step, state = inference.quiet(self, self.step), self.initial_state(1)
        return inference.stream(step, state, self.vocab, prefix, length=length, allow_reserved=allow_reserved, **sampling)

    def generate(self, prefix: str = "", **settings: Any) -> str:
        """The whole text: `prefix` as it was given, then its continuation; settings as in `stream`.

        model.generate("The ", length=200, temperature=0.8, seed=0)
        """
        return prefix + "".join(self.stream(prefix, **settings))

    def evaluate(self, text: Tokens | str, **settings: Any) -> Score:
        """How well this model predicts the tokens of `text` after the first: see `bptt.inference.evaluate_text`.

        `settings` may hold chunk (1024), progress and stop.
        """
        losses = inference.quiet(self, self._unrolled[0].losses)
        return inference.evaluate_text(losses, self.initial_state(1), text, self.vocab, **settings)

    def score(self, text: str) -> list[TokenScore]:
        """The probability of every token of `text` given all before it: see `bptt.inference.score`."""
        return inference.score(inference.quiet(self, self.step), self.initial_state(1), self.vocab, text)

    def to_json(self) -> dict[str, Any]:
        """Everything but the numbers: settings and vocabulary."""
        if self.own_cell:
            raise ContractError(
                "A model with a cell of your own cannot be described in a file",
                type(self.recurrent).__name__,
                "Build it again in your code and load its parameters with load_state_dict",
            )
        vocab = self.size if self.vocab is None else self.vocab.to_json()
        return {"kind": "language", "settings": dataclasses.asdict(self.settings), "vocab": vocab}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> LanguageModel:
        """The model that `to_json` described, with fresh parameters."""
        vocab = saved["vocab"] if isinstance(saved["vocab"], int) else Vocabulary.from_json(saved["vocab"])
        return cls(vocab=vocab, **saved["settings"])


def _layer(s: LanguageSettings, size: int) -> nn.Module:
    extra: dict[str, Any] = {"nonlinearity": s.nonlinearity} if s.cell == "rnn" else {}
    between = s.dropout if s.layers > 1 else 0.0
    return CELLS[s.cell](s.width or size, s.hidden_size, s.layers, dropout=between, batch_first=True, **extra)

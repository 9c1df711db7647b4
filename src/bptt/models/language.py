"""A recurrent language model: which token comes next, given all before it.

Knows its parts and its vocabulary; must not know corpora, optimisers, gradients or files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from bptt import inference
from bptt.data import Tokens, Vocabulary
from bptt.errors import ContractError
from bptt.inference import TokenScore
from bptt.metrics import PERPLEXITY, Measure, Score
from bptt.models.assembly import assemble
from bptt.models.recurrent import RecurrentModel
from bptt.models.settings import LanguageSettings
from bptt.models.unroll import Unroll
from bptt.nn import OutputToHidden, from_scratch_
from bptt.types import State


class LanguageModel(RecurrentModel):
    """encode → recurrent → readout over a vocabulary.

    P(x_{t+1} | x_1 … x_t) = softmax(o_t),  o_t = h_t W_hqᵀ + b_q,  h_t = cell(encode(x_t), h_{t−1})

    Arguments:
        cell      "rnn", "leaky-rnn", "lstm", "gru", "lru", "mingru", "tdnn", "output-to-hidden", or your own recurrent layer
                  or cell on inputs of the embedding's width
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
        self.encode, self.recurrent, self.readout = assemble(s, self.size, own)
        if s.init == "scratch":
            from_scratch_(self)
        if s.tie_weights:
            self.readout.linear.weight = self.encode.table.weight  # type: ignore[union-attr]
        unrolled = Unroll(self.encode, self.recurrent, self.readout)
        self.hold(unrolled, "A language model may not look ahead: it would read the token that it should predict")

    def unroll(self, *, per: float = 1.0, autocast: torch.dtype | None = None) -> Unroll:
        """This model for gradient strategies: the same parameters, cross-entropy as the loss."""
        return Unroll(self.encode, self.recurrent, self.readout, per=per, autocast=autocast)

    def progress(self, share: float) -> None:
        """What changes with the training: the probability of teacher forcing, after `share` of all its steps."""
        if isinstance(self.recurrent, OutputToHidden) and not self.own_cell:
            self.recurrent.forcing = self.settings.forcing_after(share)

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """One token per row: ids [B] → scores of the next [B, V], and the state after it."""
        scores, state = self.through(self.encode(ids.unsqueeze(1)), state)
        return scores.squeeze(1), state

    def forward(self, ids: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Scores of every next token: ids [B, T] → [B, T, V], and the state after the last."""
        return self.through(self.encode(ids), state)

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
        return {"kind": "language", "settings": self.settings.to_json(), "vocab": vocab}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> LanguageModel:
        """The model that `to_json` described, with fresh parameters."""
        vocab = saved["vocab"] if isinstance(saved["vocab"], int) else Vocabulary.from_json(saved["vocab"])
        return cls(vocab=vocab, **saved["settings"])

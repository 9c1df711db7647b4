"""Train recurrent networks through time.

    text ──read──▶ Corpus ──stream──▶ Window ──Unroll──▶ gradient strategy ──Estimate──▶ update ──▶ Run

>>> corpus = read_text("book.txt")                                       # doctest: +SKIP
>>> model = LanguageModel("gru", vocab=corpus.vocab)                     # doctest: +SKIP
>>> run = fit(model, corpus, gradient=Truncated(64), out="runs/book")    # doctest: +SKIP
"""

from bptt import gradients, losses, nn
from bptt.data import Corpus, TextStream, Tokens, Vocabulary, open_corpus, read_text
from bptt.errors import (
    BpttError,
    CheckpointError,
    ContractError,
    DivergedError,
    InputError,
    Interrupted,
    RunInUseError,
    ShapeError,
)
from bptt.gradients import Full, Truncated
from bptt.metrics import Score, perplexity
from bptt.models import LanguageModel, Unroll
from bptt.training import Run, fit, load
from bptt.types import Carry, Estimate, Strategy, Window

__version__ = "0.1.0"

__all__ = [
    "BpttError",
    "Carry",
    "CheckpointError",
    "ContractError",
    "Corpus",
    "DivergedError",
    "Estimate",
    "Full",
    "InputError",
    "Interrupted",
    "LanguageModel",
    "Run",
    "RunInUseError",
    "Score",
    "ShapeError",
    "Strategy",
    "TextStream",
    "Tokens",
    "Truncated",
    "Unroll",
    "Vocabulary",
    "Window",
    "fit",
    "gradients",
    "load",
    "losses",
    "nn",
    "open_corpus",
    "perplexity",
    "read_text",
]

"""Train recurrent networks through time.

    text | series ──read──▶ Corpus | Series ──stream──▶ Window ──Unroll──▶ gradient strategy ──Estimate──▶ update ──▶ Run

    corpus = bptt.read_text("book.txt")
    model = bptt.LanguageModel("gru", vocab=corpus.vocab)
    run = bptt.fit(model, corpus, gradient=bptt.Truncated(64), out="runs/book")

The public names are loaded when they are first used, so that `import bptt`, and `bptt --help`, come at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bptt import counting, gradients, graph, losses, nn, reference, testing
    from bptt.data import Corpus, TextStream, Tokens, Vocabulary, open_corpus, read_text
    from bptt.data.series import Series, read_series
    from bptt.data.tasks import read_task
    from bptt.diagnostics import compare, credit, diagnose
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
    from bptt.forecasting import Forecaster
    from bptt.gradients import (
        KFRTRL,
        RFLO,
        RTRL,
        UORO,
        Adaptive,
        Checkpointed,
        EProp,
        Full,
        PerOutput,
        Randomized,
        SnAp,
        SyntheticGradient,
        Telescoping,
        Truncated,
        citation,
    )
    from bptt.metrics import Score, perplexity
    from bptt.models import LanguageModel, SeriesModel, Unroll
    from bptt.training import Run, load
    from bptt.training.fit import fit
    from bptt.training.online import OnlineLearner
    from bptt.types import Carry, Estimate, Strategy, Window

_HOMES = {
    "data": "Corpus TextStream Tokens Vocabulary open_corpus read_text",
    "data.series": "Series read_series",
    "data.tasks": "read_task",
    "diagnostics": "compare credit diagnose",
    "errors": "BpttError CheckpointError ContractError DivergedError InputError Interrupted RunInUseError ShapeError",
    "forecasting": "Forecaster",
    "gradients": "KFRTRL RFLO RTRL UORO Adaptive Checkpointed EProp Full PerOutput Randomized SnAp SyntheticGradient "
    "Telescoping Truncated citation",
    "metrics": "Score perplexity",
    "models": "LanguageModel SeriesModel Unroll",
    "training": "Run fit load",
    "training.online": "OnlineLearner",
    "types": "Carry Estimate Strategy Window",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
_ROOMS = ("counting", "gradients", "graph", "losses", "nn", "reference", "testing")

__all__ = [
    "KFRTRL",
    "RFLO",
    "RTRL",
    "UORO",
    "Adaptive",
    "BpttError",
    "Carry",
    "CheckpointError",
    "Checkpointed",
    "ContractError",
    "Corpus",
    "DivergedError",
    "EProp",
    "Estimate",
    "Forecaster",
    "Full",
    "InputError",
    "Interrupted",
    "LanguageModel",
    "OnlineLearner",
    "PerOutput",
    "Randomized",
    "Run",
    "RunInUseError",
    "Score",
    "Series",
    "SeriesModel",
    "ShapeError",
    "SnAp",
    "Strategy",
    "SyntheticGradient",
    "Telescoping",
    "TextStream",
    "Tokens",
    "Truncated",
    "Unroll",
    "Vocabulary",
    "Window",
    "citation",
    "compare",
    "counting",
    "credit",
    "diagnose",
    "fit",
    "gradients",
    "graph",
    "load",
    "losses",
    "nn",
    "open_corpus",
    "perplexity",
    "read_series",
    "read_task",
    "read_text",
    "reference",
    "testing",
]


def __getattr__(name: str) -> Any:
    """A public name, from the room it lives in."""
    if name in _ROOMS:
        return importlib.import_module(f"bptt.{name}")
    if name in _HOME:
        value = getattr(importlib.import_module(f"bptt.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'bptt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

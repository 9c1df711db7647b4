"""The plain table of what can forecast: a name, and the class behind it. To add one, write a `Method` and put it here.

A recurrent cell only needs its place in `bptt.models.series.CELLS`: it comes by itself.
"""

from __future__ import annotations

from bptt.errors import InputError, did_you_mean
from bptt.forecasting.autoregression import Linear
from bptt.forecasting.method import How, Method
from bptt.forecasting.mlp import MLP
from bptt.forecasting.recurrent import recurrent
from bptt.forecasting.simple import Drift, Naive, SeasonalNaive
from bptt.models.series import CELLS

METHODS: dict[str, type[Method]] = {
    "naive": Naive,
    "seasonal-naive": SeasonalNaive,
    "drift": Drift,
    "linear": Linear,
    "mlp": MLP,
    **{cell: recurrent(cell) for cell in CELLS},
}
BASELINES = ("naive", "seasonal-naive", "drift", "linear", "mlp")


def check_name(name: str) -> str:
    """The name; InputError for one that is none."""
    if name not in METHODS:
        raise InputError("There is no such model", f"model={name!r}", did_you_mean(str(name), list(METHODS)))
    return name


def make(name: str, how: How) -> Method:
    """The method of that name."""
    return METHODS[check_name(name)](how)

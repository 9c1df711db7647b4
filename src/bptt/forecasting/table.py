"""The plain table of what can forecast: a name, and the class behind it. To add one, write a `Method` and put it here.

A recurrent cell only needs its place in `bptt.models.series.CELLS`: it comes by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def check_takes(name: str, given: Mapping[str, Any]) -> None:
    """InputError for settings that the model `name` has no use for."""
    idle = {key: value for key, value in given.items() if key not in METHODS[check_name(name)].takes}
    if not idle:
        return
    able = [other for other, method in METHODS.items() if idle.keys() <= method.takes]
    use = f"Use {', '.join(able[:-1])}{' or ' * (len(able) > 1)}{able[-1]}, or leave" if able else "Leave"
    shown = ", ".join(f"{key}={value!r}" for key, value in idle.items())
    raise InputError(
        f"The model {name} has no use for {', '.join(idle)}", shown, f"{use} {'it' if len(idle) == 1 else 'them'} out"
    )


def make(name: str, how: How) -> Method:
    """The method of that name."""
    return METHODS[check_name(name)](how)

"""A fitted forecaster in a folder, and back: forecaster.json and forecaster.safetensors. Nothing in them executes on load.

Knows files, and what a method says of itself; must not know any method. The numbers hold the series too: a forecast goes
on from it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bptt.data.series import Series
from bptt.errors import CheckpointError, InputError
from bptt.files import to_json, write_durably
from bptt.forecasting.fitted import Fitted
from bptt.forecasting.table import make
from bptt.gradients import STRATEGIES
from bptt.types import Strategy

if TYPE_CHECKING:
    from bptt.forecasting.forecaster import Forecaster

FORMAT = 1
PLAIN, NUMBERS = "forecaster.json", "forecaster.safetensors"


def save(forecaster: Forecaster, path: str | os.PathLike[str]) -> None:
    """Write a fitted forecaster into the folder `path`, which is made if it does not exist."""
    from safetensors.numpy import save as to_bytes

    fitted, folder = forecaster.fitted, Path(path)
    learnt, arrays = fitted.method.to_json()
    about, values = apart(fitted.series)
    both = {f"method.{name}": value for name, value in arrays.items()} | {
        f"series.{name}": value for name, value in values.items()
    }
    data = to_bytes({name: np.ascontiguousarray(value) for name, value in both.items()})
    plain = {
        "format": FORMAT,
        "params": {name: told(value) for name, value in forecaster.get_params().items()},
        "train": fitted.train,
        "method": learnt,
        "series": about,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / NUMBERS, data)
        write_durably(folder / PLAIN, to_json(plain, indent=1) + "\n")
    except OSError as error:
        raise InputError("The forecaster cannot be saved", f"{folder}: {error.strerror}", "Give another place") from error


def load(path: str | os.PathLike[str], strategies: Mapping[str, Any] = STRATEGIES) -> Forecaster:
    """The forecaster in a folder; CheckpointError if it is missing, damaged or of another format.

    strategies  the gradient strategies that there are, a user's own among them
    """
    from safetensors.numpy import load as from_bytes

    from bptt.forecasting.forecaster import Forecaster

    folder = Path(path)
    try:
        plain, data = json.loads((folder / PLAIN).read_bytes()), (folder / NUMBERS).read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(
            "There is no forecaster here", str(folder), "Give a folder that save or bptt forecast wrote"
        ) from error
    except (OSError, RecursionError, ValueError) as error:
        raise CheckpointError("The forecaster cannot be read", f"{folder}: {error}", "Restore it from a copy") from error
    try:
        if plain["format"] != FORMAT:
            raise CheckpointError("The forecaster has another format", f"{plain['format']}", "Use the bptt that wrote it")
        if hashlib.sha256(data).hexdigest() != plain["sha256"]:
            raise CheckpointError("The forecaster's numbers are not what was written", str(folder), "Restore it from a copy")
        arrays = from_bytes(data)
        series = together(plain["series"], arrays)
        found = Forecaster(**{name: heard(value, strategies) for name, value in plain["params"].items()})
        method = make(found.model, found._how({}))
        weights = {name.removeprefix("method."): value for name, value in arrays.items() if name.startswith("method.")}
        method.restore(series, plain["method"], weights)
        if type(plain["train"]) is not int or not 0 < plain["train"] <= len(series):
            raise ValueError(f"fitted on {plain['train']!r} of {len(series)} steps")
        found._fitted = Fitted(method, series, plain["train"])
        with contextlib.suppress(InputError):  # what is known beforehand may not reach so far
            found._fitted.ahead(series, np.array([len(series)]), method.s.horizon)  # or one that cannot forecast would load
    except (CheckpointError, InputError):
        raise
    except Exception as error:  # its digest was right, or it has none: nobody of us wrote this
        raise CheckpointError("The forecaster is damaged", f"{folder}: {error}", "Restore it from a copy") from error
    return found


def apart(series: Series) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A series as plain values and arrays."""
    arrays = {"values": series.values}
    if series.known is not None:
        arrays["known"] = series.known
    if series.times is not None:
        arrays["times"] = series.times.view(np.int64) if series.times.dtype.kind == "M" else series.times
    names = ("targets", "covariates", "knowns", "period", "missing", "name", "start", "facts", "notes")
    plain = {name: getattr(series, name) for name in names}
    return {**plain, "dated": series.times is not None and series.times.dtype.kind == "M"}, arrays


def together(plain: dict[str, Any], arrays: dict[str, np.ndarray]) -> Series:
    """The series that was taken apart."""
    plain = dict(plain)
    dated, times = plain.pop("dated"), arrays.get("series.times")
    if times is not None and dated:
        times = times.view("datetime64[us]")
    named: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
    return Series(arrays["series.values"], known=arrays["series.known"], times=times, **named)


def told(value: Any) -> Any:
    """A setting as JSON has it."""
    if isinstance(value, Strategy):
        return {"strategy": type(value).__name__, **dataclasses.asdict(value)}  # type: ignore[call-overload]
    return list(value) if isinstance(value, tuple) else value


def heard(value: Any, strategies: Mapping[str, Any]) -> Any:
    """The setting that JSON holds; a strategy is one of those that there are, by the name of its class."""
    if isinstance(value, dict) and "strategy" in value:
        fields = dict(value)
        name = fields.pop("strategy")
        kind = next((kind for kind in strategies.values() if kind.__name__ == name), None)
        if kind is None:
            todo = "Give your module with --plugin MODULE, in Python Forecaster.load(path, strategies={name: class})"
            raise InputError("The forecaster was trained by a gradient strategy that is none of ours", name, todo)
        return kind(**fields)
    return tuple(value) if isinstance(value, list) else value

"""What a forecast is asked for: one value, checked when it is made, and the training that suits a series."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from bptt.data.series import SCALES, TRANSFORMS
from bptt.errors import InputError, did_you_mean

ANCHORS, HEADS = ("auto", "none", "last", "season"), ("recursive", "direct")
# A series is short and its windows are cheap: many epochs, few rows, the best of them kept. All of them, as on little data the
# error stands still for long before a network finds the next thing in it.
TRAINING: dict[str, Any] = {"epochs": 60, "batch_size": 8, "lr": 0.01, "device": "cpu"}
TEXT_ONLY = ("sample_every", "sample_prefix", "sample_length", "temperature")  # of a training: numbers have no samples


@dataclasses.dataclass(frozen=True)
class ForecastSettings:
    """How a series is prepared, forecast and judged.

    Arguments:
        horizon: how many steps ahead
        transform: of the targets, before all else: none, log (growth by factors) or sqrt (counts)
        scale: fitted on the training part: standard (mean 0, deviation 1), minmax (0 to 1) or none
        anchor: what a recurrent model says is what to add to: none (nothing: it says the level), last (the last value),
            season (the value one season before) or auto (which of these leaves least to say in the training part)
        head: direct (all steps of the horizon at once) or recursive (one step, fed back)
        harmonics: how many sines and cosines of the season a recurrent model reads
        lags: values before that linear and mlp read; none: a season and one more if the training part is long enough for
            it, else 4
        valid: share of the series, at its end, that chooses the epoch and gives the prediction intervals, and never trains
        levels: of the prediction intervals
    """

    horizon: int = 24
    transform: Literal["none", "log", "sqrt"] = "none"
    scale: Literal["standard", "minmax", "none"] = "standard"
    anchor: Literal["auto", "none", "last", "season"] = "auto"
    head: Literal["direct", "recursive"] = "direct"
    harmonics: int = 0
    lags: int | None = None
    valid: float = 0.2
    levels: tuple[float, ...] = (0.8, 0.95)

    def __post_init__(self) -> None:
        for name, known in (("transform", TRANSFORMS), ("scale", SCALES), ("anchor", ANCHORS), ("head", HEADS)):
            value = getattr(self, name)
            if value not in known:
                raise InputError(f"There is no such {name}", f"{name}={value!r}", did_you_mean(str(value), list(known)))
        for name, least in (("horizon", 1), ("harmonics", 0), ("lags", 1)):
            value = getattr(self, name)
            if value is None and name == "lags":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                given = f"{name}={value!r}"
                raise InputError(f"{name} must be a whole number, at least {least}", given, f"Try {name}={least + 3}")
        if not isinstance(self.valid, int | float) or isinstance(self.valid, bool) or not 0 <= self.valid < 1:
            raise InputError("valid must be a share from 0 up to, not including, 1", f"valid={self.valid!r}", "Try valid=0.2")
        object.__setattr__(self, "levels", tuple(sorted(self.levels)))
        for level in self.levels:
            if not isinstance(level, float) or not math.isfinite(level) or not 0 < level < 1:
                raise InputError(
                    "A level is a probability between 0 and 1", f"levels={self.levels!r}", "Try levels=(0.8, 0.95)"
                )

"""Forecasting with a recurrent network: the state carries all that was seen, and what is said is read again.

Knows how a series becomes windows for training, and forecasts from a state; must not know any cell or gradient. Training is
`bptt.fit`, so every gradient strategy and everything that a run directory holds applies.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from bptt import nest
from bptt.data.series import Scaling, Series, SeriesData
from bptt.errors import InputError
from bptt.forecasting.features import Features
from bptt.forecasting.method import How, Method, gather
from bptt.forecasting.settings import TEXT_ONLY, TRAINING, ForecastSettings
from bptt.inference import ahead, quiet
from bptt.models import SeriesModel, SeriesSettings
from bptt.models.series_settings import OWN
from bptt.training import Run, fit, load
from bptt.training.listeners import Event
from bptt.training.seeds import seed_everything
from bptt.training.settings import TrainSettings

# What a network can be told, apart from what only some cells have.
NETWORK = frozenset(
    field.name for kind in (ForecastSettings, SeriesSettings, TrainSettings) for field in dataclasses.fields(kind)
) - {"lags", *TEXT_ONLY}
UPDATES = 10  # of every epoch at least, before lanes are laid side by side: a short series has few to learn from


class Recurrent(Method):
    """A recurrent network of the cell `cell`."""

    cell: ClassVar[str]

    scaling: Scaling
    features: Features
    model: SeriesModel
    run: Run | None = None

    def __init__(self, how: How) -> None:
        super().__init__(how)
        self.settings = SeriesSettings(**how.model).suit(self.cell)
        self.about = self.settings.about(self.cell)
        if self.settings.taught and self.s.head == "direct":
            raise InputError(
                "A direct head cannot be taught: what it should have said a step before is still to come",
                f"teacher_forcing={self.settings.teacher_forcing}, head=direct",
                "Give head=recursive, or no teacher_forcing",
            )

    def fit(self, series: Series, train: int) -> None:
        """Train on the first `train` steps; where there are more, the epoch that predicts them best is kept."""
        part = series[:train]
        self.scaling = Scaling.fit(part.values, self.s.scale, self.s.transform, len(part.targets))
        self.features = self._features(series, self._anchor(part))
        part.require(self.features.reach + 2, "one season and one step more" if self.features.reach > 1 else "training")
        data, training = self.data(series, train), self.trained_with(train)
        seed_everything(training.get("seed", 0))
        self.model = SeriesModel(self.cell, inputs=self.features.inputs, outputs=self.features.outputs, **self.how.model)
        fitting = dict(self.how.fitting)
        best = Best(self.model)
        listeners = [best, *fitting.pop("listeners", ())]
        self.run = fit(self.model, data, listeners=listeners, **{**training, **fitting})
        best.put_back() if self.run.path is None else self._take(self.run.path)
        self.model.eval()

    def settled(self, train: int) -> dict[str, Any]:
        """With everything that the network and its training are made of."""
        return self._taken(vars(self.s), vars(self.settings), vars(TrainSettings(**self.trained_with(train))))

    def trained_with(self, train: int) -> dict[str, Any]:
        """What `bptt.fit` is told for `train` steps: what was given, and for the rest what suits so many."""
        found = {**TRAINING, "steps": max(1, min(TrainSettings.steps, train - 1)), **self.how.training}
        if "batch_size" not in self.how.training:  # rather few lanes than few updates
            windows = (train - 1) // found["steps"]
            found["batch_size"] = max(1, min(found["batch_size"], windows // UPDATES))
        return found

    def _take(self, path: Path) -> None:
        """The best epoch of a run directory: in a resumed run it may be from before."""
        self.model = load(path)

    def _anchor(self, part: Series) -> str:
        """The anchor of the settings, or the one that leaves least to say over the horizon."""
        if self.s.anchor != "auto":
            return self.s.anchor
        left = leavings(self.scaling(part.filled())[:, : len(part.targets)], part.period, self.s.horizon)
        return min(left, key=lambda name: left[name])

    def _features(self, series: Series, anchor: str) -> Features:
        direct = self.s.head == "direct"
        period = series.period or 1
        if (self.s.anchor == "season" or self.s.harmonics) and series.period is None:
            what = "anchor season" if self.s.anchor == "season" else "harmonics"
            raise InputError(f"There is no season for {what}", "period none", "Give the period, in steps")
        if self.s.harmonics > period / 2:
            raise InputError(
                "There are at most m/2 harmonics in a season of m steps", f"{self.s.harmonics} of {period}", "Give fewer"
            )
        said = len(series.targets) if direct else len(series.columns)
        steps = self.s.horizon if direct else 1
        taught = self.settings.taught
        return Features(period, anchor, steps, len(series.columns), said, self.s.harmonics, len(series.knowns), taught)

    def data(self, series: Series, train: int) -> SeriesData:
        """The training part, and the whole series with losses that count behind it."""
        dtype = np.float64 if self.how.training.get("dtype") == "float64" else np.float32
        part, linear = series[:train], series.missing == "linear"
        assert series.known is not None
        trained = self.features.part(
            self.scaling(part.filled("linear" if linear else "previous")),
            ~np.isnan(part.values) | linear,
            series.known,
            series.start,
            dtype,
        )
        whole = self.features.part(self.scaling(series.filled()), ~np.isnan(series.values), series.known, series.start, dtype)
        judged = dataclasses.replace(whole, counts=whole.counts & (np.arange(len(series)) >= train - 1))
        facts = {
            **series.facts,
            "train": train,
            "valid": len(series) - train,
            "period": series.period,
            "inputs": self.features.inputs,
        }
        if not trained.counts.any():
            raise InputError(
                "There is no step to train on", f"{train} steps of training", "Give a longer series, or fill its holes"
            )
        return SeriesData(trained, judged if judged.counts[:-1].any() else None, facts, series.notes)

    def reach(self, series: Series) -> int:
        """Enough for the anchor."""
        return self.features.reach

    def longest(self) -> int | None:
        """A direct head says what it was made for."""
        return self.features.steps if self.s.head == "direct" else None

    def ahead(self, series: Series, origins: np.ndarray, horizon: int) -> np.ndarray:
        """Read everything up to the last origin once; then feed back from all origins together."""
        f, values = self.features, self.scaling(series.filled())
        assert series.known is not None
        read = f.all_read(values[: int(origins.max())], series.known, series.start)
        tensor = torch.from_numpy(read).to(self.model.dtype)
        before = quiet(self.model, self.model.states)(tensor[None])
        state = nest.map(lambda leaf: leaf[0, torch.from_numpy(origins - 1)], before)
        first = tensor[torch.from_numpy(origins - 1)]
        season = gather(values, origins, f.period)
        path = (
            self._direct(first, state, season)
            if self.s.head == "direct"
            else self._fed_back(first, state, season, series, origins, horizon)
        )
        return self.scaling.back(path[:, :horizon])[..., : len(series.targets)]

    def _direct(self, first: torch.Tensor, state: Any, season: np.ndarray) -> np.ndarray:
        """All steps at once."""
        said, _ = quiet(self.model, self.model.step)(first, state)
        f = self.features
        return said.double().numpy().reshape(-1, f.steps, f.said) + f.anchors(season)

    def _fed_back(
        self, first: torch.Tensor, state: Any, season: np.ndarray, series: Series, origins: np.ndarray, horizon: int
    ) -> np.ndarray:
        """Step by step: what was said, beside what is known, is what the next step reads."""
        f, path = self.features, season
        assert series.known is not None

        def feed(k: int, said: torch.Tensor) -> torch.Tensor:
            nonlocal path
            now = said.double().numpy() + f.anchors(path[:, k:])[:, 0]
            path = np.concatenate([path, now[:, None]], 1)
            coming = origins + k + 1
            known = series.known[np.minimum(coming, len(series.known) - 1)]  # type: ignore[index, arg-type]
            return torch.from_numpy(f.read(now, path[:, -2], path[:, k], series.start + coming, known)).to(self.model.dtype)

        ahead(quiet(self.model, self.model.step), state, first, horizon, feed)
        return path[:, f.period :]

    def to_json(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        plain = {
            "scaling": self.scaling.to_json(),
            "features": dataclasses.asdict(self.features),
            "model": self.model.to_json(),
        }
        return plain, {name: value.numpy() for name, value in self.model.state_dict().items()}

    def restore(self, series: Series, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self.scaling, self.features = Scaling.from_json(plain["scaling"]), Features(**plain["features"])
        weights = {name: torch.tensor(value) for name, value in arrays.items()}
        self.model = SeriesModel.from_json(plain["model"]).to(next(iter(weights.values())).dtype)
        self.model.load_state_dict(weights)
        self.model.eval()


RECENT = 5000  # steps behind the choice of an anchor


def leavings(values: np.ndarray, period: int | None, horizon: int) -> dict[str, float]:
    """What each anchor leaves to be said of the values [N, D]: the mean of |y_{t+k} − anchor| over t and k = 1 … horizon.

    For "none" the deviation from the mean. An anchor of a season needs two seasons and the horizon to be looked at.
    """
    values = values[-RECENT:]
    left = {"none": float(np.abs(values - values.mean(0)).mean())}
    horizon = min(horizon, len(values) - 1)
    if horizon < 1:
        return left
    left["last"] = float(np.mean([np.abs(values[k:] - values[:-k]).mean() for k in range(1, horizon + 1)]))
    if period is not None and len(values) >= 2 * period + horizon:
        lags = [period * -(-k // period) for k in range(1, horizon + 1)]
        left["season"] = float(np.mean([np.abs(values[lag:] - values[:-lag]).mean() for lag in lags]))
    return left


class Best:
    """Keeps the parameters of the epoch that was best on validation; without validation, of the last."""

    def __init__(self, model: SeriesModel) -> None:
        self.model, self.value = model, float("inf")
        self.kept: dict[str, Any] | None = None

    def __call__(self, event: Event) -> None:
        name = self.model.measure.name
        if event["event"] == "valid" and event[name] < self.value:
            self.value, self.kept = event[name], copy.deepcopy(self.model.state_dict())

    def put_back(self) -> None:
        """Into the model."""
        if self.kept is not None:
            self.model.load_state_dict(self.kept)


def recurrent(cell: str) -> type[Recurrent]:
    """The method of a cell: a subclass of `Recurrent`, OutputToHidden for "output-to-hidden"."""
    name = "".join(word.capitalize() for word in cell.split("-"))
    takes = NETWORK - {setting for setting, cells in OWN.items() if cell not in cells}
    return type(name, (Recurrent,), {"cell": cell, "takes": takes, "__doc__": f"A {cell} network, trained through time."})

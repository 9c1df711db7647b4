"""Five series: the best recurrent model against the baselines, on folds that nothing was chosen by.

    BPTT_DATA=… python benchmarks/forecasting.py choose [NAME[:CELL] …]   every candidate on the validation folds
    BPTT_DATA=… python benchmarks/forecasting.py taught [NAME …]   the output-to-hidden network, taught in four ways, on both
    BPTT_DATA=… python benchmarks/forecasting.py [NAME …]          the recipes on the test folds, as docs/results.md has them

The test folds are the last of each series, the validation folds those before them, so a candidate is chosen without its
test folds ever being read. Each fold is a forecast of one horizon; models are fitted once, on what lies before the first.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from bptt.config import read_yaml
from bptt.config.forecast import FORECAST_SETTINGS, OTHERS, ForecastConfig

RECIPES = Path(__file__).parents[1] / "recipes" / "forecast"
CELLS = ("gru", "lstm", "rnn")
GRID: list[dict[str, Any]] = [
    {"head": head, "loss": loss, **size}
    for head in ("direct", "recursive")
    for loss in ("squared", "absolute")
    for size in ({"hidden_size": 8}, {"hidden_size": 32}, {"hidden_size": 32, "lr": 0.003})
]
LANES = {"airline-passengers": 1}  # its 85 steps of training are one; the others have 8, or what a variant says
# What is tried beside every point of the grid, because it suggests itself for that series.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "airline-passengers": [
        {"transform": "log"},
        {"transform": "log", "valid": 0.0, "epochs": 100, "batch_size": 1, "steps": 48},
    ],
    "monthly-sunspots": [{}, {"transform": "sqrt"}, {"anchor": "season"}],
    "daily-min-temperatures": [{}, {"anchor": "none", "harmonics": 2}],
    "taylor-demand": [{}, {"harmonics": 14}],
    "ETTh1": [{"batch_size": 32}, {"batch_size": 32, "anchor": "last"}],
}

# The output-to-hidden network with the settings of the recipe, and these.
TAUGHT: dict[str, dict[str, Any]] = {
    "free, direct": {"head": "direct"},
    "free": {"head": "recursive"},
    "teacher forcing": {"head": "recursive", "teacher_forcing": 1.0},
    "scheduled sampling": {"head": "recursive", "teacher_forcing": 1.0, "forcing_end": 0.0},
}


def recipe(name: str) -> ForecastConfig:
    """The settings that were chosen."""
    return ForecastConfig.from_flat(read_yaml(RECIPES / f"{name}.yaml", FORECAST_SETTINGS, OTHERS))


def candidates(name: str, cells: tuple[str, ...]) -> list[dict[str, Any]]:
    """Everything that is tried."""
    return [{"model": cell, **point, **more} for cell in cells for point in GRID for more in VARIANTS[name]]


def choose(name: str) -> None:
    """The MASE of every candidate on the validation folds, the best last."""
    name, _, cell = name.partition(":")
    config = recipe(name)
    series, folds, horizon = config.table.read(config.series), config.judge.folds, config.forecast.horizon
    before = series[: len(series) - folds * horizon]
    rows = []
    for settings in candidates(name, (cell,) if cell else CELLS):
        named = {"horizon": horizon, "batch_size": LANES.get(name, 8), "patience": 20, **settings}
        one = dataclasses.replace(config, judge=dataclasses.replace(config.judge, model=settings["model"]))
        one = dataclasses.replace(one, given={key: value for key, value in named.items() if key != "model"})
        judged = one.forecaster.backtest(before, folds=folds, against=()).models[0]
        rows.append((judged.errors["MASE"], settings))
    for mase, settings in sorted(rows, key=lambda row: -row[0])[-12:]:
        print(f"  {mase:.4f}  {settings}", flush=True)
    print(f"{name}: {len(rows)} candidates")


def taught(name: str) -> None:
    """The MASE of the output-to-hidden network on the validation folds and on the test folds, by how it was taught."""
    config = recipe(name)
    series, folds, horizon = config.table.read(config.series), config.judge.folds, config.forecast.horizon
    print(f"{name}: on validation folds, on test folds")
    for way, settings in TAUGHT.items():
        one = dataclasses.replace(config, judge=dataclasses.replace(config.judge, model="output-to-hidden"))
        one = dataclasses.replace(one, given={**config.given, **settings})
        parts = (series[: len(series) - folds * horizon], series)
        errors = [one.forecaster.backtest(part, folds=folds, against=()).models[0].errors["MASE"] for part in parts]
        print(f"  {way:20}" + "".join(f"{error:8.4f}" for error in errors), flush=True)


def test(name: str) -> None:
    """The table of docs/results.md: the recipe and the baselines on the test folds."""
    config = recipe(name)
    series = config.table.read(config.series)
    begun = time.perf_counter()
    found = config.forecaster.backtest(series, folds=config.judge.folds, stride=config.judge.stride)
    print(f"{name}: {len(found.origins)} folds of {found.horizon}, period {found.period}, {time.perf_counter() - begun:.0f} s")
    for row in found.rows():
        print(
            "  " + "  ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{value:15}" for key, value in row.items())
        )


def main() -> None:
    """Choose, teach or test."""
    if "BPTT_DATA" not in os.environ:
        print("BPTT_DATA names no folder with the five series: nothing to do.")
        return
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    words = sys.argv[1:]
    act = {"choose": choose, "taught": taught}.get(words[0] if words else "", test)
    for name in words[act is not test :] or sorted(path.stem for path in RECIPES.glob("*.yaml")):
        act(name)


if __name__ == "__main__":
    main()

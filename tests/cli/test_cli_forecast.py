"""`bptt forecast`: from a file, or from nothing, to a table, a page and pictures; and whatever a user can do wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from cli_support import Cli, events

from bptt.config.forecast import ForecastConfig
from bptt.errors import InputError
from bptt.forecasting import Forecaster

SMALL = ("--hidden-size", "4", "--epochs", "2", "--threads", "1", "--dtype", "float64")
PICTURES = ("forecast", "backtest", "error-by-step", "k-steps-ahead", "error-over-k")


@pytest.fixture
def demand(tmp_path):
    time = np.arange(200)
    load = 10 + np.sin(2 * np.pi * time / 8) + 0.1 * np.random.default_rng(0).normal(size=200)
    stamps = np.datetime64("2024-01-01T00") + time.astype("timedelta64[h]")
    lines = [f"{str(s).replace('T', ' ')}:00,{x:.4f},{x * 2:.4f}" for s, x in zip(stamps, load, strict=True)]
    path = tmp_path / "demand.csv"
    path.write_text("ts,load,other\n" + "\n".join(lines) + "\n")
    return path


def test_a_file_becomes_a_forecast_with_everything_around_it(cli: Cli, demand, tmp_path):
    out = tmp_path / "run"
    words = ("--target", "load", "--time", "ts", "--period", "8", "--horizon", "8", "--model", "gru", "--out", str(out))
    ended = cli("forecast", str(demand), *words, *SMALL)
    assert ended.code == 0, ended.err
    assert "gru *" in ended.out and "seasonal-naive" in ended.out and "MASE" in ended.out and "k=4" in ended.out
    for name in PICTURES:
        assert (out / "plots" / f"{name}.svg").read_bytes().startswith(b"<?xml")
        assert (out / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    rows = (out / "forecast.csv").read_text().splitlines()
    assert len(rows) == 9 and rows[1].startswith("2024-01-09 08:00,") and rows[0].startswith("time,load,load lower 0.8")
    page = (out / "report.html").read_text()
    assert "seasonal-naive" in page and "k steps ahead" in page and "http" not in page.replace("http-equiv", "")
    found = json.loads((out / "forecast.json").read_text())
    again = Forecaster.load(out).predict(8, after=None)
    assert again.mean.shape == (8, 1) and found["backtest"]["origins"] == [168, 176, 184, 192]
    assert cli("report", str(out)).code == 0 and cli("runs", str(tmp_path)).code == 0


@pytest.mark.parametrize("model", ["linear", pytest.param("seasonal-naive", marks=pytest.mark.slow)])
def test_a_model_without_training_has_a_run_too(cli: Cli, demand, tmp_path, model):
    out = tmp_path / "run"
    words = (
        "forecast",
        str(demand),
        "--target",
        "load",
        "--target",
        "other",
        "--period",
        "8",
        "--horizon",
        "5",
        "--model",
        model,
        "--out",
        str(out),
    )
    ended = cli(*words, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out.splitlines()[-1])
    assert {row["model"] for row in told["backtest"]} >= {model, "naive"} and len(told["forecast"]) == 5
    assert list(told["by_target"]) == ["load", "other"] and len(told["by_target"]["other"]) == len(told["backtest"])
    assert "Target by target" in (out / "report.html").read_text()
    printed = cli(*words, "--overwrite").out.splitlines()
    assert [line.split("  ")[0] for line in printed if "MASE" in line] == ["all targets", "load", "other"]
    assert cli(*words).code == 2 and cli(*words, "--overwrite", "--quiet").out.strip() == str(out)


def test_the_sine_needs_no_file(cli: Cli, tmp_path):
    ended = cli("forecast", "sine", *SMALL, "--out", str(tmp_path / "sine"), "--quiet")
    assert ended.code == 0, ended.err
    found = json.loads((tmp_path / "sine" / "forecast.json").read_text())
    assert found["curves"]["steps"] == [1, 4, 16, 64] and set(found["curves"]["said"]) == {"1", "4", "16", "64"}
    assert {"gru", "mlp", "linear", "naive"} <= found["curves"]["errors"].keys()


def test_scheduled_sampling_goes_on_as_if_it_had_never_stopped(cli: Cli, demand, tmp_path):
    """Bit for bit: the draw is a function of the steps' noise, the probability one of the share of the training."""
    words = ("forecast", str(demand), "--target", "load", "--period", "8", "--horizon", "8", "--head", "recursive")
    words += ("--model", "output-to-hidden", "--teacher-forcing", "1", "--forcing-end", "0", "--dropout", "0.1", *SMALL)
    words += ("--epochs", "4", "--save-every", "3", "--steps", "16", "--against", "naive", "--quiet")
    whole, again = tmp_path / "whole", tmp_path / "again"
    for out in (whole, again):
        assert cli(*words, "--out", str(out)).code == 0
    before = (again / "forecast.json").read_text()
    assert "scheduled sampling" in (again / "report.html").read_text() and before == (whole / "forecast.json").read_text()
    steps = sorted((again / "checkpoints").glob("step-*"), key=lambda path: int(path.name.partition("-")[2]))
    (steps[-1] / "model.safetensors").write_bytes(b"damaged")  # so it goes on from the one before
    for name in ("forecast.json", "forecaster.safetensors"):
        (again / name).unlink()
    assert cli("forecast", "--resume", str(again), "--quiet").code == 0
    told = [[e for e in events(out) if e["event"] in ("step", "valid", "epoch")] for out in (whole, again)]
    told = [[{k: v for k, v in e.items() if k not in ("time", "seconds", "speed")} for e in each] for each in told]
    assert (again / "forecast.json").read_text() == before
    assert len(told[0]) > 8 and told[0] == told[1]


def test_settings_from_a_file_and_a_run_that_goes_on(cli: Cli, demand, tmp_path):
    (tmp_path / "s.yaml").write_text(
        f"series: {demand}\ntarget: [load]\nhorizon: 4\nmodel: rnn\nfolds: 2\nhidden-size: 4\nepochs: 3\nlevels: [0.5]\n"
    )
    out = tmp_path / "run"
    assert cli("forecast", "--config", str(tmp_path / "s.yaml"), "--out", str(out), "--seed", "3").code == 0
    before = json.loads((out / "forecast.json").read_text())
    assert before["model"] == "rnn" and [b["level"] for b in before["forecast"]["bounds"]] == [0.5]
    printed = cli("forecast", "--config", str(out / "config.yaml"), "--print-config")
    assert printed.code == 0 and "hidden_size: 4" in printed.out and "seed: 3" in printed.out
    (out / "forecast.json").unlink()
    assert cli("forecast", "--resume", str(out)).code == 0
    assert json.loads((out / "forecast.json").read_text())["forecast"]["mean"] == before["forecast"]["mean"]
    assert "bptt forecast --resume" in cli("train", "--resume", str(out)).err
    assert "no language model" in cli("generate", str(out)).err


@pytest.mark.parametrize("model", ["gru", "mlp"])
def test_a_run_goes_on_with_the_defaults_it_was_begun_with(cli: Cli, demand, tmp_path, monkeypatch, model):
    """Its config.yaml holds all that it was trained with, what it chose by itself too, and a later choice moves nothing."""
    from bptt.config import read_yaml
    from bptt.config.forecast import FORECAST_SETTINGS, OTHERS
    from bptt.forecasting import METHODS, mlp, settings

    out = tmp_path / "run"
    words = ("--target", "load", "--horizon", "8", "--epochs", "2", "--model", model, "--refit", "--folds", "2", "--quiet")
    assert cli("forecast", str(demand), *words, "--against", "none", "--out", str(out)).code == 0
    before, kept = (out / "forecast.json").read_text(), read_yaml(out / "config.yaml", FORECAST_SETTINGS, OTHERS)
    assert METHODS[model].takes - {"threads"} <= kept.keys() and kept["lr"] == 0.01 and kept["folds"] == 2
    monkeypatch.setitem(settings.TRAINING, "lr", 0.3)
    monkeypatch.setitem(settings.TRAINING, "batch_size", 3)
    monkeypatch.setitem(mlp.CHOICE, "lr", 0.3)
    for name in ("forecast.json", "forecaster.safetensors"):
        (out / name).unlink()
    again = cli("forecast", "--resume", str(out), "--quiet")
    assert again.code == 0 and (out / "forecast.json").read_text() == before, again.err


WRONG = {
    "demand.csv": "Which column",
    "demand.csv --target lod": "Did you mean 'load'",
    "demand.csv --target load --time when": "the columns are ts, load, other|The columns are ts, load, other",
    "demand.csv --target ts": "no number",
    "demand.csv --target load --time other": "out of order",
    "demnd.csv --target load": "Did you mean 'demand.csv'",
    "demand.csv --target load --horizon 100": "too short for this backtest",
    "demand.csv --target load --horizon 0": "horizon=0",
    "demand.csv --target load --model gruu": "Did you mean 'gru'",
    "demand.csv --target load --model linear --lags 150": "too short for 150 lags",
    "demand.csv --target load --anchor season": "no season",
    "demand.csv --target load --levels 80": "probability",
    "demand.csv --target load --levels high": "levels",
    "demand.csv --target load --model output-to-hidden --teacher-forcing 1": "Give head=recursive",
    "demand.csv --target load --model output-to-hidden --teacher-forcing 2": "probability from 0 to 1",
    "demand.csv --target load --teacher-forcing 1": "Use output-to-hidden",
    "demand.csv --target load --folds 0": "folds=0",
    "sine --model mlp --gradient rtrl --hidden-size 7": "mlp has no use for gradient. gradient=RTRL.*Use rnn",
    "sine --model linear --epochs 3": "linear has no use for epochs. epochs=3. Use mlp, rnn",
    "sine --model naive --hidden-size 9": "naive has no use for hidden_size",
    "sine --lags 9": "gru has no use for lags",
    "--config idle.yaml": "drift has no use for head, steps. head='direct', steps=9. Use rnn",
    "demand.csv --target load --gradient trunctated:k1=8": "Did you mean 'truncated'",
    "demand.csv --target load --against naif": "Did you mean 'naive'",
    "demand.csv --target load --perod 8": "Did you mean '--period'",
    "demand.csv --target load --known other": "other: 0 rows without a target",
    "sine --target y": "no file",
    "sine --time when": "no file",
    "constant.csv": "constant",
    "order.csv --target y --time t": "out of order",
    "twice.csv --target y --time t": "same time",
    "infinite.csv": "infinite",
    "hole.csv": "holes",
    "words.csv": "row 2: 'high'",
    "--resume nowhere": "nowhere",
    "sine --resume nowhere": "its own settings",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_ends_with_one_line_and_exit_code_two(words, cli: Cli, demand, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {
        "constant": "y\n" + "3\n" * 150,
        "order": "t,y\n2,1\n1,2\n",
        "twice": "t,y\n1,1\n1,2\n",
        "infinite": "y\n1\n-inf\n",
        "hole": "y,z\n1,1\n,2\n3,3\n",
        "words": "y\n1\nhigh\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(
            text.replace("y,z", "y").replace("1,1\n,2", "1\nNA").replace("3,3", "3") if name == "hole" else text
        )
    (tmp_path / "idle.yaml").write_text("series: sine\nmodel: drift\nhead: direct\nsteps: 9\n")
    import re

    ended = cli("forecast", *words.split(), *([] if "--resume" in words else ["--out", "run"]))
    assert ended.code == 2, ended.out + ended.err
    said = [line for line in ended.lines if line.startswith("bptt: error")]
    assert len(said) == 1 and re.search(WRONG[words], said[0]), ended.err
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_the_sine_is_forecast_well_at_the_first_try():
    """Nothing but defaults: one step ahead about as wrong as the noise, 64 ahead better than every simple forecast."""
    config = ForecastConfig.from_flat({})
    series, horizon, folds = config.table.read(config.series), config.forecast.horizon, config.judge.folds
    first = len(series) - folds * horizon
    gru, naive = (f.fit(series[:first]) for f in (config.forecaster, Forecaster("naive", horizon=horizon)))
    errors, simple = (f.ahead(series).errors for f in (gru, naive))
    assert 0.17 < errors[1] <= 0.25 and errors[64] < 0.75 * simple[64] and errors[1] < 0.9 * simple[1]
    rows = gru.backtest(series, folds=folds, against=("naive", "drift")).rows()
    assert rows[0]["model"] == "gru" and rows[0]["MASE"] < 0.8 * rows[1]["MASE"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small run on a series: 144 steps of training, 36 aside, 20 of backtest."""
    from bptt.cli import main

    folder = tmp_path_factory.mktemp("trained")
    rows = 10 + np.sin(2 * np.pi * np.arange(200) / 8) + 0.1 * np.random.default_rng(0).normal(size=200)
    (folder / "y.csv").write_text("y\n" + "\n".join(f"{y:.4f}" for y in rows) + "\n")
    words = (*SMALL, "--horizon", "5", "--steps", "12", "--gradient", "truncated:k1=4", "--against", "naive", "--quiet")
    assert main(["forecast", str(folder / "y.csv"), *words, "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_the_gradients_of_a_forecast_run_are_compared_on_its_own_windows(cli: Cli, trained):
    asked = ("--gradient", "full", "truncated:k1=4", "--probes", "1", "--draws", "3", "--json")
    ended = cli("compare", str(trained), *asked)
    assert ended.code == 0, ended.err
    found = ended.json
    full, short = found["rows"]
    setting = {"cell": "gru", "hidden_size": 4, "batch_size": 1, "steps": 12, "probe_steps": 48, "dtype": "float64"}
    assert {name: found["setting"][name] for name in setting} == setting
    assert 0 < full["bias"] < short["bias"] < 1 and "full" in (trained / "report.html").read_text()
    # The exact gradient is that of the run's model on the run's numbers.
    method = Forecaster.load(trained).fitted
    data, model = method.method.data(method.series, method.train), method.method.model.train()
    inputs, targets = (torch.from_numpy(each) for each in (data.train.inputs, data.train.targets))
    state = model(inputs[None, :48])[1]
    said = model(inputs[None, 48:96], state.detach() if isinstance(state, torch.Tensor) else state)[0]
    ((said - targets[None, 48:96, :, 0]) ** 2).mean(-1).mean().backward()
    norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters()))
    assert found["exact"]["norm"] == pytest.approx(float(norm), rel=1e-9)
    assert "race is judged" in cli("compare", str(trained), "--race", "1").err
    printed, page = cli("compare", str(trained), *asked[:-1]).out, (trained / "report.html").read_text()
    assert "1 × 48 steps" in printed and "µs/step" in printed and "token" not in printed
    assert "Time per step" in page and "Training steps per second" in page and "Time per token" not in page
    assert "tokens per second" not in page
    assert cli("compare", str(trained), "--hidden-size", "8").code == 2


def test_a_strategy_of_ones_own_trains_a_forecast_that_is_opened_again(cli: Cli, demand, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_forecast.py").write_text(
        "import dataclasses\nfrom bptt import Truncated\n\n"
        "@dataclasses.dataclass(frozen=True)\nclass Halves(Truncated):\n    k1: int = 3\n\n"
        'STRATEGIES = {"my-halves": Halves}\n'
    )
    own = ("--plugin", "mine_forecast")
    words = (str(demand), "--target", "load", "--horizon", "4", "--gradient", "my-halves:k1=5", "--against", "none")
    assert cli("forecast", *words, *SMALL, *own, "--out", "run", "--quiet").code == 0
    before = (tmp_path / "run" / "forecast.json").read_text()
    found = cli("compare", "run", *own, "--gradient", "my-halves:k1=5", "full", "--probes", "1", "--json")
    assert found.code == 0 and [row["gradient"] for row in found.json["rows"]] == ["my-halves:k1=5", "full"], found.err
    assert found.json["rows"][0]["bias"] > found.json["rows"][1]["bias"]
    found = cli("diagnose", "run", *own, "--steps", "16", "--rows", "1", "--json")
    assert found.code == 0 and found.json["strategy"]["name"] == "my-halves:k1=5", found.err
    assert cli("forecast", "--resume", "run", *own, "--quiet").code == 0
    assert (tmp_path / "run" / "forecast.json").read_text() == before
    for command in ("compare", "diagnose", "forecast --resume"):
        ended = cli(*command.split(), "run")
        assert ended.code == 2 and "alves" in ended.err and "damaged" not in ended.err, ended.err
    import mine_forecast

    again = Forecaster.load("run", strategies=mine_forecast.STRATEGIES)
    assert again.settings["gradient"] == mine_forecast.Halves(5)
    with pytest.raises(InputError, match=r"none of ours. Halves.*--plugin"):
        Forecaster.load("run")


@pytest.mark.parametrize("part", ["train", "valid", None])
def test_a_forecast_run_is_diagnosed(cli: Cli, trained, part):
    ended = cli("diagnose", str(trained), "--steps", "16", "--rows", "1", *(["--part", part] if part else []), "--json")
    assert ended.code == 0, ended.err
    found = ended.json
    assert found["strategy"]["name"] == "truncated:k1=4" and found["strategy"]["bias"] > 0
    assert found["part"] == ("training" if part == "train" else "validation")
    assert found["setting"]["window"] == 12 and found["sizes"][0] > 0 and found["setting"]["state"] == 4


def test_what_has_no_gradient_through_time_is_said(cli: Cli, trained, tmp_path):
    assert "no test part" in cli("diagnose", str(trained), "--part", "test").err
    series = str(trained.parent / "y.csv")
    assert cli("forecast", series, "--model", "linear", "--horizon", "3", "--out", str(tmp_path / "line"), "--quiet").code == 0
    for command in ("compare", "diagnose"):
        ended = cli(command, str(tmp_path / "line"))
        assert ended.code == 2 and "not trained through time" in ended.err

"""The estimator: parameters in and out, intervals, backtests, what a file keeps, and that nothing of the future leaks."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from test_forecast_methods import RECURRENT, SMALL, wave

import bptt
from bptt.data.series import Series, sine
from bptt.errors import CheckpointError, InputError
from bptt.forecasting import METHODS, Forecaster
from bptt.forecasting.accuracy import coverage, mae, mase, mase_scale, rmse, smape
from bptt.forecasting.intervals import Intervals, rank

NAN = float("nan")


def settings(model: str) -> dict:
    return SMALL if model in RECURRENT else {key: SMALL[key] for key in ("horizon",)}


@pytest.mark.parametrize("missing", ["previous", "linear"])
@pytest.mark.parametrize("model", [*METHODS, "gru recursive", "output-to-hidden recursive", "output-to-hidden taught"])
def test_nothing_of_the_future_leaks(model, missing):
    """Another future, holes and all, behind every origin: the same forecasts and intervals, bit for bit."""
    name, _, head = model.partition(" ")
    base = wave(160, columns=2, targets=("a",), covariates=("b",), missing=missing)
    values = base.values.copy()
    values[[20, 21, 70, 99, 121]] = NAN  # also right before origins
    series = dataclasses.replace(base, values=values)
    first, horizon = 100, 6
    other = values.copy()
    other[first:] = np.random.default_rng(9).normal(50, 9, size=other[first:].shape)
    other[[104, 112, 130]] = NAN
    more = {"head": "recursive"} if head else {}
    more |= {"teacher_forcing": 1.0, "forcing_end": 0.2} if head == "taught" else {}
    f = Forecaster(name, transform="none", **{**settings(name), **more})
    one, two = (
        f.backtest(s, horizon=horizon, folds=10, against=()) for s in (series, dataclasses.replace(series, values=other))
    )
    assert one.origins[0] == first
    assert np.array_equal(one.models[0].forecasts[0], two.models[0].forecasts[0])
    assert np.array_equal(one.models[0].lower[:, 0], two.models[0].lower[:, 0])
    assert not np.array_equal(one.models[0].forecasts[3:], two.models[0].forecasts[3:])
    # And a forecast from inside a series is the one from a series that ends there.
    fitted = f.fits(series[:first])
    for origin in (100, 122, 131):
        inside = fitted.ahead(series, np.array([origin]), horizon)
        assert np.array_equal(inside, fitted.ahead(series[:origin], np.array([origin]), horizon))


def test_a_refit_sees_what_lies_before_each_origin_alone():
    series = wave(120)
    found = Forecaster("linear", lags=3, horizon=4).backtest(series, folds=3, refit=True, against=())
    for number, origin in enumerate(found.origins):
        alone = Forecaster("linear", lags=3, horizon=4).fit(series[: int(origin)]).predict().mean
        assert np.array_equal(found.models[0].forecasts[number], alone)
    once = Forecaster("linear", lags=3, horizon=4).backtest(series, folds=3, against=())
    assert not np.array_equal(once.models[0].forecasts[2], found.models[0].forecasts[2])
    assert once.origins.tolist() == [108, 112, 116]


def test_accuracies_by_hand():
    actual, said = np.array([[2.0], [NAN], [-4.0], [0.0]]), np.array([[1.0], [5.0], [-2.0], [0.0]])
    assert mae(actual, said) == pytest.approx(1.0) and rmse(actual, said) == pytest.approx(np.sqrt(5 / 3))
    assert smape(actual, said) == pytest.approx(200 * (1 / 3 + 2 / 6 + 0) / 3)
    assert mase(actual, said, np.array([0.5])) == pytest.approx(2.0)
    assert mase_scale(np.array([[1.0], [3.0], [2.0], [7.0]]), 2).tolist() == [2.5]
    assert mase_scale(np.array([[1.0, 5.0], [3.0, 5.0]]), None)[0] == 2 and np.isnan(mase_scale(np.ones((4, 1)), None)[0])
    assert coverage(actual, said - 1, said + 1) == pytest.approx(2 / 3)


def test_a_seasonal_naive_forecast_of_its_own_training_part_has_a_mase_of_one():
    series = wave(240)
    scale = mase_scale(series.values, 12)
    f = Forecaster("seasonal-naive", valid=0.0).fit(series)
    said = f.fitted.ahead(series, np.arange(12, 240), 1)[:, 0]
    assert mase(series.values[12:], said, scale) == pytest.approx(1.0, rel=1e-12)


def test_intervals_are_order_statistics_horizon_by_horizon():
    random = np.random.default_rng(0)
    residuals = random.normal(size=(99, 3, 2)) * np.array([1.0, 2.0, 3.0])[:, None] + 0.7
    residuals[50:, 2] = NAN
    found = Intervals.of(residuals, (0.8, 0.9))
    # Of 99 sizes the 80th and the 90th; of 50, ⌈51 · 0.8⌉ = 41 and ⌈51 · 0.9⌉ = 46.
    for k, count, wanted in ((0, 99, (80, 90)), (1, 99, (80, 90)), (2, 50, (41, 46))):
        for i in range(2):
            sizes = sorted(abs(r) for r in residuals[:count, k, i])
            assert found.reach[:, k, i].tolist() == [sizes[place - 1] for place in wanted]
    assert found.count.tolist() == [99, 99, 50] and found.short() == []
    few = Intervals.of(residuals[:18], (0.8, 0.95))
    assert few.short() == [0.95] and few.reach[1, 0, 0] == np.abs(residuals[:18, 0, 0]).max()
    assert Intervals.of(residuals[:19], (0.8, 0.95)).short() == []


def test_the_rank_is_the_one_of_one_more_value():
    assert [rank(n, 0.8) for n in (3, 4, 5, 9, 10)] == [4, 4, 5, 8, 9]
    for count in range(1, 400):  # exact arithmetic: no rank is one too many for a rounding error
        assert rank(count, 0.95) == -(-(count + 1) * 95 // 100) and rank(count, 0.9) == -(-(count + 1) * 9 // 10)


def test_a_forecast_lies_within_its_intervals_whatever_the_residuals():
    """Residuals of one sign, none at all, and a forecast that has left the scale of its logarithm."""
    for residuals in (np.full((30, 2, 1), 3.0), np.full((30, 2, 1), -0.1), np.zeros((30, 2, 1))):
        said = np.array([[0.3], [-7.1]])
        low, high = Intervals.of(residuals, (0.5, 0.9)).around(said, lambda x: np.log(np.maximum(x, 0.01)), np.exp)
        assert (low <= said).all() and (said <= high).all()
    found = Intervals.of(np.array([[[2.0]], [[-1.0]], [[4.0]]]), (0.5,)).around(np.array([[10.0]]), lambda x: x, lambda x: x)
    assert [side.item() for side in found] == [8.0, 12.0]


@pytest.mark.parametrize("model", ["naive", "linear"])
def test_intervals_come_from_the_steps_that_were_set_aside(model):
    series, horizon = wave(100), 4
    fitted = Forecaster(model, valid=0.3, horizon=horizon, **({"lags": 3} if model == "linear" else {})).fits(series)
    assert fitted.train == 70
    residuals = np.full((30, horizon, 1), NAN)
    for number, origin in enumerate(range(70, 100)):
        said = fitted.ahead(series[:origin], np.array([origin]), horizon)[0]
        came = series.values[origin : origin + horizon]
        residuals[number, : len(came)] = came - said[: len(came)]
    found = fitted.intervals(horizon)
    np.testing.assert_allclose(found.reach, Intervals.of(residuals, (0.8, 0.95)).reach, rtol=1e-12)
    assert found.count.tolist() == [30, 29, 28, 27]


@pytest.mark.parametrize("head", ["direct", "recursive"])
def test_what_is_set_aside_shapes_neither_scaling_nor_weights(head):
    series = wave(120)
    moved = Series(np.concatenate([series.values[:96], 40 - 5 * series.values[96:]]), period=12)
    one, two = (Forecaster("gru", head=head, seed=2, **{**SMALL, "epochs": 3}).fits(each).method for each in (series, moved))
    assert one.scaling.to_json() == two.scaling.to_json() and one.features == two.features
    trained = [[e["train_rmse"] for e in m.run.history if e["event"] == "epoch"] for m in (one, two)]
    judged = [[e["rmse"] for e in m.run.history if e["event"] == "valid"] for m in (one, two)]
    assert trained[0] == trained[1] and judged[0] != judged[1]
    data = one.data(series, 96)
    assert np.flatnonzero(data.valid.counts).tolist() == list(range(95, 119)) and len(data.train) == 96
    lines = [Forecaster("linear", lags=3, valid=0.2).fits(each).method.weights for each in (series, moved)]
    assert np.array_equal(*lines)


@pytest.mark.parametrize(("count", "level"), [(59, 0.9), (23, 0.8), (40, 0.5)])
def test_intervals_cover_what_they_say_where_residuals_are_exchangeable(count, level):
    """Whatever the distribution, skewed and heavy-tailed here: on average ⌈(n+1)(1−α)⌉ / (n+1), within four standard errors."""
    random, draws = np.random.default_rng(1), 4000
    drawn = np.exp(random.standard_t(3, size=(count + 1, draws, 1))) - 2
    low, high = Intervals.of(drawn[:count], (level,)).around(np.zeros((draws, 1)), lambda x: x, lambda x: x)
    inside = ((low[0] <= drawn[count]) & (drawn[count] <= high[0])).mean()
    wanted = math.ceil((count + 1) * level - 1e-9) / (count + 1)
    assert level <= wanted <= level + 1 / (count + 1)
    assert abs(inside - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / draws)


def test_coverage_of_a_whole_backtest():
    time = np.arange(1500)
    series = Series(np.sin(time / 9)[:, None] + 0.3 * np.random.default_rng(2).normal(size=(1500, 1)))
    found = Forecaster("linear", lags=8, horizon=5).backtest(series, folds=60, against=()).models[0]
    assert abs(found.covered[0.8] - 0.8) < 0.06 and abs(found.covered[0.95] - 0.95) < 0.03
    assert (found.lower[1] < found.lower[0]).all() and (found.upper[0] < found.upper[1]).all()


def test_intervals_of_a_logarithm_grow_with_the_level():
    time = np.arange(200)
    values = np.exp(0.02 * time + 0.1 * np.random.default_rng(0).normal(size=200))
    f = Forecaster("drift", transform="log", horizon=3).fit(Series(values))
    early, late = (f.predict(after=Series(values[:n])) for n in (60, 200))
    width = [(p.upper[0.8] - p.lower[0.8])[0, 0] / p.mean[0, 0] for p in (early, late)]
    assert width[0] == pytest.approx(width[1], rel=1e-9) and min(width) > 0.1


@pytest.mark.parametrize("model", [*METHODS, "output-to-hidden taught"])
def test_saved_and_loaded_it_says_the_same(model, tmp_path):
    model, _, taught = model.partition(" ")
    times = np.arange("2000-01", "2010-01", dtype="datetime64[M]").astype("datetime64[us]")
    series = dataclasses.replace(wave(120, columns=2, targets=("a",), covariates=("b",)), times=times)
    gradient = {"gradient": bptt.Truncated(7, 11)} if model in RECURRENT else {}
    if taught:
        gradient |= {"head": "recursive", "teacher_forcing": 1.0, "forcing_end": 0.5, "forcing_schedule": "sigmoid"}
    f = Forecaster(model, levels=(0.5, 0.9), **settings(model), **gradient).fit(series)
    f.save(tmp_path / "kept")
    again = Forecaster.load(tmp_path / "kept")
    assert again.get_params() == f.get_params() and again.fitted.train == f.fitted.train
    one, two = f.predict(), again.predict()
    assert np.array_equal(one.mean, two.mean) and np.array_equal(one.times, two.times) and one.to_csv() == two.to_csv()
    assert one.times[0] == np.datetime64("2010-01") and np.array_equal(one.lower[0.9], two.lower[0.9])


def test_damage_is_noticed(tmp_path):
    Forecaster("linear").fit(wave(120)).save(tmp_path)
    numbers = tmp_path / "forecaster.safetensors"
    data = bytearray(numbers.read_bytes())
    data[-3] ^= 1
    numbers.write_bytes(data)
    with pytest.raises(CheckpointError, match="not what was written"):
        Forecaster.load(tmp_path)
    (tmp_path / "forecaster.json").write_text("{}")
    with pytest.raises(CheckpointError, match="damaged"):
        Forecaster.load(tmp_path)
    with pytest.raises(CheckpointError, match="no forecaster"):
        Forecaster.load(tmp_path / "nothing")


def test_nothing_but_numbers_and_names_is_saved(tmp_path):
    Forecaster("gru", gradient=bptt.Truncated(9), **SMALL).fit(wave(100)).save(tmp_path)
    plain = json.loads((tmp_path / "forecaster.json").read_text())
    assert plain["params"]["gradient"] == {"strategy": "Truncated", "k1": 9, "k2": None, "update": "stretch"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["forecaster.json", "forecaster.safetensors"]


def test_parameters_in_and_out():
    f = Forecaster("gru", horizon=5, hidden_size=4)
    assert f.get_params() == {"model": "gru", "horizon": 5, "hidden_size": 4}
    assert Forecaster(**f.get_params()).get_params() == f.get_params()
    assert f.set_params(model="naive", horizon=2) is f and f.model == "naive" and f.settings["horizon"] == 2
    with pytest.raises(InputError, match="Did you mean 'horizon'"):
        f.set_params(horzon=3)
    with pytest.raises(InputError, match="Did you mean 'hidden_size'"):
        Forecaster("gru", hiden_size=3).fit(wave())
    fitted = Forecaster("naive").fit(wave())
    fitted.predict(2)
    with pytest.raises(InputError, match="not fitted"):
        fitted.set_params(horizon=3).predict()


IDLE = {
    "naive": {"scale": "minmax", "lags": 3, "seed": 1, "anchor": "last", "hidden_size": 9},
    "linear": {"seed": 1, "head": "direct", "epochs": 5, "dtype": "float64", "gradient": bptt.Full()},
    "mlp": {"optimizer": "adam", "steps": 8, "loss": "squared", "device": "cpu", "layers": 1, "gradient": bptt.RTRL()},
    "gru": {"lags": 3, "kernel_size": 8, "nonlinearity": "tanh", "forcing_end": None, "temperature": 1.0},
    "lru": {"kernel_size": 8},
    "mingru": {"nonlinearity": "tanh"},
    "tdnn": {"teacher_forcing": 0.0},
    "output-to-hidden": {"layers": 1, "sample_every": 2},
}


@pytest.mark.parametrize(("model", "name"), [(model, name) for model, each in IDLE.items() for name in each])
def test_a_setting_that_a_model_has_no_use_for_is_refused(model, name):
    """Also one that says what it is by default: whoever gives it believes that it does something."""
    with pytest.raises(InputError, match=f"model {model} has no use for {name}.*{name}=.*[Ll]eave it out"):
        Forecaster(model, **{name: IDLE[model][name]}).fit(wave())


def test_every_setting_is_of_use_to_somebody_and_a_refusal_says_to_whom():
    """Of those that the command line has; and the plain settings of the forecast to all."""
    from bptt.config.forecast import FORECAST_SETTINGS, INNER

    inner = {key for key, setting in FORECAST_SETTINGS.items() if setting.owner in INNER}
    assert inner == set().union(*(method.takes for method in METHODS.values()))
    assert {"horizon", "transform", "valid", "levels"} <= frozenset.intersection(*(m.takes for m in METHODS.values()))
    with pytest.raises(InputError, match=r"no use for epochs, lr.*Use mlp, rnn, .* or output-to-hidden, or leave them out"):
        Forecaster("linear", epochs=3, lr=0.1).check()
    with pytest.raises(InputError, match=r"no use for lags, gradient.*[.] Leave them out"):
        Forecaster("naive", lags=3, gradient=bptt.Truncated(2)).check()


@pytest.mark.parametrize("model", METHODS)
def test_a_model_that_is_told_all_of_its_choices_forecasts_the_same(model):
    """Bit for bit; and there is nothing left that another length of the training part would change."""
    f = Forecaster(model, **settings(model), levels=(0.7,))
    settled = f.settled(120)
    assert set(settled.settings) >= METHODS[model].takes - {"threads"} and settled.settings.items() >= f.settings.items()
    assert settled.settled(50).settings == settled.settings
    one, two = (each.fit(wave()).predict() for each in (f, settled))
    assert one.to_csv() == two.to_csv()


def test_a_network_of_few_numbers_is_told_what_it_computes_in():
    with pytest.raises(InputError, match="float32 or float64"):
        Forecaster("mlp", dtype="bfloat16").check()


def test_same_seed_same_forecast():
    one, two, three = (Forecaster("gru", seed=seed, **SMALL).fit(wave()).predict().mean for seed in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, three)


def test_a_run_directory_is_a_forecaster_too(tmp_path):
    f = Forecaster("gru", **{**SMALL, "epochs": 3})
    f.fit(wave(), out=tmp_path / "run")
    model = bptt.load(tmp_path / "run")
    assert model.cell == "gru" and (tmp_path / "run" / "metrics.jsonl").exists()
    for name, value in model.state_dict().items():
        assert bool((value == f.fitted.method.model.state_dict()[name]).all())


def test_a_backtest_does_not_change_what_is_fitted():
    series = wave(150)
    f = Forecaster("gru", **SMALL).fit(series[:90])
    before = f.predict().mean
    f.backtest(series, folds=3, against=("naive",))
    assert np.array_equal(before, f.predict().mean)


def test_the_table_is_sorted_and_complete():
    rows = Forecaster("seasonal-naive", horizon=6).backtest(wave(160), folds=3).rows()
    assert [row["model"] for row in rows] and rows[0]["MASE"] == min(row["MASE"] for row in rows)
    assert set(rows[0]) == {"model", "MAE", "RMSE", "sMAPE", "MASE", "coverage 0.8", "coverage 0.95"}
    assert {row["model"] for row in rows} == {"naive", "seasonal-naive", "drift", "linear", "mlp"}


def test_every_target_has_its_own_accuracies():
    """By hand from what was said and what came; where every value counts alike, the table of all is their mean."""
    base = wave(160, columns=2)
    values = base.values * np.array([1.0, 40.0])
    f = Forecaster("linear", horizon=6, lags=3)
    found = f.backtest(Series(values, ("a", "b"), period=12), folds=3, against=("drift",))
    assert list(found.by_target()) == ["a", "b"]
    for i, name in enumerate(("a", "b")):
        came = values[142:].reshape(3, 6, 2)[..., i]
        scale = np.abs(values[12:142, i] - values[:130, i]).mean()
        rows = found.by_target()[name]
        assert rows == found.rows(name) and rows[0]["MASE"] < rows[1]["MASE"]
        for row in rows:
            judged = found[row["model"]]
            wrong = np.abs(judged.forecasts[..., i] - came)
            low, high = judged.lower[1, ..., i], judged.upper[1, ..., i]
            assert row["MAE"] == pytest.approx(wrong.mean(), rel=1e-12)
            assert row["RMSE"] == pytest.approx(np.sqrt((wrong**2).mean()), rel=1e-12)
            assert row["MASE"] == pytest.approx(wrong.mean() / scale, rel=1e-12)
            assert row["coverage 0.95"] == pytest.approx(((low <= came) & (came <= high)).mean(), rel=1e-12)
    for row in found.rows():
        apart = [each for rows in found.by_target().values() for each in rows if each["model"] == row["model"]]
        for name in ("MAE", "sMAPE", "MASE", "coverage 0.8", "coverage 0.95"):
            assert row[name] == pytest.approx(np.mean([each[name] for each in apart]), rel=1e-12)
        assert apart[1]["MAE"] > 10 * apart[0]["MAE"] and apart[0]["MASE"] != apart[1]["MASE"]
    with pytest.raises(InputError, match="Did you mean"):
        found.rows("aa")
    one = f.backtest(wave(160), folds=3, against=())
    assert one.by_target() == {} and one.rows(one.targets[0]) == one.rows()


def test_curves_cover_the_same_steps():
    series = wave(200)
    f = Forecaster("linear", lags=5, horizon=4).fit(series[:120])
    found = f.ahead(series, (1, 5, 9))
    assert found.first == 120 + 8 and {len(said) for said in found.said.values()} == {200 - 128}
    for k in (1, 5, 9):
        for at in (128, 160, 199):
            alone = f.fitted.ahead(series[: at - k + 1], np.array([at - k + 1]), k)[0, -1]
            assert found.said[k][at - 128] == pytest.approx(alone, rel=1e-12)


WRONG = {
    "model": (lambda: Forecaster("gruu").fit(wave()), "Did you mean 'gru'"),
    "unfitted": (lambda: Forecaster("naive").predict(), "not fitted"),
    "horizon": (lambda: Forecaster("naive").fit(wave()).predict(0), "horizon=0"),
    "no series": (lambda: Forecaster("naive").fit([1.0, 2.0]), "no Series"),
    "constant": (lambda: Forecaster("gru", **SMALL).fit(Series(np.ones(50))), "constant"),
    "short lag": (lambda: Forecaster("linear", lags=40).fit(wave(30)), "too short for 40 lags: |too short for 40 lags"),
    "short season": (lambda: Forecaster("gru", anchor="season", **SMALL).fit(wave(14)), "too short"),
    "no season": (lambda: Forecaster("gru", anchor="season", **SMALL).fit(sine(80)), "no season"),
    "harmonics": (lambda: Forecaster("gru", harmonics=7, **SMALL).fit(wave()), "m/2 harmonics"),
    "folds": (lambda: Forecaster("naive", horizon=20).backtest(wave(60), folds=4), "60 steps, 4 folds of 20"),
    "levels": (lambda: Forecaster("naive", levels=(80.0,)).fit(wave()), "probability"),
    "log": (lambda: Forecaster("gru", transform="log", **SMALL).fit(sine(80)), "no log"),
    "columns": (lambda: Forecaster("naive").fit(wave()).predict(after=wave(columns=2)), "other columns"),
    "far": (lambda: Forecaster("naive").fit(wave(100)).ahead(wave(110)), "k = 64"),
    "tiny": (lambda: Forecaster("gru", **SMALL).fit(Series([1.0, 2.0])), "too short"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name):
    act, words = WRONG[name]
    with pytest.raises(InputError, match=words):
        act()


def test_the_python_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "forecasting.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "forecasting.md", "exec"), {})  # noqa: S102 - our own page
    assert Forecaster.load(tmp_path / "load-forecaster").model == "gru"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "data.series.series",
            "data.series.times",
            "data.series.scaling",
            "data.series.part",
            "data.series.sine",
            "data.stream",
        ),
        *("forecasting.accuracy", "forecasting.intervals", "forecasting.forecaster", "models.series", "inference.ahead"),
        *("metrics", "config.forecast"),
    ],
)
def test_the_examples_in_the_docstrings_are_true(name):
    found = doctest.testmod(importlib.import_module(f"bptt.{name}"))
    assert found.attempted and not found.failed

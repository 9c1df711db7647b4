"""Every way of forecasting against an oracle of its own: loops, NumPy, the normal equations, a step-by-step network."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bptt import Full, Randomized, Truncated
from bptt.data.series import Series, sine
from bptt.errors import InputError
from bptt.forecasting import METHODS, Forecaster
from bptt.forecasting.features import Features
from bptt.forecasting.recurrent import leavings
from bptt.forecasting.table import make

SMALL = {"hidden_size": 5, "epochs": 2, "dtype": "float64", "horizon": 6, "batch_size": 2, "steps": 16}
RECURRENT = ("rnn", "lstm", "gru", "lru", "mingru", "tdnn", "output-to-hidden")


def wave(count: int = 150, seed: int = 0, columns: int = 1, **settings) -> Series:
    random, time = np.random.default_rng(seed), np.arange(count)
    values = [
        np.sin(2 * np.pi * (time + 3 * i) / 12) * (1 + 0.5 * i) + 0.01 * time + 0.2 * random.normal(size=count)
        for i in range(columns)
    ]
    return Series(np.stack(values, 1) + 3, period=12, **settings)


def test_simple_forecasts_are_what_they_say():
    x = wave(40, columns=2).values
    series = Series(x, period=12)
    for origin in (13, 29, 40):
        for model in ("naive", "seasonal-naive", "drift"):
            said = Forecaster(model, valid=0.0).fit(series[:30]).fitted.ahead(series, np.array([origin]), 17)[0]
            for k in range(1, 18):
                wanted = {
                    "naive": x[origin - 1],
                    "seasonal-naive": x[origin - 1 + k - 12 * int(np.ceil(k / 12))],
                    "drift": x[origin - 1] + k * (x[origin - 1] - x[0]) / (origin - 1),
                }[model]
                np.testing.assert_allclose(said[k - 1], wanted, rtol=1e-12)


def test_linear_autoregression_is_least_squares():
    series = wave(120, columns=2)
    f = Forecaster("linear", lags=3, valid=0.25, scale="none", horizon=5).fit(series)
    x, n = series.values, 90
    rows = np.array([[1.0, *x[t - 3], *x[t - 2], *x[t - 1]] for t in range(3, n)])
    weights = np.linalg.solve(rows.T @ rows, rows.T @ x[3:n])
    np.testing.assert_allclose(f.fitted.method.weights, weights, rtol=1e-8, atol=1e-9)
    path = list(x)
    for _ in range(5):
        path.append(np.array([1.0, *path[-3], *path[-2], *path[-1]]) @ weights)
    np.testing.assert_allclose(f.predict().mean, path[-5:], rtol=1e-8)


def test_linear_finds_a_recursion_exactly_whatever_the_scale():
    x = [1.0, 0.5]
    for _ in range(80):
        x.append(1.6 * x[-1] - 0.8 * x[-2] + 0.3)
    x += [0.0] * 10
    series, rest = Series(x[:60]), []
    for scale in ("none", "standard", "minmax"):
        rest.append(Forecaster("linear", lags=2, scale=scale, valid=0.2).fit(series).predict(12).mean.ravel())
        np.testing.assert_allclose(rest[-1], x[60:72], rtol=1e-7)


def test_the_textbook_network_to_the_letter():
    """The same five epochs with gradients by hand and Adam by its formulas, in NumPy."""
    series = sine(1000, seed=4)
    f = Forecaster("mlp", lags=4, scale="none", valid=0.0, dtype="float64", seed=7, epochs=2).fit(series[:604])
    x = series.values.ravel()
    rows, wanted = np.array([x[t - 4 : t] for t in range(4, 604)]), x[4:604, None]
    assert rows.shape == (600, 4)
    random = torch.Generator().manual_seed(7)
    shapes, w = ((10, 4), (10,), (1, 10), (1,)), []
    for shape, inputs in zip(shapes, (4, 4, 10, 10), strict=True):
        bound = np.sqrt(6 / sum(shape)) if len(shape) == 2 else 1 / np.sqrt(inputs)
        w.append(torch.empty(shape, dtype=torch.float64).uniform_(-bound, bound, generator=random).numpy().copy())
    first, second = [np.zeros_like(p) for p in w], [np.zeros_like(p) for p in w]
    step = 0
    for _ in range(2):
        order = torch.randperm(600, generator=random).numpy()
        for at in range(0, 600, 16):
            batch = order[at : at + 16]
            a, y = rows[batch], wanted[batch]
            z = a @ w[0].T + w[1]
            h = np.maximum(z, 0)
            e = 2 * (h @ w[2].T + w[3] - y)  # of the sum of squares, without ½
            back = (e @ w[2]) * (z > 0)
            step += 1
            for i, g in enumerate((back.T @ a, back.sum(0), e.T @ h, e.sum(0))):
                first[i] = 0.9 * first[i] + 0.1 * g
                second[i] = 0.999 * second[i] + 0.001 * g**2
                w[i] -= 0.01 * (first[i] / (1 - 0.9**step)) / (np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8)
    for found, by_hand in zip(f.fitted.method.net.parameters(), w, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), by_hand, rtol=1e-9, atol=1e-11)
    before = torch.random.get_rng_state()
    Forecaster("mlp", valid=0.0, epochs=1).fit(series[:80])
    assert torch.equal(before, torch.random.get_rng_state())


def test_one_step_is_near_the_noise_and_many_steps_are_not():
    """The textbook's figures over ten seeds: noise 0.2, network of the letter, everything behind step 604."""
    errors = {k: [] for k in (1, 4, 16, 64)}
    for seed in range(10):
        series = sine(seed=seed)
        found = Forecaster("mlp", scale="none", valid=0.0, seed=seed).fit(series[:604]).ahead(series)
        assert found.first == 604 + 63 and len(found.actual) == 1000 - found.first
        for k in errors:
            errors[k].append(found.errors[k])
    median = {k: np.median(values) for k, values in errors.items()}
    assert 0.19 < median[1] <= 0.25
    assert median[1] < median[4] < median[16] < median[64] and median[64] > 2 * median[1]


def recursion(model, features, scaling, series, origin, horizon, said):
    """A network stepped by hand from the first step on, features by their definition."""
    x = list(scaling(series.filled()[:origin]))
    state, m = model.initial_state(1), features.period
    out = None
    for t in range(origin + horizon):
        if t >= origin:
            anchor = {"none": 0.0, "last": x[t - 1], "season": x[t - m] if t >= m else 0.0}[features.anchor]
            x.append(out + anchor)
        row = [x[t]]
        if features.anchor == "season":
            row.append(x[t] - x[t - m] if t >= m else np.zeros_like(x[t]))
        angles = 2 * np.pi * (series.start + t + 1) * np.arange(1, features.harmonics + 1) / m
        row += [np.sin(angles), np.cos(angles)]
        if series.knowns:
            row.append(series.known[min(t + 1, len(series.known) - 1)])
        with torch.no_grad():
            out, state = model.step(torch.from_numpy(np.concatenate(row))[None], state)
        out = out[0].numpy()
    return scaling.back(np.array(x[origin:]))[:, :said]


@pytest.mark.parametrize("cell", RECURRENT)
@pytest.mark.parametrize("anchor, harmonics", [("none", 0), ("last", 2), ("season", 1)])
def test_feeding_back_is_the_loop_by_hand(cell, anchor, harmonics):
    known = np.random.default_rng(5).normal(size=(170, 2))
    series = wave(150, columns=2, targets=("a",), covariates=("b",), known=known)
    f = Forecaster(cell, head="recursive", anchor=anchor, harmonics=harmonics, transform="log", **SMALL).fit(series[:120])
    method, origins = f.fitted.method, np.array([14, 99, 150])
    said = f.fitted.ahead(series, origins, 7)
    assert method.features.outputs == 2 and np.abs(np.diff(said, axis=1)).max() > 1e-3
    for number, origin in enumerate(origins):
        wanted = recursion(method.model, method.features, method.scaling, series, int(origin), 7, 1)
        np.testing.assert_allclose(said[number], wanted, rtol=1e-9)


@pytest.mark.parametrize("anchor", ["none", "last", "season"])
def test_a_direct_head_is_one_step_of_all(anchor):
    series = wave(150, columns=2)
    f = Forecaster("gru", anchor=anchor, **SMALL).fit(series[:120])
    method = f.fitted.method
    x = method.scaling(series.values)
    for origin in (30, 150):
        inputs = [
            np.concatenate([x[t], x[t] - x[t - 12] if t >= 12 else 0 * x[t]] if anchor == "season" else [x[t]])
            for t in range(origin)
        ]
        with torch.no_grad():
            out = method.model(torch.from_numpy(np.array(inputs))[None])[0][0, -1].numpy().reshape(6, 2)
        base = {"none": np.zeros((6, 2)), "last": np.repeat(x[origin - 1][None], 6, 0), "season": x[origin - 12 : origin - 6]}[
            anchor
        ]
        np.testing.assert_allclose(f.fitted.ahead(series, np.array([origin]), 6)[0], method.scaling.back(out + base), rtol=1e-9)
    with pytest.raises(InputError, match="direct head"):
        f.predict(7)


def test_targets_are_what_follows_and_nothing_unknown_counts():
    x = np.arange(1.0, 31.0)[:, None] ** 2
    seen = np.ones((30, 1), bool)
    seen[20] = False
    features = Features(period=4, anchor="season", steps=3, columns=1, said=1, harmonics=0, knowns=0)
    part = features.part(x, seen, np.zeros((30, 0)), 0, np.float64)
    value, known = part.targets[..., 0], part.targets[..., 1]
    for t in range(30):
        for k in range(1, 4):
            there = t + k < 30 and t + k != 20 and t + 1 >= 4
            assert known[t, k - 1] == there
            assert value[t, k - 1] == (x[t + k, 0] - x[t + k - 4, 0] if there else 0.0)
    assert np.array_equal(part.counts, known.any(1)) and not part.counts[:3].any() and not part.counts[29]


def test_an_anchor_is_chosen_by_what_it_leaves_to_say():
    time = np.arange(200.0)
    season = np.sin(2 * np.pi * time / 12)[:, None]
    walk = np.cumsum(np.random.default_rng(0).normal(size=(200, 1)), 0)
    noise = np.random.default_rng(0).normal(size=(200, 1))
    for values, best in ((season, "season"), (walk, "last"), (noise, "none")):
        left = leavings(values, 12, 3)
        assert min(left, key=left.get) == best
    assert leavings(season, None, 3).keys() == {"none", "last"}
    by_hand = np.mean([np.abs(walk[k:] - walk[:-k]).mean() for k in (1, 2, 3)])
    assert leavings(walk, 12, 3)["last"] == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("strategy", [Full(), Truncated(5), Truncated(4, 9), Randomized(mean=6)])
def test_every_gradient_strategy_trains_a_series(strategy):
    f = Forecaster(
        "gru", gradient=strategy, head="recursive", anchor="none", **{**SMALL, "epochs": 15, "lr": 0.02, "patience": None}
    )
    history = f.fit(wave(150)).fitted.method.run.history
    errors = [event["rmse"] for event in history if event["event"] == "valid"]
    assert len(errors) == 15 and errors[-1] < 0.9 * errors[0]


def test_the_best_epoch_is_kept():
    f = Forecaster("rnn", **{**SMALL, "epochs": 12, "lr": 0.3, "schedule": "constant", "patience": None}).fit(wave(150))
    method, run = f.fitted.method, f.fitted.method.run
    valid = [event["rmse"] for event in run.history if event["event"] == "valid"]
    assert run.best.value == min(valid) and np.argmin(valid) < 11
    data = method.data(f.fitted.series, f.fitted.train)
    assert method.model.measure.of(method.model.evaluate(data.valid).mean) == pytest.approx(min(valid), rel=1e-9)


def test_covariates_are_read_and_not_forecast():
    series = wave(100, columns=3, targets=("a", "b"), covariates=("c",))
    for model in ("linear", "gru", "naive"):
        f = Forecaster(model, **(SMALL if model == "gru" else {"horizon": 6})).fit(series)
        assert f.predict().mean.shape == (6, 2) and f.predict().targets == ("a", "b")
        moved = dataclasses.replace(series, values=series.values + np.array([0.0, 0.0, 5.0]))
        same = np.array_equal(f.predict(after=moved).mean, f.predict().mean)
        assert same == (model == "naive")


def test_what_is_known_beforehand_is_read_ahead():
    known = np.random.default_rng(0).normal(size=110)
    values = np.concatenate([[0.0], 3 * known[1:100]])[:, None] + 0.01 * np.random.default_rng(1).normal(size=(100, 1))
    series = Series(values, known=known, knowns=("price",))
    said = Forecaster("linear", lags=1, valid=0.2, horizon=10).fit(series).predict().mean.ravel()
    np.testing.assert_allclose(said, 3 * known[100:], atol=0.05)
    with pytest.raises(InputError, match="price: 10 steps beyond the end, 11 needed"):
        Forecaster("gru", **{**SMALL, "head": "recursive"}).fit(series).predict(11)


def test_the_table_names_every_model():
    assert list(METHODS) == ["naive", "seasonal-naive", "drift", "linear", "mlp", *RECURRENT]
    assert all(make(name, Forecaster(name)._how({})).about and method.__doc__ for name, method in METHODS.items())

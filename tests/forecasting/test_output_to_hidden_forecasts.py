"""The output-to-hidden network as a forecaster: a loop in NumPy, teacher forcing at once, scheduled sampling, free running."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_forecast_methods import SMALL, wave

from bptt import Checkpointed, Full
from bptt.errors import InputError
from bptt.forecasting import Forecaster
from bptt.gradients import STRATEGIES
from bptt.models import SeriesModel
from bptt.nn import scheduled
from bptt.nn.forcing import forced
from bptt.types import Window

MODEL = "output-to-hidden"
MODES = {
    "direct": {"head": "direct"},
    "free": {"head": "recursive"},
    "forced": {"head": "recursive", "teacher_forcing": 1.0},
    "scheduled": {"head": "recursive", "teacher_forcing": 1.0, "forcing_end": 0.25},
}
TAUGHT = [mode for mode, settings in MODES.items() if "teacher_forcing" in settings]
ANCHORS = ("none", "last", "season")
LOCAL = ("kfrtrl", "rflo", "eprop")  # rules that ask a unit how its own numbers go on, which a network without one cannot say


def fitted(mode: str, count: int = 120, **settings):
    known = np.random.default_rng(5).normal(size=(170, 2))
    series = wave(150, columns=2, targets=("a",), covariates=("b",), known=known)
    made = Forecaster(MODEL, **{**SMALL, "scale": "standard", **MODES[mode], **settings})
    return series, made.fit(series[:count]).fitted


def by_hand(method, series, origin: int, horizon: int) -> np.ndarray:
    """The network stepped from the first step on, from its tensors alone: h = tanh(W_ih v + W_oh u + b_h), o = W_ho h + b_o."""
    w = {name.removeprefix("recurrent."): value.numpy() for name, value in method.model.state_dict().items()}
    f = method.features
    x, m, o = list(method.scaling(series.filled()[:origin])), f.period, np.zeros(f.outputs)

    def anchor(t: int) -> np.ndarray:  # of the step t
        return {"none": 0 * x[0], "last": x[t - 1] if t else x[0], "season": x[t - m] if t >= m else x[t]}[f.anchor]

    def read(t: int) -> np.ndarray:
        angles = 2 * np.pi * (series.start + t + 1) * np.arange(1, f.harmonics + 1) / m
        known = series.known[min(t + 1, len(series.known) - 1)]
        seen = [] if f.taught else [x[t], *([x[t] - anchor(t)] if f.anchor == "season" else [])]
        return np.concatenate([*seen, np.sin(angles), np.cos(angles), known])

    for t in range(origin + (horizon - 1) * (f.steps == 1)):
        if t >= origin:
            x.append(o + {"none": 0.0, "last": x[t - 1], "season": x[t - m]}[f.anchor])
        u = x[t] - anchor(t) if f.taught else o
        h = np.tanh(w["inputs.weight"] @ read(t) + w["recurrence.weight"] @ u + w["recurrence.bias"])
        o = w["output.weight"] @ h + w["output.bias"]
    if f.steps == 1:
        x.append(o + {"none": 0.0, "last": x[-1], "season": x[-m]}[f.anchor])
        said = np.array(x[origin:])
    else:
        base = {"none": np.zeros((m, 2)), "last": np.repeat([x[-1]], m, 0), "season": np.array(x[-m:])}[f.anchor]
        said = np.pad(o.reshape(f.steps, 1) + base[: f.steps, :1], ((0, 0), (0, 1)))
    return method.scaling.back(said)[:, :1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("anchor, harmonics", [("none", 0), ("last", 2), ("season", 1)])
def test_a_forecast_is_the_loop_by_hand(mode, anchor, harmonics):
    """What is seen is true; what is not seen yet is what was said."""
    series, found = fitted(mode, anchor=anchor, harmonics=harmonics, transform="log")
    horizon = 6 if mode == "direct" else 15  # beyond a season
    origins = np.array([13, 99, 150])
    said = found.ahead(series, origins, horizon)
    assert np.abs(np.diff(said, axis=1)).max() > 1e-3
    for number, origin in enumerate(origins):
        np.testing.assert_allclose(said[number], by_hand(found.method, series, int(origin), horizon), rtol=1e-10)


@pytest.mark.parametrize("anchor", ANCHORS)
@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_teacher_forcing_at_once_equals_step_by_step(anchor, loss):
    """Losses, end and every gradient, also those at the state before and at what is read."""
    series, found = fitted("forced", anchor=anchor, harmonics=1, loss=loss, dropout=0.3)
    model = found.method.model.train()
    assert model.recurrent.forcing == 1 and model.dtype == torch.float64
    data = found.method.data(series, 120).train
    window = list(data.stream(3, 16, offset=False))[1]
    window.inputs.requires_grad_()
    state = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    results = []
    for share in (1.0, math.nextafter(1.0, 0.0)):  # the second forces every step too, and walks
        model.recurrent.forcing = share
        losses, end = model.unroll().losses(window, state)
        weights = torch.linspace(-1, 1, losses.numel(), dtype=torch.float64).reshape(losses.shape)
        value = (losses * weights).sum() + (end * torch.tensor([2.0, -3.0])).sum()
        results.append((losses, end, *torch.autograd.grad(value, [window.inputs, *model.parameters()])))
    assert forced(window.noise, model.recurrent.forcing).all()
    for together, one_by_one in zip(*results, strict=True):
        torch.testing.assert_close(together, one_by_one, rtol=1e-12, atol=1e-12)
        assert one_by_one.abs().max() > 1e-3
    model.recurrent.forcing = 0.5
    assert (model.unroll().losses(window, state)[0] - results[0][0]).abs().max() > 1e-3


@pytest.mark.parametrize("mode", TAUGHT)
def test_a_forecast_is_the_network_running_free(mode):
    """From the last value on, one call of the layer that is given no truth says the same as feeding back by the forecaster."""
    series, found = fitted(mode, anchor="none", harmonics=1)
    method, origin, horizon = found.method, 140, 9
    said = found.ahead(series, np.array([origin]), horizon)[0]
    f, layer = method.features, method.model.recurrent
    at = origin - 1 + np.arange(horizon)
    blind = f.read(*(np.full((horizon, 2), 77.0),) * 3, series.start + at + 1, series.known[at + 1])
    assert f.inputs == blind.shape[1] and (blind[:, -2:] == 77).all() and not (blind[:, :-2] == 77).any()
    last = torch.from_numpy(method.scaling(series.filled())[origin - 1])[None]
    layer.eval().free_running = True
    with torch.no_grad():
        free, _ = layer(torch.from_numpy(blind)[None], last)
    np.testing.assert_allclose(method.scaling.back(free[0].numpy())[:, :1], said, rtol=1e-12)


def test_where_a_step_is_not_forced_it_knows_nothing_of_the_value_itself():
    """Scheduled sampling that left the true value among the other inputs would practise nothing."""
    series, found = fitted("scheduled", anchor="season", harmonics=1)
    model = found.method.model.train()
    model.recurrent.forcing = 0.5
    window = list(found.method.data(series, 120).train.stream(3, 16, offset=False))[1]
    mask = forced(window.noise, 0.5)
    assert 0.2 < mask.double().mean() < 0.8
    state = torch.randn(3, 2, dtype=torch.float64)
    before, _ = model.unroll().losses(window, state)
    inputs = window.inputs.clone()
    inputs[..., -2:] += torch.where(mask[..., None], 0.0, 9.0)
    same, _ = model.unroll().losses(Window(inputs, window.targets, window.reset, window.mask, window.noise), state)
    assert torch.equal(before, same)
    inputs[..., -2:] += torch.where(mask[..., None], 9.0, 0.0)
    other, _ = model.unroll().losses(Window(inputs, window.targets, window.reset, window.mask, window.noise), state)
    assert (other - before)[mask].abs().min() > 1e-6
    moved = found.method.features.all_read(found.method.scaling(series.filled()) + 1.0, series.known, 0)
    kept = found.method.features.all_read(found.method.scaling(series.filled()), series.known, 0)
    assert np.array_equal(moved[:, :-2], kept[:, :-2])  # nothing beside the last inputs depends on the values


@pytest.mark.parametrize("anchor", ANCHORS)
def test_what_is_read_last_is_what_the_step_before_should_have_said(anchor):
    series, found = fitted("forced", anchor=anchor)
    part = found.method.data(series, 120).train
    first = max(found.method.features.reach, 1)
    np.testing.assert_array_equal(part.inputs[first:, -2:], part.targets[first - 1 : -1, :, 0])
    assert part.targets[first - 1 : -1, :, 1].all()


@pytest.mark.filterwarnings("ignore:Randomized")
@pytest.mark.parametrize("mode", ["free", pytest.param("scheduled", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_gradient_strategy_trains_it(name, mode):
    given = {"truncated": {"k1": 5}, "peroutput": {"k": 4}, "randomized": {"mean": 6}, "telescoping": {"k": 4}}
    given |= {"adaptive": {"bias": 0.3}, "checkpointed": {"slots": 3}}
    strategy = STRATEGIES[name](**given.get(name, {}))
    learning = {"epochs": 8, "lr": 0.02, "patience": None, "anchor": "none", "steps": 24, "seed": 3}
    if name in LOCAL:
        with pytest.raises(InputError, match=r"this model does not say.*truncated:k1=64"):
            fitted(mode, gradient=strategy, **learning)
        return
    _, found = fitted(mode, gradient=strategy, **learning)
    errors = [event["rmse"] for event in found.method.run.history if event["event"] == "valid"]
    assert len(errors) == 8 and errors[-1] < 0.95 * errors[0], errors


def test_exact_strategies_agree_through_a_whole_training():
    """Under scheduled sampling: what is run again draws the same steps."""
    settings = {"anchor": "none", "dropout": 0.2, "lr": 0.02}
    one, two = (fitted("scheduled", gradient=g, **settings)[1].method.model for g in (Full(), Checkpointed(slots=2)))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_the_draw_follows_the_seed_and_the_probability_the_training(monkeypatch):
    moved, progress = [], SeriesModel.progress

    def watched(model, share):
        progress(model, share)
        moved.append((share, model.recurrent.forcing))

    monkeypatch.setattr(SeriesModel, "progress", watched)
    one, two, other = (
        fitted("scheduled", seed=seed, epochs=4, patience=None, anchor="none")[1].method.model.state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["recurrent.output.weight"], other["recurrent.output.weight"])
    assert len({share for share, _ in moved}) > 4 and max(share for share, _ in moved) == 1
    assert all(forcing == scheduled(share, 1.0, 0.25) for share, forcing in moved)


WRONG = {
    "direct": ({"teacher_forcing": 0.5}, "direct head cannot be taught.*Give head=recursive"),
    "end alone": ({"forcing_end": 0.5}, "direct head cannot be taught"),
    "layers": ({"layers": 2}, "output-to-hidden has no use for layers.*Use rnn, lstm"),
    "kernel": ({"kernel_size": 3}, "no use for kernel_size.*Use tdnn"),
    "share": ({"teacher_forcing": 1.5}, "probability from 0 to 1"),
    "curve": ({"teacher_forcing": 1.0, "forcing_schedule": "linea", "head": "recursive"}, "Did you mean 'linear'"),
    "still": ({"teacher_forcing": 1.0, "forcing_schedule": "sigmoid", "head": "recursive"}, "nothing follows a schedule"),
    "gru": ({"model": "gru", "teacher_forcing": 1.0}, "gru has no use for teacher_forcing.*Use output-to-hidden"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused_before_anything_is_read(name):
    settings, words = WRONG[name]
    with pytest.raises(InputError, match=words):
        Forecaster(**{"model": MODEL, **settings}).check()


def test_what_it_remembers_is_said():
    for mode, words in {"direct": "free running", "forced": "teacher forcing", "scheduled": "scheduled sampling"}.items():
        assert words in fitted(mode)[1].method.about


def test_whoever_opens_a_trained_model_finds_the_probability_as_the_training_left_it():
    model = fitted("scheduled")[1].method.model
    again = SeriesModel.from_json(model.to_json())
    assert again.recurrent.forcing == 0.25 and again.settings == model.settings and not again.recurrent.free_running
    with pytest.raises(InputError, match=r"true previous output\. 1 inputs, 2 outputs"):
        SeriesModel(MODEL, inputs=1, outputs=2, teacher_forcing=1.0)

"""Settings reach what they are for; a bad one is refused, named, before anything is touched."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import make_corpus, make_model, train

import bptt
from bptt.errors import InputError
from bptt.training import TrainSettings
from bptt.training.devices import find_device, precision
from bptt.training.schedule import Schedule
from bptt.training.update import Update, make_optimizer

WHOLE = ["epochs", "batch_size", "steps", "block", "decay_every", "patience", "threads", "save_every", "log_every"]
NUMBERS = ["lr", "clip", "momentum", "weight_decay", "warmup", "temperature", "decay"]

BAD: list[tuple[str, Any]] = [
    *((name, bad) for name in WHOLE for bad in (0, -1, 1.5, "3", True, math.nan)),
    *((name, bad) for name in ("seed", "sample_every", "sample_length") for bad in (-1, 0.5, True, None)),
    *((name, bad) for name in NUMBERS for bad in (-0.1, math.nan, math.inf, "1", True)),
    *((name, 0) for name in ("lr", "clip", "decay")),
    *((name, None) for name in ("epochs", "batch_size", "steps", "lr", "momentum", "temperature")),
    *((name, bad) for name in ("sampling", "optimizer", "schedule", "dtype") for bad in ("nope", None, 3)),
    *((("momentum", 1.0), ("decay", 1.01), ("seed", 2**63))),
    *(("gradient", bad) for bad in ("truncated", None, bptt.Truncated, bptt.Full, 3)),
    *(("sample_prefix", bad) for bad in ("The ", None, (1,), 3)),
    *(("device", bad) for bad in (None, 3, torch.device("cpu"))),
    *(("tensorboard", bad) for bad in (1, "yes", None)),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_refused_by_name(name: str, value: Any) -> None:
    more = {"optimizer": "sgd"} if name == "momentum" else {}
    with pytest.raises(InputError, match=name) as caught:
        TrainSettings(**{**more, name: value})
    assert caught.value.todo and repr(value) in str(caught.value)


@pytest.mark.parametrize(
    "settings", [{"momentum": 0.5}, {"sampling": "random", "block": 64}, {"block": 3, "sampling": "shuffled"}]
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        train(None, **settings)


@pytest.mark.parametrize(("name", "value"), [("decay", 0.3), ("decay_every", 2)])
def test_a_factor_that_no_schedule_uses_is_refused(name: str, value: Any) -> None:
    for schedule in ("constant", "cosine"):
        with pytest.raises(InputError, match=rf"Only the schedules step and plateau have {name}\. {name}={value}, schedule='"):
            TrainSettings(schedule=schedule, **{name: value})
    assert getattr(TrainSettings(schedule="plateau", **{name: value}), name) == value


def test_an_unknown_setting_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"learning_rat|Did you mean|Known are") as caught:
        train(None, batch_sise=3)
    assert "batch_size" in str(caught.value)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "CPU", "cuda:-1", "", "mps"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="device"):
        find_device(name)


def test_a_device_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for name in ("cuda", "cuda:0", "cuda:7"):
        with pytest.raises(InputError, match="0 CUDA devices found"):
            find_device(name)
    assert find_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_moves_between_gpu_and_cpu(tmp_path: Path) -> None:
    train(tmp_path / "run", device="cuda", epochs=1)
    assert train(tmp_path / "run", device="cpu", resume=True).reason == "finished"


@pytest.mark.parametrize(
    ("name", "parameter", "product"),
    [("float32", torch.float32, None), ("float64", torch.float64, None), ("bfloat16", torch.float32, torch.bfloat16)],
)
def test_precision(name: str, parameter: torch.dtype, product: torch.dtype | None) -> None:
    assert precision(name) == (parameter, product)
    model = make_model()
    losses: list[Any] = []
    run = train(None, model=model, dtype=name, epochs=1, listeners=[losses.append])
    assert {value.dtype for value in model.parameters()} == {parameter}
    assert math.isfinite(run.best.perplexity)


def test_bfloat16_computes_in_bfloat16() -> None:
    first = [first_loss(dtype=name) for name in ("float32", "bfloat16")]
    assert first[0] != first[1]
    assert first[0] == pytest.approx(first[1], rel=0.02)


def first_loss(**settings: Any) -> float:
    told: list[Any] = []
    train(None, epochs=1, listeners=[told.append], **settings)
    return next(event["loss"] for event in told if event["event"] == "step")


# --- schedules


@pytest.mark.parametrize("epoch", [0.0, 0.25, 1.0, 2.5, 4.0])
def test_closed_forms(epoch: float) -> None:
    assert Schedule("constant", 4).factor(epoch) == 1
    assert Schedule("cosine", 4).factor(epoch) == pytest.approx(0.5 + 0.5 * math.cos(math.pi * epoch / 4))
    assert Schedule("step", 4, decay=0.3).factor(epoch) == pytest.approx(0.3 ** math.floor(epoch))
    assert Schedule("step", 4, decay=0.3, every=2).factor(epoch) == pytest.approx(0.3 ** math.floor(epoch / 2))
    warm = min(1, epoch / 2)
    assert Schedule("constant", 4, warmup=2).factor(epoch) == pytest.approx(warm)
    down = 1 if epoch < 2 else 0.5 + 0.5 * math.cos(math.pi * (epoch - 2) / 2)
    assert Schedule("cosine", 4, warmup=2).factor(epoch) == pytest.approx(warm * down)


def test_a_plateau_lowers_the_rate_after_waiting() -> None:
    schedule, found = Schedule("plateau", decay=0.5, every=2), []
    for perplexity in (5, 4, 4, 6, 3, 3, 3, 3, 3, math.inf, 2):
        schedule.validated(perplexity)
        found.append(schedule.factor(1))
    assert found == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.125]
    again = Schedule("plateau", decay=0.5, every=2)
    again.load_state_dict(schedule.state_dict())
    assert again == schedule


def rates(**settings: Any) -> list[float]:
    told: list[Any] = []
    train(None, listeners=[told.append], lr=1e-3, **settings)
    return [event["lr"] / 1e-3 for event in told if event["event"] == "step"]


def test_the_rate_is_that_of_the_middle_of_an_update() -> None:
    """133 targets in each of 3 rows, one window of 17: eight windows an epoch, the last one shorter."""
    found = rates(gradient=bptt.Full(), schedule="cosine", epochs=2)
    windows = len(found) // 2
    wanted = [0.5 + 0.5 * math.cos(math.pi * (n + 0.5) / (2 * windows)) for n in range(2 * windows)]
    assert found == pytest.approx(wanted)


def test_a_step_falls_between_epochs() -> None:
    found = rates(gradient=bptt.Full(), schedule="step", decay=0.1, epochs=3)
    windows = len(found) // 3
    assert found == pytest.approx([1.0] * windows + [0.1] * windows + [0.01] * windows)


def test_no_update_is_made_at_a_rate_of_zero() -> None:
    """Also where the whole run is a single window, and where the last stretch is closed after it."""
    for settings in ({}, {"steps": 500, "batch_size": 1, "epochs": 1}, {"gradient": bptt.Truncated(1000), "epochs": 1}):
        for schedule, warmup in (("cosine", 0.0), ("cosine", 0.5), ("constant", 1.0)):
            found = rates(**{"schedule": schedule, "warmup": warmup, **settings})
            assert found and min(found) > 0


# --- optimisers


def test_settings_reach_the_optimiser() -> None:
    parameter = [torch.nn.Parameter(torch.zeros(1))]
    sgd = make_optimizer("sgd", parameter, lr=0.3, momentum=0.7, weight_decay=0.1)
    assert type(sgd) is torch.optim.SGD
    assert {k: sgd.defaults[k] for k in ("lr", "momentum", "weight_decay")} == {"lr": 0.3, "momentum": 0.7, "weight_decay": 0.1}
    for name, kind in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)):
        made = make_optimizer(name, parameter, lr=0.3, weight_decay=0.1)
        assert type(made) is kind and made.defaults["lr"] == 0.3 and made.defaults["weight_decay"] == 0.1


def test_settings_of_fit_reach_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Update] = []
    spend = Update.spend
    monkeypatch.setattr(Update, "spend", lambda self, *a: (seen.append(self), spend(self, *a))[1])
    train(None, optimizer="sgd", lr=0.25, momentum=0.5, weight_decay=0.125, clip=0.75, schedule="step", decay_every=3, epochs=1)
    update = seen[0]
    group = update.optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.25, 0.5, 0.125)
    assert (update.limit, update.schedule.kind, update.schedule.every, update.schedule.epochs) == (0.75, "step", 3, 1)


def test_an_update_clips_steps_and_forgets() -> None:
    parameter = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    update = Update([parameter], torch.optim.SGD([parameter], lr=1.0), Schedule("step", decay=0.5), 1.0)
    parameter.grad = torch.tensor([30.0, 40.0])
    norm, clipped = update.clip()
    assert (norm, clipped) == (50.0, True)
    spent = update.spend(1.5, norm, clipped)
    assert (spent.norm, spent.clipped, spent.lr) == (50.0, True, 0.5)
    assert parameter.detach().tolist() == pytest.approx([2.7, 3.6])
    assert parameter.grad is None


# --- how much a gradient counts


@pytest.mark.parametrize(
    ("strategy", "steps"), [(bptt.Full(), 17), (bptt.Truncated(5), 5), (bptt.Truncated(5, update="window"), 5)]
)
def test_a_gradient_is_per_row_and_nominal_step(strategy: Any, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert per_of(monkeypatch, gradient=strategy) == 3 * steps


def test_a_batch_that_shrinks_counts_the_rows_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """399 targets hold 23 windows of 17, and one of 399 steps."""
    assert per_of(monkeypatch, gradient=bptt.Full(), batch_size=64) == 23 * 17
    assert per_of(monkeypatch, gradient=bptt.Full(), batch_size=64, steps=1000) == 399


def per_of(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> float:
    found: list[float] = []
    with monkeypatch.context() as patch:
        unroll = bptt.LanguageModel.unroll
        patch.setattr(bptt.LanguageModel, "unroll", lambda self, **k: (found.append(k["per"]), unroll(self, **k))[1])
        train(None, corpus=make_corpus(), epochs=1, **settings)
    return found[0]

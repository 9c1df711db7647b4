"""What is not finite stops a run within one update and reaches no file; clipping is safe for every size of number."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import make_corpus, make_model, train
from torch import Tensor, nn

import bptt
from bptt.training import checkpoint
from bptt.training.clip import clip_gradients, gradient_norm
from bptt.training.health import check_estimate
from bptt.types import Carry, Estimate, Window

BAD = [math.nan, math.inf, -math.inf]


def poison_weight(model: Any, bad: float) -> Callable[[Any], None]:
    """After update 6, one weight is bad."""

    def listen(event: Any) -> None:
        if event["event"] == "step" and event["step"] == 6:
            model.readout.linear.weight.data[1, 2] = bad

    return listen


def poison_gradient(model: Any, bad: float) -> Callable[[Any], None]:
    """After update 6, one entry of one gradient is bad."""

    def listen(event: Any) -> None:
        if event["event"] == "step" and event["step"] == 6:
            model.recurrent.weight_hh_l0.register_hook(lambda gradient: gradient.index_fill(0, torch.tensor([1]), bad))

    return listen


def poison_loss(model: Any, bad: float) -> Callable[[Any], None]:
    """After update 6, scores are so large that no loss is a number, though every weight is."""

    def listen(event: Any) -> None:
        if event["event"] == "step" and event["step"] == 6:
            model.readout.linear.bias.data.fill_(math.copysign(3e38, bad))
            model.readout.linear.weight.data.fill_(math.copysign(3e38, bad))

    return listen


PLACES = {
    "weight": (poison_weight, r"parameter readout\.linear\.weight"),
    "gradient": (poison_gradient, r"the gradient of recurrent\.\w*\.?weight_hh_l0"),
    "loss": (poison_loss, r"the gradient of|the loss"),
}


@pytest.mark.parametrize("bad", [math.nan, math.inf, pytest.param(-math.inf, marks=pytest.mark.slow)])
@pytest.mark.parametrize("place", PLACES)
def test_a_run_stops_within_one_update_and_names_the_tensor(place: str, bad: float, tmp_path: Path) -> None:
    poison, named = PLACES[place]
    model, told = make_model(dropout=0.0), []
    with pytest.raises(bptt.DivergedError, match="at update 7") as caught:
        train(tmp_path / "run", model=model, save_every=4, listeners=[poison(model, bad), told.append])
    import re

    assert re.search(f"first in ({named})", str(caught.value)), str(caught.value)
    assert [event["step"] for event in told if event["event"] == "step"][-1] == 6
    assert (told[-1]["event"], told[-1]["reason"]) == ("end", "diverged")
    assert_all_finite(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])["reason"] == "diverged"


def assert_all_finite(run: Path) -> None:
    from bptt.training.pack import pack

    folders = checkpoint.steps(run / "checkpoints")
    assert folders
    for folder in folders:
        saved = checkpoint.read(folder)
        for tensor in (*saved.parameters.values(), *pack(saved.state)[0].values()):
            assert torch.isfinite(tensor).all()


def test_a_weight_that_no_loss_has_met_yet_is_not_saved(tmp_path: Path) -> None:
    """The row of a token that does not occur: nothing but the check before a save sees it."""
    model = make_model(dropout=0.0)
    unused = model.vocab.unknown

    def listen(event: Any) -> None:
        if event["event"] == "step" and event["step"] == 6:
            model.encode.table.weight.data[unused] = math.nan

    with pytest.raises(bptt.DivergedError, match=r"encode\.table\.weight is not finite at update 8"):
        train(tmp_path / "run", model=model, save_every=4, listeners=[listen])
    assert_all_finite(tmp_path / "run")
    assert checkpoint.load(tmp_path / "run" / "checkpoints").step == 4


@dataclasses.dataclass(frozen=True)
class Remembering(bptt.Truncated):
    """A strategy with a memory of its own, which goes bad at one place of the stream; no loss ever shows it."""

    def start(self, unroll: Any, batch_size: int) -> Carry:
        carry = super().start(unroll, batch_size)
        return Carry(carry.state, {**carry.memory, "trace": torch.zeros(2)})

    def gradients(self, unroll: Any, window: Window, carry: Carry) -> Iterator[Estimate]:
        for estimate in super().gradients(unroll, window, carry):
            memory = dict(estimate.carry.memory)
            if memory["position"] >= 30:
                memory["trace"] = torch.tensor([1.0, math.inf])
            yield dataclasses.replace(estimate, carry=Carry(estimate.carry.state, memory))


def test_the_strategys_memory_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(bptt.DivergedError, match=r"at update 6.*the strategy's memory"):
        train(tmp_path / "run", gradient=Remembering(5), save_every=2)
    assert_all_finite(tmp_path / "run")


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_input_is_named_before_what_it_spoils(bad: float) -> None:
    window = Window.of(torch.ones(2, 3, 4), torch.ones(2, 3))
    window.inputs[1, 2, 3] = bad
    unroll = nn.Linear(4, 1)
    unroll.weight.grad = torch.full((1, 4), bad)
    with pytest.raises(bptt.DivergedError, match="first in the window's inputs"):
        check_estimate(unroll, window, Carry(torch.ones(1)), math.nan, math.nan, 1)


def test_what_is_finite_passes() -> None:
    window = Window.of(torch.ones(2, 3, 4), torch.ones(2, 3))
    check_estimate(nn.Linear(4, 1), window, Carry(torch.ones(1), {"n": 1, "open": window}), 1e300, None, 1)


def test_a_model_that_is_bad_from_the_start_is_never_saved(tmp_path: Path) -> None:
    model = make_model()
    model.readout.linear.bias.data[0] = math.nan
    with pytest.raises(bptt.DivergedError):
        train(tmp_path / "run", model=model)
    assert not checkpoint.steps(tmp_path / "run" / "checkpoints")


# --- clipping


def parameters(*gradients: Tensor | None) -> list[nn.Parameter]:
    made = []
    for gradient in gradients:
        parameter = nn.Parameter(torch.zeros(2 if gradient is None else gradient.shape, dtype=getattr(gradient, "dtype", None)))
        parameter.grad = None if gradient is None else gradient.clone()
        made.append(parameter)
    return made


SIZES = [
    (torch.float32, 1e20),
    (torch.float32, 3e38),
    (torch.float32, 1e-20),
    (torch.float32, 1e-38),
    (torch.float64, 1e200),
    (torch.float64, 1e307),
    (torch.float64, 1e-200),
    (torch.float64, 1e-300),
    (torch.float32, 1.0),
]


@pytest.mark.parametrize(("kind", "size"), SIZES)
def test_the_norm_is_right_for_every_size(kind: torch.dtype, size: float) -> None:
    """√(3² + 4² + 12²) = 13 times the size, over two parameters and one that has no gradient."""
    made = parameters(
        torch.tensor([3.0, 4.0], dtype=kind) * (size / 13), None, torch.tensor([[12.0]], dtype=kind) * (size / 13)
    )
    assert gradient_norm(made) == pytest.approx(size, rel=1e-6)


@pytest.mark.parametrize(("kind", "size"), [pair for pair in SIZES if pair[1] >= 1])
def test_a_large_gradient_keeps_its_direction(kind: torch.dtype, size: float) -> None:
    """Never zeros, as an overflowing norm would give."""
    made = parameters(
        torch.tensor([3.0, 4.0], dtype=kind) * (size / 13), None, torch.tensor([[12.0]], dtype=kind) * (size / 13)
    )
    norm, clipped = clip_gradients(made, 0.5)
    assert clipped and norm == pytest.approx(size, rel=1e-6)
    found = torch.cat([p.grad.flatten() for p in made if p.grad is not None])
    assert torch.allclose(found, torch.tensor([3.0, 4.0, 12.0], dtype=kind) * 0.5 / 13, rtol=1e-5, atol=0)
    assert made[1].grad is None


@pytest.mark.parametrize("limit", [None, 1.0])
@pytest.mark.parametrize("gradient", [torch.zeros(3), torch.tensor([1e-30, 0.0]), torch.tensor([1e-310], dtype=torch.float64)])
def test_a_small_gradient_is_left_alone(gradient: Tensor, limit: float | None) -> None:
    (parameter,) = parameters(gradient)
    norm, clipped = clip_gradients([parameter], limit)
    assert not clipped and torch.equal(parameter.grad, gradient)
    assert norm == pytest.approx(float(gradient.double().norm()), rel=1e-6, abs=0)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_bad_gradient_has_a_bad_norm_and_is_left_to_be_seen(bad: float, kind: torch.dtype) -> None:
    made = parameters(torch.tensor([1.0, bad], dtype=kind), torch.tensor([2.0], dtype=kind))
    norm, _ = clip_gradients(made, 1.0)
    assert not math.isfinite(norm)
    assert math.isnan(norm) == math.isnan(bad)
    assert float(made[1].grad) == 2.0


def test_no_gradient_at_all_is_zero() -> None:
    assert clip_gradients(parameters(None, None), 1.0) == (0.0, False)
    assert gradient_norm(parameters(torch.zeros(0))) == 0.0


@pytest.mark.parametrize("limit", [0.1, 5.0, 100.0])
def test_ordinary_gradients_are_clipped_as_torch_does(limit: float) -> None:
    gradients = [torch.randn(4, 5, dtype=torch.float64) for _ in range(3)]
    ours, theirs = parameters(*gradients), parameters(*gradients)
    norm, clipped = clip_gradients(ours, limit)
    assert norm == pytest.approx(float(nn.utils.clip_grad_norm_(theirs, limit)), rel=1e-12)
    assert clipped == (norm > limit)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-12, atol=0)


@pytest.mark.parametrize("norm", [1e-9, 5e-7, 1e-6, 0.3, 1.0, 1e28])
@pytest.mark.parametrize("share", [1e-3, 1 - 1e-9, 1.0, 1 + 1e-9, 1 + 1e-6, 1 + 3e-6, 2.0])
def test_clipping_is_torchs_formula_to_the_last_bit(norm: float, share: float) -> None:
    """Also just above the norm, and for limits as small as the 1e-6 in it, where it scales a little below the limit."""
    gradient = torch.tensor([0.6, -0.8, 1e-3], dtype=torch.float64)
    gradient *= norm / gradient.norm()
    ours, theirs = parameters(gradient), parameters(gradient)
    found, clipped = clip_gradients(ours, norm * share)
    nn.utils.clip_grad_norm_(theirs, norm * share)
    assert torch.equal(ours[0].grad, theirs[0].grad)
    assert clipped == (found > norm * share)


# --- what is not training leaves training alone


def test_validation_samples_and_files_leave_no_trace(tmp_path: Path) -> None:
    """Bit for bit the same parameters, also with torch's own dropout, which draws from torch's generator."""
    from test_training_resume import model_of

    for cell in ("gru", "own"):
        bare, full = model_of(cell), model_of(cell)
        train(None, model=bare, corpus=make_corpus(valid=0), sample_every=0, gradient=bptt.Truncated(5))
        train(tmp_path / cell, model=full, sample_every=1, sample_length=30, save_every=1, gradient=bptt.Truncated(5))
        for (name, a), b in zip(bare.named_parameters(), full.parameters(), strict=True):
            assert torch.equal(a, b), name

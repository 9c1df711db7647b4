"""What a strategy refuses of a model and its windows is refused before a run is there, and asking leaves no trace."""

from __future__ import annotations

import dataclasses
import random
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import SETTINGS, make_corpus, make_model, train
from torch import Tensor, nn

import bptt
from bptt.errors import InputError
from bptt.training.prepare import prepare
from bptt.training.rehearsal import rehearse
from bptt.training.settings import TrainSettings
from bptt.types import Carry, Estimate, Unroll, Window

TOO_LITTLE = bptt.Checkpointed(budget="1KiB")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_a_run_is_not_replaced_by_one_that_its_strategy_refuses(tmp_path: Path) -> None:
    train(tmp_path / "run", epochs=1)
    before = tree(tmp_path)
    with pytest.raises(InputError, match="budget"):
        train(tmp_path / "run", gradient=TOO_LITTLE, overwrite=True)
    assert tree(tmp_path) == before and len(before) > 5


def test_a_refused_run_leaves_room_for_the_corrected_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="budget"):
        train(tmp_path / "run", gradient=TOO_LITTLE)
    assert tree(tmp_path) == {}
    assert train(tmp_path / "run", gradient=bptt.Checkpointed(budget="1MiB"), epochs=1).reason == "finished"


class Counting(nn.Module):
    """A cell that draws from torch's generator and counts its steps in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 6)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, 6)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.steps += 1
        h = torch.tanh(self.linear(torch.cat([x, h], 1)) + 0.01 * torch.randn(1))
        return h, h


@dataclasses.dataclass(frozen=True)
class Loud(bptt.Full):
    """Warns, draws from every generator, and counts how often it was asked for a gradient."""

    asked: list[int] = dataclasses.field(default_factory=list, hash=False)

    def gradients(self, unroll: Unroll, window: Window, carry: Carry) -> Iterator[Estimate]:
        self.asked.append(window.steps)
        warnings.warn("loud", stacklevel=1)
        random.random(), np.random.rand(), torch.rand(1)
        yield from super().gradients(unroll, window, carry)


def test_it_makes_one_estimate_and_leaves_everything_as_it_was() -> None:
    model = make_model(Counting(), hidden_size=6, embedding_size=6)
    strategy = Loud()
    training = prepare(model, make_corpus(), TrainSettings(**{**SETTINGS, "gradient": strategy}))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    drawn, stream = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()), training.stream.state_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rehearse(training)
    assert strategy.asked == [17]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())
    assert drawn[:2] == after[:2] and torch.equal(drawn[2], after[2]) and training.stream.state_dict() == stream


def test_what_lay_in_grad_before_a_run_is_not_spent_by_it() -> None:
    clean, used = make_model(), make_model()
    for parameter in used.parameters():
        parameter.grad = torch.ones_like(parameter)
    runs = [train(None, model=model, epochs=1) for model in (clean, used)]
    for a, b in zip(*(run.model.parameters() for run in runs), strict=True):
        assert torch.equal(a, b)

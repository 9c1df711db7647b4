"""A checkpoint whose manifest vouches for nonsense: refused by name, before anything reads past the end of a tensor."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from work import calm

import bptt
from bptt.errors import CheckpointError
from bptt.training import checkpoint

HARMS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a moment of another shape": (lambda s: optimizer(s)[0].update(exp_avg=torch.zeros(1)), "optimiser"),
    "a moment that is not there": (lambda s: optimizer(s)[1].pop("exp_avg_sq"), "optimiser"),
    "moments of a parameter that is not there": (lambda s: optimizer(s).update({99: optimizer(s)[0]}), "optimiser"),
    "a step before the first": (lambda s: s["training"]["counters"].update(step=-1), "step in counters"),
    "a count that is none": (lambda s: s["training"]["tally"].update(count="3"), "count in tally"),
    "a part too many": (lambda s: s["course"].update(more=1), "other parts"),
    "an epoch without its figure": (lambda s: s["course"].update(best={"step": 1, "epoch": 1}), "perplexity"),
    "a window that is over": (lambda s: s["training"].update(consumed=17), "behind its window"),
    "random states": (lambda s: s["random"].update(python=[1, 2, 3]), "random states"),
    "ids that no token has": (lambda s: memory(s)["past"].inputs.fill_(10**9), "ids that no token has"),
    "rows of another batch": (lambda s: memory(s).update(past=memory(s)["past"][:1, :]), "another stream"),
    "a past that is none": (lambda s: memory(s).update(past=[1]), "cannot go on from the saved memory"),
    "no position": (lambda s: memory(s).pop("position"), "cannot go on from the saved memory"),
    "no number": (lambda s: optimizer(s)[0]["exp_avg"].fill_(float("nan")), "not finite"),
}


def optimizer(state: Any) -> Any:
    return state["training"]["update"]["optimizer"]["state"]


def memory(state: Any) -> Any:
    return state["training"]["carry"].memory


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that crashed in the middle, its newest checkpoint at update 4."""
    from small_run import Crash, crash_at, train

    out = tmp_path_factory.mktemp("harmed") / "run"
    with calm(), contextlib.suppress(Crash):
        train(out, listeners=[crash_at(5)])
    return out


@pytest.mark.parametrize("harm", HARMS)
def test_nonsense_is_refused_by_name(harm: str, interrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from small_run import train

    change, named = HARMS[harm]
    saved = checkpoint.load(interrupted / "checkpoints")
    assert saved.step == 4 and memory(saved.state)["past"].steps == 3
    change(saved.state)
    if harm == "no number":
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "check_saved", lambda *args: None)
            place = checkpoint.save(interrupted.parent / "bad", 4, saved.parameters, saved.model, saved.state)
        with pytest.raises(CheckpointError, match=named):
            checkpoint.read(place)
        return
    monkeypatch.setattr(checkpoint, "load", lambda *args: saved)
    before = {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match=named):
        train(interrupted, resume=True)
    assert {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()} == before


DESCRIBED = {
    "more memory than there is": {"hidden_size": 2**40},
    "more layers than numbers": {"layers": 2**31},
    "no such cell": {"cell": "os.system"},
    "no such setting": {"command": "touch canary"},
    "another width": {"hidden_size": 7},
    "a width that is none": {"hidden_size": "6"},
}


@pytest.mark.parametrize("harm", DESCRIBED)
def test_a_description_that_is_not_of_these_numbers_is_refused(harm: str, interrupted: Path) -> None:
    from bptt.training.run import from_checkpoint

    saved = checkpoint.load(interrupted / "checkpoints")
    settings = {**saved.model["settings"], **DESCRIBED[harm]}
    with pytest.raises(CheckpointError):
        from_checkpoint(saved._replace(model={**saved.model, "settings": settings}))
    assert isinstance(from_checkpoint(saved), bptt.LanguageModel)

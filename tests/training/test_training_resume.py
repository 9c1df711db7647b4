"""An interrupted run equals an uninterrupted one, bit for bit: metrics, weights, optimiser, carry, random states."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import Crash, crash_at, digest, events, fingerprint, make_corpus, make_model, train
from torch import Tensor, nn

import bptt
from bptt.errors import CheckpointError, InputError
from bptt.training import checkpoint


class Forgetful(nn.Module):
    """A user's cell: nested state, learned initial state, and torch's own dropout, which draws from torch's generator."""

    def __init__(self, inputs: int = 6, hidden: int = 6) -> None:
        super().__init__()
        self.inner, self.drop = nn.Linear(inputs + hidden, hidden), nn.Dropout(0.3)
        self.first = nn.Parameter(torch.zeros(hidden))

    def initial_state(self, batch_size: int) -> Any:
        h = self.first.expand(batch_size, -1)
        return {"h": h, "again": (h, torch.zeros(batch_size, dtype=torch.int64))}

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        h = torch.tanh(self.drop(self.inner(torch.cat([x, state["h"]], 1))) + 0.1 * state["again"][0])
        return h, {"h": h, "again": (h, state["again"][1] + 1)}


SAMPLED = {"teacher_forcing": 1.0, "forcing_end": 0.2, "forcing_schedule": "exponential"}
SETTINGS = {"scheduled": SAMPLED, "samples": {**SAMPLED, "feedback": "sample"}}


def model_of(cell: str) -> bptt.LanguageModel:
    torch.manual_seed(0)
    if cell in SETTINGS:
        return make_model("output-to-hidden", **SETTINGS[cell])
    return make_model(Forgetful() if cell == "own" else cell)


CASES: dict[str, dict[str, Any]] = {
    "gru overlapping, open stretch in the carry": {"cell": "gru"},
    "lstm": {"cell": "lstm"},
    "rnn": {"cell": "rnn"},
    "own cell with torch's dropout": {"cell": "own", "gradient": bptt.Truncated(5)},
    "full": {"cell": "gru", "gradient": bptt.Full()},
    "per output": {"cell": "lstm", "gradient": bptt.PerOutput(6)},
    "random cuts": {"cell": "gru", "gradient": bptt.Randomized(mean=9, tail=4, seed=3)},
    "telescoping": {"cell": "rnn", "gradient": bptt.Telescoping(k=6)},
    "adaptive": {"cell": "gru", "gradient": bptt.Adaptive(bias=0.2, limit=12, every=30)},
    "checkpointed, own cell with torch's dropout": {"cell": "own", "gradient": bptt.Checkpointed(every=4)},
    "rtrl": {"cell": "lstm", "gradient": bptt.RTRL(7)},
    "uoro": {"cell": "gru", "gradient": bptt.UORO(7)},
    "snap": {"cell": "lstm", "gradient": bptt.SnAp(1, every=7)},
    "several stretches, one update": {"cell": "lstm", "gradient": bptt.Truncated(5, 7, update="window")},
    "stretch over several windows": {"cell": "gru", "gradient": bptt.Truncated(40, 60), "save_every": 1},
    "random": {"cell": "gru", "sampling": "random"},
    "shuffled": {"cell": "lstm", "sampling": "shuffled", "block": 34},
    "one row": {"cell": "gru", "batch_size": 1, "steps": 40, "gradient": bptt.Truncated(15, 22)},
    "sgd, plateau": {"cell": "rnn", "optimizer": "sgd", "momentum": 0.9, "lr": 2.0, "schedule": "plateau", "epochs": 4},
    "step schedule, warmup": {"cell": "rnn", "schedule": "step", "warmup": 0.5, "optimizer": "adamw", "weight_decay": 0.1},
    "early stop": {"cell": "rnn", "lr": 20.0, "schedule": "constant", "optimizer": "sgd", "patience": 1, "epochs": 6},
    "float64": {"cell": "gru", "dtype": "float64"},
    "bfloat16": {"cell": "gru", "dtype": "bfloat16"},
    "time-delay network": {"cell": "tdnn"},
    "output to hidden": {"cell": "output-to-hidden", "gradient": bptt.Checkpointed(every=4)},
    "scheduled sampling": {"cell": "scheduled", "save_every": 3},
    "scheduled sampling of tokens": {"cell": "samples", "dtype": "bfloat16", "gradient": bptt.PerOutput(6)},
    "saved once an epoch": {"cell": "gru", "save_every": None},
    "without validation": {"cell": "gru", "corpus": make_corpus(valid=0)},
}


def run(out: Path, cell: str, **settings: Any) -> Any:
    return train(out, model=model_of(cell), **settings)


@functools.cache
def uninterrupted(case: str) -> tuple[list[dict[str, Any]], str, str, str]:
    """Events, fingerprint, samples and reason of the run that nothing happens to."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        reason = run(out, **CASES[case]).reason
        return events(out), fingerprint(out), (out / "samples.txt").read_text(encoding="utf-8"), reason


def finish(out: Path, case: str) -> Any:
    return run(out, **CASES[case], resume=True)


def assert_equal(out: Path, case: str, reason: str) -> None:
    told, print_, samples, ended = uninterrupted(case)
    assert events(out) == told
    assert fingerprint(out) == print_
    assert (out / "samples.txt").read_text(encoding="utf-8") == samples
    assert reason == ended


# Their kinds stand in the quick ones too, or in the runs that are killed.
SLOW = (
    "float64",
    "without validation",
    "full",
    "rnn",
    "lstm",
    "random",
    "saved once an epoch",
    "step schedule, warmup",
    "rtrl",
    "uoro",
    "snap",
)


@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.slow if case in SLOW else ()) for case in CASES])
def test_a_run_that_crashes_again_and_again_equals_one_that_does_not(case: str, tmp_path: Path) -> None:
    """It dies at the update before the last of an epoch, twice within the next, and while it is sampling."""
    told = uninterrupted(case)[0]
    last = [event["step"] for event in told if event["event"] == "step"][-1]
    edge = next(event["step"] for event in told if event["event"] == "epoch")
    deaths = [
        crash_at(max(1, edge - 1)),
        crash_at(edge, ("epoch",)),
        crash_at(edge, ("sample",)),
        crash_at(edge + 1),
        crash_at(edge + (last - edge) // 2 + 1),
    ]
    for number, listener in enumerate(deaths):
        with pytest.raises(Crash):
            run(tmp_path / "run", **CASES[case], resume=number > 0, listeners=[listener])
    assert_equal(tmp_path / "run", case, finish(tmp_path / "run", case).reason)


def test_the_cases_do_what_they_are_for() -> None:
    """Or the comparison above would compare nothing."""
    assert uninterrupted("early stop")[3] == "early-stop"
    rates = [event["lr"] for event in uninterrupted("sgd, plateau")[0] if event["event"] == "step"]
    assert len(set(rates)) > 1
    quick = [case for case in CASES if case not in SLOW]
    assert len({uninterrupted(case)[1] for case in quick}) == len(quick)


def test_an_open_stretch_waits_in_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Crash):
        run(tmp_path / "run", **CASES["stretch over several windows"], listeners=[crash_at(3)])
    carry = checkpoint.load(tmp_path / "run" / "checkpoints").state["training"]["carry"]
    assert carry.memory["past"].steps == 20
    with pytest.raises(bptt.Interrupted):
        run(tmp_path / "run", **CASES["stretch over several windows"], resume=True, listeners=[signal_at_update(4)])
    assert_equal(
        tmp_path / "run", "stretch over several windows", finish(tmp_path / "run", "stretch over several windows").reason
    )


def signal_at_update(step: int) -> Any:
    import os
    import signal

    def listen(event: Any) -> None:
        if event["event"] == "step" and event["step"] == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return listen


def signal_when(kind: str, nth: int = 1) -> Any:
    """A listener that sends SIGTERM to its own process when the nth event of a kind comes."""
    import os
    import signal

    seen = itertools.count(1)

    def listen(event: Any) -> None:
        told = "validation" if "validated" in event else event["event"]
        if told == kind and next(seen) == nth:
            os.kill(os.getpid(), signal.SIGTERM)

    return listen


@pytest.mark.parametrize("kind", ["start", "step", "validation", "epoch", "valid", "sample"])
def test_a_run_that_is_asked_to_stop_anywhere_equals_one_that_is_not(kind: str, tmp_path: Path) -> None:
    case = "gru overlapping, open stretch in the carry"
    with pytest.raises(bptt.Interrupted) as caught:
        run(tmp_path / "run", **CASES[case], listeners=[signal_when(kind)])
    assert caught.value.exit_code == 143
    with pytest.raises(bptt.Interrupted):
        run(tmp_path / "run", **CASES[case], resume=True, listeners=[signal_when("step", 7)])
    assert_equal(tmp_path / "run", case, finish(tmp_path / "run", case).reason)


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_signal_does_not_wait_for_the_end_of_a_sample(epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after the third token; nothing of the epoch is told, and the sample is written once, when it is whole."""
    import os
    import signal

    case = "gru overlapping, open stretch in the carry"
    uninterrupted(case)
    samples, drawn, real = itertools.count(1), itertools.count(1), bptt.LanguageModel.stream

    def stream(self: Any, *args: Any, **named: Any) -> Any:
        number = next(samples)
        for piece in real(self, *args, **named):
            if number == epoch and next(drawn) == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            yield piece

    with monkeypatch.context() as patch, pytest.raises(bptt.Interrupted):
        patch.setattr(bptt.LanguageModel, "stream", stream)
        run(tmp_path / "run", **CASES[case])
    assert next(drawn) == 4
    assert [event["epoch"] for event in events(tmp_path / "run") if event["event"] == "epoch"] == list(range(1, epoch))
    assert_equal(tmp_path / "run", case, finish(tmp_path / "run", case).reason)


@pytest.mark.parametrize("kind", ["validation", "sample"])
def test_a_signal_in_the_last_epoch_is_not_lost(kind: str, tmp_path: Path) -> None:
    """In validation the run stops; later the run is complete and the program is told."""
    case = "gru overlapping, open stretch in the carry"
    with pytest.raises(bptt.Interrupted):
        run(tmp_path / "run", **CASES[case], listeners=[signal_when(kind, 2)])
    assert_equal(tmp_path / "run", case, finish(tmp_path / "run", case).reason)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# At this rate the validation goes up and down by chance: some epoch is worse than the one before.
EARLY = {**CASES["early stop"], "gradient": bptt.Truncated(40), "epochs": 40}


def test_an_early_stop_closes_what_is_open(tmp_path: Path) -> None:
    """With one more update, which is the last and not the best; a death just before and just after changes nothing."""
    whole = run(tmp_path / "whole", **EARLY)
    assert whole.reason == "early-stop"
    told = events(tmp_path / "whole")
    assert [event["event"] for event in told[-2:]] == ["sample", "step"] and told[-1]["step"] == whole.step
    assert told[-1]["epoch"] == told[-2]["epoch"] and told[-1]["step"] == told[-2]["step"] + 1
    saved = checkpoint.load(tmp_path / "whole" / "checkpoints")
    assert saved.step == whole.step > whole.best.step
    past = saved.state["training"]["carry"].memory["past"]
    assert past is None or past.steps == 0
    with pytest.raises(Crash):
        run(tmp_path / "run", **EARLY, listeners=[crash_at(whole.step, ("step",))])
    with pytest.raises(Crash):
        run(tmp_path / "run", **EARLY, resume=True, listeners=[crash_at(whole.step - 1, ("sample",))])
    with pytest.raises(Crash):
        run(tmp_path / "run", **EARLY, resume=True, listeners=[crash_at(whole.step, ("end",))])
    run(tmp_path / "run", **EARLY, resume=True)
    assert events(tmp_path / "run") == told
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "whole")


class Wide(nn.Module):
    """A cell whose state has a part that no parameter tells the size of."""

    def __init__(self, size: int, kind: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.inner, self.size, self.kind = nn.Linear(6, 6), size, kind

    def initial_state(self, batch_size: int) -> Any:
        return torch.zeros(batch_size, self.size, dtype=self.kind)

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        return torch.tanh(self.inner(x)), state


@pytest.mark.parametrize("other", [Wide(4), Wide(3, torch.int64)])
def test_a_state_of_another_shape_is_no_continuation(other: Wide, tmp_path: Path) -> None:
    with pytest.raises(Crash):
        train(tmp_path / "run", model=make_model(Wide(3)), listeners=[crash_at(5)])
    with pytest.raises(CheckpointError, match=r"\[3, 3\].*here"):
        train(tmp_path / "run", model=make_model(other), resume=True)


@pytest.mark.parametrize("case", ["gru overlapping, open stretch in the carry", "early stop"])
def test_resuming_a_run_that_is_over_changes_nothing(case: str, tmp_path: Path) -> None:
    first = run(tmp_path / "run", **CASES[case])
    before = content(tmp_path / "run")
    again = finish(tmp_path / "run", case)
    assert content(tmp_path / "run") == before
    assert (again.reason, again.step, again.best, again.tokens) == (first.reason, first.step, first.best, first.tokens)
    assert digest(dict(again.model.named_parameters())) == digest(dict(first.model.named_parameters()))


def test_a_finished_run_goes_on_when_it_is_given_more_epochs(tmp_path: Path) -> None:
    run(tmp_path / "run", "gru", schedule="constant")
    longer = run(tmp_path / "run", "gru", schedule="constant", epochs=3, resume=True)
    assert [event["epoch"] for event in longer.history if event["event"] == "epoch"] == [1, 2, 3]
    assert longer.reason == "finished"


OTHERS = [
    ({"lr": 0.02}, "lr"),
    ({"gradient": bptt.Truncated(4)}, "gradient"),
    ({"batch_size": 2}, "batch_size"),
    ({"sampling": "random"}, "sampling"),
    ({"clip": None}, "clip"),
    ({"seed": 1}, "seed"),
    ({"dtype": "float64"}, "dtype"),
    ({"warmup": 0.5}, "warmup"),
    ({"cell": "lstm"}, "model"),
    ({"cell": "own", "gradient": bptt.Truncated(5)}, "model"),
]


@pytest.mark.parametrize(("change", "named"), OTHERS)
def test_another_run_is_no_continuation(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(Crash):
        run(tmp_path / "run", "gru", listeners=[crash_at(5)])
    before = content(tmp_path / "run")
    with pytest.raises(CheckpointError, match=named):
        run(tmp_path / "run", **{"cell": "gru", **change}, resume=True)
    assert content(tmp_path / "run") == before


def test_another_text_or_vocabulary_is_no_continuation(tmp_path: Path) -> None:
    with pytest.raises(Crash):
        run(tmp_path / "run", "gru", listeners=[crash_at(5)])
    other = make_corpus()
    other.facts["sha256"] = "of another"
    with pytest.raises(CheckpointError, match="another text"):
        run(tmp_path / "run", "gru", resume=True, corpus=other)
    model = bptt.LanguageModel(
        "gru", vocab=bptt.Vocabulary.from_text("abcdefghijklmnopqrstuvwxyz "), hidden_size=6, dropout=0.2
    )
    with pytest.raises(CheckpointError, match="another vocabulary"):
        train(tmp_path / "run", model=model, corpus=dataclasses.replace(make_corpus(), vocab=model.vocab), resume=True)


def test_what_may_change_may_change(tmp_path: Path) -> None:
    with pytest.raises(Crash):
        run(tmp_path / "run", "gru", listeners=[crash_at(5)])
    run(tmp_path / "run", "gru", resume=True, log_every=2, save_every=3, sample_every=0, patience=4, threads=1, temperature=0.1)


def test_resume_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="out=None"):
        train(None, resume=True)
    with pytest.raises(CheckpointError, match="no such run directory"):
        train(tmp_path / "none", resume=True)
    with pytest.raises(CheckpointError, match="not a run directory"):
        train(tmp_path, resume=True)
    with pytest.raises(InputError, match="Choose one"):
        train(tmp_path, resume=True, overwrite=True)


def test_a_journal_that_got_lost_is_begun_again(tmp_path: Path) -> None:
    """Not filled up with zero bytes to its old length."""
    with pytest.raises(Crash):
        run(tmp_path / "run", "gru", listeners=[crash_at(9)])
    (tmp_path / "run" / "metrics.jsonl").unlink()
    run(tmp_path / "run", "gru", resume=True)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["event"] == "resume"


def test_a_model_with_a_cell_of_its_own_is_not_loaded_by_name(tmp_path: Path) -> None:
    run(tmp_path / "run", "own", epochs=1, gradient=bptt.Truncated(5))
    with pytest.raises(CheckpointError, match=r"bptt\.fit"):
        bptt.load(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "env.json").read_text())["kernel"] == "the cell's own steps"

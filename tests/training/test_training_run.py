"""A run directory, what is told of a run, and what comes out of it."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_run import TEXT, Crash, crash_at, make_corpus, make_model, train

import bptt
from bptt.data import Corpus, Tokens
from bptt.errors import CheckpointError, InputError
from bptt.training import checkpoint, lock
from bptt.training.course import Course
from bptt.training.facts import corpus_facts, frequent
from bptt.training.listeners import MetricsFile, readable
from bptt.training.seeds import random_state, seed_everything, set_random_state


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- what is in it


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has ended."""
    out = tmp_path_factory.mktemp("module") / "run"
    train(out)
    return out


def test_a_run_directory_holds_what_the_house_says(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()} - {".lock"}
    assert names == {"config.yaml", "env.json", "corpus.json", "metrics.jsonl", "samples.txt", "checkpoints"}
    assert {"last", "best"} <= {path.name for path in (finished / "checkpoints").iterdir()}


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_environment_names_the_kernel_of_every_cell(cell: str, tmp_path: Path) -> None:
    train(tmp_path / "run", cell, epochs=1)
    assert json.loads((tmp_path / "run" / "env.json").read_text())["kernel"]


def test_events_come_in_order() -> None:
    told: list[Any] = []
    train(None, listeners=[told.append], gradient=bptt.Full(), epochs=2)
    kinds = [event["event"] for event in told if event["event"] not in ("step", "progress")]
    assert kinds == ["start", "epoch", "valid", "sample", "epoch", "valid", "sample", "end"]
    steps = [event["step"] for event in told if event["event"] == "step"]
    assert steps == list(range(1, len(steps) + 1))
    assert told[-1]["best"]["perplexity"] == min(event["perplexity"] for event in told if event["event"] == "valid")


def test_notes_of_text_and_stream_are_told_and_kept(tmp_path: Path) -> None:
    corpus = make_corpus()
    noted = Corpus(corpus.train, corpus.valid, None, corpus.vocab, {}, ("There is no test part.",))
    told: list[Any] = []
    train(tmp_path / "run", corpus=noted, batch_size=64, epochs=1, listeners=[told.append])
    notices = [event["text"] for event in told if event["event"] == "notice"]
    assert notices[0] == "There is no test part." and "the batch shrinks to 23" in notices[1]
    assert json.loads((tmp_path / "run" / "corpus.json").read_text())["notes"] == notices


def test_the_losses_of_an_epoch_add_up() -> None:
    """The mean over an epoch is that of its updates, each by its count, the closing one included."""
    told: list[Any] = []
    train(None, listeners=[told.append], epochs=1, gradient=bptt.Truncated(40), corpus=make_corpus(valid=0))
    steps = [event for event in told if event["event"] == "step"]
    counts = np.diff([0, *(event["tokens"] for event in steps)])
    (epoch,) = (event for event in told if event["event"] == "epoch")
    assert epoch["train_nats"] == pytest.approx(np.average([event["loss"] for event in steps], weights=counts))
    assert counts[-1] % 3 == 0 and counts[-1] < 120  # what was still open at the end
    assert counts.sum() == 3 * ((399 - first_position()) // 3)


def first_position() -> int:
    """How many tokens the first epoch of seed 11 skips."""
    return int(make_corpus().train.stream(3, 17, seed=11)._plan.starts[0, 0])


def test_the_best_and_the_last_model_can_be_loaded(tmp_path: Path) -> None:
    """A rate at which the second epoch is worse than the first."""
    model = make_model("rnn")
    chosen = {"optimizer": "sgd", "lr": 20.0, "schedule": "constant", "patience": 1, "epochs": 9}
    run = train(tmp_path / "run", model=model, corpus=make_corpus(), gradient=bptt.Truncated(1), **chosen)
    assert run.reason == "early-stop" and run.best.epoch < len([e for e in run.history if e["event"] == "epoch"])
    corpus = make_corpus()
    best, last = bptt.load(tmp_path / "run"), bptt.load(tmp_path / "run", which="last")
    assert not best.training
    assert best.evaluate(corpus.valid).perplexity == pytest.approx(run.best.perplexity, rel=1e-6)
    assert last.evaluate(corpus.valid).perplexity == pytest.approx(run.history[-1]["perplexity"], rel=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(last.parameters(), model.parameters(), strict=True))


def test_early_stopping_counts_epochs_that_are_not_better() -> None:
    course, found = Course(), []
    for epoch, perplexity in enumerate((9.0, 8.0, 8.0, 9.0, 7.0, 7.5), 1):
        course.judge(10 * epoch, epoch, perplexity)
        found.append((course.stalled, course.best.epoch if course.best else 0))
    assert found == [(0, 1), (0, 2), (1, 2), (2, 2), (0, 5), (1, 5)]
    again = Course()
    again.load_state_dict(course.state_dict())
    assert again.state_dict() == course.state_dict()


LONG: dict[str, Any] = {"gradient": bptt.Truncated(500), "batch_size": 4, "sample_every": 0}


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_an_epoch_in_which_nothing_was_finished_is_not_judged(schedule: str, tmp_path: Path) -> None:
    """A stretch of five epochs: only the one that ends it and the last have a perplexity, whatever the patience."""
    told: list[Any] = []
    corpus = make_corpus(valid=0)
    run = train(tmp_path / "run", corpus=corpus, epochs=8, patience=1, schedule=schedule, listeners=[told.append], **LONG)
    assert run.reason == "finished"
    trained = [event["train_perplexity"] for event in told if event["event"] == "epoch"]
    judged = [number for number, perplexity in enumerate(trained, 1) if not math.isnan(perplexity)]
    assert judged[0] > 1 and judged[-1] == 8 and len(judged) == 2
    assert run.best.epoch in judged and 2 < run.best.perplexity == trained[run.best.epoch - 1]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    first = next(line for line in lines if line["event"] == "epoch")
    assert first["train_perplexity"] is None and first["train_nats"] is None
    pages = pytest.importorskip("bptt.report")
    assert pages.write_report(tmp_path / "run").is_file()


def test_a_run_of_which_nothing_was_ever_judged_still_ends(tmp_path: Path) -> None:
    """It was meant to be longer: the best is the last, of unknown perplexity."""
    with pytest.raises(Crash):
        train(tmp_path / "run", corpus=make_corpus(valid=0), epochs=8, listeners=[crash_at(0, ("epoch",), 3)], **LONG)
    run = train(tmp_path / "run", corpus=make_corpus(valid=0), epochs=2, resume=True, **LONG)
    assert run.reason == "finished" and (run.best.step, run.best.epoch) == (0, 2) and math.isnan(run.best.perplexity)
    assert bptt.load(tmp_path / "run").size == len(make_corpus().vocab)


def test_patience_ends_a_run() -> None:
    run = train(None, "rnn", optimizer="sgd", lr=20.0, schedule="constant", patience=2, epochs=30)
    valid = [event["perplexity"] for event in run.history if event["event"] == "valid"]
    assert run.reason == "early-stop"
    assert len(valid) == run.best.epoch + 2 and min(valid) == valid[run.best.epoch - 1]


@pytest.mark.parametrize("sampling", ["sequential", "random", "shuffled"])
@pytest.mark.parametrize("tokens", [2, 3, 16, 30])
def test_a_text_shorter_than_a_window_trains(tokens: int, sampling: str) -> None:
    model = make_model()
    before = [value.detach().clone() for value in model.parameters()]
    run = train(None, model=model, corpus=make_corpus(tokens, 0), sampling=sampling, epochs=1, gradient=bptt.Truncated(64))
    assert run.step >= 1
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_run_without_a_directory_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = train(None)
    assert run.path is None and not list(tmp_path.iterdir())


def test_a_model_without_a_vocabulary_trains(tmp_path: Path) -> None:
    corpus = make_corpus()
    numbers = Corpus(corpus.train, corpus.valid, None, None, {})  # type: ignore[arg-type]
    model = bptt.LanguageModel("gru", vocab=len(corpus.vocab), hidden_size=4)
    train(tmp_path / "run", model=model, corpus=numbers, epochs=1)
    assert train(tmp_path / "run", model=model, corpus=numbers, epochs=2, resume=True).reason == "finished"
    assert "frequent" not in json.loads((tmp_path / "run" / "corpus.json").read_text())


def test_frequent_tokens_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over pieces, most frequent first, ties by id, none that do not occur."""
    import collections

    from bptt.training import facts

    corpus = make_corpus()
    wanted = collections.Counter(TEXT[:400])
    for piece in (7, 1 << 22):
        monkeypatch.setattr(facts, "PIECE", piece)
        found = frequent(corpus)
        assert dict(map(tuple, found)) == dict(wanted)
        assert [count for _, count in found] == sorted(wanted.values(), reverse=True)
        assert found == sorted(found, key=lambda pair: (-pair[1], corpus.vocab[pair[0]]))
    assert len(frequent(corpus, 3)) == 3
    assert corpus_facts(corpus, corpus.train.stream(2, 9))["frequent"] == found


def test_an_infinite_result_is_told_and_written(tmp_path: Path) -> None:
    """JSON has no infinity: null, at any depth."""
    assert readable({"a": [float("inf"), {"b": float("nan")}], "c": 1.0}) == {"a": [None, {"b": None}], "c": 1.0}
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file({"event": "end", "best": {"perplexity": float("inf")}, "text": "\ud800"})
    file.close()
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["best"] == {"perplexity": None}


def test_random_states_come_back() -> None:
    import random

    seed_everything(5)
    saved = random_state()
    first = (random.random(), np.random.rand(), float(torch.rand(1)), random.gauss(0, 1), np.random.randn())
    set_random_state(saved)
    assert (random.random(), np.random.rand(), float(torch.rand(1)), random.gauss(0, 1), np.random.randn()) == first


def test_the_default_type_does_not_matter_to_a_checkpoint(finished: Path) -> None:
    plain = bptt.load(finished)
    torch.set_default_dtype(torch.float64)
    loaded = bptt.load(finished)
    for a, b in zip(plain.parameters(), loaded.parameters(), strict=True):
        assert a.dtype == b.dtype == torch.float32 and torch.equal(a, b)


def test_tensorboard_is_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train(tmp_path / "run", epochs=1, tensorboard=True)
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    train(tmp_path / "run", epochs=2, tensorboard=True, resume=True)


def test_a_missing_tensorboard_costs_no_run(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    before = tree(finished)
    with pytest.raises(InputError, match="TensorBoard is not installed"):
        train(finished, tensorboard=True, overwrite=True)
    assert tree(finished) == before


# --- what is refused


def test_a_model_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    """Before anything is made in the run's place: the first token that differs is named, or the sizes."""
    letters = make_corpus().vocab.spellings
    other = bptt.Vocabulary.from_text("abcdefghijklmnopqrstuvwxyz ")
    for vocab, named in ((other, "tokens"), (len(letters) - 1, str(len(letters)))):
        with pytest.raises(InputError, match=named):
            train(tmp_path / "run", model=bptt.LanguageModel("gru", vocab=vocab, hidden_size=4))
    assert not list(tmp_path.iterdir())
    train(None, model=bptt.LanguageModel("gru", vocab=len(letters) + 3, hidden_size=4), epochs=1)


def test_the_first_token_that_differs_is_named() -> None:
    mine, other = (Corpus(Tokens([0, 1]), None, None, bptt.Vocabulary.from_text(text), {}) for text in ("aaabbc", "aaabbd"))
    with pytest.raises(InputError, match=r"'c'.*'d'"):
        train(None, model=bptt.LanguageModel("gru", vocab=mine.vocab, hidden_size=4), corpus=other)


# --- what may be replaced


def test_a_run_is_replaced_only_if_asked(tmp_path: Path) -> None:
    train(tmp_path / "run", epochs=1)
    before = tree(tmp_path / "run")
    with pytest.raises(InputError, match="--overwrite"):
        train(tmp_path / "run", epochs=1)
    assert tree(tmp_path / "run") == before
    assert train(tmp_path / "run", epochs=1, seed=12, overwrite=True).reason == "finished"
    kinds = [json.loads(line)["event"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert kinds.count("start") == 1


def test_nothing_of_the_replaced_run_is_left(tmp_path: Path) -> None:
    """Its checkpoints have larger numbers and would be the newest."""
    train(tmp_path / "run", epochs=2)
    (tmp_path / "run" / "report.html").write_text("of the old run")
    run = train(tmp_path / "run", epochs=1, overwrite=True)
    assert checkpoint.load(tmp_path / "run" / "checkpoints").step == run.step
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    "settings",
    [{"device": "cuda:99"}, {"block": 3}, {"sample_prefix": ("The ",), "lr": -1.0}, {"sampling": "shuffled", "block": 5}],
)
def test_a_refused_run_replaces_nothing(settings: dict[str, Any], tmp_path: Path) -> None:
    train(tmp_path / "run", epochs=1)
    before = tree(tmp_path / "run")
    with pytest.raises(InputError):
        train(tmp_path / "run", overwrite=True, **settings)
    assert tree(tmp_path / "run") == before


@pytest.mark.parametrize("how", ["a weight that is no number", "a setting that YAML has no word for", "facts of no type"])
def test_what_cannot_be_saved_replaces_nothing(how: str, tmp_path: Path) -> None:
    train(tmp_path / "run", epochs=1)
    before, model, corpus, config = tree(tmp_path / "run"), make_model(), make_corpus(), None
    if how == "a weight that is no number":
        model.readout.linear.bias.data[0] = math.nan
    elif how == "a setting that YAML has no word for":
        config = {"lr": 0.1, "layer": torch.nn.Linear}
    else:
        corpus.facts["object"] = object()
    with pytest.raises((InputError, bptt.DivergedError)):
        train(tmp_path / "run", model=model, corpus=corpus, config=config, overwrite=True)
    assert tree(tmp_path / "run") == before


@pytest.mark.parametrize(
    "names", [["notes.txt"], ["env.json"], ["config.yaml", "thesis.tex"], [".hidden"], ["checkpoints/mine"]]
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_foreign_files_are_never_touched(names: list[str], overwrite: bool, tmp_path: Path) -> None:
    """Not even by a lock."""
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(InputError, match="not a run's"):
        train(tmp_path, overwrite=overwrite)
    assert tree(tmp_path) == before


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError):
            train(place)
    assert (tmp_path / "file").read_text() == "mine"


def test_what_a_dead_process_left_is_no_obstacle(tmp_path: Path) -> None:
    """A draft of config.yaml: nothing was begun."""
    (tmp_path / ".config.yaml.abcd1234.tmp").write_text("half")
    assert train(tmp_path, epochs=1).reason == "finished"
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_run_that_dies_at_its_very_start_can_be_begun_again(tmp_path: Path) -> None:
    with pytest.raises(Crash):
        train(tmp_path / "run", listeners=[crash_at(0, ("start",))])
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        train(tmp_path / "run", resume=True)
    assert train(tmp_path / "run", epochs=1, overwrite=True).reason == "finished"


def test_a_run_that_is_refused_leaves_no_directory(tmp_path: Path) -> None:
    """Neither its own nor those above it that it made; what was there before stays."""
    (tmp_path / "mine").mkdir()
    for name in ("runs/deep/one", "mine"):
        with pytest.raises(InputError, match="RFLO is for one layer"):
            train(tmp_path / name, "gru", gradient=bptt.RFLO())
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert train(tmp_path / "runs" / "deep" / "one", epochs=1).reason == "finished"
    before = tree(tmp_path / "runs")
    with pytest.raises(InputError):
        train(tmp_path / "runs" / "deep" / "one", "gru", gradient=bptt.RFLO(), overwrite=True)
    assert tree(tmp_path / "runs") == before


def test_a_lock_on_a_directory_that_has_gone_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holder removes it between the moment that another process opens the file and the one that it is locked."""
    opened = lock._open

    def late(path: Path) -> int:
        handle = opened(path)
        path.unlink()
        return handle

    monkeypatch.setattr(lock, "_open", late)
    with pytest.raises(bptt.RunInUseError), lock.Lock(tmp_path):
        pass


# --- hostile directories


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.txt", "checkpoints", "tensorboard", ".lock"])
def test_nothing_is_written_or_removed_through_a_link(name: str, tmp_path: Path) -> None:
    with pytest.raises(Crash):
        train(tmp_path / "run", listeners=[crash_at(9)])
    place, canary = tmp_path / "run" / name, tmp_path / "canary"
    if place.is_dir() or name == "tensorboard":
        if place.is_dir():
            os.rename(place, canary)
        else:
            canary.mkdir()
        (canary / "mine").write_text("mine")
    else:
        place.unlink()
        canary.write_text("mine, all of it")
    os.symlink(canary, place)
    before = tree(canary) if canary.is_dir() else canary.read_bytes()
    for how in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(InputError, match="link"):
            train(tmp_path / "run", **how)
    assert (tree(canary) if canary.is_dir() else canary.read_bytes()) == before


YAML = [
    "!!python/object/apply:os.system ['touch {}']",
    "lr: !!python/object/apply:os.system ['touch {}']",
    "[1, 2]",
    ": : :",
    "\x00",
]


@pytest.mark.parametrize("text", YAML)
def test_settings_are_never_executed(text: str, tmp_path: Path) -> None:
    from bptt.training.directory import RunDirectory

    canary = tmp_path / "canary"
    (tmp_path / "config.yaml").write_text(text.format(canary))
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        RunDirectory(tmp_path).require().read_config()
    assert not canary.exists()


def test_a_checkpoint_that_describes_another_class_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "run", epochs=1)
    for kind in ("os.system", "bptt.models.LanguageModel", None, ["language"]):
        saved = checkpoint.load(tmp_path / "run" / "checkpoints")
        model = {**saved.model, "kind": kind}
        checkpoint.save(tmp_path / "run" / "checkpoints", saved.step, saved.parameters, model, saved.state)
        with pytest.raises(CheckpointError, match="no model of ours"):
            bptt.load(tmp_path / "run")


# --- disks


def full(message: str = "No space left on device") -> Callable[..., Any]:
    def refuse(*args: Any, **named: Any) -> Any:
        raise OSError(errno.ENOSPC, message)

    return refuse


def test_a_full_disk_ends_a_run_that_can_go_on_later(tmp_path: Path) -> None:
    """The checkpoint before stays; the error names the place; with room again, the run ends as if nothing had been."""
    from small_run import events, fingerprint

    train(tmp_path / "whole")

    def fill(event: Any) -> None:
        if event["event"] == "step" and event["step"] == 6:
            patch.setattr(checkpoint.os, "rename", full())

    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="No space left") as caught:
        train(tmp_path / "run", listeners=[fill])
    assert caught.value.errno == errno.ENOSPC and str(tmp_path / "run") in caught.value.filename
    assert checkpoint.load(tmp_path / "run" / "checkpoints").step == 4
    train(tmp_path / "run", resume=True)
    assert events(tmp_path / "run") == events(tmp_path / "whole")
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "whole")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_metrics_on_a_full_disk_name_their_file(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.file.close()
    file.file = open("/dev/full", "ab")  # noqa: SIM115
    with pytest.raises(OSError, match=r"metrics\.jsonl"):
        file({"event": "step", "text": "x" * 100_000})
        file.length()
    with pytest.raises(OSError, match=r"metrics\.jsonl"):
        file({"event": "step"})
        file.length()


def test_saving_is_often_enough_and_not_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda folder, step, *a, **k: (saved.append(step), save(folder, step, *a, **k)))
    run = train(tmp_path / "run", epochs=1, save_every=4)
    assert saved == [0, *range(4, run.step + 1, 4), run.step][: len(saved)] and saved[-1] == run.step
    saved.clear()
    run = train(tmp_path / "other", epochs=1, save_every=None)
    assert saved == [0, run.step]
    monkeypatch.setattr("bptt.training.session.MINUTES_BETWEEN_SAVES", 0.0)
    saved.clear()
    run = train(tmp_path / "third", epochs=1, save_every=None)
    assert len(saved) > run.step


def test_tokens_can_be_mapped_from_a_file(tmp_path: Path) -> None:
    corpus = make_corpus()
    np.save(tmp_path / "ids.npy", corpus.train.ids)
    mapped = Corpus(Tokens(np.load(tmp_path / "ids.npy", mmap_mode="r")), corpus.valid, None, corpus.vocab, corpus.facts)
    a, b = make_model(), make_model()
    train(tmp_path / "run", model=a, corpus=mapped)
    train(None, model=b, corpus=corpus)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_a_text_is_no_corpus():
    with pytest.raises(InputError, match="read_text"):
        bptt.fit(bptt.LanguageModel("gru", vocab=5, hidden_size=3), "book.txt")

"""The watch during training: what it says, when, how often, and that the run does not notice."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bptt import Adaptive, Full, Randomized, Truncated
from bptt.diagnostics import Watch, diagnose
from bptt.diagnostics.verdict import share
from bptt.training.watchers import Moment, due

sys.path.append(str(Path(__file__).parent.parent / "training"))
from small_run import Crash, crash_at, fingerprint, make_corpus, make_model, train


@dataclasses.dataclass
class Looker:
    """A watcher that keeps what it was shown."""

    at: int = 3
    said: str | None = "seen"

    def __post_init__(self) -> None:
        self.seen: list[Moment] = []

    def __call__(self, moment: Moment) -> str | None:
        self.seen.append(moment)
        return self.said


def notices(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["event"] == "notice" and "watcher" in line]


def test_a_watcher_is_called_once_before_its_window_with_the_carry_before_it(tmp_path):
    looker, events = Looker(at=3), []
    train(tmp_path / "run", gradient=Truncated(17), watchers=[looker], listeners=[events.append])
    (moment,) = looker.seen
    told = [event for event in events if "watcher" in event]
    assert [(event["event"], event["text"], event["step"]) for event in told] == [("notice", "seen", 3)]
    assert notices(tmp_path / "run")[0]["text"] == "seen"
    assert moment.carry.memory["position"] == 3 * 17 and moment.strategy == Truncated(17)


def test_windows_are_those_before_the_moment_and_if_they_are_too_few_from_it_on():
    looker = Looker(at=4)
    train(None, gradient=Truncated(17), watchers=[looker], epochs=1)
    (moment,) = looker.seen
    for epoch in (make_corpus().train.stream(3, 17, seed=11),):
        handed = [window.inputs for window in epoch]
    moment.stream.load_state_dict({**moment.stream.state_dict(), "epoch": 0, "handed": 5})
    for count, first, last in ((2, 2, 4), (4, 0, 4), (6, 0, 6), (100, 0, len(handed))):
        found = [window.inputs for window in moment.windows(count)]
        assert len(found) == last - first
        assert all(torch.equal(a, b) for a, b in zip(found, handed[first:last], strict=True))
    assert torch.equal(moment.window.inputs, handed[4])


@pytest.mark.parametrize(("at", "epoch", "number"), [(0, 0, 0), (3, 0, 3), (12, 1, 4)])
def test_a_place_in_the_run_is_found_once(at, epoch, number):
    stream = make_corpus().train.stream(3, 17, seed=11)
    assert len(stream) == 8
    found = []
    for _ in range(3):
        found += [(stream.epoch, stream.handed - 1) for _window in stream if due(at, stream)]
    assert found == [(epoch, number)]


@pytest.mark.parametrize("seed", [1, 2])
def test_every_place_is_found_although_offsets_make_epochs_uneven(seed):
    stream = make_corpus(train=421).train.stream(3, 17, seed=seed)
    places = [at for _ in range(8) for _window in stream for at in range(40) if due(at, stream)]
    lengths = {len(stream.layout.plan(epoch)) for epoch in range(8)}
    assert lengths == {8, 9} and sorted(places) == list(range(40))


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "truncated": lambda: {"gradient": Truncated(3), "steps": 17},
    "full": lambda: {"gradient": Full(), "steps": 5},
    "overlapping": lambda: {"gradient": Truncated(2, 4), "steps": 9},
}


@pytest.mark.parametrize("name", CASES)
def test_the_run_is_the_same_bit_for_bit(name, tmp_path):
    settings = CASES[name]()
    plain = train(tmp_path / "plain", **settings)
    watch = Watch(at=4, steps=24, rows=2, threshold=1e-6)
    watched = train(tmp_path / "watched", **settings, watchers=[watch])
    assert len(notices(tmp_path / "watched")) == 1 and not notices(tmp_path / "plain")
    for a, b in zip(plain.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert fingerprint(tmp_path / "plain") == fingerprint(tmp_path / "watched")


@pytest.mark.parametrize("step", [2, 11, 14, 16, 20, 26])
def test_a_resumed_run_hears_the_same_once(step, tmp_path):
    watch = Watch(at=4, steps=24, rows=2, threshold=1e-6)
    settings = {"gradient": Truncated(5), "save_every": 3, "watchers": [watch]}
    train(tmp_path / "whole", **settings)
    with pytest.raises(Crash):
        train(tmp_path / "cut", **settings, listeners=[crash_at(step)])
    train(tmp_path / "cut", **settings, resume=True)
    wanted, found = notices(tmp_path / "whole"), notices(tmp_path / "cut")
    assert len(wanted) == 1 and found == wanted
    assert fingerprint(tmp_path / "cut") == fingerprint(tmp_path / "whole")


def moment_of(strategy: Any, steps: int = 16, model: Any = None, sampling: str = "sequential", at: int = 7) -> Moment:
    model = make_model(dropout=0.0) if model is None else model
    stream = make_corpus().train.stream(3, steps, sampling, seed=11, offset=False)
    windows = iter(stream)
    for _ in range(min(at, len(stream))):
        window = next(windows)
    return Moment(model.unroll(), strategy, window, strategy.start(model.unroll(), 3), stream)


def test_it_says_what_diagnose_finds():
    model = make_model(dropout=0.0)
    moment = moment_of(Truncated(2), model=model)
    said = Watch(steps=48, rows=2)(moment)
    windows = moment.windows(6)
    found = diagnose(model, windows, strategy=Truncated(2), window=16, steps=48, rows=2)
    off, k90 = share(found.own.total.bias), found.k90
    assert found.own.total.bias > 0.1
    assert said.startswith(f"Truncated(k1=2) is {off} off the exact gradient on these 48 steps. ")
    assert f"Each loss needs {k90} terms for 10 % (K90); as the first losses of a stretch see fewer, consider Trun" in said
    suggested = int(said.rpartition("=")[2].rstrip(")"))
    better = diagnose(model, windows, strategy=Truncated(suggested), window=16, steps=48, rows=2).own.total.bias
    worse = diagnose(model, windows, strategy=Truncated(suggested // 2), window=16, steps=48, rows=2).own.total.bias
    assert better <= 0.1 < worse


def test_it_is_silent_below_the_threshold_and_where_nothing_can_be_said():
    assert Watch(steps=48)(moment_of(Truncated(2))) is not None
    assert Watch(steps=48, threshold=0.9)(moment_of(Truncated(2))) is None
    assert Watch(steps=48)(moment_of(Truncated(48))) is None
    assert Watch(steps=48)(moment_of(Full(), steps=66)) is None
    assert Watch(steps=48, threshold=1e-9)(moment_of(Randomized(3))) is None
    assert Watch(steps=48)(moment_of(Adaptive(bias=0.9, limit=12))) is None  # it was still learning
    for value in (0.0, float("nan")):
        broken = make_model(dropout=0.0)
        with torch.no_grad():
            for parameter in broken.parameters():
                parameter.fill_(value)
        assert Watch(steps=48)(moment_of(Truncated(2), model=broken)) is None


def test_an_exact_strategy_is_told_of_its_windows():
    said = Watch(steps=48)(moment_of(Full(), steps=2))
    assert said.startswith("Full() in windows of 2 steps is ") and "consider windows of " in said
    assert Watch(steps=48, threshold=1e-7)(moment_of(Full(), steps=2)).endswith("consider longer windows")


def test_where_no_plain_stretch_is_enough_it_says_so(monkeypatch):
    moment = moment_of(Truncated(2))
    monkeypatch.setattr(Watch, "_enough", lambda self, reference, steps: None)
    said = Watch(steps=48)(moment)
    terms = int(said.partition("needs ")[2].partition(" ")[0])
    assert said.endswith(f"consider Truncated(k1={terms}, k2={2 * terms - 1})")
    assert Watch(steps=48, threshold=1e-9)(moment).endswith("terms or more for 1e-07 %: consider longer stretches")
    assert "for 5 %; as" in Watch(steps=48, threshold=0.05)(moment)  # no name for it


def test_random_windows_are_watched_as_they_are():
    for at in range(1, 7):  # wherever the windows that are looked at begin
        assert Watch(steps=40, threshold=1e-6)(moment_of(Truncated(16), sampling="random", at=at)) is None
        assert Watch(steps=40, threshold=1e-6)(moment_of(Truncated(16), at=at)) is not None
    assert "is " in Watch(steps=40, threshold=1e-6)(moment_of(Truncated(5), sampling="random"))


def test_dropout_that_is_switched_off_is_said():
    model = make_model(torch.nn.GRU(6, 6, num_layers=2, dropout=0.5, batch_first=True), dropout=0.0)
    assert "Dropout of torch.nn was off" in Watch(steps=48)(moment_of(Truncated(1), model=model))


def test_it_touches_neither_gradients_nor_modes_nor_random_state():
    model = make_model(dropout=0.3).train()
    model.encode.eval()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.25)
    modes, drawn = [part.training for part in model.modules()], torch.get_rng_state()
    assert Watch(steps=48)(moment_of(Truncated(1), model=model)) is not None
    assert all(bool((parameter.grad == 0.25).all()) for parameter in model.parameters())
    assert [part.training for part in model.modules()] == modes and torch.equal(torch.get_rng_state(), drawn)


def test_strategies_are_written_as_asked():
    assert Watch(steps=48, spell=lambda strategy: "mine")(moment_of(Truncated(2))).startswith("mine is ")


def test_what_it_costs_grows_with_what_it_looks_at():
    assert Watch().cost < 20_000 < Watch(rows=4).cost < Watch(rows=4, steps=512).cost

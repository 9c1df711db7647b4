"""`compare` on a language model: against gradients made by hand, and without a trace on the model."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import Broken, Coin, Late, Refusing, Scaled
from torch import nn
from torch.nn.functional import cross_entropy

import bptt
from bptt.diagnostics import race
from bptt.diagnostics.comparison import Ground, spelled
from bptt.diagnostics.probes import spread
from bptt.diagnostics.verdict import share
from bptt.kernels import readable
from bptt.training.fit import choose

TEXT = "".join(f"{n % 7} cats saw {n % 5} dogs and {n % 11} birds; " for n in range(120))
SMALL = {"batch_size": 4, "steps": 16, "dtype": "float64", "device": "cpu", "threads": 1}
SHORT = {**SMALL, "probe_steps": 16}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So small, a model gains nothing from a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def corpus(tmp_path: Path) -> bptt.Corpus:
    (tmp_path / "text.txt").write_text(TEXT)
    return bptt.read_text(tmp_path / "text.txt")


def model_of(corpus: bptt.Corpus, cell: str | nn.Module = "lstm", **settings: object) -> bptt.LanguageModel:
    torch.manual_seed(3)
    return bptt.LanguageModel(cell, vocab=corpus.vocab, hidden_size=8, **settings).double()


def by_hand(model: bptt.LanguageModel, corpus: bptt.Corpus, cuts: int, number: int, T: int, B: int) -> torch.Tensor:
    """The gradient on probe `number`, made with torch alone: the state carried, detached every `cuts` steps."""
    ids = torch.from_numpy(np.asarray(corpus.train.ids, dtype=np.int64))
    starts = torch.arange(B)[:, None] * ((len(ids) - 1) // B)
    at = starts + number * T + torch.arange(T)
    with torch.no_grad():
        _, state = model(ids[at - T])
    model.zero_grad()
    for first in range(0, T, cuts):
        piece = at[:, first : first + cuts]
        logits, state = model(ids[piece], state)
        (cross_entropy(logits.flatten(0, 1), ids[piece + 1].flatten(), reduction="sum") / (B * T)).backward()
        state = tuple(part.detach() for part in state)
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def test_bias_and_cosine_are_those_of_gradients_made_by_hand(corpus: bptt.Corpus) -> None:
    model, T, B = model_of(corpus), 32, 4
    numbers = spread((len(corpus.train) - 1) // B // T - 1, 3)
    exact = [by_hand(model, corpus, T, number, T, B) for number in numbers]
    model.zero_grad(set_to_none=True)
    found = bptt.compare(model, corpus, [bptt.Truncated(5), bptt.Full()], probes=3, probe_steps=T, **SMALL)
    for row, cuts in zip(found.rows, (5, 16), strict=True):
        cut = [by_hand(model, corpus, cuts, number, T, B) for number in numbers]
        biases = [float((a - g).norm() / g.norm()) for a, g in zip(cut, exact, strict=True)]
        cosines = [float(a @ g / a.norm() / g.norm()) for a, g in zip(cut, exact, strict=True)]
        assert row.measured is not None and min(biases) > 1e-3
        assert row.measured.total.bias == pytest.approx(math.sqrt(np.mean(np.square(biases))), rel=1e-9)
        assert row.measured.total.cosine == pytest.approx(np.mean(cosines), rel=1e-12)
    assert found.norm == pytest.approx(math.sqrt(np.mean([float(g.square().sum()) for g in exact])), rel=1e-12)


def test_planted_strategies_read_as_planted(corpus: bptt.Corpus) -> None:
    given = {"exact": bptt.Full(), "long": Scaled(1.2), "coin": Coin(a=0.5)}
    found = bptt.compare(model_of(corpus), corpus, given, draws=32, **SHORT)
    exact, long, coin = (row.measured for row in found.rows)
    assert exact is not None and long is not None and coin is not None
    assert exact.total.bias <= 1e-12 and exact.weight == 1
    assert long.total.bias == pytest.approx(0.2, rel=1e-12) and long.weight == 1.2
    assert all(block.bias == pytest.approx(0.2, rel=1e-12) for block in long.blocks.values())
    assert list(long.blocks) == ["embedding", "input weights", "recurrent weights", "biases", "readout"]
    assert coin.total.variance == pytest.approx(0.25, rel=0.1) and coin.weight == 1.5
    said = " ".join(found.words())
    assert "long is 20 % off the exact gradient (cosine 1.00)." in said and "exact gives the exact gradient." in said
    assert "coin by 0.49" in said


def test_one_that_cannot_run_is_a_row_with_its_reason(corpus: bptt.Corpus) -> None:
    given = {"no": Refusing(), "broken": Broken(), "yes": bptt.Truncated(4)}
    found = bptt.compare(model_of(corpus), corpus, given, race=0.05, **SHORT)
    no, broken, yes = found.rows
    assert no.measured is None and no.cost is None and "This cannot run" in no.reason
    assert broken.measured is None and "not finite" in broken.reason
    assert yes.measured is not None and yes.cost is not None and yes.reason == ""
    assert found.race is not None
    ended = {trial.name: trial for trial in found.race.trials}
    assert "This cannot run" in ended["no"].reason and "diverged" in ended["broken"].reason
    assert ended["no"].points == () and len(ended["broken"].points) == 1
    assert found.to_json()["rows"][0] == {"gradient": "no", "reason": no.reason}


@pytest.mark.parametrize("probe_steps", [None, 40, 23])
def test_random_windows_are_measured_as_they_are_trained_on(corpus: bptt.Corpus, probe_steps: int | None) -> None:
    """Stretches as long as windows that all begin anew are exact, wherever a probe ends; shorter ones are not."""
    given = [bptt.Truncated(16), bptt.Full(), bptt.Truncated(8)]
    settings = {**SMALL, "sampling": "random", "probe_steps": probe_steps}
    found = bptt.compare(model_of(corpus), corpus, given, **settings)
    same, full, short = (row.measured for row in found.rows)
    assert same is not None and full is not None and short is not None
    assert same.total.bias <= 1e-12 and full.total.bias <= 1e-12 and short.total.bias > 1e-4
    assert found.setting["sampling"] == "random" and not any("borders" in line for line in found.words())
    lanes = bptt.compare(model_of(corpus), corpus, given, **{**settings, "sampling": "sequential"})
    assert all(row.measured is not None and row.measured.total.bias > 1e-4 for row in lanes.rows)


def test_windows_of_shuffled_blocks_end_with_their_block(corpus: bptt.Corpus) -> None:
    given = [bptt.Full(), bptt.Truncated(10, 60)]
    settings = {**SMALL, "sampling": "shuffled", "block": 30}
    found = bptt.compare(model_of(corpus), corpus, given, **settings)
    model = model_of(corpus)
    for probe in Ground.of(model, corpus, choose(settings), 4, None).probes:
        resets = probe.window.reset.all(0).nonzero().flatten().tolist()
        starts = [0, *itertools.accumulate(window.steps for window in probe.cut(16))]
        assert set(resets) <= set(starts) and all(b - a == 30 for a, b in itertools.pairwise(resets)) and resets
    assert found.rows[0].measured is not None and found.rows[0].measured.total.bias > 1e-4
    assert found.rows[1].measured is not None and found.rows[1].measured.total.bias <= 1e-12
    assert found.setting["block"] == 30


def test_one_that_only_a_window_shows_to_be_impossible_is_a_row_of_the_race_too(corpus: bptt.Corpus) -> None:
    given = {"no": bptt.Checkpointed(budget="1KiB"), "late": Late(), "yes": bptt.Truncated(4)}
    found = bptt.compare(model_of(corpus), corpus, given, race=1.5, **SHORT)  # long enough for the 31 windows on a busy machine
    assert "budget" in found.rows[0].reason and found.race is not None
    no, late, yes = found.race.trials
    assert no.points == () and "budget" in no.reason
    assert len(late.points) >= 1 and late.reason.startswith("stopped after") and "enough" in late.reason
    assert yes.reason == "" and len(yes.points) == race.LAPS + 1


def traces(model: nn.Module) -> list[object]:
    """Everything of a model and of this process that a measurement might touch."""
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    values = [p.detach().clone() for p in (*model.parameters(), *model.buffers())]
    flags = [part.training for part in model.modules()]
    return [
        values,
        grads,
        flags,
        torch.get_rng_state(),
        random.getstate(),
        np.random.get_state()[1].copy(),
        torch.get_num_threads(),
    ]


def same(a: object, b: object) -> bool:
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else a == b


def test_the_model_and_everything_random_are_left_as_they_were(corpus: bptt.Corpus) -> None:
    model = model_of(corpus, "gru", dropout=0.2, layers=2)
    model.encode.eval()
    next(model.parameters()).grad = torch.full_like(next(model.parameters()), 7.0)
    torch.set_num_threads(2)
    before = traces(model)
    given = [bptt.Truncated(4), bptt.Randomized(4)]
    bptt.compare(model, corpus, given, probes=1, race=0.05, draws=3, seed=5, **SHORT)
    assert same(traces(model), before)


def test_the_same_seed_gives_the_same_figures_and_another_gives_others(corpus: bptt.Corpus) -> None:
    def figures(seed: int) -> list[object]:
        found = bptt.compare(model_of(corpus, dropout=0.3), corpus, [bptt.Randomized(4)], probes=1, draws=3, seed=seed, **SHORT)
        return [found.norm, found.rows[0].measured and found.rows[0].measured.total]

    assert figures(1) == figures(1)
    first, second = figures(1), figures(2)
    assert first[0] != second[0] and first[1] != second[1]


def test_json_survives_the_trip_and_holds_no_nan(corpus: bptt.Corpus) -> None:
    given = [bptt.Full(), bptt.Randomized(4), Refusing()]
    found = bptt.compare(model_of(corpus), corpus, given, probes=1, draws=3, race=0.05, **SMALL)
    value = found.to_json()
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert value["exact"]["data_variance"] is None and value["rows"][0]["signal_to_noise"] is None
    assert [row["gradient"] for row in value["rows"]] == ["Full()", "Randomized(mean=4)", "Refusing()"]
    assert value["setting"]["probe_steps"] == 64 and value["setting"]["cell"] == "lstm"
    assert set(value["rows"][1]["blocks"]["readout"]) >= {"bias", "cosine", "variance"}


def test_time_and_memory_stand_beside_the_exact_gradient(corpus: bptt.Corpus) -> None:
    given = {"cut": bptt.Truncated(4), "whole": bptt.Truncated(64), "overlap": bptt.Truncated(4, 32)}
    with readable():  # where a step costs what it costs, however many there are: a compiled one of so few units is next to free
        found = bptt.compare(model_of(corpus, "rnn"), corpus, given, probe_steps=64, **SMALL)
    cut, whole, overlap = (row.cost for row in found.rows)
    assert cut is not None and whole is not None and overlap is not None
    assert found.exact.time_ratio == found.exact.memory_ratio == 1 and found.exact.memory > 0
    assert cut.memory_ratio < 0.5 and cut.memory < overlap.memory < whole.memory
    assert 0.9 < whole.memory_ratio < 1.5  # the same pass, and its own copy of the window
    assert all(cost.seconds_per_token > 0 for cost in (cut, whole, overlap))
    assert overlap.time_ratio > 2 * cut.time_ratio  # eight times the steps


def test_a_race_trains_each_for_its_time_from_the_same_parameters(corpus: bptt.Corpus) -> None:
    model = model_of(corpus)
    given = [bptt.Truncated(4), bptt.Full()]
    comparison = bptt.compare(model, corpus, given, race=0.4, lr=0.01, **SHORT)
    found = comparison.race
    assert found is not None and found.held_out == len(corpus.valid) - 1
    untrained = model.evaluate(corpus.valid).perplexity
    for trial in found.trials:
        seconds, tokens, perplexities = zip(*trial.points, strict=True)
        assert trial.reason == "" and len(seconds) == race.LAPS + 1
        assert seconds[0] == tokens[0] == 0 and perplexities[0] == pytest.approx(untrained, rel=1e-12)
        assert list(seconds) == sorted(seconds) and 0.4 <= seconds[-1] < 1.5 and list(tokens) == sorted(tokens)
        assert tokens[-1] > 0 and trial.perplexity < untrained
    first, *_ = sorted(found.trials, key=lambda trial: trial.perplexity)
    assert f"{first.name} predicts held-out text best" in comparison.words()[-1]


def test_evaluation_is_no_time_of_a_race(corpus: bptt.Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    evaluate = bptt.LanguageModel.evaluate

    def slow(self: bptt.LanguageModel, *args: object, **settings: object) -> object:
        time.sleep(0.05)
        return evaluate(self, *args, **settings)

    monkeypatch.setattr(bptt.LanguageModel, "evaluate", slow)
    found = bptt.compare(model_of(corpus), corpus, [bptt.Truncated(4)], race=0.1, **SHORT).race
    assert found is not None and found.trials[0].points[-1][0] < 0.4


def test_progress_ends_where_it_said(corpus: bptt.Corpus) -> None:
    calls: list[tuple[int, int]] = []
    given = [bptt.Full(), bptt.Randomized(4)]
    bptt.compare(model_of(corpus), corpus, given, probes=2, draws=3, progress=lambda *call: calls.append(call), **SHORT)
    totals = {total for _, total in calls}
    assert [done for done, _ in calls] == list(range(1, len(calls) + 1)) and totals == {len(calls)}


def test_torch_dropout_is_switched_off_and_said(corpus: bptt.Corpus) -> None:
    cell = nn.GRU(8, 8, num_layers=2, dropout=0.5, batch_first=True)
    found = bptt.compare(model_of(corpus, cell), corpus, [bptt.Full()], **SHORT)
    assert any("Dropout of torch.nn was off" in note for note in found.notes)
    assert found.rows[0].measured is not None and found.rows[0].measured.total.bias <= 1e-12


def test_one_that_still_learns_is_noted(corpus: bptt.Corpus) -> None:
    found = bptt.compare(model_of(corpus), corpus, [bptt.Adaptive(bias=1e-6, limit=16)], **SMALL)
    assert found.rows[0].measured is not None and "still learning" in found.rows[0].measured.notes[0]


WRONG = [
    ({"gradient": []}, "no strategy"),
    ({"gradient": ["truncated:k1=4"]}, "no gradient strategy"),
    ({"gradient": [bptt.Full]}, "no gradient strategy"),
    ({"gradient": [bptt.Truncated(4), bptt.Truncated(4)]}, "given twice"),
    ({"probes": 0}, "probes=0"),
    ({"draws": 2}, "draws=2"),
    ({"race": 0}, "race=0"),
    ({"race": math.inf}, "race=inf"),
    ({"stepps": 4}, "stepps"),
    ({"batch_size": 100_000}, "too short"),
    ({"probe_steps": 10_000}, "10000 steps"),
    ({"device": "tpu"}, "tpu"),
]


@pytest.mark.parametrize("settings, named", WRONG)
def test_what_cannot_be_is_refused_in_three_parts(corpus: bptt.Corpus, settings: dict[str, object], named: str) -> None:
    with pytest.raises(bptt.InputError) as caught:
        bptt.compare(model_of(corpus), corpus, **{"gradient": [bptt.Full()], **SMALL, **settings})
    error = caught.value
    assert named in str(error) and error.wrong and error.given and error.todo


def test_a_race_without_a_judge_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    corpus = bptt.read_text(tmp_path / "text.txt", valid=0.0)
    with pytest.raises(bptt.InputError, match="held-out"):
        bptt.compare(model_of(corpus), corpus, [bptt.Full()], race=1.0, progress=lambda *_: pytest.fail("measured"), **SHORT)


def test_a_short_text_gets_shorter_and_fewer_probes(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT[:400])
    corpus = bptt.read_text(tmp_path / "text.txt")
    found = bptt.compare(model_of(corpus), corpus, [bptt.Full()], **SMALL)
    assert found.setting["probe_steps"] == 44 and found.setting["probes"] == 1 and "room for 1 probe" in found.notes[0]


def test_probes_are_spread_and_never_the_first_window() -> None:
    assert spread(3, 5) == [1, 2, 3] and spread(1, 1) == [1]
    for last in range(1, 40):
        for count in range(1, last + 1):
            found = spread(last, count)
            assert len(set(found)) == count and min(found) >= 1 and max(found) <= last


def test_names_and_shares_as_people_write_them() -> None:
    assert [spelled(each) for each in (bptt.Full(), bptt.Truncated(4), bptt.Truncated(4, 8))] == [
        "Full()",
        "Truncated(k1=4)",
        "Truncated(k1=4, k2=8)",
    ]
    assert [share(value) for value in (0.312, 0.052, 0.0004, 3e-6, 12.5)] == [
        "31 %",
        "5.2 %",
        "0.04 %",
        "< 0.01 %",
        "1,250 %",
    ]

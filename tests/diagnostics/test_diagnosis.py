"""`diagnose` as a whole: what it says of networks whose gradients are known, what it leaves alone, what it refuses."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
import torch
from planted import Coin, Scaled, Tilted
from torch import nn

import bptt
from bptt import ContractError, DivergedError, Full, InputError, Randomized, Truncated, Unroll, Window, diagnose
from bptt.data import Tokens, Vocabulary
from bptt.diagnostics import Diagnosis, jacobians
from bptt.gradients import STRATEGIES
from bptt.testing.examples import problem


class Rotation(nn.Module):
    """h' = c R h + U x, R orthogonal: every lag shrinks or grows by c."""

    def __init__(self, c: float, units: int = 6) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        rotation, _ = torch.linalg.qr(torch.randn(units, units, generator=generator, dtype=torch.float64))
        self.w = nn.Parameter(c * rotation)
        self.u = nn.Parameter(torch.randn(units, 3, generator=generator, dtype=torch.float64))

    def initial_state(self, batch_size: int) -> torch.Tensor:
        return torch.zeros(batch_size, len(self.w), dtype=self.w.dtype)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = h @ self.w.T + x @ self.u.T
        return h, h


def rotating(c: float, steps: int = 300, rows: int = 2) -> tuple[Unroll, Window]:
    """Its losses pull at the first unit, by amounts that change from step to step."""
    generator = torch.Generator().manual_seed(6)
    inputs = torch.randn(rows, steps, 3, generator=generator, dtype=torch.float64)
    targets = torch.randn(rows, steps, 6, generator=generator, dtype=torch.float64)
    unroll = Unroll(None, Rotation(c), None, lambda y, w: (y * w).sum(2))
    return unroll, Window.of(inputs, targets, noise=torch.zeros(rows, steps, dtype=torch.int64))


@pytest.mark.parametrize(("c", "verdict"), [(0.9, "vanish"), (0.99, "hold"), (1.0, "hold"), (1.05, "explode")])
def test_the_verdict_on_networks_that_shrink_or_grow_by_a_known_factor(c, verdict):
    found = diagnose(*rotating(c), steps=150, rows=2)
    assert found.verdict == verdict
    assert found.growth == pytest.approx(c, rel=1e-10)
    sizes = found.lags.sizes[:100]
    assert float(sizes[99] / sizes[0]) == pytest.approx(c**99, rel=0.3)
    assert found.jacobians.mean_singular()[:, 0].tolist() == pytest.approx([c**k for k in found.jacobians.spans.tolist()])
    assert found.jacobians.radii.flatten().tolist() == pytest.approx([c] * found.jacobians.radii.numel())
    start = {"vanish": "Gradients vanish", "hold": "Gradients hold", "explode": "Gradients explode"}[verdict]
    assert found.words()[0].startswith(start) and str(found).startswith(start)


def test_where_fewer_than_a_hundred_lags_are_seen_their_rate_decides():
    found = diagnose(*rotating(0.9, steps=48), steps=24)
    assert float(found.lags.sizes[found.lags.seen - 1] / found.lags.sizes[0]) > 0.05 and found.verdict == "vanish"
    assert diagnose(*rotating(1.05, steps=48), steps=24).verdict == "explode"


def test_what_is_left_in_words():
    found = diagnose(*rotating(0.9), steps=150, rows=2)
    assert "half is left after" in found.words()[0] and "1 % after 4" in found.words()[0]  # 0.9^44 < 0.01
    assert any("LSTM or GRU" in line for line in found.advice())
    explodes = diagnose(*rotating(1.05), steps=150, rows=2)
    assert "times as large 100 steps back" in explodes.words()[0] and "Clip" in explodes.advice()[0]
    assert "no finite variance" in explodes.advice()[-1]
    steady = diagnose(*rotating(0.99), steps=150, rows=2).advice()
    assert "1/mean < 1 − ρ² = 0.02, a mean above 50 steps" in steady[-1]


def by_hand(strategy, unroll, window, state):
    """What a strategy adds into `.grad` on a copy, as one vector."""
    unroll.zero_grad()
    carry = strategy.start(unroll, window.batch_size)._replace(state=state)
    for part in (window, window[:, :0]):
        for estimate in strategy.gradients(unroll, part, carry):
            carry = estimate.carry
    return torch.cat([p.grad.flatten() for p in unroll.parameters()])


def test_the_error_of_the_own_strategy_and_of_plain_stretches():
    unroll, window = rotating(0.97, steps=80)
    found = diagnose(unroll, window, strategy=Truncated(5), steps=40, rows=2)
    state = unroll.segment(window[:, :40], unroll.initial_state(2))[1].detach()
    exact = by_hand(Full(), unroll, window[:, 40:], state)
    for strategy, error in [(Truncated(5), found.own.total.bias), *((Truncated(k), e) for k, e in found.stretches.items())]:
        wanted = by_hand(strategy, unroll, window[:, 40:], state)
        assert error == pytest.approx(float((wanted - exact).norm() / exact.norm()), rel=1e-9)
    assert list(found.stretches) == [8, 16, 32] and found.own.total.bias > 0.1
    longest = found.stretches[32]
    assert f"Truncated(k1=5) is {100 * found.own.total.bias:.0f} % off the exact gradient of these 40 steps" in found.words()[1]
    wanted = "would be" if longest <= 0.1 else "not even Truncated(k1=32) is within 10 %"
    assert wanted in found.advice()[0]


def test_the_overlap_that_is_advised_gives_every_loss_its_terms_and_keeps_the_bound():
    unroll, window = rotating(0.8, steps=160)
    found = diagnose(unroll, window, strategy=Truncated(2), steps=80)
    k = found.k90
    assert f"Truncated(k1={k}, k2={2 * k - 1}) gives every loss the {k} terms of K90" in found.advice()[1]
    assert diagnose(unroll, window, strategy=Truncated(k, 2 * k - 1), steps=80).own.total.bias <= 0.1


def test_the_window_of_an_exact_strategy_counts():
    unroll, window = rotating(0.97, steps=80)
    whole = diagnose(unroll, window, strategy=Full(), steps=40)
    assert whole.own.total.bias < 1e-12 and "gives the exact gradient of these 40 steps" in whole.words()[1]
    parts = diagnose(unroll, window, strategy=Full(), steps=40, window=8)
    assert parts.own.total.bias == pytest.approx(parts.stretches[8], rel=1e-9)
    assert "exact within windows of 8 steps; this is lost at their borders" in parts.words()[1]


def test_planted_errors_are_named():
    unroll, window = rotating(0.9, steps=80)
    found = diagnose(unroll, window, strategy=Scaled(1.38), steps=40)
    assert "38 % off" in found.words()[1] and "cosine 1.00" in found.words()[1]
    made = problem("lstm")
    turned = diagnose(made.unroll, made.window, strategy=Tilted(by=2.0), steps=20)
    assert "most of all in its recurrent weights (200 %)" in turned.words()[1]
    coin = diagnose(unroll, window, strategy=Coin(a=0.5), steps=40)
    assert "no bias that stands out" in coin.words()[1] and "scatters by 0.48" in coin.words()[1]  # of 16 draws
    assert coin.own.total.variance == pytest.approx(0.25, rel=0.15)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "uoro")) for n in sorted(STRATEGIES)])
def test_every_strategy_is_measured_through_its_contract(name):
    cells = {"kfrtrl": "rnn", "rflo": "leaky", "eprop": "gru", "snap": "gru"}  # that they take, and are not exact on
    made = problem(cells.get(name, "nested"))
    given = {"truncated": {"k1": 4}, "peroutput": {"k": 3}, "randomized": {"mean": 4}, "telescoping": {"k": 7}}
    given |= {"adaptive": {"bias": 0.3, "limit": 8}, "checkpointed": {"slots": 3}}
    strategy = STRATEGIES[name](**given.get(name, {}))
    found = diagnose(made.unroll, made.window, strategy=strategy, steps=20)
    assert len(found.words()) == 4 and name in found.words()[1].lower()
    assert strategy.random or (found.own.total.bias < 1e-12) == strategy.exact
    json.dumps(found.to_json(), allow_nan=False)


WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"]
TEXT = " ".join(random.Random(3).choices(WORDS, k=700))


@pytest.fixture(scope="module")
def corpus() -> Any:
    ids = (vocab := Vocabulary.from_text(TEXT)).encode(TEXT)
    return bptt.Corpus(Tokens(ids[:2000]), Tokens(ids[2000:]), None, vocab, {})


def model_of(corpus: Any, cell: str = "gru", **settings: Any) -> bptt.LanguageModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return bptt.LanguageModel(cell, vocab=corpus.vocab, hidden_size=7, **settings)


def same(a: Diagnosis, b: Diagnosis) -> bool:
    return torch.equal(a.lags.errors, b.lags.errors) and torch.equal(a.exponents, b.exponents)


def test_nothing_of_the_user_changes(corpus):
    model = model_of(corpus, dropout=0.2, layers=2)
    model.train()
    model.encode.eval()
    model.readout.linear.bias.requires_grad_(False)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.25)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [part.training for part in model.modules()]
    drawn = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())
    with torch.no_grad():
        found = diagnose(model, corpus, strategy=Randomized(4), steps=40, rows=2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(bool((parameter.grad == 0.25).all()) for parameter in model.parameters())
    assert [part.training for part in model.modules()] == modes
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())
    assert drawn[:2] == after[:2] and torch.equal(drawn[2], after[2])
    assert not model.readout.linear.bias.requires_grad and model.readout.linear.weight.dtype == torch.float32
    assert same(found, diagnose(model, corpus, strategy=Randomized(4), steps=40, rows=2))


class Drawing(Rotation):
    """A cell that draws from the global generator, to no effect."""

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().forward(x + 0 * torch.rand(1), h)


def test_a_cell_that_draws_leaves_the_random_state_as_it_was():
    _, window = rotating(0.9, steps=40)
    unroll = Unroll(None, Drawing(0.9), None, lambda y, w: (y * w).sum(2))
    before = torch.get_rng_state()
    diagnose(unroll, window, steps=20)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_corpus_is_read_from_its_validation_part_if_that_is_long_enough(corpus):
    model = model_of(corpus)
    found = diagnose(model, corpus, steps=40, rows=2)
    assert same(found, diagnose(model, corpus.valid, steps=40, rows=2)) and found.setting["steps"] == 40
    short = bptt.Corpus(corpus.train, Tokens(corpus.valid.ids[:60]), None, corpus.vocab, {})
    assert same(diagnose(model, short, steps=40, rows=2), diagnose(model, corpus.train, steps=40, rows=2))
    tight = diagnose(model, Tokens(corpus.valid.ids[:70]), steps=40, rows=4)
    assert (tight.setting["rows"], tight.setting["steps"]) == (1, 34)


def test_windows_that_follow_each_other_are_one_text(corpus):
    model = model_of(corpus)
    whole = next(iter(corpus.train.stream(3, 80, offset=False)))
    found = diagnose(model, whole, steps=40, rows=2)
    parts = [whole[:, a : a + 13] for a in range(0, 80, 13)]
    assert same(found, diagnose(model.unroll(), iter(parts), steps=40, rows=2))
    endless = diagnose(model, corpus.train.stream(3, 16, offset=False), steps=40, rows=2)
    assert endless.setting["steps"] == 40 and endless.setting["rows"] == 2
    assert diagnose(model, whole[:, :25], steps=40).setting["steps"] == 20


def test_random_windows_are_looked_at_as_they_are_trained_on(corpus):
    """A stretch as long as the windows, which all begin anew, leaves nothing out."""
    model, settings = model_of(corpus, "lstm"), {"window": 13, "sampling": "random", "steps": 40, "rows": 2}
    found = diagnose(model, corpus, strategy=Truncated(13), **settings)
    assert found.own.total.bias < 1e-12 and found.setting["steps"] == 39 and found.setting["unbroken"] == 13
    assert "Rows start anew after 13 steps at most" in found.words()[1] and "gives the exact gradient" in found.words()[2]
    assert found.k99 <= 13 and found.lags.seen <= 13 and list(found.stretches) == [8, 13]
    assert found.stretches[13] < 1e-12 < 1e-3 < found.stretches[8]
    assert diagnose(model, corpus, strategy=Truncated(13), window=13, steps=40, rows=2).own.total.bias > 1e-3
    full = diagnose(model, corpus, strategy=Full(), **settings)
    assert full.own.total.bias < 1e-12
    own = diagnose(model, corpus.train.stream(2, 13, "random"), strategy=Truncated(13), window=13, steps=40, rows=2)
    assert own.own.total.bias < 1e-12 and own.setting["unbroken"] == 13


def test_blocks_are_cut_where_training_cuts_them(corpus):
    """Blocks of 20 steps in windows of 8, 8 and 4: exact per window is what stretches are that end there."""
    model, settings = model_of(corpus), {"sampling": "shuffled", "block": 20, "steps": 40, "rows": 2}
    full = diagnose(model, corpus, strategy=Full(), window=8, **settings)
    stretches = diagnose(model, corpus, strategy=Truncated(4, 20), window=8, **settings)
    whole = diagnose(model, corpus, strategy=Full(), window=20, **settings)
    assert full.setting["unbroken"] == 20 and full.own.total.bias > 1e-3
    assert whole.own.total.bias < 1e-12 and stretches.own.total.bias < 1e-12
    with pytest.raises(InputError, match="Only shuffled sampling has blocks"):
        diagnose(model, corpus, window=8, block=20, steps=40)
    with pytest.raises(InputError, match="No such sampling"):
        diagnose(model, corpus, sampling="randon", steps=40)


def test_few_jacobians_are_said_to_be_few(corpus, monkeypatch):
    monkeypatch.setattr(jacobians, "NUMBERS", 7 * 7 * 5)
    found = diagnose(model_of(corpus), corpus, steps=40, rows=2)
    assert found.jacobians.where == "the last 5 steps of 1 row" and found.to_json()["jacobians_of"] == {"rows": 1, "steps": 5}


def test_dropout_that_is_switched_off_is_said(corpus):
    model = model_of(corpus, nn.GRU(7, 7, num_layers=2, dropout=0.5, batch_first=True))
    found = diagnose(model, corpus, steps=40, rows=2)
    assert "Dropout of torch.nn was off" in found.notes[0] and str(found).endswith(f"note: {found.notes[0]}.")
    assert diagnose(model_of(corpus, dropout=0.3), corpus, steps=40, rows=2).notes == ()


def test_gates_get_advice_that_they_can_follow(corpus):
    vanishing = diagnose(model_of(corpus, "gru"), corpus, steps=100, rows=2)
    assert vanishing.verdict == "vanish"
    assert any("forget gates of an LSTM" in line and "update gates of a GRU" in line for line in vanishing.advice())


def test_the_state_is_warmed_up_before_the_probe(corpus):
    model = model_of(corpus)
    window = next(iter(corpus.train.stream(2, 80, offset=False)))
    cold = diagnose(model, window[:, 40:], steps=32)
    warm = diagnose(model, window, steps=32)
    assert not same(cold, warm)


def test_the_own_type_and_device_are_those_of_the_model():
    made = problem("gru")
    low = made.unroll.float()
    window = Window(*(value.float() if value.is_floating_point() else value for value in vars(made.window).values()))
    found = diagnose(low, window, strategy=Truncated(4), steps=20)
    assert found.lags.errors[-1] < 1e-14 and next(low.parameters()).dtype == torch.float32


def test_progress_comes_to_its_end(corpus):
    seen: list[tuple[int, int]] = []
    diagnose(model_of(corpus), corpus, strategy=Truncated(4), steps=40, rows=2, progress=lambda *pair: seen.append(pair))
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1)) and len({total for _, total in seen}) == 1
    assert 0 <= seen[-1][1] - seen[-1][0] <= 1


def test_its_json_is_plain_and_complete(corpus):
    found = diagnose(model_of(corpus, "rnn", nonlinearity="relu"), corpus, strategy=Truncated(4), steps=40, rows=2)
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["k90"] == found.k90 <= told["k99"] == found.k99
    assert len(told["sizes"]) == 40 and told["terms"][-1] == 40 and told["strategy"]["name"] == "Truncated(k1=4)"
    assert told["setting"] == {"steps": 40, "rows": 2, "window": 40, "unbroken": 40, "state": 7, "gated": False}
    assert told["jacobians_of"] == {"rows": 2, "steps": 40} and told["notes"] == []
    assert told["words"] == found.words() and told["stretches"][0][0] == 8


def test_gates_are_recognised(corpus):
    assert diagnose(model_of(corpus, "lstm"), corpus, steps=20).setting["gated"]
    made = problem("torch-cell")
    assert diagnose(made.unroll, made.window, steps=20).setting["gated"]


class NoState(nn.Module):
    """A cell that remembers how often it was called, and nothing that can be learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 5)

    def initial_state(self, batch_size: int) -> torch.Tensor:
        return torch.zeros(batch_size, dtype=torch.int64)

    def forward(self, x: torch.Tensor, n: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.linear(x), n + 1


def test_what_cannot_be_measured_is_refused():
    made = problem("gru")
    with pytest.raises(InputError, match="too few steps"):
        diagnose(made.unroll, made.window[:, :1])
    with pytest.raises(InputError, match="too few steps"):
        diagnose(made.unroll, [])
    with pytest.raises(InputError, match="no gradient strategy"):
        diagnose(made.unroll, made.window, strategy="truncated")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="steps must be"):
        diagnose(made.unroll, made.window, steps=0)
    with pytest.raises(InputError, match="window must be"):
        diagnose(made.unroll, made.window, window=0)
    with pytest.raises(InputError, match="rows must be a whole number of at least 1"):
        diagnose(made.unroll, made.window, rows=0)
    with pytest.raises(InputError, match="no gradient to look at"):
        diagnose(made.unroll, made.window.silent())
    with pytest.raises(ContractError, match="no unrolled model"):
        diagnose(nn.GRU(3, 4), made.window)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="carries no state"):
        stateless = problem(NoState())
        diagnose(stateless.unroll, stateless.window)
    both = Unroll(None, nn.GRU(4, 5, bidirectional=True), nn.Linear(10, 6)).double()
    with pytest.raises(InputError, match="looks ahead"):
        diagnose(both, made.window)
    with torch.no_grad():
        made.unroll.readout.weight.fill_(float("nan"))
    with pytest.raises(DivergedError):
        diagnose(made.unroll, made.window)
    for parameter in made.unroll.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(InputError, match="no gradient to look at"):
        diagnose(made.unroll, made.window)

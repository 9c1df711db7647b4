"""Generation from ids: what is fed, what is drawn, what is refused, and that nothing is left behind."""

from __future__ import annotations

import random
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bptt.errors import DivergedError, InputError
from bptt.inference import Sampling, generate
from bptt.models import LanguageModel

LOGITS = torch.tensor([0.3, 2.0, -1.0, 1.2, 0.3], dtype=torch.float64)


def fixed(logits: Tensor) -> Any:
    """A step that always gives the same scores."""
    return lambda ids, state: (logits.expand(len(ids), -1), state)


def softmax(values: Any) -> np.ndarray:
    weights = [np.exp(value) for value in values]
    return np.array(weights) / sum(weights)


def drawn(count: int, **settings: Any) -> np.ndarray:
    return np.bincount(list(generate(fixed(LOGITS), None, [0], length=count, **settings)), minlength=len(LOGITS))


def test_every_token_is_fed_once_and_the_last_one_generated_is_not() -> None:
    fed: list[int] = []

    def step(ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        fed.append(int(ids))
        return torch.eye(7)[(ids + 1) % 7] * 50, state + 1

    assert list(generate(step, torch.zeros(1, 2), [5, 2, 3], length=4)) == [4, 5, 6, 0]
    assert fed == [5, 2, 3, 4, 5, 6]


def test_greedy_equals_reading_the_whole_prefix_again_for_every_token() -> None:
    torch.manual_seed(3)
    model = LanguageModel("lstm", vocab=11, hidden_size=6, layers=2).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
        text = [3, 1, 4]
        for _ in range(12):
            text.append(int(model(torch.tensor([text]))[0][0, -1].argmax()))
    for settings in ({"temperature": 0.0}, {"top_k": 1}, {"top_p": 0.0}, {"temperature": 1e-300}, {"temperature": 5e-324}):
        assert list(generate(model.step, model.initial_state(1), text[:3], length=12, **settings)) == text[3:]
    assert len(set(text)) > 3


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_follow_the_softmax_at_the_temperature(temperature: float) -> None:
    count = 6000
    expected = count * softmax(LOGITS.numpy() / temperature)
    seen = drawn(count, temperature=temperature, seed=1)
    assert ((seen - expected) ** 2 / expected).sum() < 18.5  # 0.999 quantile of chi-square with 4 degrees of freedom
    other = count * softmax(LOGITS.numpy() / (temperature * 1.5))
    assert ((seen - other) ** 2 / other).sum() > 50


def test_a_temperature_scales_the_scores() -> None:
    for temperature in (0.1, 1.0, 7.0):
        got = Sampling(temperature).probabilities(LOGITS.numpy())
        np.testing.assert_allclose(got, softmax(LOGITS.numpy() / temperature), rtol=1e-12)


@pytest.mark.parametrize(
    ("top_k", "kept"), [(1, [1]), (2, [1, 3]), (3, [0, 1, 3]), (4, [0, 1, 3, 4]), (5, range(5)), (99, range(5))]
)
def test_top_k_keeps_the_highest_scores_and_of_equal_ones_the_lower_ids(top_k: int, kept: Any) -> None:
    expected = np.zeros(5)
    expected[list(kept)] = softmax(LOGITS.numpy()[list(kept)])
    np.testing.assert_allclose(Sampling(top_k=top_k).probabilities(LOGITS.numpy()), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (0, [2]),
        (1e-9, [2]),
        (0.5, [2]),
        (0.500001, [0, 2]),
        (0.75, [0, 2]),
        (0.76, [0, 2, 3]),
        (0.9, [0, 1, 2, 3]),
        (1, range(5)),
    ],
)
def test_top_p_keeps_the_fewest_tokens_that_reach_it(top_p: float, kept: Any) -> None:
    full = np.array([0.25, 0.0625, 0.5, 0.125, 0.0625])
    expected = np.where(np.isin(range(5), list(kept)), full, 0)
    np.testing.assert_allclose(Sampling(top_p=top_p).probabilities(np.log(full)), expected / expected.sum(), rtol=1e-12)


def test_top_p_looks_at_what_temperature_and_top_k_left() -> None:
    full = np.array([0.4, 0.3, 0.2, 0.1])
    assert (Sampling(top_k=2, top_p=0.55).probabilities(np.log(full)) > 0).tolist() == [True, False, False, False]
    assert (Sampling(top_p=0.55).probabilities(np.log(full)) > 0).tolist() == [True, True, False, False]
    assert (Sampling(temperature=0.2, top_p=0.55).probabilities(np.log(full)) > 0).sum() == 1


def test_top_p_1_keeps_the_tail_that_rounding_would_lose() -> None:
    assert (Sampling(top_p=1.0).probabilities(np.array([0.0, -40.0, -41.0])) > 0).all()


def test_forbidden_tokens_are_never_drawn_and_the_others_share() -> None:
    got = Sampling(forbidden=(1, 4)).probabilities(LOGITS.numpy())
    expected = np.zeros(5)
    expected[[0, 2, 3]] = softmax(LOGITS.numpy()[[0, 2, 3]])
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert drawn(50, temperature=0, forbidden=(1,)).tolist() == [0, 0, 0, 50, 0]
    assert drawn(50, top_k=1, forbidden=(1, 3)).tolist() == [50, 0, 0, 0, 0]


def test_tokens_of_probability_0_are_never_drawn() -> None:
    class Lowest:
        def random(self) -> float:
            return 0.0

    class Highest:
        def random(self) -> float:
            return 1 - 2**-53

    scores = np.array([-np.inf, 0.1, -np.inf, 0.7, -np.inf])
    assert Sampling().draw(scores, Lowest()) == 1  # type: ignore[arg-type]
    assert Sampling().draw(scores, Highest()) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("shift", [1e300, -1e300, 1e5])
def test_scores_of_any_size_are_fine(shift: float) -> None:
    with np.errstate(all="raise"):
        got = Sampling(temperature=1e-3).probabilities(np.array([shift, shift, -1e300 if shift > 0 else -1.7e308]))
    np.testing.assert_allclose(got, [0.5, 0.5, 0])


def test_same_seed_same_tokens_and_no_seed_another_text() -> None:
    texts = [tuple(generate(fixed(LOGITS), None, [0], length=40, seed=seed)) for seed in (7, 7, 8, 0, None, None)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 5


def test_global_random_states_stay_as_they_are() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    model = LanguageModel("gru", vocab=5, hidden_size=3, layers=2, dropout=0.0)
    torch.set_rng_state(before[0])
    list(generate(model.step, model.initial_state(1), [1], length=5))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all() and random.getstate() == before[2]


def test_no_graph_and_no_memory_grow_and_no_mode_is_held_between_tokens() -> None:
    torch.manual_seed(0)
    model = LanguageModel("gru", vocab=5, hidden_size=3)
    start = torch.ones(1, 1, 3, requires_grad=True)
    seen: list[Tensor] = []

    def step(ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(state)
        return model.step(ids, state)

    walk = generate(step, start, [1, 2], length=50)
    next(walk)
    assert torch.is_grad_enabled()
    with torch.no_grad():
        next(walk)
    assert torch.is_grad_enabled()
    assert len(list(walk)) == 48
    assert not any(state.requires_grad for state in seen)
    assert {state.shape for state in seen} == {(1, 1, 3)}


def test_states_are_let_go() -> None:
    alive: list[weakref.ref[Tensor]] = []

    def step(ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = state + 1
        alive.append(weakref.ref(state))
        return torch.zeros(1, 5), state

    walk = generate(step, torch.zeros(1), [0], length=60, seed=0)
    most = max(sum(state() is not None for state in alive) for _ in walk)
    assert most <= 2 and len(alive) == 60


def test_numpy_numbers_are_numbers() -> None:
    settings = {"length": np.int64(3), "temperature": np.float32(0.5), "top_k": np.int32(2), "seed": np.int64(4)}
    assert len(list(generate(fixed(LOGITS), None, np.array([0]), **settings))) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": "1"},
        {"top_k": 0},
        {"top_k": -3},
        {"top_k": 2.5},
        {"top_p": -0.1},
        {"top_p": 1.1},
        {"top_p": float("nan")},
        {"length": -1},
        {"length": 1.5},
        {"seed": -1},
        {"prefix": []},
    ],
)
def test_settings_out_of_range_are_refused_at_once(settings: dict[str, Any]) -> None:
    arguments = {"prefix": [0], "length": 3, **settings}
    with pytest.raises(InputError):
        generate(fixed(LOGITS), None, **arguments)


def test_nothing_left_to_draw_is_refused() -> None:
    with pytest.raises(InputError, match="all 5"):
        list(generate(fixed(LOGITS), None, [0], length=1, forbidden=range(5)))
    with pytest.raises(InputError, match=r"\[9\]"):
        list(generate(fixed(LOGITS), None, [0], length=1, forbidden=[9]))
    with pytest.raises(DivergedError, match="probability 0"):
        list(generate(fixed(torch.tensor([0.0, -torch.inf])), None, [0], length=1, forbidden=[0]))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_scores_that_are_no_numbers_are_named(bad: float, temperature: float) -> None:
    with pytest.raises(DivergedError, match="1 of 3"):
        list(generate(fixed(torch.tensor([0.0, bad, 1.0])), None, [0], length=1, temperature=temperature))


def test_length_0_generates_nothing() -> None:
    assert list(generate(fixed(LOGITS), None, [0], length=0)) == []

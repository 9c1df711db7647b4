"""Perplexity is one number: against a slow loop, whatever the chunk, the mode or the unit."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bptt.data import Tokens, Vocabulary, read_text
from bptt.errors import DivergedError, InputError
from bptt.inference import evaluate, evaluate_text
from bptt.models import LanguageModel
from bptt.types import Window


def tiny(vocab: Vocabulary | int = 7, **settings: Any) -> LanguageModel:
    torch.manual_seed(5)
    return LanguageModel("gru", vocab=vocab, hidden_size=4, **settings).double()


IDS = np.random.default_rng(2).integers(0, 7, 83)


def slow(model: LanguageModel, ids: np.ndarray) -> float:
    """Σ −log p in plain Python: one GRU step after another from the parameters by name."""
    p = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    w, u, b, c = (p[f"recurrent.{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    h, nats = np.zeros(4), 0.0
    for now, then in itertools.pairwise(ids):
        gx, gh = w @ p["encode.table.weight"][now] + b, u @ h + c
        r, z = (1 / (1 + np.exp(-(gx[i : i + 4] + gh[i : i + 4]))) for i in (0, 4))
        h = (1 - z) * np.tanh(gx[8:] + r * gh[8:]) + z * h
        o = p["readout.linear.weight"] @ h + p["readout.linear.bias"]
        nats -= math.log(math.exp(o[then]) / sum(math.exp(value) for value in o))
    return nats


@pytest.mark.parametrize("chunk", [1, 5, 35, 1000])
def test_equals_a_slow_loop_for_every_chunk(chunk: int) -> None:
    model = tiny()
    score = model.evaluate(Tokens(IDS), chunk=chunk)
    assert score.tokens == 82 and type(score.tokens) is int and type(score.nats) is float
    assert score.nats == pytest.approx(slow(model, IDS), abs=1e-9)


@pytest.mark.parametrize("chunk", [1, 5, 35, 1000])
def test_dropout_and_training_mode_leave_no_trace(chunk: int) -> None:
    model = tiny(layers=2, dropout=0.5)
    model.eval()
    expected = model.evaluate(Tokens(IDS)).nats
    model.train()
    model.readout.eval()
    flags = [part.training for part in model.modules()]
    random = torch.get_rng_state()
    assert model.evaluate(Tokens(IDS), chunk=chunk).nats == pytest.approx(expected, abs=1e-9)
    assert [part.training for part in model.modules()] == flags and len(set(flags)) == 2
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in model.parameters()) and torch.is_grad_enabled()


def test_flags_come_back_after_an_error() -> None:
    model = tiny()
    with torch.no_grad():
        model.readout.linear.bias[0] = torch.nan
    with pytest.raises(DivergedError, match="82 targets"):
        model.evaluate(Tokens(IDS))
    assert model.training and model.recurrent.training and torch.is_grad_enabled()


def readout_of(bias: Tensor) -> LanguageModel:
    """A model that always gives softmax(bias)."""
    model = tiny(len(bias))
    with torch.no_grad():
        model.readout.linear.weight.zero_()
        model.readout.linear.bias.copy_(bias)
    return model


def test_a_uniform_model_has_perplexity_v_and_a_perfect_one_1() -> None:
    assert readout_of(torch.zeros(7)).evaluate(Tokens(IDS)).perplexity == pytest.approx(7, rel=1e-12)
    perfect = readout_of(torch.tensor([0.0, -torch.inf, -torch.inf]))
    assert perfect.evaluate(Tokens(np.zeros(9, np.uint8))).perplexity == 1


def test_a_model_that_gives_0_or_nearly_so_has_infinite_perplexity() -> None:
    impossible = readout_of(torch.tensor([0.0, -torch.inf]))
    assert impossible.evaluate(Tokens(np.array([0, 1, 0]))).perplexity == math.inf
    unlikely = readout_of(torch.tensor([0.0, -5000.0])).evaluate(Tokens(np.ones(9, np.int64)))
    assert unlikely.nats == 40000 and unlikely.perplexity == math.inf


def test_sums_are_float64_for_a_float32_model() -> None:
    """In float32 the sum would stop growing near 2²⁴: adding 1 to 16777216 gives 16777216."""
    losses = torch.full((1, 4), 2.0**24, dtype=torch.float32)
    losses[0, 1:] = 1.0
    window = Window.of(torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, 4, dtype=torch.int64))
    assert evaluate(lambda window, state: (losses, state), None, [window, window]).nats == 2 * (2.0**24 + 3)


def test_masked_targets_do_not_count_even_where_they_are_nan() -> None:
    losses = torch.tensor([[1.0, torch.nan, 4.0], [torch.inf, 16.0, 32.0]])
    mask = torch.tensor([[True, False, True], [False, True, False]])
    window = Window.of(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64), mask=mask)
    score = evaluate(lambda window, state: (losses, state), None, [window])
    assert (score.nats, score.tokens) == (21.0, 3)


def test_the_state_is_carried_without_a_graph() -> None:
    states: list[Tensor] = []
    parameter = torch.ones(1, requires_grad=True)

    def losses(window: Window, state: Tensor) -> tuple[Tensor, Tensor]:
        states.append(state)
        return torch.zeros(window.targets.shape), state + window.steps * parameter

    evaluate(losses, torch.zeros(1, requires_grad=True), Tokens(IDS).whole(40))
    assert [float(state) for state in states] == [0, 40, 80] and not any(state.requires_grad for state in states)


def test_stop_ends_between_chunks_with_the_score_so_far() -> None:
    model, seen = tiny(Vocabulary.from_text("abcdef")), []
    whole = model.evaluate(Tokens(IDS), chunk=20, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(20, 82), (40, 82), (60, 82), (80, 82), (82, 82)] and whole.characters == 82
    part = model.evaluate(Tokens(IDS), chunk=20, stop=lambda: len(seen) == 7, progress=lambda done, total: seen.append((0, 0)))
    assert (part.tokens, part.characters) == (40, 40)
    assert part.nats == pytest.approx(model.evaluate(Tokens(IDS[:41])).nats, abs=1e-9)


@pytest.mark.parametrize(
    ("unit", "text", "tokens", "characters", "octets"),
    [
        ("char", "時间 is é", 6, 6, 9),
        ("word", "時间 is  é\nnow", 3, 9, 10),
        ("byte", "a時é", 5, 2, 5),
        ("byte", "時é", 4, 1, 4),
    ],
)
def test_characters_and_bytes_are_those_of_the_text_after_the_first_token(
    unit: str, text: str, tokens: int, characters: int, octets: int
) -> None:
    score = tiny(Vocabulary.from_text(text, unit)).evaluate(text)
    assert (score.tokens, score.characters, score.bytes) == (tokens, characters, octets)


def test_a_uniform_model_needs_as_many_bits_per_character_as_its_tokens_say() -> None:
    vocab = Vocabulary.from_text("ab cd ab", "word")
    model = readout_of(torch.zeros(len(vocab)))
    score = evaluate_text(model._unrolled[0].losses, model.initial_state(1), "ab cd ab cd", vocab)
    assert score.bits_per_character == pytest.approx(math.log2(3) * 3 / len(" cd ab cd"), rel=1e-12)
    assert score.bits_per_byte == score.bits_per_character


@pytest.mark.parametrize("unit", ["char", "word"])
def test_an_unknown_token_counts_as_what_was_read(unit: str, tmp_path: Path) -> None:
    """Characters and bytes are the text's, whatever became <unk>; only ids, without their text, count it as one of one."""
    vocab = Vocabulary.from_text("a b", unit)
    with pytest.warns(UserWarning, match="not in the vocabulary"):
        score = tiny(vocab).evaluate("a é b")
    assert (score.characters, score.bytes) == (4, 5)
    score = tiny(vocab).evaluate(vocab.encode("a é b"))
    assert (score.characters, score.bytes) == (4, 4)
    (tmp_path / "text.txt").write_text("a é b", encoding="utf-8")
    score = tiny(vocab).evaluate(read_text(tmp_path / "text.txt", vocab=vocab, valid=0).train)
    assert (score.characters, score.bytes) == (4, 5)


@pytest.mark.parametrize("unit", ["char", "word", "byte"])
def test_parts_of_a_corpus_know_the_length_of_their_targets(unit: str, tmp_path: Path) -> None:
    text = "röd grön blå 红 楼 梦 röd grön blå gul vit svart " * 9
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    corpus = read_text(tmp_path / "text.txt", unit=unit, valid=0.3, limit=None if unit == "byte" else 9)
    assert corpus.valid is not None
    score = tiny(corpus.vocab).evaluate(corpus.valid)
    if unit == "byte":
        tail = text.encode()[-len(corpus.valid) + 1 :]
        wanted = sum((value & 0xC0) != 0x80 for value in tail), len(tail)
    else:
        pieces = corpus.vocab.tokenizer.split(text)[-len(corpus.valid) + 1 :]
        added = "".join((" " if unit == "word" else "") + piece for piece in pieces)
        wanted = len(added), len(added.encode())
    assert (score.characters, score.bytes) == wanted


def test_ids_of_another_vocabulary_are_refused() -> None:
    model = tiny(Vocabulary.from_text("ab"))
    for text in (np.array([0, 1, 3]), np.array([0, -1, 2]), np.array([0]), "a", [], [0.5, 1.0], [[0, 1], [1, 0]]):
        with pytest.raises(InputError):
            model.evaluate(text)  # type: ignore[arg-type]


def test_text_needs_a_vocabulary_and_ids_do_not() -> None:
    assert tiny(7).evaluate(Tokens(IDS)).characters == 0
    with pytest.raises(InputError, match="vocabulary"):
        tiny(7).evaluate("abc")


def test_a_learned_initial_state_and_training_between_leave_it_one_number() -> None:
    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Parameter(torch.ones(4))
            self.cell = nn.GRUCell(4, 4)

        def initial_state(self, batch_size: int) -> Tensor:
            return self.first.expand(batch_size, -1)

        def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            state = self.cell(x, state)
            return state, state

    torch.manual_seed(1)
    model = LanguageModel(Cell(), vocab=7, hidden_size=4).double()
    scores = [model.evaluate(Tokens(IDS), chunk=chunk).nats for chunk in (1, 9, 500)]
    assert scores == pytest.approx([scores[0]] * 3, abs=1e-9)
    with torch.no_grad():
        model.recurrent.first.zero_()
    assert abs(model.evaluate(Tokens(IDS)).nats - scores[0]) > 1e-6

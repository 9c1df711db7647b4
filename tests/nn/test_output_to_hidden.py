"""The output-to-hidden network against its loop in NumPy: free, forced and by chance; what is parallel equals what is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bptt import nest
from bptt.errors import InputError, ShapeError
from bptt.nn import OutputToHidden, scheduled
from bptt.nn.forcing import drawn, forced
from bptt.testing import check_cell

B, T, IN, H, OUT = 3, 7, 3, 5, 4


def make(**settings) -> OutputToHidden:
    return OutputToHidden(IN, H, OUT, dtype=torch.float64, **settings)


def start(layer: OutputToHidden) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, a state that is not zero, noise."""
    x = torch.randn(B, T, IN + OUT * layer.teacher, dtype=torch.float64)
    return x, torch.rand(B, OUT, dtype=torch.float64), torch.randint(-(2**63), 2**63 - 1, (B, T))


def softmax(o: np.ndarray) -> np.ndarray:
    e = np.exp(o - o.max())
    return e / e.sum()


def by_hand(layer: OutputToHidden, x: Tensor, state: Tensor, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loop over steps and rows: outputs [B, T, O], and what the next step would read."""
    w_ih, w_oh, w_ho = (m.weight.detach().numpy() for m in (layer.inputs, layer.recurrence, layer.output))
    b_h, b_o = layer.recurrence.bias.detach().numpy(), layer.output.bias.detach().numpy()
    feedback = {"identity": lambda o: o, "softmax": softmax}[layer.feedback]
    outputs, ends = np.zeros((B, T, OUT)), state.numpy().copy()
    for b in range(B):
        for t in range(T):
            v, y = x[b, t, :IN].numpy(), x[b, t, IN:].numpy()
            h = np.tanh(w_ih @ v + w_oh @ (y if mask[b, t] else ends[b]) + b_h)
            outputs[b, t] = w_ho @ h + b_o
            ends[b] = feedback(outputs[b, t])
    return outputs, ends


def close(found: tuple[Tensor, Tensor], expected: tuple[np.ndarray, np.ndarray]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-12, atol=1e-12)
        assert np.abs(theirs).max() > 0.1


@pytest.mark.parametrize("feedback", ["identity", "softmax"])
@pytest.mark.parametrize("teacher", [False, True])
def test_free_running_is_the_loop(feedback, teacher):
    layer = make(feedback=feedback, teacher=teacher)
    x, state, _ = start(layer)
    close(layer(x, state), by_hand(layer, x, state, np.zeros((B, T), bool)))


@pytest.mark.parametrize("feedback", ["identity", "softmax"])
def test_forced_is_the_loop_that_reads_the_truth(feedback):
    layer = make(feedback=feedback, teacher=True, forcing=1.0)
    x, state, _ = start(layer)
    close(layer(x, state), by_hand(layer, x, state, np.ones((B, T), bool)))


@pytest.mark.parametrize("feedback", ["identity", "softmax"])
def test_by_chance_is_the_loop_that_reads_the_truth_where_noise_says(feedback):
    layer = make(feedback=feedback, teacher=True, forcing=0.5)
    x, state, noise = start(layer)
    mask = forced(noise, 0.5).numpy()
    assert 0 < mask.sum() < mask.size
    close(layer(x, state, noise=noise), by_hand(layer, x, state, mask))


def gradients(layer: OutputToHidden, x: Tensor, outputs: Tensor, end: Tensor) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    value = sum((v * torch.randn(v.shape, dtype=v.dtype, generator=generator)).sum() for v in (outputs, end))
    return list(torch.autograd.grad(value, [x, *layer.parameters()]))


@pytest.mark.parametrize("masks", [(), ("reset",), ("lengths",), ("reset", "edge", "lengths")], ids=str)
@pytest.mark.parametrize("feedback", ["identity", "softmax", "sample"])
def test_all_steps_at_once_equal_one_by_one(feedback, masks):
    """Teacher forcing in parallel over time, and step by step through the same loop that runs free: values and gradients."""
    layer = make(feedback=feedback, teacher=True, forcing=1.0, dropout=0.3)
    x, state, noise = start(layer)
    x.requires_grad_()
    given = {"reset": torch.rand(B, T) < 0.3, "edge": torch.rand(B, T).double(), "lengths": torch.tensor([4, T, 0])}
    given = {name: given[name] for name in masks}
    together = layer(x, state, noise=noise, **given)
    assert layer.forcing == 1
    layer.forcing = math.nextafter(1.0, 0.0)  # every step is forced all the same: 1 − p is no step of the hash
    assert forced(noise, layer.forcing).all()
    one_by_one = layer(x, state, noise=noise, **given)
    torch.testing.assert_close(together, one_by_one, rtol=1e-12, atol=1e-12)
    for a, b in zip(gradients(layer, x, *together), gradients(layer, x, *one_by_one), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
        assert b.abs().max() > 1e-3


def test_forced_no_output_depends_on_earlier_steps():
    layer = make(teacher=True, forcing=1.0)
    x, state, _ = start(layer)
    x.requires_grad_()
    (slope,) = torch.autograd.grad(layer(x, state)[0][:, 4].sum(), x)
    assert (slope.abs().sum((0, 2)) > 0).tolist() == [t == 4 for t in range(T)]
    layer.forcing = 0.0
    (slope,) = torch.autograd.grad(layer(x, state)[0][:, 4].sum(), x)
    assert (slope.abs().sum((0, 2)) > 0).tolist() == [t <= 4 for t in range(T)]


@pytest.mark.parametrize("feedback", ["identity", "softmax", "sample"])
@pytest.mark.parametrize("forcing", [0.0, 0.5, 1.0])
def test_draws_are_a_function_of_the_noise(feedback, forcing):
    """Steps that are cut elsewhere, or run again as rows of one step, draw what they drew."""
    layer = make(feedback=feedback, teacher=True, forcing=forcing, dropout=0.2)
    x, state, noise = start(layer)
    whole, end = layer(x, state, noise=noise)
    parts, states, current = [], [], state
    for t in range(T):
        states.append(current)
        y, current = layer(x[:, t : t + 1], current, noise=noise[:, t : t + 1])
        parts.append(y)
    torch.testing.assert_close((torch.cat(parts, 1), current), (whole, end), rtol=1e-12, atol=1e-12)
    before = nest.map(lambda *leaves: torch.stack(leaves, 1).flatten(0, 1), *states)
    rows, _ = layer(x.flatten(0, 1).unsqueeze(1), before, noise=noise.flatten().unsqueeze(1))
    torch.testing.assert_close(rows.view_as(whole), whole, rtol=1e-12, atol=1e-12)
    if feedback == "sample" or 0 < forcing < 1:
        assert not torch.equal(layer(x, state, noise=noise ^ 1)[0], whole)


def test_steps_are_forced_as_often_as_asked():
    noise = torch.randint(-(2**63), 2**63 - 1, (200_000,))
    for probability in (0.0, 0.1, 0.5, 1.0):
        share = forced(noise, probability).double().mean().item()
        assert abs(share - probability) <= 5 * math.sqrt(probability * (1 - probability) / len(noise))
    more, less = forced(noise, 0.6), forced(noise, 0.4)
    assert not (less & ~more).any()  # a falling probability frees steps and forces none


def test_samples_come_from_the_distribution():
    count, scores = 200_000, torch.tensor([1.0, -1.0, 0.3, -30.0], dtype=torch.float64)
    noise = torch.randint(-(2**63), 2**63 - 1, (count,))
    found = drawn(scores.expand(count, -1), noise)
    assert torch.equal(found.sum(1), torch.ones(count, dtype=torch.float64))
    p = scores.softmax(0)
    assert ((found.mean(0) - p).abs() <= 5 * (p * (1 - p) / count).sqrt() + 1e-9).all()
    together = found[forced(noise, 0.5)].mean(0)  # whether a step is forced says nothing of what would be drawn
    assert ((together - p).abs() <= 5 * (2 * p * (1 - p) / count).sqrt() + 1e-9).all()


def test_in_evaluation_it_reads_what_it_has_learned_to_read():
    for forcing, free_running, mask in [(1.0, None, True), (0.5, None, False), (0.0, None, False), (0.5, False, True)]:
        layer = make(teacher=True, forcing=forcing, free_running=free_running, dropout=0.5).eval()
        x, state, _ = start(layer)
        close(layer(x, state), by_hand(layer, x, state, np.full((B, T), mask)))


@pytest.mark.parametrize("curve", ["linear", "exponential", "sigmoid"])
def test_schedules_go_from_start_to_end(curve):
    shares = np.linspace(0, 1, 21)
    found = [scheduled(share, 0.9, 0.2, curve) for share in shares]
    assert found[0] == pytest.approx(0.9, abs=1e-12) and found[-1] == pytest.approx(0.2, abs=1e-12)
    assert all(np.diff(found) < 0)
    assert scheduled(-1, 0.9, 0.2, curve) == found[0] and scheduled(2, 0.9, 0.2, curve) == found[-1]
    half = {"linear": 0.5, "exponential": 1 / (math.exp(2.5) + 1), "sigmoid": 0.5}[curve]
    assert scheduled(0.5, 1.0, 0.0, curve) == pytest.approx(half, rel=1e-12)


def test_a_probability_that_stays_is_exact():
    assert scheduled(0.3, 1.0, 1.0, "sigmoid") == 1 and scheduled(0.7, 0.0, 0.0, "exponential") == 0


def test_what_would_be_drawn_is_the_likeliest_in_evaluation():
    layer = make(feedback="sample").eval()
    x, state, _ = start(layer)
    before = torch.get_rng_state()
    y, end = layer(x, state)
    assert torch.equal(end.argmax(1), y[:, -1].argmax(1)) and end.sum() == B
    again, _ = layer(x[:, 3:], layer(x[:, :3], state)[1])
    torch.testing.assert_close(again, y[:, 3:], rtol=1e-12, atol=1e-12)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("feedback", ["identity", "softmax", "sample"])
@pytest.mark.parametrize("forcing", [0.0, 1.0])
def test_keeps_the_contract(feedback, forcing):
    check_cell(make(feedback=feedback, teacher=True, forcing=forcing), inputs=IN + OUT)
    if forcing:
        check_cell(OutputToHidden(0, H, OUT, teacher=True, forcing=forcing, feedback=feedback), inputs=OUT)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feedback": "sofmax"}, "'softmax'"),
        ({"forcing": 0.5}, "can only be forced with the true output. forcing=0.5, no teacher"),
        ({"forcing": 1.5, "teacher": True}, "probability from 0 to 1. forcing=1.5"),
        ({"nonlinearity": "tahn"}, "'tanh'"),
        ({"dropout": -1}, "Dropout"),
    ],
)
def test_what_cannot_be_is_named(settings, message):
    with pytest.raises(InputError, match=message):
        OutputToHidden(IN, H, OUT, **settings)
    with pytest.raises(InputError, match="output_size"):
        OutputToHidden(IN, H, 0)
    with pytest.raises(InputError, match="linear"):
        scheduled(0.5, 1, 0, "lienar")


def test_inputs_that_do_not_fit_are_named():
    with pytest.raises(ShapeError, match=r"3 numbers a step. Give 7: 3 inputs and 4 previous outputs"):
        make(teacher=True)(torch.zeros(B, T, IN, dtype=torch.float64))

"""Language models on a time-delay network and on an output-to-hidden network: what they compute, and what they cannot know."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from bptt import LanguageModel, Window
from bptt.data import Vocabulary
from bptt.nn import RNN, OutputToHidden, scheduled
from bptt.testing.examples import gradients

V = 11
MODELS = {
    "tdnn": {"cell": "tdnn", "kernel_size": 3, "layers": 2, "dilations": (1, 2), "nonlinearity": "relu"},
    "tdnn one-hot": {"cell": "tdnn", "embedding_size": 0},
    "free": {"cell": "output-to-hidden"},
    "free one-hot": {"cell": "output-to-hidden", "embedding_size": 0},
    "forced": {"cell": "output-to-hidden", "teacher_forcing": 1.0, "nonlinearity": "relu"},
    "scheduled": {"cell": "output-to-hidden", "teacher_forcing": 0.9, "forcing_end": 0.1, "embedding_size": 0},
    "samples": {"cell": "output-to-hidden", "teacher_forcing": 0.9, "forcing_end": 0.1, "feedback": "sample"},
}


def make(name: str, vocab=V, **more) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(**{"vocab": vocab, "hidden_size": 6, "embedding_size": 4, **MODELS[name], **more}).double()


@pytest.mark.parametrize("name", MODELS)
def test_step_by_step_equals_all_at_once(name):
    model = make(name).eval()
    ids = torch.randint(V, (3, 7))
    state = model.initial_state(3)
    state = tuple(map(torch.rand_like, state)) if isinstance(state, tuple) else torch.rand_like(state)
    scores, end = model(ids, state)
    for t in range(7):
        step, state = model.step(ids[:, t], state)
        torch.testing.assert_close(step, scores[:, t], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, end, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_described_and_built_again(name):
    vocab = Vocabulary.from_text("hello world")
    model = make(name, vocab, dropout=0.1)
    again = LanguageModel.from_json(model.to_json()).double()
    assert again.settings == model.settings
    again.load_state_dict(model.state_dict())
    ids = torch.randint(len(vocab), (1, 9))
    assert torch.equal(again.eval()(ids)[0], model.eval()(ids)[0])


@pytest.mark.parametrize("name", MODELS)
def test_dropout_and_draws_come_from_the_noise(name):
    model = make(name, dropout=0.4)
    unroll = model.unroll()
    assert unroll.repeatable and unroll.causal
    window = Window.of(torch.randint(V, (2, 6)), torch.randint(V, (2, 6)))
    losses = [unroll.losses(window, unroll.initial_state(2))[0] for _ in range(2)]
    assert torch.equal(*losses)
    other = Window.of(window.inputs, window.targets)
    assert not torch.equal(unroll.losses(other, unroll.initial_state(2))[0], losses[0])


def test_the_neural_n_gram_is_a_tdnn_of_one_layer():
    """o = b + U tanh(d + H [C(x_{t−n+2}) … C(x_t)]), zeros before the text: one by one, from its own tensors."""
    model = make("tdnn", layers=1, dilations=(), nonlinearity="tanh", kernel_size=4)
    ids = torch.randint(V, (2, 9))
    table, conv = model.encode.table.weight, model.recurrent.layers[0]
    hidden = conv.weight.permute(0, 2, 1).reshape(6, 16)
    scores, _ = model(ids)
    for b in range(2):
        for t in range(9):
            read = [table[ids[b, s]] if s >= 0 else torch.zeros(4) for s in range(t - 3, t + 1)]
            o = model.readout.linear(torch.tanh(conv.bias + hidden @ torch.cat(read).double()))
            torch.testing.assert_close(scores[b, t], o, rtol=1e-12, atol=1e-12)


def test_a_forced_model_knows_one_token():
    """The true output of the step before is the token itself: two texts that end alike are continued alike."""
    for name in ("forced", "samples"):
        model = make(name).eval()
        ids = torch.randint(V, (2, 6))
        ids[1, -1] = ids[0, -1]
        scores = model(ids)[0][:, -1]
        torch.testing.assert_close(scores[0], scores[1], rtol=1e-12, atol=1e-12)
        assert (model((ids + 1) % V)[0][0, -1] - scores[0]).abs().max() > 1e-6
    scores = make("free").eval()(ids)[0][:, -1]
    assert (scores[0] - scores[1]).abs().max() > 1e-6


def test_the_token_is_the_previous_output_of_a_forced_model():
    """h = φ(W_ih C(x_t) + W_oh onehot(x_t) + b_h), whatever was said before."""
    model = make("forced").eval()
    ids = torch.tensor([[3, 7, 1]])
    layer = model.recurrent
    h = torch.relu(
        model.encode.token.table.weight[ids] @ layer.inputs.weight.t() + layer.recurrence(torch.eye(V).double()[ids])
    )
    torch.testing.assert_close(model(ids)[0], layer.output(h), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("curve", ["linear", "exponential", "sigmoid"])
def test_forcing_follows_the_training(curve):
    model = make("scheduled", forcing_schedule=curve)
    assert model.recurrent.forcing == 0.1  # whoever opens a trained model finds it as the training left it
    for share in (0.0, 0.3, 1.0):
        model.progress(share)
        assert model.recurrent.forcing == scheduled(share, 0.9, 0.1, curve)
    make("tdnn").progress(0.5)
    own = LanguageModel(OutputToHidden(4, 6, V), vocab=V, embedding_size=4, hidden_size=V)
    own.progress(0.5)
    assert own.recurrent.forcing == 0


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_learns(name):
    model = make(name)
    unroll = model.unroll()
    window = Window.of(torch.randint(V, (3, 12)), torch.randint(V, (3, 12)))
    unroll.backward(unroll.segment(window, unroll.initial_state(3))[0])
    assert all(float(gradient.norm()) > 1e-8 for gradient in gradients(unroll).values())


def hidden_bits(rows: int = 64, delay: int = 3) -> tuple[Window, Tensor]:
    """Show a bit, wait, ask for it: [bit, wait …, ask]. Until it is asked for, the answer is "nothing", whatever the bit."""
    bits = torch.arange(rows) % 2
    inputs = torch.full((rows, delay + 2), 2)
    inputs[:, 0], inputs[:, -1] = bits, 3
    targets = torch.full_like(inputs, 2)
    targets[:, -1] = bits
    return Window.of(inputs, targets), bits


class Told(nn.Module):
    """The input and the true answer of the step before, as vectors: [B, T] → [B, T, 4 + 4]."""

    def forward(self, pairs: Tensor) -> Tensor:
        return nn.functional.one_hot(pairs, 4).flatten(2).to(torch.get_default_dtype())


def trained(recurrent: nn.Module, readout: nn.Module | None, told: bool) -> float:
    """Nats at the question after 200 steps of Adam, over all rows."""
    window, _ = hidden_bits()
    before = torch.cat([torch.full((window.batch_size, 1), 3), window.targets[:, :-1]], 1)
    inputs = torch.stack([window.inputs, before], 2) if told else window.inputs.unsqueeze(2)
    from bptt import Unroll

    unroll = Unroll(Told(), recurrent, readout, per=window.count)
    optimizer = torch.optim.Adam(unroll.parameters(), lr=0.02)
    window = Window.of(inputs, window.targets, reset=torch.zeros_like(window.reset))
    for _ in range(200):
        optimizer.zero_grad()
        unroll.backward(unroll.segment(window, unroll.initial_state(window.batch_size))[0])
        optimizer.step()
    losses, _ = copy.deepcopy(unroll).eval().losses(window, unroll.initial_state(window.batch_size))
    return float(losses[:, -1].detach().mean())


def test_output_to_hidden_forgets_what_the_output_does_not_show():
    """A bit that is to be told only when asked: hidden-to-hidden learns it; forced output-to-hidden cannot beat ln 2, ever."""
    torch.manual_seed(0)
    remembers = trained(RNN(4, 8, batch_first=True), nn.Linear(8, 4), told=False)
    forgets = trained(OutputToHidden(4, 8, 4, teacher=True, forcing=1.0, feedback="softmax"), None, told=True)
    assert remembers < 0.02
    assert math.log(2) - 1e-6 <= forgets < math.log(2) + 0.02

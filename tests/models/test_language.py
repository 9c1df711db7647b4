"""The language model: what it is made of, and what it refuses."""

from __future__ import annotations

import copy

import pytest
import torch

from bptt import ContractError, InputError, LanguageModel, Window
from bptt.data import Vocabulary
from bptt.testing.examples import NestedCell


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_step_by_step_equals_all_at_once(cell):
    model = LanguageModel(cell, vocab=11, hidden_size=6, layers=2, embedding_size=4).double().eval()
    ids = torch.randint(11, (3, 7))
    scores, _ = model(ids)
    state = model.initial_state(3)
    for t in range(7):
        step, state = model.step(ids[:, t], state)
        torch.testing.assert_close(step, scores[:, t], rtol=1e-12, atol=1e-14)


def test_one_hot_is_a_row_of_the_input_weights():
    model = LanguageModel("rnn", vocab=11, hidden_size=6, embedding_size=0).double()
    ids = torch.randint(11, (2, 3))
    weights = model.recurrent.weight_ih_l0
    encoded = model.encode(ids) @ weights.T
    assert torch.equal(encoded, weights.T[ids])
    assert not list(model.encode.parameters())


def test_from_scratch_is_small_and_without_bias():
    model = LanguageModel("rnn", vocab=28, hidden_size=256, embedding_size=0, init="scratch")
    for name, parameter in model.named_parameters():
        if "bias" in name:
            assert not parameter.any()
        else:
            assert abs(float(parameter.detach().std()) - 0.01) < 5e-4


def test_tied_weights_are_one_parameter_with_both_gradients():
    torch.manual_seed(0)
    tied = LanguageModel("gru", vocab=9, hidden_size=5, tie_weights=True).double()
    loose = LanguageModel("gru", vocab=9, hidden_size=5).double()
    loose.load_state_dict(tied.state_dict())
    assert sum(1 for _ in loose.parameters()) == sum(1 for _ in tied.parameters()) + 1
    window = Window.of(torch.randint(9, (2, 6)), torch.randint(9, (2, 6)))
    for model in (tied, loose):
        unroll = model.unroll()
        unroll.backward(unroll.segment(window, unroll.initial_state(2))[0])
    both = loose.encode.table.weight.grad + loose.readout.linear.weight.grad
    torch.testing.assert_close(tied.encode.table.weight.grad, both, rtol=1e-12, atol=1e-14)


def test_dropout_masks_of_the_parts_differ():
    model = LanguageModel("rnn", vocab=9, hidden_size=64, dropout=0.5, layers=2, nonlinearity="identity")
    noise = torch.randint(2**62, (1, 1))
    ones = torch.ones(1, 1, 64)
    masks = [model.encode.dropout(ones, noise), model.readout.dropout(ones, noise)]
    assert not torch.equal(*masks)
    assert all(0 < int((mask == 0).sum()) < 64 for mask in masks)


def test_described_and_built_again():
    vocab = Vocabulary.from_text("hello world")
    model = LanguageModel("lstm", vocab=vocab, hidden_size=5, layers=2, dropout=0.1)
    again = LanguageModel.from_json(model.to_json())
    assert again.settings == model.settings and again.vocab == vocab
    again.load_state_dict(model.state_dict())
    ids = torch.randint(len(vocab), (1, 4))
    assert torch.equal(again.eval()(ids)[0], model.eval()(ids)[0])


def test_a_copy_is_independent():
    model = LanguageModel("gru", vocab=9, hidden_size=5)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.recurrent.weight_ih_l0.zero_()
    ids = torch.tensor([3])
    assert not torch.equal(model.step(ids, model.initial_state(1))[0], twin.step(ids, twin.initial_state(1))[0])
    assert torch.equal(twin.step(ids, twin.initial_state(1))[0], twin(ids[None])[0][:, 0])


def test_a_cell_of_ones_own():
    model = LanguageModel(NestedCell(4, 5), vocab=9, embedding_size=4, hidden_size=5)
    scores, _ = model(torch.randint(9, (2, 3)))
    assert scores.shape == (2, 3, 9)
    with pytest.raises(ContractError, match="of your own"):
        model.to_json()


def test_a_model_that_looks_ahead_is_refused():
    with pytest.raises(ContractError, match="look ahead"):
        LanguageModel(torch.nn.GRU(4, 5, bidirectional=True), vocab=9, embedding_size=4, hidden_size=10)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"cell": "gruu"}, "'gru'"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"layers": 1.5}, "layers"),
        ({"dropout": 1.1}, "dropout"),
        ({"dropout": "0.2"}, "dropout"),
        ({"dropout": True}, "dropout"),
        ({"dropout": float("nan")}, "dropout"),
        ({"embedding_size": -1}, "embedding_size"),
        ({"tie_weights": True, "embedding_size": 3}, "embedding_size"),
        ({"nonlinearity": "relu"}, "nonlinearity"),
        ({"init": "xavier"}, "init"),
        ({"kernel_size": 3}, "gru cell has no choice of kernel_size. kernel_size=3. Use tdnn"),
        ({"teacher_forcing": 0.5}, "gru cell has no choice of teacher_forcing"),
        ({"cell": "tdnn", "kernel_size": 0}, "kernel_size=0"),
        ({"cell": "tdnn", "dilations": (1, 2)}, "one dilation per layer. 2 dilations, layers=1"),
        ({"cell": "tdnn", "dilations": (0,)}, r"dilations\[0\]"),
        ({"cell": "tdnn", "feedback": "sample"}, "tdnn cell has no choice of feedback"),
        ({"cell": "output-to-hidden", "layers": 2}, "one layer"),
        ({"cell": "output-to-hidden", "tie_weights": True}, "readout inside"),
        ({"cell": "output-to-hidden", "teacher_forcing": 1.1}, "teacher_forcing=1.1"),
        ({"cell": "output-to-hidden", "forcing_end": -0.1}, "forcing_end=-0.1"),
        ({"cell": "output-to-hidden", "forcing_schedule": "liner"}, "'linear'"),
        ({"cell": "output-to-hidden", "feedback": "softmx"}, "'softmax'"),
        ({"cell": "output-to-hidden", "feedback": "sample"}, "never sees the text"),
    ],
)
def test_bad_settings_are_named(settings, names):
    with pytest.raises(InputError, match=names):
        LanguageModel(**{"cell": "gru", **settings}, vocab=9)

"""A recurrent model of a series: what its losses are, and that it is one model however it is run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bptt
from bptt.data.series import SeriesPart
from bptt.errors import ContractError, InputError
from bptt.metrics import MAE, PERPLEXITY, RMSE, Score
from bptt.models import SeriesModel
from bptt.models.series import CELLS, absolute, squared
from bptt.types import Window


def test_losses_pass_over_what_is_not_known():
    outputs = torch.tensor([[[1.0, 2.0, 3.0]]], dtype=torch.float64)
    targets = torch.tensor([[[[4.0, 1.0], [0.0, 0.0], [1.0, 1.0]]]], dtype=torch.float64)
    assert squared(outputs, targets).item() == pytest.approx((9 + 4) / 3) and absolute(
        outputs, targets
    ).item() == pytest.approx((3 + 2) / 3)
    leaf = outputs.clone().requires_grad_()
    squared(leaf, targets).sum().backward()
    assert leaf.grad.flatten().tolist() == pytest.approx([-2.0, 0.0, 4 / 3])


@pytest.mark.parametrize("cell", CELLS)
def test_step_forward_states_and_evaluation_agree(cell):
    torch.manual_seed(0)
    layers = 1 if cell == "output-to-hidden" else 2
    model = SeriesModel(cell, inputs=3, outputs=2, hidden_size=5, layers=layers, dropout=0.3).double()
    model.eval()
    x = torch.randn(1, 9, 3, dtype=torch.float64)
    whole, _ = model(x)
    state, before = model.initial_state(1), model.states(x)
    for t in range(9):
        for leaf, stored in zip(bptt.nest.leaves(state), bptt.nest.leaves(before), strict=True):
            torch.testing.assert_close(stored[:, t], leaf, rtol=1e-12, atol=1e-12)
        said, state = model.step(x[:, t], state)
        torch.testing.assert_close(said, whole[:, t], rtol=1e-12, atol=1e-12)
    targets = torch.randn(9, 2, 2, dtype=torch.float64)
    targets[..., 1] = (targets[..., 1] > 0).double()
    counts = np.arange(9) % 4 != 2
    model.train()
    score = model.evaluate(SeriesPart(x[0].numpy(), targets.numpy(), counts), chunk=4)
    wanted = squared(whole, targets[None])[0, :8][torch.from_numpy(counts[:8])].sum().item()
    assert score.tokens == int(counts[:8].sum()) and score.nats == pytest.approx(wanted, rel=1e-12) and model.training


def test_it_is_an_unroll_like_any_other():
    torch.manual_seed(1)
    model = SeriesModel("lstm", inputs=2, outputs=3, hidden_size=4).double()
    unroll = model.unroll(per=7.0)
    targets = torch.stack([torch.randn(2, 6, 3), torch.ones(2, 6, 3)], -1).double()
    window = Window.of(torch.randn(2, 6, 2).double(), targets)
    loss, _ = unroll.segment(window, unroll.initial_state(2))
    unroll.backward(loss)
    name, parameter = next(iter(model.named_parameters()))
    eps, flat = 1e-6, parameter.data.view(-1)
    flat[3] += eps
    high = unroll.segment(window, unroll.initial_state(2))[0].item()
    flat[3] -= 2 * eps
    low = unroll.segment(window, unroll.initial_state(2))[0].item()
    assert parameter.grad.view(-1)[3].item() == pytest.approx((high - low) / (2 * eps) / 7, rel=1e-6), name


def test_described_and_built_again():
    model = SeriesModel("gru", inputs=2, outputs=3, hidden_size=4, loss="absolute")
    again = SeriesModel.from_json(model.to_json())
    assert (
        again.settings == model.settings
        and again.measure is MAE
        and [p.shape for p in again.parameters()] == [p.shape for p in model.parameters()]
    )
    own = SeriesModel(torch.nn.GRUCell(2, 4), inputs=2, outputs=3, hidden_size=4)
    assert own(torch.randn(2, 5, 2))[0].shape == (2, 5, 3)
    with pytest.raises(ContractError, match="GRUCell"):
        own.to_json()


def test_what_cannot_be_is_refused():
    for wrong, words in (
        ({"cell": "gruu"}, "Did you mean 'gru'"),
        ({"cell": "gru", "nonlinearity": "relu"}, "rnn"),
        ({"cell": "gru", "hidden_size": 0}, "hidden_size=0"),
        ({"cell": "gru", "loss": "huber"}, "loss='huber'"),
        ({"cell": "gru", "dropout": 1.0}, "dropout=1.0"),
    ):
        with pytest.raises(InputError, match=words):
            SeriesModel(**wrong, inputs=1, outputs=1)
    with pytest.raises(ContractError, match="look ahead"):
        SeriesModel(torch.nn.GRU(1, 4, bidirectional=True, batch_first=True), inputs=1, outputs=1, hidden_size=8)


def test_measures():
    assert PERPLEXITY.figures(0.0) == {"nats": 0.0, "perplexity": 1.0}
    assert set(PERPLEXITY.facts(Score(2.0, 1, 4))) == {"nats", "perplexity", "bits_per_token", "bits_per_character"}
    assert RMSE.figures(4.0, "train_") == {"train_mean_loss": 4.0, "train_rmse": 2.0} and MAE.of(3.0) == 3.0
    assert RMSE.of(float("nan")) != RMSE.of(float("nan"))

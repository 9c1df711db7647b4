"""`fit` against a plain loop of torch's own parts: same parameters, same data, same optimiser, update by update."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from small_run import make_corpus, make_model, train
from torch import Tensor, nn
from torch.nn import functional

import bptt

LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.001),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "lr": 0.2, "momentum": 0.9, "clip": 0.25},
    "adam": {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.001, "clip": 1.0},
}


def plain_copy(model: bptt.LanguageModel, cell: str) -> tuple[nn.Embedding, nn.Module, nn.Linear]:
    """torch's own parts with the parameters of `model`."""
    embedding, readout = nn.Embedding(model.size, 6).double(), nn.Linear(6, model.size).double()
    layer = LAYERS[cell](6, 6, batch_first=True).double()
    named = {name: value.detach().double() for name, value in model.named_parameters()}
    embedding.load_state_dict({"weight": named["encode.table.weight"]})
    readout.load_state_dict({name: named[f"readout.linear.{name}"] for name in ("weight", "bias")})
    layer.load_state_dict({name: named[f"recurrent.{name}"] for name in layer.state_dict()})
    return embedding, layer, readout


def windows(steps: int, epochs: int) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """Inputs, targets and whether an epoch begins, in the order in which a run of seed 11 reads them."""
    stream = make_corpus().train.stream(3, steps, seed=11)
    for _ in range(epochs):
        yield from ((window.inputs, window.targets, bool(window.reset.any())) for window in stream)


def pieces(steps: int, k: int, epochs: int) -> Iterator[tuple[Tensor, Tensor, list[bool]]]:
    """Stretches of k steps, whatever the windows: the last may be shorter. And at which of its steps a row starts anew."""
    parts = list(windows(steps, epochs))
    inputs, targets = (torch.cat([part[i] for part in parts], 1) for i in (0, 1))
    resets = [first and t == 0 for x, _, first in parts for t in range(x.shape[1])]
    for start in range(0, inputs.shape[1], k):
        yield inputs[:, start : start + k], targets[:, start : start + k], resets[start : start + k]


def plain_losses(model: bptt.LanguageModel, cell: str, name: str, steps: int, k: int, epochs: int) -> list[tuple[float, float]]:
    """Mean loss and gradient norm of every update of the plain loop."""
    embedding, layer, readout = plain_copy(model, cell)
    parameters = [*embedding.parameters(), *layer.parameters(), *readout.parameters()]
    optimizer, clip = OPTIMIZERS[name](parameters), SETTINGS[name]["clip"]
    state: Any = None
    found = []
    for inputs, targets, resets in pieces(steps, k, epochs):
        outputs = []
        starts = sorted({0, *(t for t, reset in enumerate(resets) if reset)})
        for a, b in itertools.pairwise([*starts, len(resets)]):
            state = None if resets[a] else state
            output, state = layer(embedding(inputs[:, a:b]), state)
            outputs.append(output)
        scores = readout(torch.cat(outputs, 1))
        loss = functional.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="sum")
        optimizer.zero_grad()
        (loss / (3 * k)).backward()
        norm = nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        found.append((float(loss.detach()) / targets.numel(), float(norm)))
    return found


@pytest.mark.parametrize(("steps", "k"), [(17, 5), pytest.param(17, 17, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("cell", "name"),
    [
        *(("rnn", "sgd"), ("lstm", "adam"), ("gru", "sgd")),
        *(pytest.param(*pair, marks=pytest.mark.slow) for pair in (("rnn", "adam"), ("lstm", "sgd"), ("gru", "adam"))),
    ],
)
def test_fit_equals_a_plain_loop_with_detach(cell: str, name: str, steps: int, k: int) -> None:
    """200 updates and more: losses and gradient norms to 1e-9."""
    epochs = 27 if k == 17 else 8
    model = make_model(cell, dropout=0.0)
    wanted = plain_losses(model, cell, name, steps, k, epochs)
    told: list[Any] = []
    settings = {**SETTINGS[name], "gradient": bptt.Truncated(k), "steps": steps, "epochs": epochs, "sample_every": 0}
    corpus = make_corpus(valid=0)
    train(None, model=model, corpus=corpus, schedule="constant", dtype="float64", listeners=[told.append], **settings)
    steps_told = [event for event in told if event["event"] == "step"]
    assert len(steps_told) == len(wanted) >= 200
    if name == "sgd":
        assert sum(event["clipped"] for event in steps_told) > 20
    for event, (loss, norm) in zip(steps_told, wanted, strict=True):
        assert event["loss"] == pytest.approx(loss, rel=1e-9)
        assert event["grad_norm"] == pytest.approx(norm, rel=1e-7)

"""One of every kind of recurrent module. Small tensors run faster on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bptt.nn
from bptt.nn import Layer, adapt


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread and a fixed seed for every test."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


class Counted(nn.Module):
    """A user's cell: a nested state with a pair, a learned initial state and an integer counter that changes the step."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.inner, self.slow = nn.Linear(inputs + hidden, hidden), nn.Linear(hidden, hidden, bias=False)
        self.first = nn.Parameter(torch.randn(hidden) * 0.3)

    def initial_state(self, batch_size: int) -> dict[str, Any]:
        h = self.first.expand(batch_size, -1)
        return {"pair": (h, h.tanh()), "count": torch.zeros(batch_size, dtype=torch.int64)}

    def forward(self, x: Tensor, state: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        (h, m), count = state["pair"], state["count"] + 1
        m = 0.7 * m + self.slow(h) / count.unsqueeze(1)
        h = torch.tanh(self.inner(torch.cat([x, h], 1)) + m)
        return h * m, {"pair": (h, m), "count": count}


class OwnLayer(nn.Module):
    """A layer that somebody else wrote to the contract, over a cell of ours; it names neither noise nor lengths."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.body = adapt(Counted(inputs, hidden))

    def initial_state(self, batch_size: int) -> Any:
        return self.body.initial_state(batch_size)

    def forward(self, x: Tensor, state: Any, *, reset: Any = None, edge: Any = None) -> tuple[Tensor, Any]:
        return self.body(x, state, reset=reset, edge=edge)


IN, H = 3, 5
KINDS: dict[str, Callable[[], nn.Module]] = {
    "rnn": lambda: bptt.nn.RNN(IN, H, 2, "identity"),
    "lstm": lambda: bptt.nn.LSTM(IN, H, 2, batch_first=True),
    "gru": lambda: bptt.nn.GRU(IN, H, 3),
    "torch rnn": lambda: nn.RNN(IN, H, 2, batch_first=True),
    "torch lstm": lambda: nn.LSTM(IN, H, 2, proj_size=2),
    "torch gru": lambda: nn.GRU(IN, H),
    "torch rnn cell": lambda: nn.RNNCell(IN, H, nonlinearity="relu"),
    "torch lstm cell": lambda: nn.LSTMCell(IN, H, bias=False),
    "torch gru cell": lambda: nn.GRUCell(IN, H),
    "cell": lambda: Counted(IN, H),
    "layer": lambda: OwnLayer(IN, H),
    "tdnn": lambda: bptt.nn.TDNN(IN, H, 2, 3, (2, 1), "relu"),
    "lru": lambda: bptt.nn.LRU(IN, H, 2, 3, "tanh"),
    "mingru": lambda: bptt.nn.MinGRU(IN, H, 2),
    "output to hidden": lambda: bptt.nn.OutputToHidden(IN, 4, H, feedback="softmax"),
    "forced": lambda: bptt.nn.OutputToHidden(IN - 1, H, 1, teacher=True, forcing=1.0),
    "stack": lambda: bptt.nn.Stack(Counted(IN, 4), nn.LSTMCell(4, H), bptt.nn.GRU(H, 2)),
}


@pytest.fixture(params=list(KINDS))
def layer(request: pytest.FixtureRequest) -> Layer:
    """Every kind of recurrent module, adapted, in float64."""
    return adapt(KINDS[request.param]().double())


@pytest.fixture(params=[kind for kind in KINDS if kind not in ("torch rnn", "torch lstm", "torch gru")])
def transformable(request: pytest.FixtureRequest) -> Layer:
    """Every kind that jvp, vmap and jacrev pass through: torch's own layers refuse to be batched."""
    return adapt(KINDS[request.param]().double())

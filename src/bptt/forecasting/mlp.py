"""Autoregression by a small network: the textbook's, to the letter where nothing else is asked for.

One hidden layer of ReLU units, weights Xavier-uniform, squared error summed over a batch without ½, Adam at 0.01, five
epochs of shuffled batches of 16. Source: Zhang, Lipton, Li, Smola, Dive into Deep Learning, section 9.1.

Knows rows and what follows them; must not know series. Nothing here goes through time, so it needs no gradient strategy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bptt.data.series import Series
from bptt.errors import DivergedError, InputError
from bptt.forecasting.autoregression import Autoregression
from bptt.forecasting.method import How

CHOICE: dict[str, Any] = {"hidden_size": 10, "epochs": 5, "batch_size": 16, "lr": 0.01, "seed": 0, "dtype": "float32"}


class MLP(Autoregression):
    """y_t = W₂ relu(W₁ [y_{t−τ} … y_{t−1}] + b₁) + b₂."""

    about: str = "one hidden layer on the lags"
    takes = Autoregression.takes | CHOICE.keys()

    net: nn.Sequential

    def __init__(self, how: How) -> None:
        super().__init__(how)
        self.chosen = {**CHOICE, **self._taken(how.model, how.training)}
        if self.chosen["dtype"] not in ("float32", "float64"):
            given = f"dtype={self.chosen['dtype']!r}"
            raise InputError("The mlp computes in float32 or float64", given, "Give one of them, or leave it out")

    def settled(self, train: int) -> dict[str, Any]:
        """Its own choices beside what was given."""
        return {**super().settled(train), **self.chosen}

    def learn(self, rows: np.ndarray, following: np.ndarray) -> None:
        """Shuffled batches, summed squared error, Adam. Draws from a generator of its own, keyed by the seed."""
        c = self.chosen
        random = torch.Generator().manual_seed(c["seed"])
        dtype = getattr(torch, c["dtype"])
        self.net = network(rows.shape[1], c["hidden_size"], following.shape[1], random, dtype)
        x, y = torch.from_numpy(rows).to(dtype), torch.from_numpy(following).to(dtype)
        train(self.net, x, y, c["epochs"], c["batch_size"], c["lr"], random)
        if not all(bool(torch.isfinite(p).all()) for p in self.net.parameters()):
            raise DivergedError("The network's weights are no longer finite", "model mlp", "Lower the learning rate")

    def tell(self, rows: np.ndarray) -> np.ndarray:
        """The network, in its own precision."""
        with torch.no_grad():
            return self.net(torch.from_numpy(rows).to(self.net[0].weight.dtype)).double().numpy()  # type: ignore[arg-type]

    def to_json(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return super().to_json()[0], {name: value.numpy() for name, value in self.net.state_dict().items()}

    def restore(self, series: Series, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        super().restore(series, plain, arrays)
        weights = {name: torch.tensor(value) for name, value in arrays.items()}
        (hidden, inputs), outputs = weights["0.weight"].shape, len(weights["2.weight"])
        self.net = network(inputs, hidden, outputs, torch.Generator(), weights["0.weight"].dtype)
        self.net.load_state_dict(weights)


def network(inputs: int, hidden: int, outputs: int, random: torch.Generator, dtype: torch.dtype) -> nn.Sequential:
    """Two layers with ReLU between; weights Xavier-uniform, biases as torch draws them, U(−1/√in, 1/√in)."""
    empty = nn.utils.skip_init  # what torch would draw comes from the generator that everybody shares
    net = nn.Sequential(
        empty(nn.Linear, inputs, hidden, dtype=dtype), nn.ReLU(), empty(nn.Linear, hidden, outputs, dtype=dtype)
    )
    for layer in (net[0], net[2]):
        nn.init.xavier_uniform_(layer.weight, generator=random)  # type: ignore[arg-type]
        bound = 1 / math.sqrt(layer.in_features)  # type: ignore[arg-type]
        nn.init.uniform_(layer.bias, -bound, bound, generator=random)  # type: ignore[arg-type]
    return net


def train(net: nn.Module, x: Tensor, y: Tensor, epochs: int, batch: int, rate: float, random: torch.Generator) -> None:
    """Adam on Σ ‖net(x) − y‖² of each batch; the last batch of an epoch may be smaller."""
    adam = torch.optim.Adam(net.parameters(), lr=rate)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=random).split(batch):
            adam.zero_grad()
            (net(x[rows]) - y[rows]).square().sum().backward()
            adam.step()

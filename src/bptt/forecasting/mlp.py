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
from bptt.errors import DivergedError
from bptt.forecasting.autoregression import Autoregression

HIDDEN, EPOCHS, BATCH, RATE = 10, 5, 16, 0.01


class MLP(Autoregression):
    """y_t = W₂ relu(W₁ [y_{t−τ} … y_{t−1}] + b₁) + b₂."""

    about: str = "one hidden layer on the lags"

    net: nn.Sequential

    def learn(self, rows: np.ndarray, following: np.ndarray) -> None:
        """Shuffled batches, summed squared error, Adam. Draws from a generator of its own, keyed by the seed."""
        t = self.how.training
        random = torch.Generator().manual_seed(t.get("seed", 0))
        dtype = torch.float64 if t.get("dtype") == "float64" else torch.float32
        self.net = network(rows.shape[1], self.how.model.get("hidden_size", HIDDEN), following.shape[1], random, dtype)
        x, y = torch.from_numpy(rows).to(dtype), torch.from_numpy(following).to(dtype)
        train(self.net, x, y, t.get("epochs", EPOCHS), t.get("batch_size", BATCH), t.get("lr", RATE), random)
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

"""One way to make every recurrence, with random weights, non-zero states and odd sizes."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from bptt.kernels.readable import READABLE

GATES = {"elman": 1, "lstm": 4, "gru": 3}
B, T, H = 3, 7, 5


class Case(NamedTuple):
    """A kernel with its arguments; `leaves` of the state make the state."""

    function: Any
    projected: Tensor
    leaves: list[Tensor]
    weights: list[Tensor]
    extra: dict[str, Any]

    def state(self, leaves: list[Tensor] | None = None) -> Any:
        leaves = self.leaves if leaves is None else leaves
        return leaves[0] if len(leaves) == 1 else tuple(leaves)

    def __call__(self, projected: Tensor, leaves: list[Tensor], **masks: Any) -> tuple[Tensor, list[Tensor]]:
        y, state = self.function(projected, self.state(leaves), *self.weights, **masks, **self.extra)
        return y, [state] if isinstance(state, Tensor) else list(state)

    def inputs(self) -> list[Tensor]:
        return [self.projected, *self.leaves, *self.weights]


@pytest.fixture(params=["tanh", "relu", "identity", "lstm", "gru", "gru-plain", "lstm-plain", "tanh-plain"])
def case(request: pytest.FixtureRequest) -> Case:
    """Every recurrence, with a recurrent bias and without ("-plain")."""
    torch.manual_seed(1)
    name, _, plain = request.param.partition("-")
    cell = name if name in GATES else "elman"

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    size = GATES[cell] * H
    weights = [random(size, H)] + ([] if plain else [random(size)])
    extra = {"nonlinearity": name} if cell == "elman" else {}
    function = READABLE[cell]
    return Case(function, random(B, T, size), [random(B, H) for _ in range(2 if cell == "lstm" else 1)], weights, extra)

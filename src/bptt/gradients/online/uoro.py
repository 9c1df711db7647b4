"""Unbiased online recurrent optimisation: the influence as one random product of two vectors, right on average."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from bptt.gradients.online.forward import Influence, Online
from bptt.gradients.online.rows import norms, per_row, products, ravel, reached
from bptt.gradients.references import TALLEC_OLLIVIER_2018
from bptt.gradients.settings import generator, seed_number
from bptt.types import State, Unroll, Window

TINY = 1e-7  # keeps the balance of two norms finite where one of them is 0


@dataclasses.dataclass(frozen=True)
class UORO(Online):
    """RTRL whose influence is a random product of two vectors: its expectation is the exact gradient, at the cost of a step.

    M_t ≈ s_t ⊗ θ_t,   ν_t ∈ {−1, 1}ⁿ random,   D_t = ∂h_t/∂h_{t−1},   I_t = ∂h_t/∂θ with h_{t−1} fixed
    s_t = ρ₀ D_t s_{t−1} + ρ₁ ν_t,   θ_t = θ_{t−1}/ρ₀ + (ν_tᵀ I_t)/ρ₁
    ρ₀ = √(‖θ_{t−1}‖ / ‖D_t s_{t−1}‖),   ρ₁ = √(‖ν_tᵀ I_t‖ / ‖ν_t‖)
    ∂l_t/∂θ ≈ (∂l_t/∂θ with h_{t−1} fixed) + (∂l_t/∂h_{t−1} · s_{t−1}) θ_{t−1}

    The factors ρ keep both vectors of one size; 1e-7 is added to every norm. Each row of a batch has vectors of its own: one
    pair for all rows would be right on average as well, and noisier. Where nothing goes on, D_t s_{t−1} = 0, as at a reset,
    θ_{t−1} is forgotten with it.

    The noise grows with the number of units, so take a small learning rate, and rows: it averages out over both. Parameters
    that the state does not depend on, such as the readout's, get their exact gradient. At changing parameters what is carried
    is that of the old ones, as with `RTRL`.

    Arguments:
        every  steps between two updates, counted by stream position
        seed   of the signs, which depend on the position in the stream and nothing else

    >>> UORO(seed=3).nominal(35)
    1
    """

    every: int = 1
    seed: int = 0

    exact: ClassVar[bool] = False
    unbiased: ClassVar[bool] = True
    random: ClassVar[bool] = True
    omits: ClassVar[str] = "nothing on average, while the parameters stand still"
    cost: ClassVar[str] = "about three times a forward and a backward, per row and step"
    memory: ClassVar[str] = "O(n + P) per row, whatever the length"
    reference: ClassVar[str] = TALLEC_OLLIVIER_2018

    def __post_init__(self) -> None:
        super().__post_init__()
        seed_number(self.seed)

    def signs(self, position: int, rows: int, states: int) -> Tensor:
        """ν [B, n], each −1 or 1: a draw that depends on the seed and the position."""
        return torch.from_numpy(generator(self.seed, position).integers(0, 2, (rows, states)) * 2 - 1)

    def credit(self, unroll: Unroll, pull: Tensor, influence: Influence) -> dict[str, Tensor]:
        """Σ_b (q[b] · s[b]) θ[b]."""
        if not influence:
            return {}
        along = (pull * influence["state"]).sum(1)
        return {name: torch.einsum("b,b...->...", along.to(block.dtype), block) for name, block in influence["blocks"].items()}

    def moved(
        self, unroll: Unroll, step: Window, state: State, after: State, influence: Influence, position: int
    ) -> dict[str, Any]:
        """Both vectors after the step."""
        vector = ravel(state)
        signs = unroll.draw(len(vector), lambda rows: self.signs(position, rows, vector.shape[1])).to(vector)
        held: Mapping[str, Tensor] = influence.get("blocks", {})
        names = list(dict.fromkeys([*held, *reached(unroll, after)]))
        along = influence.get("state", torch.zeros_like(vector))
        ahead, fresh = products(unroll, names, step, state, along, signs)
        old = {name: held.get(name, torch.zeros_like(block)) for name, block in fresh.items()}
        alive = ahead.any(1).to(vector)
        keep = torch.sqrt((norms(old.values(), vector) + TINY) / (norms([ahead], vector) + TINY))
        take = torch.sqrt((norms(fresh.values(), vector) + TINY) / (norms([signs], vector) + TINY))
        blocks = {name: per_row(alive / keep, block) + per_row(1 / take, fresh[name]) for name, block in old.items()}
        return {"state": per_row(keep, ahead) + per_row(take, signs), "blocks": blocks}

"""Kronecker-factored RTRL: the influence of an Elman layer as one random Kronecker product, right on average."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from bptt.errors import InputError
from bptt.gradients.online.forward import Influence, Online
from bptt.gradients.online.inside import apart, learned, only_elman
from bptt.gradients.online.rows import norms, per_row, reached, trained
from bptt.gradients.references import MUJIKA_2018
from bptt.gradients.settings import generator, seed_number
from bptt.types import Entry, Local, State, Unroll, Window


@dataclasses.dataclass(frozen=True)
class KFRTRL(Online):
    """RTRL of one Elman layer whose influence is a random Kronecker product: exact on average, less noisy than `UORO`.

    M_t ≈ A_t ⊗ B_t,   â_t = [x_t; h_{t−1}; 1; 1],   D_t = ∂h_t/∂h_{t−1},   φ'_t the slope at each pre-activation
    A_t = ν₀ p₀ A_{t−1} + ν₁ p₁ â_t,   B_t = (ν₀/p₀) D_t B_{t−1} + (ν₁/p₁) diag(φ'_t),   ν_t ∈ {−1, 1}² random
    p₀ = √(‖D_t B_{t−1}‖ / ‖A_{t−1}‖),   p₁ = √(‖φ'_t‖ / ‖â_t‖)
    ∂l_t/∂W ≈ (∂l_t/∂W with h_{t−1} fixed) + (∂l_t/∂h_{t−1} B_{t−1}) ⊗ A_{t−1}

    In an Elman layer, leaky or not, what a step adds to the influence is one Kronecker product, â ⊗ diag(φ'); two signs merge
    it with the one that is there, and the cross terms vanish on average. Each row of a batch has factors and signs of its own.
    A factor p is 1 where one of its norms is 0; where nothing goes on, D B = 0, as at a reset, A is forgotten with it.

    The weights and biases of the layer are learned through time, parameters behind it, such as the readout's, get their exact
    gradient. InputError for other cells, for several layers (factors per layer would leave out what a layer does to those above
    it), and for parameters before the layer, such as an embedding: their influence is not of this form. At changing parameters
    what is carried is that of the old ones, as with `RTRL`.

    Arguments:
        every  steps between two updates, counted by stream position
        seed   of the signs, which depend on the position in the stream and nothing else

    >>> KFRTRL(seed=3).nominal(35)
    1
    """

    every: int = 1
    seed: int = 0

    exact: ClassVar[bool] = False
    unbiased: ClassVar[bool] = True
    random: ClassVar[bool] = True
    omits: ClassVar[str] = "nothing on average, while the parameters stand still"
    cost: ClassVar[str] = "an H×H by H×H product, per row and step"
    memory: ClassVar[str] = "O(H² + I) per row, whatever the length"
    reference: ClassVar[str] = MUJIKA_2018

    def __post_init__(self) -> None:
        super().__post_init__()
        seed_number(self.seed)

    def signs(self, position: int, rows: int) -> Tensor:
        """ν [B, 2], each −1 or 1: a draw that depends on the seed and the position."""
        return torch.from_numpy(generator(self.seed, position).integers(0, 2, (rows, 2)) * 2 - 1)

    def credit(self, unroll: Unroll, pull: Tensor, influence: Influence) -> dict[str, Tensor]:
        """Σ_b (q[b] B[b]) ⊗ A[b]."""
        if not influence:
            return {}
        units = torch.einsum("bn,bnh->bh", pull, influence["units"])
        return {name: torch.einsum("bh,b...->h...", units, part) for name, part in influence["sources"].items()}

    def moved(self, unroll: Unroll, step: Window, state: State, after: State, influence: Influence, position: int) -> Influence:
        """Both factors after the step."""
        layer = only_elman(apart(unroll, step, state, "KFRTRL"), "KFRTRL")
        entries = [entry for _, entry in learned([layer], list(trained(unroll)))]
        if not influence or step.reset.any():
            _require_no_others(reached(unroll, after), entries)
        slope = layer.recurrent.gain[:, 0, 0]
        units = torch.diag_embed(slope)
        sources = {entry.name: _source(entry) for entry in entries}
        signs = unroll.draw(len(slope), lambda rows: self.signs(position, rows)).to(slope)
        if not influence:
            influence = {"units": torch.zeros_like(units), "sources": {k: torch.zeros_like(v) for k, v in sources.items()}}
        ahead = _ahead(layer, influence["units"], step.reset[:, 0])
        old = influence["sources"]
        size = norms([ahead], slope)
        keep = _balance(size, norms(old.values(), slope))
        take = _balance(norms([units], slope), norms(sources.values(), slope))
        alive = (size > 0).to(slope)
        a, b = signs[:, 0] * keep * alive, signs[:, 1] * take
        return {
            "units": per_row(signs[:, 0] / keep, ahead) + per_row(signs[:, 1] / take, units),
            "sources": {name: per_row(a, old[name]) + per_row(b, fresh) for name, fresh in sources.items()},
        }


def _ahead(layer: Local, units: Tensor, reset: Tensor) -> Tensor:
    """D B [B, H, H], zeros for the rows that have just started anew."""
    weight, slope = layer.recurrent.parameter.detach(), layer.recurrent.gain[:, 0, 0]
    ahead = layer.own[:, 0, 0].unsqueeze(-1) * units + slope.unsqueeze(-1) * (weight @ units)
    return ahead.masked_fill(reset[:, None, None], 0)


def _source(entry: Entry) -> Tensor:
    """What a parameter is multiplied by: [B, m], or ones [B] for a bias."""
    return torch.ones_like(entry.gain[:, 0, 0, 0]) if entry.source is None else entry.source.detach().clone()


def _balance(units: Tensor, sources: Tensor) -> Tensor:
    """√(‖units‖ / ‖sources‖) of each row [B]; 1 where one of them is 0."""
    ratio = torch.sqrt(units / sources)
    return torch.where((units > 0) & (sources > 0), ratio, torch.ones_like(ratio))


def _require_no_others(names: list[str], entries: list[Entry]) -> None:
    """InputError for parameters that reach the state otherwise than as weights and biases of the layer."""
    others = [name for name in names if name not in [entry.name for entry in entries]]
    if others:
        raise InputError(
            "KFRTRL carries the influence of the recurrent layer's weights and biases alone, and others reach the state",
            ", ".join(others),
            "Feed the layer one-hot vectors (--embedding-size 0), freeze them, or take uoro, rtrl or truncated:k1=64",
        )

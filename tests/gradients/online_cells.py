"""Cells whose Jacobians have zeros, and which say so: units that stand in a ring, and units that stand alone."""

from __future__ import annotations

import torch
from torch import nn

from bptt.structure import NOTHING, Structure, rows


class Ring(nn.Module):
    """h' = tanh((K ∘ W) h + V x + b), K a ring: unit i reads itself and unit i − 1."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(units, units))
        self.v = nn.Parameter(torch.randn(units, inputs))
        self.b = nn.Parameter(torch.randn(units))
        self.register_buffer("keep", torch.eye(units) + torch.eye(units).roll(1, 0))

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, len(self.b), dtype=self.b.dtype)

    def forward(self, x, h):
        h = torch.tanh(h @ (self.w * self.keep).t() + x @ self.v.t() + self.b)
        return h, h

    def structure(self):
        units, keep = len(self.b), self.keep != 0
        moves = {"w": torch.where(keep, rows(self.w, units), NOTHING), "v": rows(self.v, units), "b": torch.arange(units)}
        return Structure(torch.arange(units), moves, keep)


class Spiral(nn.Module):
    """z' = λ z + V x + b with complex λ, z: two numbers a unit, h = (Re z, Im z); no unit moves another."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.angle, self.decay = nn.Parameter(torch.rand(units) * 3), nn.Parameter(torch.rand(units))
        self.v = nn.Parameter(torch.randn(2, units, inputs) * 0.5)

    def initial_state(self, batch_size):
        zeros = torch.zeros(batch_size, len(self.angle), dtype=self.angle.dtype)
        return zeros, zeros.clone()

    def forward(self, x, state):
        (re, im), size = state, torch.sigmoid(self.decay + 1)
        cos, sin = size * torch.cos(self.angle), size * torch.sin(self.angle)
        re, im = cos * re - sin * im + x @ self.v[0].t(), sin * re + cos * im + x @ self.v[1].t()
        return torch.tanh(torch.cat([re, im], 1)), (re, im)

    def structure(self):
        units = torch.arange(len(self.angle))
        moves = {"angle": units, "decay": units, "v": units.unsqueeze(1).expand(self.v.shape)}
        return Structure(units.repeat(2), moves)

"""The Jacobians of one step of the Elman, LSTM and GRU recurrences in closed form, unit by unit.

Knows gates; must not know modules or what Jacobians are wanted for. A unit's next state depends on its own gates, and through
them on everything else: what is here are the derivatives by the gates, from which those by weights are products with what a
weight reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Slopes(NamedTuple):
    """Derivatives of the m numbers of every unit after a step, u the unit and i the number.

    by_x  [B, m, G, H] by the part of gate g that inputs give, p_t = x W_ihᵀ + b_ih
    by_h  [B, m, G, H] by the part that the state gives, h_{t−1} W_hhᵀ + b_hh
    leak  [B, m, m, H] by the unit's own numbers, the gates held fixed
    """

    by_x: Tensor
    by_h: Tensor
    leak: Tensor


def elman(projected: Tensor, recurrent: Tensor, state: tuple[Tensor, ...], nonlinearity: str = "tanh") -> Slopes:
    """h' = φ(p + q): φ'(p + q). Arguments: projected p, recurrent q, [B, H]; state (h,)."""
    a = projected + recurrent
    slope = {"tanh": lambda: 1 - a.tanh().square(), "relu": lambda: (a > 0).to(a), "identity": lambda: torch.ones_like(a)}
    by = slope[nonlinearity]().unsqueeze(1).unsqueeze(1)
    return Slopes(by, by, torch.zeros_like(by))


def lstm(projected: Tensor, recurrent: Tensor, state: tuple[Tensor, ...]) -> Slopes:
    """c' = f c + i g, h' = o tanh c'. Arguments: projected, recurrent [B, 4H] in the order i, f, g, o; state (h, c)."""
    c = state[1]
    a_i, a_f, a_g, a_o = (projected + recurrent).chunk(4, 1)
    i, f, g, o = a_i.sigmoid(), a_f.sigmoid(), a_g.tanh(), a_o.sigmoid()
    out = (f * c + i * g).tanh()
    by_c = torch.stack([g * i * (1 - i), c * f * (1 - f), i * (1 - g.square()), torch.zeros_like(o)], 1)
    through = o * (1 - out.square())
    by_h = through.unsqueeze(1) * by_c
    by_h[:, 3] = out * o * (1 - o)
    by, zero = torch.stack([by_h, by_c], 1), torch.zeros_like(f)
    return Slopes(by, by, torch.stack([torch.stack([zero, through * f], 1), torch.stack([zero, f], 1)], 1))


def gru(projected: Tensor, recurrent: Tensor, state: tuple[Tensor, ...]) -> Slopes:
    """n = tanh(p_n + r q_n), h' = n + z (h − n). Arguments: projected, recurrent [B, 3H] in the order r, z, n; state (h,)."""
    (p_r, p_z, p_n), (q_r, q_z, q_n), (h,) = projected.chunk(3, 1), recurrent.chunk(3, 1), state
    r, z = (p_r + q_r).sigmoid(), (p_z + q_z).sigmoid()
    n = (p_n + r * q_n).tanh()
    by_n = (1 - z) * (1 - n.square())
    by_r, by_z = by_n * q_n * r * (1 - r), (h - n) * z * (1 - z)
    by_x, by_h = (torch.stack([by_r, by_z, new], 1).unsqueeze(1) for new in (by_n, by_n * r))
    return Slopes(by_x, by_h, z.unsqueeze(1).unsqueeze(1))


SLOPES: dict[str, Callable[..., Slopes]] = {"elman": elman, "lstm": lstm, "gru": gru}

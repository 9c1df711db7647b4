"""How fast products of Jacobians grow along a stretch.

Knows the `Unroll` protocol; must not know which strategy asks.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from bptt import nest
from bptt.gradients.pull import pulled
from bptt.types import State, Unroll, Window

PULLS = 8  # how often a vector is sent through the product; the first half is there to turn it


def growth_rate(unroll: Unroll, window: Window, state: State, draws: np.random.Generator) -> float | None:
    """ρ ≈ ϱ(D_T … D_1)^(1/T), ϱ the spectral radius: the growth per step of products of Jacobians, were these steps repeated.

    By power iteration: a random vector is pulled through the product again and again, and what it gains once it has turned is
    averaged (log) over pulls and rows. One pull would be far too low, as a random vector has little in the leading direction.

    Rows that reset on the way are left out. None if no row is left, on any process, or the state carries no gradient. Adds
    nothing to `.grad`.
    """
    alive = ~window.reset.any(1)
    if not unroll.agree(alive.sum().double()):
        return None
    start = nest.as_leaves(state)
    _, end = unroll.segment(window, start)
    pairs = [pair for pair in zip(nest.leaves(start), nest.leaves(end), strict=True) if nest.is_float(pair[0])]
    sources, ends = [source for source, _ in pairs], [end for _, end in pairs]
    if not any(leaf.requires_grad for leaf in ends):
        return None
    vector = [_drawn(unroll, leaf, draws) for leaf in ends]
    gains = []
    for _ in range(PULLS):
        vector, gain = _gained(ends, sources, vector)
        gains.append(gain[alive].double().log())
    turned = torch.stack(gains[PULLS // 2 :])
    total, count = unroll.agree(torch.stack([turned.sum(), turned.new_tensor(turned.numel())])).tolist()
    return math.exp(total / count / window.steps)


def _drawn(unroll: Unroll, leaf: Tensor, draws: np.random.Generator) -> Tensor:
    """A random vector for every row of `leaf` [B, …]."""
    return unroll.draw(len(leaf), lambda rows: torch.from_numpy(draws.standard_normal((rows, *leaf.shape[1:])))).to(leaf)


def _gained(ends: list[Tensor], sources: list[Tensor], vector: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """What flows back from the ends to the sources for a vector of unit norm in each row, and the norm [B] it has then."""
    norms = _norms(vector)
    found = pulled(ends, sources, [leaf / nest.align(norms, leaf) for leaf in vector], keep=True)
    return found, _norms(found)


def _norms(leaves: list[Tensor]) -> Tensor:
    """The norm of each row [B] over all leaves, kept above 0: where nothing flows, the growth is next to nothing."""
    norms = torch.cat([leaf.flatten(1) for leaf in leaves], 1).norm(dim=1)
    return norms.clamp_min(torch.finfo(norms.dtype).tiny)

"""Paired rounds: in each, every peer is timed once, in random order, so that noise hits all alike.

Knows clocks; must not know what is timed.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping
from typing import Protocol

import torch
from sizes import GATES, Size

LEAST = 0.03  # seconds that one measurement lasts at least
PAUSE = 0.005  # long enough for the idle threads of the peer before to fall asleep


class Timed(Protocol):
    """Anything that can say how long it takes."""

    def time(self, repeats: int) -> float:
        """Seconds per run."""


class Products:
    """The bar: torch's large products at the shapes of the layer. Their flops together are those of forward and backward."""

    def __init__(self, size: Size) -> None:
        many, gates, width = size.steps * size.rows, GATES[size.cell] * size.units, size.units + size.inputs
        self.flops, self.rate = size.product, 0.0
        x, z, w = torch.randn(many, width), torch.randn(many, gates), torch.randn(gates, width)
        self.pairs = [(x, w.t(), torch.empty_like(z)), (z, w, torch.empty_like(x)), (z.t(), x, torch.empty_like(w))]

    def time(self, repeats: int) -> float:
        """Seconds of all; the best rate of any, in flops per second, stays in `rate`."""
        total = 0.0
        for left, right, out in self.pairs:
            started = time.perf_counter()
            for _ in range(repeats):
                torch.mm(left, right, out=out)
            seconds = (time.perf_counter() - started) / repeats
            self.rate = max(self.rate, self.flops / seconds)
            total += seconds
        return total


def rounds(peers: Mapping[str, Timed], count: int) -> list[dict[str, float]]:
    """Seconds per run of every peer, in so many rounds."""
    for peer in peers.values():
        peer.time(1)
    repeats = {name: max(1, round(LEAST / peer.time(1))) for name, peer in peers.items()}
    order, found = list(peers), []
    for _ in range(count):
        random.shuffle(order)
        seconds = {}
        for name in order:
            time.sleep(PAUSE)
            if repeats[name] > 1:
                peers[name].time(1)  # caches still hold what the peer before used
            seconds[name] = peers[name].time(repeats[name])
        found.append(seconds)
    return found


def medians(found: list[dict[str, float]]) -> dict[str, float]:
    """Seconds by peer."""
    return {name: statistics.median(seconds[name] for seconds in found) for name in found[0]}


def ratio(found: list[dict[str, float]], slow: str, fast: str) -> float:
    """How many times faster, the median over the rounds."""
    return statistics.median(seconds[slow] / seconds[fast] for seconds in found)

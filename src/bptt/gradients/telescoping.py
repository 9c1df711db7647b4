"""Randomised telescoping sums: a random horizon, re-weighted such that the expected gradient is that of the largest one."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from bptt.errors import InputError, did_you_mean
from bptt.gradients.lags import Lags, Memory
from bptt.gradients.references import BEATSON_ADAMS_2019
from bptt.gradients.settings import generator, lag_count, seed_number

ESTIMATORS = ("single", "roulette")
RAREST = 2.0**-53  # a uniform number has so many digits: what is less probable would never be drawn, and the mean would miss it


@dataclasses.dataclass(frozen=True)
class Telescoping(Lags):
    """Sum, or single term, of the differences between longer and longer horizons, one draw N per window.

    Δ_n = g_{H_n} − g_{H_{n−1}},  Δ_0 = g_{H_0},  H_n = 2ⁿ + 1 terms, that is the lags 0 … 2ⁿ, the last one 0 … k

    single    Δ_N / q(N)                             one difference, N drawn with probability q
    roulette  Σ_{n ≤ N} Δ_n / P(N' ≥ n)              all up to N: costs as much as the largest of them, with less variance

    Arguments:
        k          the largest lag, at least 0
        estimator  "single" or "roulette"
        ratio      q(n) ∝ ratioⁿ, above 0: how much rarer each doubling of the horizon is. No q(n) may be below 2⁻⁵³
        seed       of the draws, which depend on the position of the window in the stream

    The expectation is the gradient of `PerOutput(k)`: no bias but that of the lags above k. Whole gradients are weighed, also
    of parameters that the state does not depend on (the readout's), as the estimator is defined.

    >>> Telescoping(k=8).horizons
    [1, 2, 4, 8]
    """

    k: int
    estimator: Literal["single", "roulette"] = "roulette"
    ratio: float = 0.5
    seed: int = 0

    random: ClassVar[bool] = True
    omits: ClassVar[str] = "the lags above k, on average nothing else"
    cost: ClassVar[str] = "as PerOutput up to the horizon drawn: on average fewer products"
    memory: ClassVar[str] = "O(T + k) states, and the internals of as many steps"
    reference: ClassVar[str] = BEATSON_ADAMS_2019

    def __post_init__(self) -> None:
        lag_count(self.k)
        if self.estimator not in ESTIMATORS:
            given = f"estimator={self.estimator!r}"
            raise InputError("There is no such estimator", given, did_you_mean(str(self.estimator), list(ESTIMATORS)))
        number = isinstance(self.ratio, int | float) and not isinstance(self.ratio, bool)
        if not number or not 0 < self.ratio < math.inf:
            raise InputError("ratio must be a number above 0", f"ratio={self.ratio!r}", "Try ratio=0.5")
        # First by logarithms, as a power of a large ratio may be no number any more.
        apart = abs(math.log(self.ratio)) * (len(self.horizons) - 1)
        if apart > -math.log(RAREST) or min(self.probabilities) < RAREST:
            given = f"ratio={self.ratio!r}, horizons 0 to {len(self.horizons) - 1}"
            raise InputError("With this ratio a horizon would never be drawn", given, "Give one nearer 1, such as ratio=0.5")
        seed_number(self.seed)

    @property
    def horizons(self) -> list[int]:
        """The largest lag of each horizon: 1, 2, 4, … below k, then k."""
        return [*itertools.takewhile(lambda lag: lag < self.k, (2**n for n in itertools.count())), self.k]

    @property
    def probabilities(self) -> list[float]:
        """q(n), the probability that the horizon drawn is the n-th."""
        raw = [self.ratio**n for n in range(len(self.horizons))]
        return [value / sum(raw) for value in raw]

    def draw(self, position: int) -> int:
        """N for the window at a position."""
        return int(generator(self.seed, position).choice(len(self.horizons), p=self.probabilities))

    def weights(self, memory: Memory) -> Sequence[float]:
        """For the horizon drawn here."""
        return self.weights_of(self.draw(memory["position"]))

    def weights_of(self, drawn: int) -> list[float]:
        """The weight of each lag when N = `drawn`: that of the difference it belongs to."""
        chances, found = self.probabilities, list[float]()
        for n, horizon in enumerate(self.horizons[: drawn + 1]):
            single = 1 / chances[n] if n == drawn else 0.0
            weight = single if self.estimator == "single" else 1 / sum(chances[n:])
            found += [weight] * (horizon + 1 - len(found))
        return found

    def info(self, weights: Sequence[float]) -> Mapping[str, float]:
        """The horizon drawn and the largest weight."""
        return {"k": len(weights) - 1, "weight": max(weights)}


def best_single(squares: Sequence[float], costs: Sequence[float]) -> np.ndarray:
    """The q of the single-sample estimator that makes variance × cost least: q(n) ∝ √(E‖Δ_n‖² / C_n).

    Arguments: squares, E‖Δ_n‖²; costs, C_n, in any unit. Returns probabilities [n]. Source: Beatson & Adams 2019, section 4.
    """
    raw = np.sqrt(np.asarray(squares, float) / np.asarray(costs, float))
    return raw / raw.sum()


def best_roulette(remainders: Sequence[float], costs: Sequence[float]) -> np.ndarray:
    """The survival probabilities of Russian roulette that make variance × cost least.

    Q_n = P(N ≥ n) ∝ √((E‖R_n‖² − E‖R_{n+1}‖²) / (C_n − C_{n−1})),  R_n = Σ_{m ≥ n} Δ_m,  Q_0 = 1

    Arguments: remainders, E‖R_n‖² for every n, R beyond the last being 0; costs, C_n, with nothing spent before the first.
    Returns survival probabilities [n]. Source: Beatson & Adams 2019, section 4.
    """
    squares, spent = np.asarray(remainders, float), np.asarray(costs, float)
    raw = np.sqrt((squares - np.append(squares[1:], 0.0)) / np.diff(spent, prepend=0.0))
    return raw / raw[0]

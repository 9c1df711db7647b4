"""How long a truncation must be for a given bias: a geometric tail behind measured credits.

Knows numbers only: norms of credits by lag and norms of truncated gradients; must not know how they were measured.
"""

from __future__ import annotations

import dataclasses

import numpy as np

BURN_IN = 2  # lags before the decay is fitted: the first ones do not follow it yet
TINY = 1e-300


@dataclasses.dataclass(frozen=True)
class Horizon:
    """What a bias costs: the number of terms K, the decay β per lag, the relative bias expected at K.

    capped  True where no K up to the largest allowed one keeps the bias, or where credits do not decay (β ≥ 1)
    """

    k: int
    decay: float
    bias: float
    capped: bool


def decay_of(credits: np.ndarray, burn_in: int = BURN_IN) -> float:
    """β, by least squares of log ‖c(k)‖ on the lag k beyond the burn-in; 0 where nothing is left there."""
    lags = np.arange(len(credits))[burn_in:]
    known = credits[burn_in:] > TINY
    if known.sum() < 2:
        return 0.0
    slope, _ = np.polyfit(lags[known], np.log(credits[burn_in:][known]), 1)
    return float(np.exp(slope))


def tails(credits: np.ndarray, decay: float) -> np.ndarray:
    """E(K) = Σ_{k ≥ K} ‖c(k)‖ for K = 1 … n: what is measured, and a geometric series behind it; infinite for a decay ≥ 1."""
    rest = credits[-1] * decay / (1 - decay) if decay < 1 else np.inf
    sums = np.cumsum(credits[::-1])[::-1]
    return np.append(sums[1:], 0.0) + rest


def relative_bias(norms: np.ndarray, errors: np.ndarray, *, single: bool = False) -> np.ndarray:
    """δ(K) = E(K) / lower bound on ‖g‖, for each K; infinite where no bound is above zero.

    Arguments: norms, ‖g_K‖ for K = 1 … n; errors, E(K). The bound is max over K of ‖g_K‖ − E(K), or with `single` the one of
    the same K. Source: Aicher, Foti & Fox 2019, section 3.
    """
    with np.errstate(invalid="ignore"):
        bound = norms - errors
    bound = bound if single else np.full_like(bound, bound.max())
    return np.divide(errors, bound, out=np.full_like(errors, np.inf), where=bound > 0)


def choose(credits: np.ndarray, norms: np.ndarray, bias: float, *, single: bool = False) -> Horizon:
    """The smallest number of terms K whose relative bias is expected below `bias`.

    Arguments: credits, ‖c(k)‖ at the lags k = 0 … n − 1; norms, ‖g_K‖ for K = 1 … n terms (lags 0 … K − 1).

    >>> lags = np.arange(50)
    >>> choose(0.9**lags, (1 - 0.9 ** (lags + 1)) / 0.1, bias=0.5).k
    7
    """
    decay = decay_of(credits)
    expected = relative_bias(norms, tails(credits, decay), single=single)
    enough = np.flatnonzero(expected < bias)
    k = int(enough[0]) + 1 if len(enough) else len(credits)
    return Horizon(k, decay, float(expected[k - 1]), not len(enough))

"""The forward sum, cut at random so that nothing is lost on average.

    z_t = b_t + ξ_t c_t z_{t−1}        ξ_t = 0 with probability 1 − π_t, 1/π_t with probability π_t        E[ξ_t] = 1

ξ_t is independent of z_{t−1}, so E[z_t] = b_t + c_t E[z_{t−1}]: the exact derivative. What stands on the right is z_{t−1}, not
the exact dh_{t−1}/dw, which would have the same expectation and save no work. b, c, ξ are arrays [T], π is one too or a single
number; z_0 = 0, so ξ_1 and π_1 do not matter. b and c as in `bptt.reference.forward_sum`.
Source: Tallec and Ollivier, Unbiasing Truncated Backpropagation Through Time, 2017.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from bptt.errors import InputError
from bptt.reference.forward_sum import recursion
from bptt.reference.notation import Array, Numbers, shaped, stacked, timed

LONGEST = 16  # steps whose patterns are still gone through: 32,768


def draw(b: Numbers, c: Numbers, xi: Numbers) -> Array:
    """z_1 … z_T [T] under one pattern ξ: the forward sum with edges that weigh ξ_t.

    >>> draw([1, 1, 1], [5, 2, 3], xi=[1, 0, 2]).tolist()
    [1.0, 1.0, 7.0]
    """
    c = shaped("c", c, None)
    return recursion(b, shaped("xi", xi, len(c)) * c)


def patterns(pi: Numbers, steps: int) -> Iterator[tuple[float, Array]]:
    """All 2^(T−1) patterns ξ [T] of T steps, each with its probability.

    P(ξ) = Π_{t=2}^{T} (π_t where ξ_t ≠ 0, 1 − π_t where ξ_t = 0)

    Long runs without a cut are rare where T is large, and weigh Π 1/π_t. Raises InputError for π_t outside 0 < π_t ≤ 1, and
    for too many steps.

    >>> [(p, xi.tolist()) for p, xi in patterns(0.5, steps=2)]
    [(0.5, [1.0, 2.0]), (0.5, [1.0, 0.0])]
    """
    if steps > LONGEST:
        raise InputError("There are too many patterns to go through", f"{steps} steps", f"Give at most {LONGEST}")
    pi = timed(_probabilities(pi, steps))
    for kept in itertools.product((True, False), repeat=steps - 1):
        by_time = dict(enumerate(kept, 2))
        probability = math.prod(pi[t] if by_time[t] else 1 - pi[t] for t in by_time)
        yield float(probability), np.array([1.0, *(1 / pi[t] if by_time[t] else 0.0 for t in by_time)])


def enumerated(b: Numbers, c: Numbers, pi: Numbers) -> tuple[Array, Array]:
    """E[z] and Var[z] [T] over all patterns, each weighted by its probability.

    >>> enumerated([1, 1, 1], [5, 2, 3], pi=0.5)[0].tolist()                # forward_sum.recursion gives the same
    [1.0, 3.0, 10.0]
    """
    draws = [(p, draw(b, c, xi)) for p, xi in patterns(pi, len(shaped("c", c, None)))]
    mean = np.sum([p * z for p, z in draws], axis=0)
    return mean, np.sum([p * (z - mean) ** 2 for p, z in draws], axis=0)


def moments(b: Numbers, c: Numbers, pi: Numbers) -> tuple[Array, Array]:
    """The same two [T] by a recursion, for any number of steps.

    E[z_t] = b_t + c_t E[z_{t−1}],  E[z_t²] = b_t² + 2 b_t c_t E[z_{t−1}] + c_t² E[z_{t−1}²] / π_t,  Var = E[z²] − E[z]²

    >>> [m.tolist() for m in moments([1, 1, 1], [5, 2, 3], pi=0.5)]
    [[1.0, 3.0, 10.0], [0.0, 4.0, 153.0]]
    """
    b, c = shaped("b", b, None), shaped("c", c, None)
    T, b, c, pi = len(c), timed(b), timed(c), timed(_probabilities(pi, len(c)))
    first, second = {0: np.float64(0)}, {0: np.float64(0)}
    for t in range(1, T + 1):
        first[t] = b[t] + c[t] * first[t - 1]
        second[t] = b[t] ** 2 + 2 * b[t] * c[t] * first[t - 1] + c[t] ** 2 * second[t - 1] / pi[t]
    mean = stacked(first)[1:]
    return mean, stacked(second)[1:] - mean**2


def limit_mean(w: float, b: float = 1.0) -> float:
    """E[z_t] for t → ∞ in the linear case z_t = b + ξ_t w z_{t−1}, |w| < 1.

    E z = b / (1 − w)

    >>> round(limit_mean(0.9), 12)
    10.0
    """
    if not abs(w) < 1:
        raise InputError("The sum has no limit", f"w={w}", "Give w between −1 and 1")
    return b / (1 - w)


def limit_variance(w: float, pi: float, b: float = 1.0) -> float:
    """Var[z_t] for t → ∞ in the same case, with a constant π and b ≠ 0; infinite unless π > w².

    Var z = b² (1 + 2w/(1 − w)) / (1 − w²/π) − b²/(1 − w)²

    The step from E[z²] to the next one multiplies by w²/π: that is where the condition comes from.

    >>> round(limit_variance(0.9, pi=0.9375), 1)
    39.7
    >>> limit_variance(0.9, pi=0.8)
    inf
    """
    mean = limit_mean(w, b)
    pi = float(_probabilities(pi, 1)[0])
    return (b**2 + 2 * w * b * mean) / (1 - w**2 / pi) - mean**2 if pi > w**2 else math.inf


def _probabilities(pi: Numbers, steps: int) -> Array:
    """π_1 … π_T, from one number or from T."""
    array = np.full(steps, pi, dtype=np.float64) if np.ndim(pi) == 0 else shaped("pi", pi, steps)
    if not np.all((array > 0) & (array <= 1)):
        raise InputError("An edge survives with a probability above 0, at most 1", f"pi={pi}", "Give for example pi=0.9")
    return array

"""How far back the gradient reaches: its size by lag, and what a truncation to K lags leaves out.

Knows an unrolled model, a window and a state; must not know strategies, corpora or words.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from bptt import nest
from bptt.diagnostics.steps import Gradient, Steps, exact_gradient, inner
from bptt.models import Unroll
from bptt.types import State, Window

EACH, PER_DOUBLING = 32, 8  # numbers of terms that are looked at: each one, and then so many per doubling
TINY = 1e-200  # smaller adjoints are zero: their products would only be slow


@dataclasses.dataclass(frozen=True, eq=False)
class Lags:
    """Gradient by lag, and the error of truncating it.

    sizes    [T] mean of ‖∂l_t/∂h_{t−k}‖ at k = 1 … T, the state's float leaves taken together; NaN where no loss has that lag
    pairs    [T] how many (row, loss) that is a mean over: losses that count, with no reset in between
    terms    [G] numbers of terms K: the lags 0 … K − 1 of every loss; all up to 32, then 8 per doubling, T at the end
    errors   [G] ‖g − g_K‖/‖g‖, g the exact gradient of the window
    cosines  [G] ⟨g, g_K⟩/(‖g‖ ‖g_K‖); NaN where g_K is zero
    """

    sizes: Tensor
    pairs: Tensor
    terms: Tensor
    errors: Tensor
    cosines: Tensor

    @property
    def seen(self) -> int:
        """The lags from 1 on whose mean can be trusted: at least a twentieth as many losses have them as lag 1, and one."""
        few = (self.pairs < max(1, int(self.pairs[0]) // 20)).nonzero()
        return int(few[0]) if len(few) else len(self.pairs)

    def enough(self, error: float) -> int:
        """The smallest measured K such that no K' ≥ K is further off than `error`: K90 is `enough(0.1)`."""
        wrong = (self.errors > error).nonzero()
        return int(self.terms[0 if len(wrong) == 0 else min(int(wrong[-1]) + 1, len(self.terms) - 1)])


def lags(unroll: Unroll, window: Window, state: State, *, progress: Callable[[], None] = lambda: None) -> Lags:
    """Measure the gradient of a window lag by lag.

    g = Σ_t Σ_k c(t, k),  c(t, k) = ∂l_t/∂h_{t−k} · I_{t−k};  g_K has the k < K

    k starts at 1: h_{t−1} is the state with which step t begins, and an output need not be a function of the state after it.
    One batched call gives D_t and I_t of all steps; each vector-Jacobian product of it moves all losses one lag further. The
    parameters are asked once per K of the grid, for the sum of the lags since the K before.

    Arguments: window [B, T]; state before it; progress, called after every lag but the first.
    """
    states, steps = unroll.states(window, state), window.steps
    exact = exact_gradient(unroll, window, state)
    length = math.sqrt(inner(exact, exact))
    batch = Steps(unroll, window, states)
    adjoint = batch.from_losses()  # ∂l_t/∂h_{t−k}, at the step that begins with h_{t−k}
    missing = _minus(exact, batch.losses_to_parameters())  # g − g_K
    terms, found, sizes = grid(steps), [_compare(exact, missing, length)], [_sizes(adjoint)]
    gathered = torch.zeros_like(adjoint[:, 1:])
    for k in range(1, steps):
        adjoint = adjoint[:, 1:]  # as the step before sees it, which ends with that state
        gathered[:, : steps - k] += adjoint
        if k + 1 in terms:
            missing = _minus(missing, batch.to_parameters(gathered))
            found.append(_compare(exact, missing, length))
            gathered = torch.zeros_like(adjoint)
            if steps - k < 0.75 * batch.count:  # the steps behind have nothing left to send back
                batch = Steps(unroll, window[:, : steps - k], _first(states, steps - k))
        adjoint = batch.back(adjoint)[:, : steps - k] if adjoint.abs().max() > TINY else torch.zeros_like(adjoint)
        sizes.append(_sizes(adjoint))
        progress()
    return _summary(window, sizes, terms, found)


def grid(steps: int) -> list[int]:
    """The numbers of terms to look at: each up to 32, then eight per doubling, and the last.

    >>> grid(40)[30:]
    [31, 32, 35, 38, 40]
    """
    beyond = (round(EACH * 2 ** (i / PER_DOUBLING)) for i in itertools.count(1))
    return [*range(1, min(steps, EACH + 1)), *itertools.takewhile(lambda k: k < steps, beyond), steps]


def _sizes(adjoint: Tensor) -> Tensor:
    return adjoint.norm(dim=2)


def _first(states: State, steps: int) -> State:
    return nest.map(lambda leaf: leaf[:, :steps], states)


def _minus(a: Gradient, b: Gradient) -> Gradient:
    return [x - y for x, y in zip(a, b, strict=True)]


def _compare(exact: Gradient, missing: Gradient, length: float) -> tuple[float, float]:
    """Relative error and cosine of what is there, exact − missing."""
    there = _minus(exact, missing)
    size = math.sqrt(inner(there, there))
    return math.sqrt(inner(missing, missing)) / length, inner(exact, there) / (length * size) if size else math.nan


def _summary(window: Window, sizes: list[Tensor], terms: list[int], found: list[tuple[float, float]]) -> Lags:
    """Means over the pairs of loss and lag that there are: the loss counts, and no reset cuts it off."""
    behind = torch.nn.functional.pad(window.reset.long().cumsum(1), (1, 0))  # resets before each step, and before the end
    means, pairs = [], []
    for k, size in enumerate(sizes, 1):
        alive = window.mask[:, k - 1 :] & (behind[:, k:] == behind[:, : window.steps - k + 1])
        pairs.append(int(alive.sum()))
        means.append(float(size[alive].mean()))
    errors, cosines = torch.tensor(found, dtype=torch.float64).unbind(1)
    return Lags(torch.tensor(means, dtype=torch.float64), torch.tensor(pairs), torch.tensor(terms), errors, cosines)

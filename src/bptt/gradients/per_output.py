"""Every loss goes back exactly k steps: truncation without a place in a stretch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from bptt.gradients.lags import Lags, Memory
from bptt.gradients.references import WILLIAMS_PENG_1990
from bptt.gradients.settings import lag_count


@dataclasses.dataclass(frozen=True)
class PerOutput(Lags):
    """Each loss reaches the lags 0 … k, k + 1 terms, wherever it stands.

    gradient = Σ_t Σ_{j ≤ k} c(t, j)

    The same credits as `Truncated(1, k + 1)`, with one update per window instead of one per step, and k + 1 batched products
    for all steps of the window together instead of k + 1 steps per loss. Losses at the start of a window reach back into the
    windows before, whose last k steps are run again under the parameters of now.

    Arguments: k, the largest lag, at least 0.

    >>> PerOutput(8).nominal(35)
    35
    """

    k: int

    random: ClassVar[bool] = False
    omits: ClassVar[str] = "the lags above k: O(βᵏ⁺¹), where Jacobians shrink by β per step"
    cost: ClassVar[str] = "a forward step by step, one batched, k + 1 batched backwards"
    memory: ClassVar[str] = "O(T + k) states, and the internals of as many steps"
    reference: ClassVar[str] = WILLIAMS_PENG_1990

    def __post_init__(self) -> None:
        lag_count(self.k)

    def weights(self, memory: Memory) -> Sequence[float]:
        """1 for each lag."""
        return [1.0] * (self.k + 1)

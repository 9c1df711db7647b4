"""Real-time recurrent learning: the exact gradient, forward in time."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from bptt.gradients.online.sparse import Sparse
from bptt.gradients.references import WILLIAMS_ZIPSER_1989


@dataclasses.dataclass(frozen=True)
class RTRL(Sparse):
    """The exact gradient of every loss over the whole stream behind it, an update every `every` steps, no past kept.

    M_t = I_t + D_t M_{t−1},   D_t = ∂h_t/∂h_{t−1},   I_t = ∂h_t/∂θ with h_{t−1} fixed
    ∂l_t/∂θ = (∂l_t/∂θ with h_{t−1} fixed) + (∂l_t/∂h_{t−1}) M_{t−1}

    M [B, n, P] is the influence of all P parameters that the state depends on, on all n numbers of each row's state. It is
    carried instead of the past: memory does not grow with the stream, but it is n times the parameters for every row, and a
    step costs B n² P. For small models, and to measure other rules against. InputError, with the figure, if the influence
    exceeds the machine's memory.

    Summed over a window from a fresh start it equals `Full` to rounding; carried on, it equals `Full` over all windows at once:
    no border cuts it. That is while the parameters stand still; after an update M still tells what the old ones did.

    Arguments:
        every  steps between two updates, counted by stream position

    >>> RTRL().nominal(35)
    1
    """

    every: int = 1

    exact: ClassVar[bool] = True
    unbiased: ClassVar[bool] = True
    random: ClassVar[bool] = False
    omits: ClassVar[str] = "nothing while the parameters stand still"
    cost: ClassVar[str] = "n backwards of one step, and an n×n by n×P product, per row and step"
    memory: ClassVar[str] = "O(nP) per row, whatever the length"
    reference: ClassVar[str] = WILLIAMS_ZIPSER_1989

    @property
    def reach(self) -> float:
        """As far as it takes."""
        return math.inf

"""Sparse n-step approximation: RTRL that keeps the influence only where a parameter can have reached within a few steps."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from bptt.gradients.online.sparse import Sparse
from bptt.gradients.references import MENICK_2021
from bptt.gradients.settings import step_count


@dataclasses.dataclass(frozen=True)
class SnAp(Sparse):
    """RTRL with an influence that is kept only where a parameter can have reached in n steps: cheaper, biased, without noise.

    J_t = mask_n ∘ (I_t + D_t J_{t−1}),   D_t = ∂h_t/∂h_{t−1},   I_t = ∂h_t/∂θ with h_{t−1} fixed
    ∂l_t/∂θ ≈ (∂l_t/∂θ with h_{t−1} fixed) + (∂l_t/∂h_{t−1}) J_{t−1}

    An entry of J is kept if its parameter moves its number of the state at once or within n − 1 further steps; the others are
    neither stored nor computed. With n = 1 a parameter keeps its influence on its own unit alone, O(P) numbers per row. Which
    parameter moves which unit, and which unit which, is what the cell's `structure()` says (`bptt.structure`): the layers of
    `bptt.nn` and `torch.nn` have one, pruned weights included. Parameters of which nothing is said (those of a cell of your own
    without it, of an embedding) keep their influence on everything, as in `RTRL`.

    The loss of a step sees that step whole: the mask cuts what is carried over, and not what the newest step does with it. The
    paper takes (∂l_t/∂h_t) J_t instead, where the mask lies on the newest step too. This form leaves out less, and does without
    an output that is the state; for n = 1 and one layer the paper's is `EProp(loops=True)`.

    Exact where nothing else can be reached: n = 1 on recurrences whose units stand alone, and any n from the diameter of the
    recurrent connections + 1 on; for a dense layer that is n = 2.

    Arguments:
        n      how many steps a parameter may take to reach a number, the one that moves it directly counted
        every  steps between two updates, counted by stream position

    >>> SnAp(1).nominal(35)
    1
    """

    n: int = 1
    every: int = 1

    exact: ClassVar[bool] = False
    unbiased: ClassVar[bool] = False
    random: ClassVar[bool] = False
    omits: ClassVar[str] = "influence on units that a parameter cannot reach in n steps"
    cost: ClassVar[str] = "n = 1: about O(P) per row and step for the layers of bptt.nn; more with n, up to RTRL"
    memory: ClassVar[str] = "the entries kept, n = 1: O(P) per row, whatever the length"
    reference: ClassVar[str] = MENICK_2021

    def __post_init__(self) -> None:
        super().__post_init__()
        step_count("n", self.n)

    @property
    def reach(self) -> float:
        """n − 1 steps after the one that moves it directly."""
        return self.n - 1

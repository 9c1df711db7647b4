"""Random feedback local online learning: traces that go on by the leak alone."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from bptt.gradients.online.inside import apart, only_elman
from bptt.gradients.online.traces import Traces
from bptt.gradients.references import MURRAY_2019
from bptt.types import Inside, Local, State, Unroll, Window


@dataclasses.dataclass(frozen=True)
class RFLO(Traces):
    """RTRL of a leaky Elman layer that keeps of the recurrence only the leak: a trace per weight, local and cheap.

    e_t = (1 − α) e_{t−1} + α φ'_t â_tᵀ,   â_t = [x_t; h_{t−1}; 1; 1],   φ'_t the slope at each pre-activation, α the leak
    ∂l_t/∂W ≈ L_t e_t,   L_t = ∂l_t/∂h_t, or F ∂l_t/∂(scores) with F random and fixed

    What a weight does to its unit is remembered as long as the unit remembers by itself, 1/α steps; what it does to other
    units is left out, and so the gradient is biased. Without a leak, α = 1, nothing is left but the gradient of each loss at
    its own step, `Truncated(1)`: take `bptt.nn.LeakyRNN`. Parameters behind the layer get their exact gradient, whatever the
    feedback, those before it the gradient of each step by itself. InputError for other cells and several layers.

    Arguments:
        every     steps between two updates, counted by stream position
        feedback  "exact": the error comes back through the readout; "random": through a fixed random matrix, as in the paper
        seed      of that matrix

    >>> RFLO(feedback="random").random
    True
    """

    every: int = 1
    feedback: str = "exact"
    seed: int = 0

    exact: ClassVar[bool] = False
    unbiased: ClassVar[bool] = False
    omits: ClassVar[str] = "what units do to each other; of a unit's own past all but the leak"
    cost: ClassVar[str] = "about a forward and a backward, and a product per weight, per row and step"
    memory: ClassVar[str] = "O(P) per row, whatever the length"
    reference: ClassVar[str] = MURRAY_2019

    def seen(self, unroll: Unroll, step: Window, state: State) -> Inside:
        """The step of an Elman layer."""
        inside = apart(unroll, step, state, "RFLO")
        only_elman(inside, "RFLO")
        return inside

    def kept(self, layer: Local) -> Tensor:
        """The leak."""
        return layer.own

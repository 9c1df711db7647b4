"""e-prop: traces that go on by what a unit does to itself."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from bptt.errors import InputError
from bptt.gradients.online.inside import itself
from bptt.gradients.online.traces import Traces
from bptt.gradients.references import BELLEC_2020
from bptt.types import Local


@dataclasses.dataclass(frozen=True)
class EProp(Traces):
    """Eligibility propagation: RTRL that keeps of the recurrence only what each unit does to itself, for any cell with gates.

    e_t = own_t e_{t−1} + ∂s_t/∂θ with s_{t−1} fixed,   own_t = ∂s_{i,t}/∂s_{i,t−1} of one unit i, s all its numbers
    ∂l_t/∂θ ≈ L_t e_t,   L_t = ∂l_t/∂h_t, or F ∂l_t/∂(scores) with F random and fixed

    Without `loops`, own_t leaves the recurrent weights out: it is the forget gate in an LSTM (its traces live in c), the update
    gate in a GRU, the leak in a leaky Elman layer, and nothing in a plain one. What units do to each other is left out, and so
    the gradient is biased.

    In a stack every layer has traces of its own; the learning signal of a lower layer comes down through those above it, within
    the step. Parameters behind the layers get their exact gradient, those before them, such as an embedding, that of each step
    by itself. InputError for models that do not say what their units do (`local`).

    Arguments:
        every     steps between two updates, counted by stream position
        loops     whether a unit's weight to itself, W_ii, counts as its own recurrence
        feedback  "exact": the error comes back through the readout; "random": through a fixed random matrix
        seed      of that matrix

    >>> EProp().nominal(35)
    1
    """

    every: int = 1
    loops: bool = False
    feedback: str = "exact"
    seed: int = 0

    exact: ClassVar[bool] = False
    unbiased: ClassVar[bool] = False
    omits: ClassVar[str] = "what units do to each other from step to step"
    cost: ClassVar[str] = "about a forward and a backward, and a product per weight, per row and step"
    memory: ClassVar[str] = "O(P) per row, twice for an LSTM, whatever the length"
    reference: ClassVar[str] = BELLEC_2020

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.loops, bool):
            raise InputError("loops is yes or no: whether W_ii counts", f"loops={self.loops!r}", "Give true or false")

    def kept(self, layer: Local) -> Tensor:
        """The unit's own recurrence, with its weight to itself if that counts."""
        return layer.own + itself(layer) if self.loops else layer.own

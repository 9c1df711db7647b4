"""Real-time recurrent learning: the exact gradient, forward in time."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from bptt.errors import InputError
from bptt.gradients.online import machine
from bptt.gradients.online.forward import Influence, Online
from bptt.gradients.online.rows import jacobians, ravel, reached, trained
from bptt.gradients.references import WILLIAMS_ZIPSER_1989
from bptt.types import State, Unroll, Window

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class RTRL(Online):
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

    def credit(self, pull: Tensor, influence: Influence) -> dict[str, Tensor]:
        """Σ_b q[b] M[b]."""
        return {name: torch.einsum("bn,bn...->...", pull.to(block.dtype), block) for name, block in influence.items()}

    def moved(self, unroll: Unroll, step: Window, state: State, influence: Influence, position: int) -> dict[str, Tensor]:
        """I + D M."""
        names = list(dict.fromkeys([*influence, *reached(unroll, step, state)]))
        if len(names) > len(influence):
            _require_memory(unroll, names, ravel(state))
        before, direct = jacobians(unroll, names, step, state)
        return {name: _on(block, before, influence.get(name)) for name, block in direct.items()}


def _on(direct: Tensor, before: Tensor, influence: Tensor | None) -> Tensor:
    """I + D M of one parameter, [B, n, …]; a tensor of its own, laid out in order, as one that is loaded is."""
    if influence is None:
        return direct.clone(memory_format=torch.contiguous_format)
    flat, held = (block.unsqueeze(-1).flatten(2) for block in (direct, influence))
    return torch.baddbmm(flat, before.to(direct.dtype), held).view(influence.shape)


def _require_memory(unroll: Unroll, names: list[str], vector: Tensor) -> None:
    """InputError if the influence of these parameters, old and new beside each other, is more than the machine holds."""
    values = trained(unroll)
    rows, states = vector.shape
    parameters = sum(values[name].numel() for name in names)
    size = rows * states * sum(values[name].numel() * values[name].element_size() for name in names)
    limit = machine.memory(vector.device)
    if 2 * size > (math.inf if limit is None else limit):
        raise InputError(
            "RTRL would hold more than this machine's memory: the influence of every parameter on every number of the state",
            f"{rows} rows × {states} numbers × {parameters:,} parameters: {size / GIB:,.1f} GiB, twice while a step is taken; "
            f"the machine has {(limit or 0) / GIB:,.1f} GiB",
            "Take fewer rows or a smaller model, or truncated:k1=64, whose memory is that of its stretch",
        )

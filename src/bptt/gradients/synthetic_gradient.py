"""Synthetic gradients: what lies beyond a stretch is predicted from the state at its end, and learnt from the next one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from bptt import nest
from bptt.errors import InputError
from bptt.gradients.online.rows import ravel, unravel
from bptt.gradients.references import JADERBERG_2017
from bptt.gradients.settings import step_count
from bptt.gradients.stretches import Memory, Stretches
from bptt.types import Carry, Unroll, Window


@dataclasses.dataclass(frozen=True)
class SyntheticGradient(Stretches):
    """`Truncated(k)` with a closing term: a linear model of the state predicts the gradient that arrives from beyond a stretch.

    δ̂(h) = W h + b ≈ Σ_{t > e} ∂l_t/∂h_e,   ĝ = d(Σ_{t in stretch} l_t + ⟨h_e, δ̂(h_e)⟩)/dθ   with δ̂(h_e) held fixed
    W ← W − η Σ_b (δ̂(h_s) − δ_s) h_sᵀ / Σ_b (‖h_s‖² + 1),   b ← b − η Σ_b (δ̂(h_s) − δ_s) / Σ_b (‖h_s‖² + 1)

    h_s and h_e are the states before and after the stretch, all float leaves of a row in one vector. δ_s, the target of the
    prediction made at h_s, is what the stretch itself sends back to its first state: the true gradient of its own losses, and
    beyond them the prediction at its end. So the model bootstraps, as a value function does, and credit can reach further back
    than any stretch. The division makes the step independent of the size of the state: it is stable for η < 2 at fixed targets.

    At first δ̂ = 0, that is `Truncated(k)` exactly; with `rate=0` it stays so. Where the true gradient is a linear function of
    the state the bias vanishes with time; elsewhere what is left is what a linear function cannot tell.

    Arguments:
        k     steps of a stretch, and so between two updates
        rate  η of the linear model, from 0 to below 2: normalised least mean squares, averaged over the rows

    Progress line and metrics show `mismatch`, ‖δ̂(h_s) − δ_s‖ / ‖δ_s‖ over all rows: 1 while nothing is predicted.

    >>> SyntheticGradient(20).nominal(35)
    20
    """

    k: int = 8
    rate: float = 0.1

    online: ClassVar[bool] = True
    exact: ClassVar[bool] = False
    unbiased: ClassVar[bool] = False
    random: ClassVar[bool] = False
    omits: ClassVar[str] = "what a linear function of the state cannot tell of the gradient from beyond k steps"
    cost: ClassVar[str] = "one forward and one backward, and n² a stretch and row"
    memory: ClassVar[str] = "O(k), and O(n²) for the linear model"
    reference: ClassVar[str] = JADERBERG_2017

    def __post_init__(self) -> None:
        step_count("k", self.k)
        number = isinstance(self.rate, int | float) and not isinstance(self.rate, bool)
        if not number or not 0 <= self.rate < 2:
            raise InputError(
                "rate must be a number from 0 to below 2, where the linear model would diverge",
                f"rate={self.rate!r}",
                "Give for example rate=0.1",
            )

    def nominal(self, steps: int) -> int:
        """k."""
        return self.k

    def length(self, memory: Memory) -> float:
        """k."""
        return self.k

    def start(self, unroll: Unroll, batch_size: int) -> Carry:
        """The initial state, and a model that predicts nothing."""
        carry = super().start(unroll, batch_size)
        vector = ravel(carry.state)
        states = vector.shape[1]
        model = {"weight": vector.new_zeros(states, states), "bias": vector.new_zeros(states)}
        return Carry(carry.state, {**carry.memory, "shared": model})

    def spend(self, unroll: Unroll, stretch: Window, carry: Carry) -> tuple[Tensor, Carry]:
        """Run the stretch, close it with the prediction at its end, and learn from what came back to its start."""
        memory, model = dict(carry.memory), carry.memory["shared"]
        begin = nest.as_leaves(carry.state)
        loss, end = unroll.segment(stretch, begin)
        after = nest.detach(end)
        closing = unravel(_predicted(model, ravel(after)), after)
        target = ravel(unroll.backward(loss, start=begin, end=end, adjoint=closing))
        vector = ravel(nest.detach(begin))
        wrong = _predicted(model, vector) - target
        total = {"weight": wrong.t() @ vector, "bias": wrong.sum(0)}
        # Sums over the rows of all processes, each divided by their number, which their quotients are rid of.
        size = unroll.agree(vector.square().sum() + len(vector))
        learnt = {name: model[name] - self.rate * unroll.agree(step) / size for name, step in total.items()}
        off, back = (float(unroll.agree(values.square().sum())) for values in (wrong, target))
        mismatch = math.sqrt(off / back) if back else None
        memory = {**memory, "position": memory["position"] + stretch.steps, "open": None}
        return loss.detach(), Carry(after, {**memory, "shared": learnt, "mismatch": mismatch})

    def info(self, stretch: Window, memory: Memory) -> dict[str, float]:
        """How far the last prediction was off; nothing where no gradient came back, as at the first step of a text."""
        return {} if memory["mismatch"] is None else {"mismatch": memory["mismatch"]}

    def first(self) -> Memory:
        """Nothing was predicted yet."""
        return {"mismatch": None}


def _predicted(model: Mapping[str, Tensor], vector: Tensor) -> Tensor:
    """δ̂ [B, n] at the states `vector` [B, n]."""
    return torch.addmm(model["bias"], vector, model["weight"].t())

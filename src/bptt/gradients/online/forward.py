"""One engine for every rule that runs forward in time, step by step, and never goes back.

    ∂l_t/∂θ  =  ∂l_t/∂θ with h_{t−1} fixed  +  (∂l_t/∂h_{t−1}) M_{t−1},      M_t = dh_t/dθ = I_t + D_t M_{t−1}

The first term is a backward pass through one step. For the second the rule keeps the *influence* M of the parameters on the
state, or something that stands for it, in the carry; it says what that gives a pull on the state, and how it moves on.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from bptt import nest
from bptt.gradients.online.rows import ravel
from bptt.gradients.settings import require_causal, require_repeatable, step_count
from bptt.gradients.stretches import Memory, Stretches
from bptt.types import Carry, State, Unroll, Window

Influence = Mapping[str, Any]


class Stepwise(Stretches):
    """Base of all that runs forward in time, step by step. Memory: position, open and past as of any stretch, and influence.

    A stretch of such a rule is what one update spends, `every` steps counted by stream position; no gradient is cut at its end.
    """

    online: ClassVar[bool] = True
    every: int

    def __post_init__(self) -> None:
        step_count("every", self.every)

    @abc.abstractmethod
    def take(
        self, unroll: Unroll, step: Window, state: State, influence: Influence, position: int
    ) -> tuple[Tensor, State, Influence]:
        """Add the gradient of one step's losses; their sum, and the state and the influence after it.

        Arguments: step, a window of one step; state, detached, and influence, before it; position of the step in the stream.
        """

    def nominal(self, steps: int) -> int:
        """One update spends the losses of `every` steps."""
        return self.every

    def length(self, memory: Memory) -> float:
        """`every`."""
        return self.every

    def first(self) -> Memory:
        """No parameter has influenced the state yet."""
        return {"influence": {}}

    def start(self, unroll: Unroll, batch_size: int) -> Carry:
        """The initial state, without influence; InputError for a model that looks ahead, or draws other masks each time."""
        require_causal(unroll, type(self).__name__)
        require_repeatable(unroll, type(self).__name__)
        return super().start(unroll, batch_size)

    def spend(self, unroll: Unroll, stretch: Window, carry: Carry) -> tuple[Tensor, Carry]:
        """Step by step: the gradient of each loss as it comes."""
        state, memory = nest.detach(carry.state), carry.memory
        influence, position, losses = memory["influence"], memory["position"], []
        for step in (Window.cat(stretch[:, t : t + 1]) for t in range(stretch.steps)):
            loss, after, influence = self.take(unroll, step, state, influence, position)
            state, position = nest.detach(after), position + 1
            losses.append(loss.detach())
        return torch.stack(losses).sum(), Carry(state, dict(memory, position=position, open=None, influence=influence))


class Online(Stepwise):
    """Base of the rules that carry the influence on the state, or what stands for it, and know what a pull on it gives."""

    @abc.abstractmethod
    def credit(self, unroll: Unroll, pull: Tensor, influence: Influence) -> Mapping[str, Tensor]:
        """The part of the gradient that came through the state.

        Arguments: pull [B, n], ∂l_t/∂h_{t−1} by row, all float leaves of the state in one vector; influence, of h_{t−1}.
        Returns the sum over the rows by parameter name.
        """

    @abc.abstractmethod
    def moved(self, unroll: Unroll, step: Window, state: State, after: State, influence: Influence, position: int) -> Influence:
        """The influence after `step`, which led from `state` to `after` at a position of the stream.

        Arguments: after, attached, for `rows.reached`; influence, before the step, with nothing in it: none yet.
        """

    def take(
        self, unroll: Unroll, step: Window, state: State, influence: Influence, position: int
    ) -> tuple[Tensor, State, Influence]:
        """The gradient with the state before the step held fixed, and what came through it; then the influence moves on."""
        begin = nest.as_leaves(state)
        loss, after = unroll.segment(step, begin)
        pull = ravel(unroll.backward(loss, start=begin))
        unroll.add(self.credit(unroll, pull, influence))
        return loss, after, self.moved(unroll, step, state, after, influence, position)

"""All losses of a window at once, lag by lag: one engine for rules that weigh credits by their lag.

With the state before every step known, one batched call of the model on B·T rows gives every Jacobian D_t and I_t. Each further
vector-Jacobian product of that one call is a whole lag, for every loss:

    Δ⁰_t = q_tᵀ,   Δʲ_{t−j} = D_{t−j+1}ᵀ Δʲ⁻¹_{t−j+1},   gradient = Σ_s (Σ_j w_j Δʲ_s)ᵀ I_s

so k lags cost k batched products, not T passes. A rule says only how much each lag weighs.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from bptt import nest
from bptt.gradients.idle import idle
from bptt.gradients.pull import pulled
from bptt.gradients.settings import require_causal, require_repeatable
from bptt.types import Carry, Estimate, State, Unroll, Window

Memory = Mapping[str, Any]


class Lags(abc.ABC):
    """Base of the strategies that weigh credits by their lag. Memory: position (of the window), past.

    past  the steps that the next window's losses may reach, their own losses silenced; the carried state is the one before
    """

    exact: ClassVar[bool] = False
    unbiased: ClassVar[bool] = False
    online: ClassVar[bool] = False
    per_window: ClassVar[bool] = True
    k: int

    @abc.abstractmethod
    def weights(self, memory: Memory) -> Sequence[float]:
        """The weight of each lag 0, 1, …, at most k, in the window at `memory["position"]`."""

    def nominal(self, steps: int) -> int:
        """One update spends the losses of a window."""
        return steps

    def start(self, unroll: Unroll, batch_size: int) -> Carry:
        """The initial state, no past; InputError for a model that looks ahead or whose dropout would differ between lags."""
        require_causal(unroll, type(self).__name__)
        require_repeatable(unroll, type(self).__name__)
        return Carry(nest.detach(unroll.initial_state(batch_size)), {"position": 0, "past": None})

    def gradients(self, unroll: Unroll, window: Window, carry: Carry) -> Iterator[Estimate]:
        """One estimate per window."""
        if not window.steps:
            yield idle(window, carry)
            return
        memory = carry.memory
        weights = self.weights(memory)
        run = Window.cat(memory["past"], window)
        drop = max(0, run.steps - self.k)
        before = unroll.states(run, nest.detach(carry.state))
        loss = _add(unroll, run, before, weights)
        past, state = run.tail(drop), None
        if past is None:
            state = _after(unroll, run, before)
        else:  # a copy: a view would keep the states of all steps
            state = nest.map(lambda leaf: leaf[:, drop].clone(), before)
        after = Carry(state, dict(memory, position=memory["position"] + window.steps, past=past))
        yield Estimate(loss, window.count, after, window.steps, info=self.info(weights))

    def info(self, weights: Sequence[float]) -> Mapping[str, float]:
        """Facts for the progress line."""
        return {"k": len(weights) - 1}


def _add(unroll: Unroll, run: Window, before: State, weights: Sequence[float]) -> Tensor:
    """Add Σ_t Σ_j weights[j] c(t, j) to the gradient; returns the sum of the losses."""
    start = nest.as_leaves(nest.map(lambda leaf: leaf.flatten(0, 1), before))
    after, losses = unroll.rows(run, start)
    loss = losses.sum()
    inputs = [leaf for leaf in nest.leaves(start) if nest.is_float(leaf)]
    ends = [leaf for leaf in nest.leaves(after) if nest.is_float(leaf)]
    total = [torch.zeros_like(leaf) for leaf in ends]
    roots, pulls = [loss], [torch.ones_like(loss)]
    for weight in weights[1 : run.steps]:
        roots, pulls = ends, [_earlier(run, leaf) for leaf in pulled(roots, inputs, pulls, keep=True)]
        total = [sum_ + weight * leaf for sum_, leaf in zip(total, pulls, strict=True)]
    unroll.backward(loss * weights[0], end=ends, adjoint=total)
    return loss.detach()


def _earlier(run: Window, pull: Tensor) -> Tensor:
    """What flows back into the states before the steps, as what flows back into the states after the steps before them."""
    steps = pull.unflatten(0, (run.batch_size, run.steps))
    return torch.cat([steps[:, 1:], torch.zeros_like(steps[:, :1])], 1).flatten(0, 1)


@torch.no_grad()
def _after(unroll: Unroll, run: Window, before: State) -> State:
    """The state after the last step."""
    _, state = unroll.segment(run[:, -1:], nest.map(lambda leaf: leaf[:, -1], before))
    return state

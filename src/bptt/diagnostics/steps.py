"""All steps of a window at once: one batched call of the model, through which adjoints of every step are pulled back together.

    after[b, t], loss[b, t] = step(before[b, t], x[b, t], θ)        D_t = ∂after/∂before, I_t = ∂after/∂θ

Knows the `Unroll` contract; must not know what an adjoint is of. The state of a row is one vector of n numbers here: all float
leaves together, whatever the cell calls them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bptt import nest
from bptt.gradients.pull import pulled
from bptt.models import Unroll
from bptt.types import State, Window

Gradient = list[Tensor]


class Steps:
    """The steps of a window [B, T], each run from its own state (leaves [B, T, …], as `unroll.states` gives them)."""

    def __init__(self, unroll: Unroll, window: Window, states: State) -> None:
        self.shape = window.inputs.shape[:2]
        self.parameters = trained(unroll)
        start = nest.as_leaves(nest.map(lambda leaf: leaf.flatten(0, 1), states))
        end, self._losses = unroll.rows(window, start)
        self._before, self._after = floats(start), floats(end)

    @property
    def count(self) -> int:
        """T."""
        return self.shape[1]

    def from_losses(self) -> Tensor:
        """∂l_t/∂h_{t−1} [B, T, n]: the loss of every step, as the state before it sees it."""
        return self._vector(pulled([self._losses.sum()], self._before, keep=True))

    def losses_to_parameters(self) -> Gradient:
        """Σ_t ∂l_t/∂θ with every h_{t−1} held fixed: all credits of lag 0."""
        return pulled([self._losses.sum()], self.parameters, keep=True)

    def back(self, adjoint: Tensor) -> Tensor:
        """D_tᵀ a_t for every step: adjoints at the states after [B, ≤ T, n] → at the states before [B, T, n]."""
        return self._vector(pulled(self._after, self._before, self._leaves(adjoint), keep=True))

    def to_parameters(self, adjoint: Tensor) -> Gradient:
        """Σ_t I_tᵀ a_t: adjoints at the states after [B, ≤ T, n] → gradient."""
        return pulled(self._after, self.parameters, self._leaves(adjoint), keep=True)

    def _vector(self, leaves: Sequence[Tensor]) -> Tensor:
        return joined(leaves).unflatten(0, self.shape)

    def _leaves(self, adjoint: Tensor) -> list[Tensor]:
        """One tensor per leaf, [B·T, …]; steps that `adjoint` lacks at the end have none to send back."""
        missing = self.count - adjoint.shape[1]
        padded = torch.nn.functional.pad(adjoint, (0, 0, 0, missing)) if missing else adjoint
        parts = padded.flatten(0, 1).split([leaf[0].numel() for leaf in self._after], 1)
        return [part.reshape(leaf.shape).to(leaf.dtype) for part, leaf in zip(parts, self._after, strict=True)]


def floats(state: State) -> list[Tensor]:
    """The leaves of a state that carry a gradient."""
    return [leaf for leaf in nest.leaves(state) if nest.is_float(leaf)]


def joined(leaves: Sequence[Tensor]) -> Tensor:
    """Leaves [R, …] as one vector per row [R, n]."""
    return torch.cat([leaf.flatten(1) for leaf in leaves], 1)


def trained(unroll: Unroll) -> list[Tensor]:
    """The parameters that a gradient is wanted for."""
    return [parameter for parameter in unroll.parameters() if parameter.requires_grad]


def exact_gradient(unroll: Unroll, window: Window, state: State) -> Gradient:
    """∂(Σ losses of the window)/∂θ by autograd through one segment, the state before it held fixed."""
    loss, _ = unroll.segment(window, nest.detach(state))
    return pulled([loss], trained(unroll))


def inner(a: Gradient, b: Gradient) -> float:
    """⟨a, b⟩ over all blocks."""
    return float(sum(torch.sum(x * y) for x, y in zip(a, b, strict=True)))

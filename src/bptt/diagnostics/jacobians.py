"""The Jacobians D_t = ∂h_t/∂h_{t−1} along a trajectory: themselves, their eigenvalues, the singular values of their products.

Knows an unrolled model and the states of a window; must not know strategies or losses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from bptt import nest
from bptt.diagnostics.steps import Steps, floats
from bptt.models import Unroll
from bptt.types import State, Window

NUMBERS = 2**23  # entries of all the Jacobians that are held at once: 64 MiB
LOOKS = 8  # steps whose eigenvalues are taken
LARGEST = 3  # singular values of each product


@dataclasses.dataclass(frozen=True, eq=False)
class Jacobians:
    """What the Jacobians of the last steps of a window do, by row.

    steps     how many steps at the end of the window those are
    radii     [B, ≤ 8] spectral radius of D_t at steps spread evenly; B, the rows that were looked at
    spans     [P] lengths 1, 2, 4, 8, … of products that end with the last step
    singular  [B, P, ≤ 3] the largest singular values of D_T … D_{T−k+1}, for each k of `spans`
    """

    steps: int
    radii: Tensor
    spans: Tensor
    singular: Tensor

    @property
    def where(self) -> str:
        """What was looked at, in words."""
        rows = len(self.radii)
        return f"the last {self.steps} step{'s' * (self.steps != 1)} of {rows} row{'s' * (rows > 1)}"

    def mean_singular(self) -> Tensor:
        """[P, ≤ 3] the geometric mean over the rows."""
        return self.singular.log().mean(0).exp()


def jacobians(unroll: Unroll, window: Window, states: State, progress: Callable[[], None] = lambda: None) -> Tensor:
    """D_t [B, T, n, n] of every step, n the float numbers in a row's state; zero where the row resets.

    One batched call, and n vector-Jacobian products of it: the i-th is row i of every D_t.
    """
    steps = Steps(unroll, window, states)
    size = state_size(states)
    found = torch.empty(window.batch_size, window.steps, size, size, dtype=floats(states)[0].dtype, device=window.mask.device)
    unit = torch.zeros(window.batch_size, window.steps, size, dtype=found.dtype, device=found.device)
    for i in range(size):
        unit[..., i] = 1
        found[..., i, :] = steps.back(unit)
        unit[..., i] = 0
        progress()
    return found


def along(unroll: Unroll, window: Window, states: State, progress: Callable[[], None] = lambda: None) -> Jacobians:
    """Look at the Jacobians of the last steps: of the first row only, and of as few steps, as memory asks for.

    No reset lies among them. Without a step that is left there are no radii and no spans.
    """
    most = NUMBERS // state_size(states) ** 2
    span = min(quiet_steps(window), max(1, most))
    if not span:
        return Jacobians(0, torch.zeros(1, 0), torch.zeros(0, dtype=torch.long), torch.zeros(1, 0, LARGEST))
    rows, start = max(1, min(window.batch_size, most // span)), window.steps - span
    steps = jacobians(unroll, window[:rows, start:], nest.map(lambda leaf: leaf[:rows, start:], states), progress)
    spans = [2**i for i in range(span.bit_length())]
    looks = torch.linspace(0, span - 1, min(span, LOOKS)).round().long()
    radii = torch.linalg.eigvals(steps[:, looks]).abs().amax(-1)
    return Jacobians(span, radii.cpu(), torch.tensor(spans), products(steps, spans).cpu())


def products(steps: Tensor, spans: list[int]) -> Tensor:
    """The largest singular values [B, P, ≤ 3] of D_T … D_{T−k+1}, for each k of the rising `spans`, from D [B, T, n, n]."""
    found = []
    product = torch.eye(steps.shape[-1], dtype=steps.dtype, device=steps.device).expand(len(steps), -1, -1)
    for k in range(1, max(spans) + 1):
        product = product @ steps[:, -k]
        if k in spans:
            found.append(torch.linalg.svdvals(product)[:, :LARGEST])
    return torch.stack(found, 1)


def quiet_steps(window: Window) -> int:
    """How many steps at the end of a window come without a reset in any row."""
    last = window.reset.any(0).nonzero()
    return window.steps - (int(last[-1]) + 1 if len(last) else 0)


def state_size(states: State) -> int:
    """n, the float numbers in the state of one row and step, from leaves [B, T, …]."""
    return sum(leaf.shape[2:].numel() for leaf in floats(states))

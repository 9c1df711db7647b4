"""A delay line: the last D values of a sequence, and what of them may reach a step.

Knows resets, edge weights and lengths of rows; must not know what is computed from the values. The line is the state of a
layer that reads a window of its past, and the contract of a state holds for it: a value that is j steps old at step t has
crossed the borders of the steps t−j+1 … t. A reset at one of them leaves zeros in its place, and its gradient is weighed by the
product of their edge weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bptt import nest
from bptt.kernels.walk import living
from bptt.nn.masks import Masks


class Delays:
    """What a line of at most `longest` values lets through, at each of T steps and at place T, behind the last one.

    masks    reset, edge and lengths [B, T], [B]; where none is given, nothing is computed
    steps    T
    longest  the largest age j that will be asked for
    """

    def __init__(self, masks: Masks, steps: int, longest: int) -> None:
        reset, edge, self.lengths, _ = masks
        if self.lengths is not None:  # a row that has ended enters no step any more
            alive = living(self.lengths, steps)
            reset = None if reset is None else reset & alive
            edge = None if edge is None else edge.where(alive, torch.ones_like(edge))
        self.steps = steps
        self.since = None if reset is None else since(reset.t(), longest)
        self.weights = None if edge is None else products(edge.t(), longest)

    def through(self, values: Tensor, age: int) -> Tensor:
        """`values` [T, B, I] that are `age` steps old when the steps 0 … T−1 read them, as they arrive."""
        weight = None if self.weights is None else self.weights[age][: self.steps]
        fresh = None if self.since is None else self.since[: self.steps] >= age
        return arrived(values, weight, fresh) if age else values

    def line(self, values: Tensor, size: int) -> Tensor:
        """The last `size` of `values` [size + T, B, I] as a state [B, size, I], the oldest first: a copy, without the rest."""
        ages = torch.arange(size, 0, -1, device=values.device).unsqueeze(1)
        if self.lengths is None:
            found = values[self.steps :]
            since = None if self.since is None else self.since[self.steps]
            weight = None if self.weights is None else self.weights[1 : size + 1, self.steps].flip(0)
        else:
            places = (size - ages) + self.lengths
            found = values.gather(0, places.unsqueeze(2).expand(-1, -1, values.shape[2]))
            since = None if self.since is None else self.since.gather(0, self.lengths.unsqueeze(0))
            each = self.lengths.expand(size, 1, -1)
            weight = None if self.weights is None else self.weights[1 : size + 1].gather(1, each).squeeze(1).flip(0)
        found = arrived(found, weight, None if since is None else since >= ages)
        return found.transpose(0, 1).clone(memory_format=torch.contiguous_format)


def arrived(values: Tensor, weight: Tensor | None, fresh: Tensor | None) -> Tensor:
    """`values` [N, B, I] with gradients times `weight` [N, B], and zeros where not `fresh` [N, B]: a reset wins."""
    if weight is not None:
        values = nest.weigh(values, weight)
    return values if fresh is None else values.masked_fill(~fresh.unsqueeze(-1), 0)


def since(reset: Tensor, longest: int) -> Tensor:
    """For `reset` [T, B], how many steps ago a row last began anew, at the steps 0 … T [T + 1, B]; above `longest` if never."""
    t = torch.arange(len(reset) + 1, device=reset.device).unsqueeze(1)
    behind = torch.cat([reset, reset.new_zeros(1, reset.shape[1])])
    return t - torch.where(behind, t, -longest - 1).cummax(0).values


def products(edge: Tensor, longest: int) -> Tensor:
    """For `edge` [T, B], the product of the weights at t−j+1 … t for every age j = 0 … longest [longest + 1, T + 1, B].

    Steps before the first one, and place T, weigh 1.
    """
    steps, rows = edge.shape
    padded = torch.cat([edge.new_ones(longest, rows), edge, edge.new_ones(1, rows)])
    found = [edge.new_ones(steps + 1, rows)]
    for age in range(1, longest + 1):
        start = longest - age + 1
        found.append(found[-1] * padded[start : start + steps + 1])
    return torch.stack(found)

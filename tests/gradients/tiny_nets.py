"""Nets so small that their gradients are known in closed form, and a stream cut in windows."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from bptt import Unroll, Window
from bptt.testing.examples import gradients


class Scalar(nn.Module):
    """h' = w h + x + b, one number."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w, self.b = (nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in (w, 0.0))

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, 1, dtype=self.w.dtype)

    def forward(self, x, h):
        h = self.w * h + x + self.b
        return h, h


class Integrator(nn.Module):
    """h' = h + p[row, step]: the gradient at p[row, step] is the weight of the credit of that row's one loss at that step."""

    def __init__(self, rows: int, steps: int) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.zeros(rows, steps))

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, 1, dtype=self.p.dtype)

    def forward(self, x, h):
        index = x[:, 0].long()
        h = h + self.p[index // self.p.shape[1], index % self.p.shape[1]].unsqueeze(1)
        return h, h


def value(outputs, targets):
    return outputs.squeeze(2)


def scalar(w, steps, h0, mask=None):
    unroll = Unroll(None, Scalar(w), None, value).double()
    zeros = torch.zeros(1, steps, 1, dtype=torch.float64)
    return unroll, Window.of(zeros, zeros[..., 0], mask=mask), torch.full((1, 1), h0, dtype=torch.float64)


def run(strategy, unroll, window, state, cut=None):
    """Gradient summed over a stream cut in windows of `cut` steps, closed at its end."""
    carry = strategy.start(unroll, window.batch_size)._replace(state=state)
    cut = cut or window.steps
    parts = [window[:, a : a + cut] for a in range(0, window.steps, cut)] + [window[:, :0]]
    for part in parts:
        for estimate in strategy.gradients(unroll, part, carry):
            carry = estimate.carry
    return gradients(unroll)


def credits(strategy, steps, cut=None):
    """The credit map: weight of the credit that loss t (row t) gives to step s."""
    unroll = Unroll(None, Integrator(steps, steps), None, value).double()
    index = torch.arange(steps * steps, dtype=torch.float64).view(steps, steps, 1)
    window = Window.of(index, index[..., 0], mask=torch.eye(steps, dtype=torch.bool))
    return run(strategy, unroll, window, unroll.initial_state(steps), cut)["recurrent.cell.p"]


def all_signs(count):
    """Every way to draw two signs at each of the steps before the last, [2^…, T, 2]; those of the last reach no loss."""
    draws = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=2 * (count - 1))))
    return torch.cat([draws.view(-1, count - 1, 2), torch.ones(len(draws), 1, 2)], 1)

"""Peak tensor memory, on computations whose answer can be counted by hand."""

from __future__ import annotations

import torch
from torch import nn

from bptt.diagnostics.memory import peak_memory

MIB = 1 << 20


def megabyte(fill: float = 1.0) -> torch.Tensor:
    return torch.full((MIB // 8,), fill, dtype=torch.float64)


def test_what_lives_together_counts_together() -> None:
    def run() -> None:
        a = megabyte()
        b = a + 1
        del a
        c = b + 1  # two alive again: the peak stays two
        del b, c
        megabyte()

    assert peak_memory(run) == 2 * MIB


def test_what_was_there_before_and_views_and_results_in_place_are_not_new() -> None:
    there = megabyte()

    def run() -> None:
        there.add_(1)
        there.view(2, -1)[0].mul_(2)
        there.detach()

    assert peak_memory(run) == 0
    assert peak_memory(lambda: (there + 1).view(2, -1).add_(1)) == MIB


def test_a_forward_and_backward_pass_counts_what_it_holds() -> None:
    """Forward, sin(x) and exp(sin x) are alive together; the first is not kept, since sin keeps x and exp its result.

    Backward, the gradient at sin(x), cos x and their product are alive together, when exp has let its result go.
    """
    start = megabyte().requires_grad_()
    start.grad = torch.zeros_like(start)
    assert peak_memory(lambda: start.sin().exp().sum()) == 2 * MIB
    assert 3 * MIB <= peak_memory(lambda: start.sin().exp().sum().backward()) <= 3 * MIB + 64


def test_memory_grows_with_the_steps_of_a_graph_and_not_without_one() -> None:
    cell, x = nn.Linear(64, 64), torch.randn(32, 64)

    def unrolled(steps: int) -> None:
        h = x
        for _ in range(steps):
            h = torch.tanh(cell(h))
        if h.requires_grad:
            h.sum().backward()

    for parameter in cell.parameters():
        parameter.grad = torch.zeros_like(parameter)
    short, long = peak_memory(lambda: unrolled(10)), peak_memory(lambda: unrolled(110))
    one = 32 * 64 * 4
    assert long - short == 100 * one  # tanh keeps its output, which is the input that the next product keeps
    with torch.no_grad():
        assert peak_memory(lambda: unrolled(110)) <= 4 * one


def test_what_survives_the_run_counts_once_and_the_next_run_starts_anew() -> None:
    kept: list[torch.Tensor] = []
    assert peak_memory(lambda: kept.append(megabyte())) == MIB
    assert peak_memory(lambda: kept.append(kept[0] + 1)) == MIB

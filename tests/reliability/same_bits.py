"""R18: kernels give the same bits for the same number of threads."""

from __future__ import annotations

from typing import Any

import torch
from work import Work

import bptt


def kernels(work: Work) -> None:
    """A round is a layer and a shape: its outputs and all gradients, made three times, other work in between, are bit-equal."""
    threads = torch.get_num_threads()
    for round in work.rounds():
        draw = round.random
        made = draw.choice([bptt.nn.RNN, bptt.nn.LSTM, bptt.nn.GRU])
        rows, steps, inputs, units = (draw.randrange(1, most) for most in (9, 40, 20, 70))
        kind = draw.choice([torch.float32, torch.float64])
        torch.manual_seed(draw.getrandbits(30))
        layer = made(inputs, units, num_layers=draw.choice([1, 2]), batch_first=True).to(kind)
        x = torch.randn(rows, steps, inputs, dtype=kind)
        torch.set_num_threads(draw.choice([1, 2, 3]))
        try:
            found = []
            for _ in range(3):
                found.append(gradients(layer, x.clone()))
                gradients(layer, torch.randn(draw.randrange(1, 5), draw.randrange(1, 9), inputs, dtype=kind))
        finally:
            torch.set_num_threads(threads)
        with work.naming((made.__name__, rows, steps, inputs, units, kind)):
            assert any(float(value.abs().max()) > 0 for value in found[0])
            for other in found[1:]:
                assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
    work.reached["bit-equal"] = f"{work.done} of {work.done}"


def gradients(layer: Any, x: torch.Tensor) -> list[torch.Tensor]:
    layer.zero_grad()
    x.requires_grad_()
    y, _ = layer(x)
    (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    return [y.detach(), x.grad, *(p.grad.clone() for p in layer.parameters())]  # type: ignore[list-item]

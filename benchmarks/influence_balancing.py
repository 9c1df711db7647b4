"""Influence balancing: where truncation has the wrong sign, and rules that run forward in time do not.

A chain of 23 units with one parameter, s' = A s + θ v, A_ii = A_{i,i+1} = ½, v = +1 on the first 10 units and −1 on the
last 13; loss ½(s₁ − 1)². What θ does to s₁ within 40 steps points away from the minimum at θ* = −1/6; what it does later
outweighs it.
(Tallec & Ollivier 2017, section 5.1.) Plain SGD from θ = ½; truncated rules take the mean over a stretch at each update.

Checks first that the exact sensitivity of s₁ is −6, and +10 with 10 lags. About a minute on one core.

    python benchmarks/influence_balancing.py [-o docs/gradients/influence.png]
"""

from __future__ import annotations

import argparse
import itertools
from typing import Any

import torch
from torch import Tensor, nn

import bptt
from bptt.report.plots import picture, picture_path
from bptt.testing.examples import gradients

BEST, FIRST, UNITS, SOME = -1 / 6, 0.5, 23, 10
# Strategy, learning rate, steps, rows whose mean an update takes, colour.
RUNS = [
    (bptt.RTRL(), 1e-4, 3_000, 1, "#17456f"),
    (bptt.UORO(), 3e-5, 3_000, 16, "#5ba3d9"),
    (bptt.Truncated(10), 1e-4, 30_000, 1, "#d9482b"),
    (bptt.Truncated(100), 1e-4, 30_000, 1, "#e69f3c"),
]


class Chain(nn.Module):
    """The chain as a cell: its state [B, 23] starts at ones, its output is the first unit."""

    a: Tensor
    v: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(FIRST, dtype=torch.float64))
        a = torch.diag(torch.full((UNITS,), 0.5)) + torch.diag(torch.full((UNITS - 1,), 0.5), 1)
        self.register_buffer("a", a.double().t().contiguous())
        self.register_buffer("v", torch.cat([torch.ones(SOME), -torch.ones(UNITS - SOME)]).double())

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.ones(batch_size, UNITS, dtype=torch.float64)

    def forward(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        s = torch.addmm(self.theta * self.v, s, self.a)
        return s[:, :1], s


def half_square(outputs: Tensor, targets: Tensor) -> Tensor:
    """½(s₁ − 1)²."""
    return 0.5 * (outputs.squeeze(2) - targets) ** 2


def first_unit(outputs: Tensor, targets: Tensor) -> Tensor:
    """s₁ itself, whose gradient is the sensitivity."""
    return outputs.squeeze(2)


def steps(count: int, rows: int = 1, mask: Tensor | None = None) -> bptt.Window:
    """So many steps without an input."""
    zeros = torch.zeros(rows, count, 1, dtype=torch.float64)
    return bptt.Window.of(zeros, torch.ones_like(zeros[..., 0]), mask=mask)


def check() -> None:
    """The sensitivities that the literature gives, and that all rules of a kind agree on."""
    mask = torch.zeros(1, 120, dtype=torch.bool)
    mask[0, -1] = True
    for strategy, wanted in ((bptt.RTRL(), -6.0), (bptt.Full(), -6.0), (bptt.PerOutput(9), 10.0)):
        unroll = bptt.Unroll(None, Chain(), None, first_unit)
        list(strategy.gradients(unroll, steps(120, mask=mask), strategy.start(unroll, 1)))
        found = gradients(unroll)["recurrent.cell.theta"].item()
        assert abs(found - wanted) < 1e-8, (strategy, found)


def path(strategy: Any, rate: float, count: int, rows: int) -> list[tuple[int, float]]:
    """Steps and θ, from the start to where it ends or has run away; as many points as a picture shows."""
    unroll = bptt.Unroll(None, Chain(), None, half_square, per=rows * strategy.nominal(1))
    theta: Any = unroll.recurrent.cell.theta  # type: ignore[union-attr]
    carry, done, points = strategy.start(unroll, rows), 0, [(0, FIRST)]
    piece = steps(100, rows)
    while done < count and abs(points[-1][1]) < 100:
        for estimate in strategy.gradients(unroll, piece, carry):
            carry = estimate.carry
            if estimate.ready:
                with torch.no_grad():
                    theta -= rate * theta.grad
                theta.grad = None
            at = done + estimate.steps
            if at % 10 == 0:
                points.append((at, theta.item()))
        done += piece.steps
    return points


def draw(paths: dict[str, tuple[str, list[tuple[int, float]]]], name: str) -> None:
    """θ over the steps, and its distance to the minimum on logarithmic axes."""
    with picture(name, 7.4, 3.0) as figure:
        left, right = figure.subplots(1, 2)
        left.axhline(BEST, color="#c5ccd3", linewidth=1)
        left.text(30_000, BEST + 0.03, "θ* = −1/6", ha="right", va="bottom", fontsize=8, color="#5b6672")
        for label, (colour, points) in paths.items():
            at, theta = zip(*points[1:], strict=True)
            left.plot(at, theta, color=colour, linewidth=1.5, label=label)
            right.plot(at, [max(abs(one - BEST), 1e-16) for one in theta], color=colour, linewidth=1.5)
        left.set(xscale="log", ylim=(-0.5, 1.5), xlabel="steps", ylabel="θ")
        right.set(xscale="log", yscale="log", xlabel="steps", ylabel="|θ − θ*|", ylim=(1e-13, 1e2))
        figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--output", help="also draw it, as FILE.svg or FILE.png")
    args = parser.parse_args()
    if args.output:
        picture_path(args.output)
    check()
    paths = {}
    for strategy, rate, count, rows, colour in RUNS:
        label = type(strategy).__name__ + (f"({strategy.k1})" if hasattr(strategy, "k1") else "")
        found = path(strategy, rate, count, rows)
        paths[label + (f", mean of {rows} rows" if rows > 1 else "")] = colour, found
        told = "  ".join(
            f"{at:6,} {theta:+9.4f}" for at, theta in itertools.islice(found[1:], 0, None, max(1, len(found) // 6))
        )
        print(f"{label:<15} rate {rate:g}: θ after steps {told}; at last {found[-1][1]:+.10f}", flush=True)
    if args.output:
        draw(paths, args.output)


if __name__ == "__main__":
    main()

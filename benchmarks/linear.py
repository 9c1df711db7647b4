"""What the scan over time gains on the step loop: forward and backward of a diagonal linear recurrence, and of the layers.

Checks first that both give the same values and gradients (float32, 1e-5 of the largest number). Then times forward and
backward, all gradients included, in one process: the recurrence alone (real coefficients that change from step to step as in
MinGRU, complex constant ones as in LRU), then whole layers in turns, GRU beside them. The step loop is
`bptt.kernels.readable()`, two to eight operations of torch per step; the GRU runs compiled where that is built.

    python benchmarks/linear.py [--threads 1] [--repeats 3]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from bptt import kernels
from bptt.kernels import choose
from bptt.kernels.scan import scan
from bptt.nn import GRU, LRU, MinGRU, adapt

SIZES = [(32, 64, 256), (1, 1_000, 256), (16, 1_000, 64), (1, 10_000, 256), (1, 100_000, 64)]
CELLS = {"lru": lambda size: LRU(size, size), "mingru": lambda size: MinGRU(size, size), "gru": lambda size: GRU(size, size)}

Run = Callable[[], list[Tensor]]


def recurrence(rows: int, steps: int, units: int, kind: str) -> Run:
    """Forward and backward of the recurrence alone: values and gradients."""
    torch.manual_seed(0)
    if kind == "real":
        a, shape = torch.rand(rows, steps, units), (units,)
    else:
        size, turn, shape = torch.rand(units), 6 * torch.rand(units), (units, 2)
        a = torch.stack([size * turn.cos(), size * turn.sin()], -1).view(1, 1, units, 2)
    given = [each.requires_grad_() for each in (a, torch.randn(rows, steps, *shape), torch.randn(rows, *shape))]
    pull = torch.randn(rows, steps, *shape)

    def run() -> list[Tensor]:
        h, _ = scan(*given, pairs=kind == "complex")
        return [h.detach(), *torch.autograd.grad(h, given, pull)]

    return run


def layer(cell: str, rows: int, steps: int, units: int) -> Run:
    """Forward and backward of a layer: outputs and the gradients of input and parameters."""
    torch.manual_seed(0)
    module = adapt(CELLS[cell](units))
    x, pull = torch.randn(rows, steps, units, requires_grad=True), torch.randn(rows, steps, units)

    def run() -> list[Tensor]:
        y, _ = module(x)
        return [y.detach(), *torch.autograd.grad(y, [x, *module.parameters()], pull)]

    return run


def by_steps(run: Run) -> Run:
    """The same by the step loop."""

    def stepped() -> list[Tensor]:
        with kernels.readable():
            return run()

    return stepped


def check(run: Run) -> None:
    """Both ways give the same."""
    for found, meant in zip(run(), by_steps(run)(), strict=True):
        off = float((found - meant).abs().max() / meant.abs().max())
        assert off <= 1e-5 and meant.abs().max() > 1e-3, off


def milliseconds(runs: dict[str, Run], repeats: int) -> dict[str, float]:
    """The median of each, timed in turns after one turn that does not count."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if repeat or repeats == 1:
                times[name].append(1e3 * (time.perf_counter() - started))
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for kind in ("real", "complex"):
        check(recurrence(3, 333, 5, kind))
    for cell in ("lru", "mingru"):
        check(layer(cell, 3, 333, 5))
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {args.threads} threads, float32")
    print("the recurrence alone, forward and backward, ms:      scan   step loop  ratio")
    for rows, steps, units in SIZES:
        for kind in ("real", "complex"):
            run = recurrence(rows, steps, units, kind)
            fast = milliseconds({"scan": run}, args.repeats)["scan"]
            slow = milliseconds({"loop": by_steps(run)}, min(args.repeats, 2) if steps < 10_000 else 1)["loop"]
            print(f"B {rows:2}  T {steps:7,}  H {units:3}  {kind:7} {fast:21.2f} {slow:11.1f} {slow / fast:6.1f}", flush=True)
    print(f"layers (GRU: {choose('gru').name}), forward and backward, ms:")
    for rows, steps, units in SIZES[:-1]:
        found = milliseconds({cell: layer(cell, rows, steps, units) for cell in CELLS}, args.repeats)
        parts = ", ".join(f"{cell} {value:.2f}" for cell, value in found.items())
        ratios = ", ".join(f"{cell} × {found['gru'] / found[cell]:.2f}" for cell in ("lru", "mingru"))
        print(f"B {rows:2}  T {steps:7,}  H {units:3}  {parts}; against gru: {ratios}", flush=True)


if __name__ == "__main__":
    main()

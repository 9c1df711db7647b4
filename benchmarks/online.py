"""What rules that run forward in time cost: time per step by size, with the exponent of its growth, and a long run.

Every rule of `bptt.gradients` that says `online` is there. Each is held to its contract before it is timed, and the exact ones
to back-propagation on the very nets that are timed. One row, 4 inputs, single precision, an update's gradient at every step, or
at the end of every stretch of a rule that has some. Sizes double until a step takes longer than --longest seconds; the exponent
is fitted where a step takes three times as long as the shortest, below which calls take the time and not arithmetic. The long
run takes --steps steps of a small GRU, or of a small Elman network if the rule is not for gates, and reports the time per step
of each tenth, the bytes of the carry and those of the process.

    python benchmarks/online.py [--rules rtrl snap …] [--cells rnn gru …] [--longest 0.1] [--steps 100000]
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import bptt
from bptt.gradients import STRATEGIES
from bptt.structure import Structure, rows
from bptt.testing import check_strategy
from bptt.testing.examples import Problem, distance, exact, gradients
from bptt.training.pack import pack

INPUTS, SMALLEST, LONG, CALLS = 4, 16, 8, 3
LARGEST = {"rnn": 2048, "gru": 2048, "lstm": 2048, "diagonal": 2**18}


class Diagonal(nn.Module):
    """h_i' = a_i h_i + V x: a recurrence whose units stand alone, and that says so."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.decay, self.v = nn.Parameter(torch.rand(hidden)), nn.Parameter(torch.randn(hidden, inputs))

    def initial_state(self, batch_size: int) -> Tensor:
        """Zeros."""
        return self.decay.new_zeros(batch_size, len(self.decay))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step."""
        h = self.decay * h + x @ self.v.t()
        return torch.tanh(h), h

    def structure(self) -> Structure:
        """Every entry moves the unit of its row."""
        units = torch.arange(len(self.decay))
        return Structure(units, {"decay": units, "v": rows(self.v, len(units))})


CELLS: dict[str, Callable[[int, int], nn.Module]] = {
    "rnn": bptt.nn.RNN,
    "gru": bptt.nn.GRU,
    "lstm": bptt.nn.LSTM,
    "diagonal": Diagonal,
}
ELMAN = ("kfrtrl", "rflo")
# The power of H that the work of a step grows with, P ~ H² for dense cells and P ~ H for a diagonal one.
DENSE = {"rtrl": 4, "kfrtrl": 3}
THEORY = {"diagonal": lambda rule: 1} | dict.fromkeys(("rnn", "gru", "lstm"), lambda rule: DENSE.get(rule, 2))


def squares(outputs: Tensor, targets: Tensor) -> Tensor:
    """½ Σ (o − y)²."""
    return 0.5 * (outputs - targets).square().sum(2)


def net(cell: str, hidden: int, steps: int) -> tuple[bptt.Unroll, bptt.Window]:
    """A net, and steps for it."""
    torch.manual_seed(0)
    unroll = bptt.Unroll(None, CELLS[cell](INPUTS, hidden), nn.Linear(hidden, 2), squares)
    return unroll, bptt.Window.of(torch.randn(1, steps, INPUTS), torch.randn(1, steps, 2))


def spending(name: str, steps: int) -> Any:
    """The rule, with an update every so many steps."""
    rule = STRATEGIES[name]
    return rule(**{"every" if "every" in {field.name for field in dataclasses.fields(rule)} else "k": steps})


def check(name: str, rule: Any, cells: list[str]) -> None:
    """The contract, on a layer that every rule takes; an exact rule's gradient is that of back-propagation on every net."""
    check_strategy(spending(name, 15), recurrent=["rnn"])
    for cell in cells if rule.exact else []:
        unroll, window = net(cell, 5, 9)
        unroll = unroll.double()
        window = bptt.Window.of(window.inputs.double(), window.targets.double())
        carry = rule.start(unroll, 1)
        wanted = exact(Problem(unroll, window, carry.state))
        for _ in rule.gradients(unroll, window, carry):
            pass
        assert distance(gradients(unroll), wanted) <= 1e-12, (rule, cell)


def step_time(rule: Any, cell: str, hidden: int, tries: int) -> float:
    """Seconds of processor time per step, the median of a few."""
    spent = rule.nominal(1)
    unroll, window = net(cell, hidden, spent * (tries + 2))
    times, before = [], time.process_time()
    for _ in rule.gradients(unroll, window, rule.start(unroll, 1)):
        times.append(time.process_time() - before)
        before = time.process_time()
    return float(np.median(times[2:])) / spent


def growth(sizes: list[int], times: list[float]) -> str:
    """The exponent e of time ~ sizeᵉ, by least squares over the sizes where arithmetic and not calls takes the time."""
    points = [(math.log(size), math.log(one)) for size, one in zip(sizes, times, strict=True) if one >= CALLS * min(times)]
    return f"{np.polyfit(*zip(*points, strict=True), 1)[0]:.1f}" if len(points) > 1 else "?"


def grow(name: str, rule: Any, cell: str, longest: float) -> None:
    """One line: times by size, and the exponents."""
    sizes: list[int] = []
    times: list[float] = []
    while not times or (times[-1] < longest and sizes[-1] < LARGEST[cell]):
        sizes.append(SMALLEST * 2 ** len(sizes))
        try:
            times.append(step_time(rule, cell, sizes[-1], 4 if times and times[-1] > 0.03 else 15))
        except bptt.BpttError as error:
            print(f"{name:17} {cell:9} refused: {str(error).splitlines()[0]}", flush=True)
            return
    told = "  ".join(f"{size}: {1e3 * seconds:.2f}" for size, seconds in zip(sizes, times, strict=True))
    print(f"{name:17} {cell:9} H^{growth(sizes, times)} (theory {THEORY[cell](name)})  ms by H  {told}", flush=True)


def resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    status = Path("/proc/self/statm")
    return int(status.read_text(encoding="ascii").split()[1]) * 4096 if status.is_file() else 0


def long_run(name: str, rule: Any, steps: int) -> None:
    """Time per step of every tenth of a long run, and what is held at its end against what was held after the first tenth."""
    unroll, window = net("rnn" if name in ELMAN else "gru", LONG, steps // 100)
    carry, tenths, held = rule.start(unroll, 1), [], []
    for _ in range(10):
        before = time.process_time()
        for _ in range(10):
            for estimate in rule.gradients(unroll, window, carry):
                carry = estimate.carry
            unroll.zero_grad()
        tenths.append((time.process_time() - before) / (10 * window.steps))
        held.append((sum(tensor.nbytes for tensor in pack(carry)[0].values()), resident()))
    assert held[0][0] == held[-1][0], held
    print(f"{name:17} {steps:,} steps, µs per step by tenth: {' '.join(f'{1e6 * one:.0f}' for one in tenths)}")
    grown = f"{(held[-1][1] - held[0][1]) / 2**20:.1f} MiB"
    print(
        f"{'':17} carry {held[0][0]:,} bytes after the first tenth and after the last; the process has grown by {grown}",
        flush=True,
    )


def main() -> None:
    """Print both tables."""
    known = {name: rule for name, rule in STRATEGIES.items() if rule.online}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rules", nargs="*", choices=known, default=list(known))
    parser.add_argument("--cells", nargs="*", choices=CELLS, default=list(CELLS))
    parser.add_argument("--longest", type=float, default=0.1)
    parser.add_argument("--steps", type=int, default=100_000, help="of the long run; 0: none")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread, one row, {INPUTS} inputs")
    for name in args.rules:
        check(name, known[name](), args.cells)
        for cell in args.cells:
            grow(name, known[name](), cell, args.longest)
    for name in args.rules if args.steps else []:
        long_run(name, spending(name, 10), args.steps)


if __name__ == "__main__":
    main()

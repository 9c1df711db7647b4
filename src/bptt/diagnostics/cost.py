"""What a gradient costs: time per token and tensor memory, beside the exact gradient of the same probe.

Knows strategies by their contract; must not know whether their gradients are right.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping

import torch

from bptt import nest
from bptt.diagnostics.estimator import exact_pass, run
from bptt.diagnostics.memory import peak_memory
from bptt.diagnostics.probes import Probe
from bptt.types import Carry, Strategy, Unroll

ROUNDS = 7  # repetitions of which the median counts
LOOKS = 3  # passes of which the largest memory counts, where it depends on draws


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one gradient over a probe.

    seconds_per_token  forward and backward, median over the rounds
    time_ratio         of that to the exact gradient's, median over the rounds, each against the exact one of its own round
    memory             peak bytes of tensors beyond parameters, their gradients and the probe
    memory_ratio       of that to the exact gradient's
    """

    seconds_per_token: float
    time_ratio: float
    memory: int
    memory_ratio: float


class Passes:
    """A strategy that goes on and on over the same probe, so that what it does only at the start of a stream is not counted.

    Each pass is closed: it runs, forward and backward, the steps that it was handed.
    """

    def __init__(self, strategy: Strategy | None, unroll: Unroll, probe: Probe, steps: int) -> None:
        self.strategy, self.unroll, self.probe, self.windows = strategy, unroll, probe, probe.cut(steps)
        self.carry: Carry | None = None
        if strategy is not None:
            start = strategy.start(unroll, probe.window.batch_size)
            self.carry = start._replace(state=nest.detach(probe.state))

    def __call__(self) -> None:
        """One pass: the strategy's, or without one that of the exact gradient."""
        if self.strategy is None or self.carry is None:
            exact_pass(self.unroll, self.probe)
        else:
            self.carry = run(self.strategy, self.unroll, self.windows, self.carry)[-1].carry


def costs(
    strategies: Mapping[str, Strategy], unroll: Unroll, probe: Probe, steps: int, done: Callable[[], None]
) -> tuple[Cost, dict[str, Cost]]:
    """The cost of the exact gradient, and of each strategy in windows of `steps`, in turns so that a busy machine hits all."""
    passes = [Passes(strategy, unroll, probe, steps) for strategy in (None, *strategies.values())]
    for parameter in (parameter for _, parameter in unroll.named_parameters() if parameter.requires_grad):
        parameter.grad = torch.zeros_like(parameter)  # there already, so that it is not memory of a strategy
    device = probe.window.mask.device
    memory = []
    for one in passes:
        one()  # what only happens the first time is behind it
        drawn = one.strategy is not None and one.strategy.random
        memory.append(max(peak_memory(one, device) for _ in range(LOOKS if drawn else 1)))
        done()
    seconds: list[list[float]] = [[] for _ in passes]
    for turn in range(ROUNDS):
        for number in rotated(range(len(passes)), turn):
            seconds[number].append(timed(passes[number], device))
            done()
    tokens = probe.window.mask.numel()
    found = [
        Cost(
            statistics.median(own) / tokens,
            statistics.median(a / b for a, b in zip(own, seconds[0], strict=True)),
            bytes_,
            bytes_ / max(memory[0], 1),
        )
        for own, bytes_ in zip(seconds, memory, strict=True)
    ]
    return found[0], dict(zip(strategies, found[1:], strict=True))


def rotated(order: range, turn: int) -> list[int]:
    """The order that begins one place further each turn."""
    first = turn % len(order)
    return [*order[first:], *order[:first]]


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds that `run()` takes, with everything that it left to the device."""
    settle(device)
    start = time.perf_counter()
    run()
    settle(device)
    return time.perf_counter() - start


def settle(device: torch.device) -> None:
    """Wait for what is still running on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

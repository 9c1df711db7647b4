"""What random cuts cost: a training step of `Randomized` against one of `Truncated` with the same mean length.

Random and regular cuts are edge weights that the layer reads, so the price is one small operation per step and leaf of the
state. Checks first that edge weights of one change no gradient; then times both in turns, in one process, per token. To leave
the luck of the draw aside, the random lengths are the ones of a seed whose stretches have the mean length asked for. All else
is as a user gets it: the two looks at the growth of Jacobians that fall into the first 1,536 steps of a stream are in the times
(a look at 16 steps; the next ones would come at 2,048, 4,096 …). How much of the time they are is printed as well.

    python benchmarks/edge_weights.py [--threads 2] [--repeats 15]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Callable

import torch

import bptt
from bptt.kernels import choose
from bptt.testing.examples import distance, exact, gradients, problem

ROWS, VOCAB, HIDDEN, MEAN, STEPS, WINDOWS = 32, 96, 256, 64, 64, 24


def check() -> None:
    """Edge weights of one give the exact gradient: the fast way is compared with autograd before it is timed."""
    for name in ("rnn", "gru", "lstm"):
        setting = problem(name)
        ones = torch.ones(setting.window.inputs.shape[:2], dtype=torch.float64)
        loss, _ = setting.unroll.segment(setting.window, setting.state, ones)
        setting.unroll.backward(loss)
        assert distance(gradients(setting.unroll), exact(problem(name))) <= 1e-12, name


def fair_seed(tail: float | None, multiple: int = 1) -> int:
    """The seed whose stretches over the timed steps come nearest to the mean length."""

    def off(seed: int) -> float:
        strategy, position, count = bptt.Randomized(MEAN, tail, multiple, seed=seed), 0, 0
        while position < STEPS * WINDOWS:
            position, count = position + int(strategy.length({"position": position})), count + 1
        return abs(position / count - MEAN) + abs(position - STEPS * WINDOWS)

    return min(range(300), key=off)


def trainer(strategy: bptt.Strategy, cell: str, looks: bool = True) -> Callable[[], None]:
    """A function that trains a fresh character model over the windows, from the start of the stream."""
    torch.manual_seed(0)
    model = bptt.LanguageModel(cell, vocab=VOCAB, hidden_size=HIDDEN, embedding_size=64)
    unroll = model.unroll(per=ROWS * MEAN)
    optimizer = torch.optim.Adam(unroll.parameters(), lr=1e-3)
    ids = torch.randint(VOCAB, (ROWS, STEPS))
    window = bptt.Window.of(ids, ids)

    def run() -> None:
        carry = strategy.start(unroll, ROWS)
        if not looks:
            carry = carry._replace(memory={**carry.memory, "look": 2**40})
        for part in [window] * WINDOWS + [window[:, :0]]:
            for estimate in strategy.gradients(unroll, part, carry):
                carry = estimate.carry
                if estimate.ready:
                    torch.nn.utils.clip_grad_norm_(unroll.parameters(), 1.0)
                    optimizer.step()
                    optimizer.zero_grad()

    return run


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    check()
    machine, kernel = platform.processor() or platform.machine(), choose("gru").name
    print(f"{machine}, torch {torch.__version__}, {args.threads} threads, {kernel} kernels")
    print(f"B {ROWS}, H {HIDDEN}, V {VOCAB}, mean length {MEAN}; per token, median of {args.repeats} paired ratios")
    strategies = {
        "constant": bptt.Randomized(MEAN, seed=fair_seed(None)),
        "tail=4": bptt.Randomized(MEAN, 4, seed=fair_seed(4)),
        "tail=4,multiple=8": bptt.Randomized(MEAN, 4, 8, seed=fair_seed(4, 8)),
    }
    for cell in ("rnn", "gru", "lstm"):
        runs = {"truncated": trainer(bptt.Truncated(MEAN), cell)} | {n: trainer(s, cell) for n, s in strategies.items()}
        runs |= {"constant, no looks": trainer(strategies["constant"], cell, looks=False)}
        times: dict[str, list[float]] = {name: [] for name in runs}
        for repeat in range(args.repeats + 1):
            for name, run in runs.items():
                started = time.process_time()
                run()
                if repeat:
                    times[name].append(time.process_time() - started)
        base = times["truncated"]
        ratios = {n: statistics.median(a / b for a, b in zip(times[n], base, strict=True)) for n in times if n != "truncated"}
        parts = [f"{name} {ratio:.3f}" for name, ratio in ratios.items()]
        micro = 1e6 * statistics.median(base) / (ROWS * STEPS * WINDOWS)
        print(f"{cell:5} truncated {micro:.1f} µs of CPU per token, ratios: {', '.join(parts)}")


if __name__ == "__main__":
    main()

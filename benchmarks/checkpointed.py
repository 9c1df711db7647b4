"""What bounded memory costs: `Checkpointed(budget=…)` against `Full`, peak memory and time, on one very long window.

Checks first that both give the same gradient on a short window, in float64. Then each strategy takes one window of T steps in
a process of its own: "held" is the most bytes, at a time, of the states and of the tensors that autograd saved, without
parameters and the window: what the budget is for. "tensors" is the most bytes of all tensors that were made, with the gradients
and what a call needs for a moment, as `bptt compare` counts. "RSS" is what the process grew by, which also has autograd's own
records and scratch space, and depends on the allocator's luck. Times are processor seconds of the window alone, with the
measuring and the planning, and without the accounting, which is runs of their own; the ratio is the median over pairs.

    python benchmarks/checkpointed.py [--steps 100000] [--hidden 256] [--budget 64MiB] [--cells gru rnn] [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time

import torch

import bptt
from bptt.config import parse_strategy
from bptt.diagnostics.memory import peak_memory
from bptt.kernels import choose
from bptt.testing.examples import distance, gradients, problem
from bptt.testing.ledger import Ledger

INPUTS, CLASSES = 32, 32


def check(budgets: list[str]) -> None:
    """The gradient of `Full`, in float64, on every budget."""
    for name in ("rnn", "gru", "lstm"):
        found = []
        for strategy in (bptt.Full(), *(bptt.Checkpointed(budget=budget) for budget in budgets)):
            setting = problem(name, steps=400)
            (estimate,) = strategy.gradients(setting.unroll, setting.window, bptt.Carry(setting.state))
            found.append(gradients(setting.unroll))
            print(f"check {name:5} {strategy}: {distance(found[-1], found[0]):.1e} of Full, {dict(estimate.info)}")
            assert distance(found[-1], found[0]) <= 1e-12


def measure(strategy: bptt.Strategy, cell: str, steps: int, hidden: int, account: str) -> dict[str, float]:
    """One window in this process: processor seconds and what the process grew by, or what `account` counts instead."""
    torch.manual_seed(0)
    layer = {"gru": bptt.nn.GRU, "rnn": bptt.nn.RNN, "lstm": bptt.nn.LSTM}[cell](INPUTS, hidden, batch_first=True)
    unroll = bptt.Unroll(None, layer, torch.nn.Linear(hidden, CLASSES), per=steps)
    window = bptt.Window.of(torch.randn(1, steps, INPUTS), torch.randint(CLASSES, (1, steps)))
    for warm in (bptt.Full(), strategy):
        list(warm.gradients(unroll, window[:, :300], warm.start(unroll, 1)))
    unroll.zero_grad()
    carry = strategy.start(unroll, 1)
    if account == "held":
        with Ledger(unroll, window).watch() as ledger:
            list(strategy.gradients(unroll, window, carry))
        return {"held": ledger.peak}
    if account == "tensors":
        return {"tensors": peak_memory(lambda: list(strategy.gradients(unroll, window, carry)))}
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    (estimate,) = strategy.gradients(unroll, window, carry)
    seconds = time.process_time() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    norm = float(
        torch.cat([parameter.grad.flatten() for parameter in unroll.parameters() if parameter.grad is not None]).norm()
    )
    return {"seconds": seconds, "rss": grown, "forwards": estimate.info.get("forwards", 1.0), "norm": norm}


def apart(written: str, cell: str, args: argparse.Namespace, account: str = "") -> dict[str, float]:
    """`measure` in a fresh process."""
    command = [sys.executable, __file__, "--one", written, "--cells", cell, "--steps", str(args.steps)]
    command += ["--hidden", str(args.hidden), "--threads", str(args.threads), "--account", account]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--budget", default="64MiB")
    parser.add_argument("--cells", nargs="+", default=["gru", "rnn"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--account", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.one:
        print(json.dumps(measure(parse_strategy(args.one), args.cells[0], args.steps, args.hidden, args.account)))
        return
    check(["16KiB", "64KiB", "256KiB"])
    ours = f"checkpointed:budget={args.budget}"
    machine, kernel = platform.processor() or platform.machine(), choose("gru").name
    print(f"{machine}, torch {torch.__version__}, {args.threads} threads, {kernel} kernels")
    print(f"T {args.steps}, H {args.hidden}, B 1, float32; budget {args.budget}; {args.repeats} runs of each, in turns")
    for cell in args.cells:
        names, counts = ("full", ours), ("held", "tensors")
        most = {name: {count: apart(name, cell, args, count)[count] / 2**20 for count in counts} for name in names}
        runs = [{name: apart(name, cell, args) for name in names} for _ in range(args.repeats)]
        for name in names:
            found = [run[name] for run in runs]
            grown = "–".join(f"{pick(row['rss'] for row in found) / 2**20:.0f}" for pick in (min, max))
            seconds = "–".join(f"{pick(row['seconds'] for row in found):.1f}" for pick in (min, max))
            ratio = statistics.median(run[name]["seconds"] / run["full"]["seconds"] for run in runs)
            print(
                f"{cell:5} {name:27} held {most[name]['held']:6.1f} MiB   tensors {most[name]['tensors']:6.1f} MiB   "
                f"RSS +{grown:>9} MiB   "
                f"forwards {found[0]['forwards']:.3f}   {seconds:>9} s   {ratio:.2f}x   gradient {found[0]['norm']:.6g}",
                flush=True,
            )


if __name__ == "__main__":
    main()

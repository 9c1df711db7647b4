"""What bounded memory costs: `Checkpointed(budget=…)` against `Full`, peak memory and time, on one very long window.

Checks first that both give the same gradient on a short window, in float64. Then each strategy takes one window of T steps in
a process of its own: "held" is the most bytes, at a time, of the states and of the tensors that autograd saved, without
parameters and the window; "RSS" is what the process grew by, which also has the working memory, the gradients and autograd's
own records, and depends on the allocator's luck. Times are processor seconds of the window alone, with the measuring and the
planning, and without the accounting, which is a run of its own; the ratio is the median over pairs.

    python benchmarks/checkpointed.py [--steps 100000] [--hidden 256] [--budget 64MiB] [--cells gru rnn] [--threads 1]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
import weakref
from typing import Any

import torch

import bptt
from bptt import nest
from bptt.config import parse_strategy
from bptt.testing.examples import distance, gradients, problem

INPUTS, CLASSES = 32, 32


class Ledger:
    """Bytes of the storages that a backward holds and of the states, each from when it is seen until it is freed."""

    def __init__(self, unroll: bptt.Unroll, window: bptt.Window) -> None:
        self.live = self.peak = 0
        given = [*unroll.parameters(), *(getattr(window, field.name) for field in dataclasses.fields(window))]
        self.known: dict[int, Any] = {tensor.untyped_storage().data_ptr(): None for tensor in given}

    def note(self, tensor: torch.Tensor) -> torch.Tensor:
        """Count the storage of `tensor` from now on."""
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if key not in self.known:
            self.live += size
            self.peak = max(self.peak, self.live)
            self.known[key] = weakref.ref(storage, lambda _: self.forget(key, size))
        return tensor.detach()

    def forget(self, key: int, size: int) -> None:
        """The storage is freed."""
        del self.known[key]
        self.live -= size


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


def measure(strategy: bptt.Strategy, cell: str, steps: int, hidden: int, account: bool) -> dict[str, float]:
    """One window in this process: processor seconds, what the process grew by, and with `account` the bytes held instead."""
    torch.manual_seed(0)
    layer = {"gru": bptt.nn.GRU, "rnn": bptt.nn.RNN, "lstm": bptt.nn.LSTM}[cell](INPUTS, hidden, batch_first=True)
    unroll = bptt.Unroll(None, layer, torch.nn.Linear(hidden, CLASSES), per=steps)
    window = bptt.Window.of(torch.randn(1, steps, INPUTS), torch.randint(CLASSES, (1, steps)))
    for warm in (bptt.Full(), strategy):
        list(warm.gradients(unroll, window[:, :300], warm.start(unroll, 1)))
    unroll.zero_grad()
    ledger, segment = Ledger(unroll, window), unroll.segment
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    if account:

        def watched(part: bptt.Window, state: Any, edge: Any = None) -> tuple[torch.Tensor, Any]:
            nest.map(ledger.note, state)
            loss, end = segment(part, state, edge)
            nest.map(ledger.note, end)
            return loss, end

        unroll.segment = watched  # type: ignore[method-assign]
        with torch.autograd.graph.saved_tensors_hooks(ledger.note, lambda tensor: tensor):
            (estimate,) = strategy.gradients(unroll, window, strategy.start(unroll, 1))
        return {"held": ledger.peak}
    (estimate,) = strategy.gradients(unroll, window, strategy.start(unroll, 1))
    seconds = time.process_time() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    norm = float(
        torch.cat([parameter.grad.flatten() for parameter in unroll.parameters() if parameter.grad is not None]).norm()
    )
    return {"seconds": seconds, "rss": grown, "forwards": estimate.info.get("forwards", 1.0), "norm": norm}


def apart(written: str, cell: str, args: argparse.Namespace, account: bool) -> dict[str, float]:
    """`measure` in a fresh process."""
    command = [sys.executable, __file__, "--one", written, "--cells", cell, "--steps", str(args.steps)]
    command += ["--hidden", str(args.hidden), "--threads", str(args.threads)] + ["--account"] * account
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
    parser.add_argument("--account", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.one:
        print(json.dumps(measure(parse_strategy(args.one), args.cells[0], args.steps, args.hidden, args.account)))
        return
    check(["16KiB", "64KiB", "256KiB"])
    ours = f"checkpointed:budget={args.budget}"
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {args.threads} threads, readable kernels")
    print(f"T {args.steps}, H {args.hidden}, B 1, float32; budget {args.budget}; {args.repeats} runs of each, in turns")
    for cell in args.cells:
        held = {name: apart(name, cell, args, True)["held"] for name in ("full", ours)}
        runs = [{name: apart(name, cell, args, False) for name in held} for _ in range(args.repeats)]
        for name in held:
            found = [run[name] for run in runs]
            grown = "–".join(f"{pick(row['rss'] for row in found) / 2**20:.0f}" for pick in (min, max))
            seconds = "–".join(f"{pick(row['seconds'] for row in found):.1f}" for pick in (min, max))
            ratio = statistics.median(run[name]["seconds"] / run["full"]["seconds"] for run in runs)
            print(
                f"{cell:5} {name:27} held {held[name] / 2**20:6.1f} MiB   RSS +{grown:>9} MiB   "
                f"forwards {found[0]['forwards']:.3f}   {seconds:>9} s   {ratio:.2f}x   gradient {found[0]['norm']:.6g}",
                flush=True,
            )


if __name__ == "__main__":
    main()

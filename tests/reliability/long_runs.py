"""R15: flat over time. R16: memory bounds hold over a window as long as a book."""

from __future__ import annotations

import gc
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
from racing import forked
from work import Work

import bptt

PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def forget_peak() -> None:
    """The peak counts from here."""
    Path("/proc/self/clear_refs").write_text("5")


def high_water() -> int:
    """The most bytes of this process in memory since `forget_peak`."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) << 10


def flat(work: Work) -> None:
    """One run of `size` updates into a directory, looked at twenty times: memory, open files, processor time per update."""
    from small_run import TEXT, train

    from bptt.data import Corpus, Tokens, Vocabulary

    vocab = Vocabulary.from_text(TEXT)
    ids = vocab.encode("".join(random.Random(1).choices(TEXT, k=min(60_000, 51 * work.size + 1))))
    corpus = Corpus(Tokens(ids), Tokens(ids[:200]), None, vocab, {"sha256": "of the text"})
    windows = len(corpus.train.stream(3, 17))
    every, seen = max(1, work.size // 20), []

    def look(event: Any) -> None:
        if event["event"] in ("step", "progress") and "validated" not in event and event["step"] % every == 0:
            gc.collect()
            seen.append((event["step"], resident(), len(os.listdir("/proc/self/fd")), time.process_time()))

    settings = {"epochs": -(-work.size // windows), "log_every": 1000, "sample_every": 0, "save_every": 10**6}
    train(work.folder / "run", corpus=corpus, gradient=bptt.Truncated(17), listeners=[look], **settings)
    steps, memory, files, clock = map(np.array, zip(*seen, strict=True))
    settled = len(steps) // 4  # what is loaded late and kept is no slope
    slope = float(np.polyfit(steps[settled:], memory[settled:], 1)[0]) * 1e4 / 2**20
    paces = np.diff(clock) / np.diff(steps)
    half = len(paces) // 2
    drift = float(np.median(paces[half:]) / np.median(paces[1:half]) - 1)
    assert len(set(files[1:].tolist())) == 1, files
    if work.size >= 10_000:
        assert slope < 1 and drift < 0.05, (slope, drift)
    else:  # a few thousand updates tell a leak from none, but no percent of a time
        assert slope * work.size / 1e4 < 4, slope
    work.done = work.size
    work.reached["memory"] = f"{slope:+.2f} MiB per 10,000 updates"
    work.reached["time of an update"] = f"{100 * drift:+.1f} % from the first half to the second"
    work.reached["open files"] = f"{files[-1]} throughout"


def bounded(work: Work) -> None:
    """One window of `size` steps, its gradient under a budget, in a process of its own whose peak is the system's figure."""
    told = work.folder / "told"
    budget = max(6 << 20, 256 * work.size)  # all that its steps keep is five times that
    _, status = os.waitpid(forked(lambda: spend(work.size, budget, told)), 0)
    assert os.waitstatus_to_exitcode(status) == 0
    peak, everything, forwards = (float(word) for word in told.read_text().split())
    assert peak <= 1.1 * budget < everything, (peak, budget, everything)
    work.done = work.size
    figures = f"{peak / 2**20:.1f} MiB of a budget of {budget / 2**20:.1f} MiB ({everything / 2**20:.0f} MiB without)"
    work.reached["peak"] = f"{figures}, {forwards:.2f} forward steps per step"


def spend(steps: int, budget: int, told: Path) -> int:
    """The gradient of one window, once at a small size to load what is loaded late, then at full size."""
    import torch

    torch.manual_seed(0)
    model = bptt.LanguageModel("gru", vocab=20, hidden_size=64)
    for length, allowed in ((2000, 2 << 20), (steps, budget)):
        ids = torch.randint(0, 20, (1, length + 1))
        window = bptt.Window.of(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
        unroll, strategy = model.unroll(per=1), bptt.Checkpointed(budget=allowed)
        carry = strategy.start(unroll, 1)
        gc.collect()
        forget_peak()
        before = resident()
        (estimate,) = strategy.gradients(unroll, window, carry)
        peak = high_water()
    told.write_text(f"{peak - before} {steps * 64 * 4 * 5} {estimate.info['forwards']}")
    return 0

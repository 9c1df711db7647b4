"""R6: SIGINT and SIGTERM, in every phase of a run."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crashing
import torch
from racing import forked
from work import Work

import bptt
from bptt.training import checkpoint

PHASES = ("forward", "backward", "update", "validation", "sample", "save")
CASES = list(itertools.product(PHASES, (signal.SIGINT, signal.SIGTERM), (1, 2)))


def phases(work: Work) -> None:
    """A round is a phase, a signal, and whether it comes once or twice, within a call drawn from the phase's first ones.

    Once: a checkpoint of the last completed update, exit code 130 or 143, within 10 s. Twice: within 1 s. Going on gives the
    run that nothing happened to.
    """
    from small_run import train

    train(work.folder / "whole", **crashing.SETTINGS)
    wanted, slowest = crashing.result(work.folder / "whole"), {1: 0.0, 2: 0.0}
    for round in work.rounds():
        phase, number, times = CASES[round.number % len(CASES)]
        # The first forward and backward are a rehearsal, before there is a run; the first save makes it one.
        first, last = {"validation": (1, 2), "sample": (1, 9), "save": (2, 4)}.get(phase, (4, 12))
        nth = round.random.randrange(first, last)
        out, told = round.folder / "run", round.folder / "at"
        child = forked(lambda o=out, p=phase, n=nth, s=number, t=times, w=told: live(o, p, n, s, t, w))  # type: ignore[misc]
        _, status = os.waitpid(child, 0)
        took = time.monotonic() - float(told.read_text())
        with work.naming((phase, number.name, times, f"call {nth}")):
            assert os.waitstatus_to_exitcode(status) == 128 + number
            assert took < (10 if times == 1 else 1)
            slowest[times] = max(slowest[times], took)
            saved = checkpoint.load(out / "checkpoints")
            if times == 1:
                last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
                assert last["event"] == "end" and last["step"] == saved.step
                assert last["reason"] == (
                    "finished" if phase == "sample" and saved.step == wanted[0][-1]["step"] else "interrupted"
                )
            crashing.go_on(out)
            assert crashing.result(out) == wanted
    work.reached["ended"] = f"{work.done} of {work.done} with the right code, all equal when continued"
    work.reached["slowest"] = f"{1000 * slowest[1]:.0f} ms after a first signal, {1000 * slowest[2]:.0f} ms after a second"


def live(out: Path, phase: str, nth: int, number: int, times: int, told: Path) -> int:
    """A run in whose `phase` the signal comes, within the nth call; the exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    calls = itertools.count(1)

    def meanwhile(real: Callable[..., Any], when: Callable[[], bool] = lambda: True) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if when() and next(calls) == nth:
                for _ in range(times):
                    told.write_text(repr(time.monotonic()))
                    os.kill(os.getpid(), number)
            return real(*args, **named)

        return call

    from bptt.training.update import Update

    holder, name, when = {
        "forward": (bptt.Unroll, "segment", torch.is_grad_enabled),
        "backward": (bptt.Unroll, "backward", torch.is_grad_enabled),
        "update": (Update, "spend", torch.is_grad_enabled),
        "validation": (bptt.Unroll, "losses", lambda: not torch.is_grad_enabled()),
        "sample": (bptt.LanguageModel, "step", lambda: True),
        "save": (checkpoint, "_write", lambda: True),
    }[phase]
    setattr(holder, name, meanwhile(getattr(holder, name), when))
    try:
        crashing.go_on(out)
    except bptt.Interrupted as error:
        return error.exit_code
    return 0

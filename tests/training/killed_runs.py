"""Runs in processes that are killed with SIGKILL and started again until they are done; prints what came of them as JSON.

    python killed_runs.py FOLDER '{"seed": 1, "cell": "gru", "sampling": "random", "deaths": ["at random", "rename:3"]}' …

A process that has only imported forks every attempt, which costs milliseconds where starting Python costs seconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch  # noqa: F401 - what a run loads late is loaded once, here
import torch
import torch._dynamo
import yaml  # noqa: F401
from small_run import events, fingerprint, make_model, train

from bptt.config import parse_strategy
from bptt.training import checkpoint

warnings.simplefilter("ignore")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(death: str) -> list[Callable[[Any], None]]:
    """Prepare this process's end: `event:KIND:N` at the Nth such event, `NAME:N` in place of the Nth call of os.NAME."""
    name, _, rest = death.partition(":")
    count = 0

    def listen(event: Any) -> None:
        nonlocal count
        count += ("validation" if "validated" in event else event["event"]) == rest.partition(":")[0]
        if count == int(rest.partition(":")[2]):
            die()

    if name == "event":
        return [listen]
    real = getattr(os, name)

    def call(*args: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if count == int(rest):
            die()
        return real(*args, **named)

    setattr(os, name, call)
    return []


def attempt(out: Path, case: dict[str, Any], death: str) -> None:
    """One process's life: start the run, or go on with it, until it is done."""
    listeners = arm(death) if death and death != "at random" else []
    how: dict[str, Any] = {"overwrite": (out / "config.yaml").exists()}
    if checkpoint.steps(out / "checkpoints"):
        how = {"resume": True}
    gradient = parse_strategy(case.get("gradient", "truncated:k1=5,k2=8"))
    settings = {"gradient": gradient, "block": 34 if case["sampling"] == "shuffled" else None}
    model = make_model(case["cell"], dropout=case.get("dropout", 0.2))
    train(out, model=model, sampling=case["sampling"], epochs=3, save_every=3, listeners=listeners, **settings, **how)


def live(out: Path, case: dict[str, Any], death: str, seconds: float) -> int:
    """The wait status of a process that runs, and is killed after so many seconds of work if death comes at random."""
    child = os.fork()
    if not child:
        try:
            attempt(out, case, death)
            os._exit(0)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
    if death == "at random":
        while used(child) < seconds and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def used(process: int) -> float:
    """Seconds of processor so far: a busy machine delays a run and its end alike."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


def cpu_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def result(out: Path) -> list[Any]:
    return [events(out), fingerprint(out), (out / "samples.txt").read_text(encoding="utf-8")]


def main(folder: Path, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each case whether the killed run equals the other one, and how its processes ended."""
    found = []
    for number, case in enumerate(cases):
        whole, killed = folder / f"{number}-whole", folder / f"{number}-killed"
        begun = cpu_of_children()
        assert live(whole, case, "", 0) == 0
        lasted, draw = cpu_of_children() - begun, random.Random(case["seed"])
        ends = [live(killed, case, death, draw.uniform(0, 0.2 * lasted)) for death in case["deaths"]]
        ends.append(live(killed, case, "", 0))
        found.append({"equal": result(whole) == result(killed), "ends": ends})
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.fsync = lambda handle: None  # a killed process leaves its writes to the system: only a power cut would lose them
    print(json.dumps(main(Path(sys.argv[1]), [json.loads(case) for case in sys.argv[2:]])))

"""R1: an interrupted run equals an uninterrupted one, bit for bit."""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from work import Round, Work

import bptt
from bptt import kernels
from bptt.training import checkpoint

STRATEGIES: dict[str, Any] = {
    "full": bptt.Full(),
    "truncated": bptt.Truncated(5),
    "truncated, overlapping": bptt.Truncated(5, 8),
    "truncated, once a window": bptt.Truncated(5, 7, update="window"),
    "truncated, longer than a window": bptt.Truncated(40, 60),
    "per output": bptt.PerOutput(6),
    "randomized": bptt.Randomized(mean=9, tail=4, seed=3),
    "telescoping": bptt.Telescoping(k=6),
    "adaptive": bptt.Adaptive(bias=0.2, limit=12, every=30),
    "checkpointed": bptt.Checkpointed(every=4),
    "rtrl": bptt.RTRL(7),
    "uoro": bptt.UORO(7),
    "synthetic gradient": bptt.SyntheticGradient(7),
}
CELLS = ("rnn", "lstm", "gru")
SAMPLINGS: dict[str, dict[str, Any]] = {
    "sequential": {},
    "random": {"sampling": "random"},
    "shuffled": {"sampling": "shuffled", "block": 34},
}
KERNELS: dict[str, Callable[[], Any]] = {"fused": contextlib.nullcontext, "readable": kernels.readable}
CASES = list(itertools.product(STRATEGIES, CELLS, (0.0, 0.2), SAMPLINGS, KERNELS))


def order(seed: int) -> list[Any]:
    """All cases, drawn in an order of the seed's, so that any beginning of it is a fair sample."""
    return random.Random(seed).sample(CASES, len(CASES))


def matrix(work: Work) -> None:
    """A round is a case: its run is copied in the middle of an epoch and at its edge, and both copies are resumed.

    Each must end as the trajectory that it was copied from: events, samples, and every tensor of the last checkpoint.
    """
    cases = order(work.seed)
    for round in work.rounds():
        case = cases[round.number % len(cases)]
        with work.naming(case):
            resume_both(round, *case)
    work.reached["resumed"] = f"{2 * work.done} of {2 * work.done} equal"


def resume_both(round: Round, strategy: str, cell: str, dropout: float, sampling: str, kernel: str) -> None:
    from small_run import events, fingerprint, make_model, train

    settings = {"gradient": STRATEGIES[strategy], "save_every": 3, **SAMPLINGS[sampling]}
    out, copies = round.folder / "run", {"middle": round.folder / "middle", "edge": round.folder / "edge"}

    def copy(event: Any) -> None:
        at = {"middle": event["step"] == 4, "edge": event["epoch"] == 2}
        for name, place in copies.items():
            if event["event"] == "step" and at[name] and not place.exists():
                shutil.copytree(out, place, symlinks=True)

    def run(place: Path, seed: int, **how: Any) -> None:
        # Another model and other random states than the first had: all must come from the checkpoint.
        model = make_model(cell, seed=seed, dropout=dropout)
        with KERNELS[kernel]():
            train(place, model=model, **settings, **how)

    def result(place: Path) -> list[Any]:
        return [events(place), (place / "samples.txt").read_text(encoding="utf-8"), fingerprint(place)]

    run(out, 3, listeners=[copy])
    wanted = result(out)
    for name, place in copies.items():
        saved = checkpoint.load(place / "checkpoints")
        assert 0 < saved.step < checkpoint.load(out / "checkpoints").step, name
        assert (saved.state["training"]["counters"]["epochs"] == 1) == (name == "edge"), name
        torch.manual_seed(round.random.getrandbits(30))
        run(place, 4, resume=True)
        assert result(place) == wanted, name


# Which event or which call of the system a process dies at; the others die at a moment drawn at random.
DEATHS = [
    *("event:start:1", "event:step:2", "event:step:9", "event:step:3", "event:validation:1", "event:epoch:1"),
    *("event:valid:1", "event:sample:1", "rename:1", "rename:2", "replace:1", "replace:4", "fsync:5", "fsync:30"),
]
SPELLED = (
    *("full", "truncated:k1=5", "truncated:k1=5,k2=8", "truncated:k1=5,k2=7,update=window", "truncated:k1=40,k2=60"),
    *("peroutput:k=6", "randomized:mean=9,tail=4,seed=3", "telescoping:k=6", "adaptive:bias=0.2,limit=12,every=30"),
    *("checkpointed:every=4", "rtrl:every=7", "uoro:every=7", "syntheticgradient:k=7"),
)


def kills(work: Work) -> None:
    """A round is a strategy, on three cells: each run is killed with SIGKILL nine times, six of them at random moments."""
    import test_training_killed

    dead = 0
    for round in work.rounds():
        draw = round.random
        cases = [
            {
                "seed": draw.getrandbits(30),
                "cell": cell,
                "sampling": draw.choice(list(SAMPLINGS)),
                "gradient": SPELLED[round.number % len(SPELLED)],
                "dropout": draw.choice([0.0, 0.2]),
                "deaths": draw.sample([*draw.sample(DEATHS, 3), *["at random"] * 6], 9),
            }
            for cell in CELLS
        ]
        with work.naming(cases):
            dead += test_training_killed.check(round.folder, cases, 9)
    work.reached["killed and equal"] = f"{dead} of {dead} deaths in {3 * work.done} runs"

"""R9: one process per run directory."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path

from work import Work

from bptt.errors import RunInUseError
from bptt.training.lock import Lock

RACERS = 4


def races(work: Work) -> None:
    """A round: four processes ask for one directory at one moment, the winner is killed, and the next one who asks has it."""
    slowest = 0.0
    for round in work.rounds():
        ready, go = os.pipe()
        told, tell = os.pipe()
        racers = [forked(functools.partial(race, round.folder, ready, go, tell)) for _ in range(RACERS)]
        os.close(go)  # they all read the end of this pipe at once
        losers: dict[int, int] = {}
        begun = time.monotonic()
        while len(losers) < RACERS - 1:
            ended = {pid: os.waitpid(pid, os.WNOHANG) for pid in racers if pid not in losers}
            losers |= {pid: os.waitstatus_to_exitcode(status) for pid, (gone, status) in ended.items() if gone}
            time.sleep(0.001)
            assert time.monotonic() - begun < 30, "more than one winner"
        assert set(losers.values()) == {RunInUseError.exit_code}
        (winner,) = set(racers) - set(losers)
        os.close(tell)
        answers = os.read(told, 10_000).decode().split()
        slowest = max(slowest, *map(float, answers))
        assert len(answers) == RACERS and slowest < 1
        assert (round.folder / ".lock").read_text() == str(winner)
        os.kill(winner, 9)
        os.waitpid(winner, 0)
        with Lock(round.folder):
            pass
        for handle in (ready, told):
            os.close(handle)
    work.reached["races"] = f"{work.done} of {work.done} with one winner"
    work.reached["slowest answer"] = f"{1000 * slowest:.0f} ms"


def forked(life: Callable[[], int]) -> int:
    """A process that lives so, and is gone; its id."""
    child = os.fork()
    if not child:
        code = 99
        try:
            code = life()
        finally:
            os._exit(code)
    return child


def race(folder: Path, ready: int, go: int, tell: int) -> int:
    """Ask at the signal; the winner holds what it has until it is killed."""
    os.close(go)
    os.read(ready, 1)
    asked = time.monotonic()
    try:
        with Lock(folder):
            os.write(tell, f"{time.monotonic() - asked} ".encode())
            os.close(tell)
            time.sleep(60)
            return 1
    except RunInUseError as error:
        os.write(tell, f"{time.monotonic() - asked} ".encode())
        return error.exit_code

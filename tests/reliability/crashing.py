"""R2 and R5: a run that dies, or whose disk fails, at any call that writes."""

from __future__ import annotations

import builtins
import contextlib
import os
import random
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from racing import forked
from work import Work

from bptt.errors import BpttError
from bptt.training import checkpoint

SETTINGS: dict[str, Any] = {"epochs": 1, "save_every": 6}


def result(out: Path) -> list[Any]:
    """All that must not differ."""
    from small_run import events, fingerprint

    return [events(out), fingerprint(out), (out / "samples.txt").read_text(encoding="utf-8")]


def go_on(out: Path) -> None:
    """Begin the run, or go on with it."""
    from small_run import train

    if checkpoint.steps(out / "checkpoints"):
        train(out, resume=True, **SETTINGS)
    else:
        train(out, overwrite=(out / "config.yaml").exists(), **SETTINGS)


# --- R2


def deaths(work: Work) -> None:
    """A round: the process is gone, by os._exit, before or after one call that writes, of all that a run makes.

    The newest checkpoint that loads is one of the run's own, and going on from it gives the run that nothing happened to.
    """
    whole = work.folder / "whole"
    counted = work.folder / "calls"
    assert os.waitpid(forked(lambda: live(whole, 0, False, counted)), 0)[1] == 0
    wanted, calls = result(whole), int(counted.read_text())
    places = [(at, after) for at in range(1, calls + 1) for after in (False, True)]
    random.Random(work.seed).shuffle(places)
    for round in work.rounds():
        at, after = places[round.number % len(places)]
        out = round.folder / "run"
        _, status = os.waitpid(forked(lambda out=out, at=at, after=after: live(out, at, after, None)), 0)  # type: ignore[misc]
        with work.naming(f"{'after' if after else 'before'} call {at} of {calls}"):
            assert os.waitstatus_to_exitcode(status) == 77
            if checkpoint.steps(out / "checkpoints"):
                checkpoint.load(out / "checkpoints")  # there is one that loads
            go_on(out)
            assert result(out) == wanted
    work.reached["deaths"] = f"{work.done} of {2 * calls} places, all equal when continued"


def live(out: Path, at: int, after: bool, counted: Path | None) -> int:
    """A run whose process ends at one call; with `counted`, one that says how many calls there are."""
    from test_training_checkpoint import Disk, Shredded

    class Mortal(Disk):
        def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **named: Any) -> Any:
                self.calls += 1
                mine = self.calls == self.at
                if mine and not self.after:
                    os._exit(77)
                try:
                    return function(*args, **named)
                finally:
                    if mine:
                        os._exit(77)

            return call

    disk, real = Mortal(at, SystemExit(), after=after), builtins.open
    for name in (*Disk.NAMES[:-1], "truncate", "fchmod"):
        setattr(os, name, disk.wrap(getattr(os, name)))

    def open_(path: Any, mode: str = "r", *args: Any, **named: Any) -> Any:
        file = real(path, mode, *args, **named)
        return Shredded(file, disk) if "x" in mode else file

    builtins.open = open_  # type: ignore[assignment]
    go_on(out)
    if counted is not None:
        counted.write_text(str(disk.calls))
    return 0


# --- R5


def limited(work: Work) -> None:
    """A round: from some update on no file may grow beyond a few bytes; then there is room again.

    RLIMIT_FSIZE makes the system itself refuse, at whatever write it is. The error names path and bytes, what is saved loads,
    and the run ends as if nothing had been.
    """
    from small_run import train

    train(work.folder / "whole", **SETTINGS)
    wanted, refused = result(work.folder / "whole"), 0
    for round in work.rounds():
        out, step, size = round.folder / "run", round.random.randrange(1, 12), round.random.randrange(9000)

        def fill(event: Any, step: int = step, size: int = size) -> None:
            if event["event"] == "step" and event["step"] == step:
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        with work.naming((step, size)):
            try:
                train(out, listeners=[fill], **SETTINGS)
            except OSError as error:
                refused += 1
                check_told(error, out)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert checkpoint.load(out / "checkpoints").path == checkpoint.steps(out / "checkpoints")[0]
            go_on(out)
            assert result(out) == wanted
    assert refused
    work.reached["refused writes"] = f"{refused} in {work.done} runs, all equal when continued"


def check_told(error: OSError, out: Path) -> None:
    """One line with the place, and for a checkpoint how many bytes it wanted; no draft is left."""
    from bptt.cli.ending import explain

    line, code = explain(error)
    assert code == 1 and str(out) in line and "\n" not in line, line
    assert "bytes" in line or ".jsonl" in line or ".txt" in line, line
    assert not list((out / "checkpoints").glob(".step-*.tmp"))


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """8 MiB of their own at `folder`; False where mounting is not allowed."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", str(folder)], capture_output=True, check=False)
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)


def full_disk(work: Work) -> None:
    """A round: a run on a disk of 8 MiB on which something else leaves no room from some update on; then it is removed."""
    from small_run import train

    train(work.folder / "whole", **SETTINGS)
    wanted, refused = result(work.folder / "whole"), 0
    with small_disk(work.folder / "disk") as mounted:
        for round in work.rounds() if mounted else ():
            out, ballast = work.folder / "disk" / f"run-{round.number}", work.folder / "disk" / "ballast"
            step, left = round.random.randrange(1, 12), round.random.randrange(0, 40_000)

            def fill(event: Any, step: int = step, left: int = left, ballast: Path = ballast) -> None:
                if event["event"] == "step" and event["step"] == step:
                    with open(ballast, "wb", buffering=0) as file:
                        with contextlib.suppress(OSError):
                            while True:
                                file.write(bytes(4096))
                        file.truncate(max(0, file.tell() - left))

            with work.naming((step, left)):
                try:
                    train(out, listeners=[fill], **SETTINGS)
                except OSError as error:
                    refused += 1
                    check_told(error, out)
                assert checkpoint.load(out / "checkpoints").path == checkpoint.steps(out / "checkpoints")[0]
                ballast.unlink()
                go_on(out)
                assert result(out) == wanted
    work.reached["full"] = f"{refused} of {work.done} runs, all equal when continued" if mounted else "mounting is not allowed"


def locked(work: Work) -> None:
    """A round: a folder, or a run, that may not be written; the process is nobody's, since root may write everything."""
    from small_run import train

    train(work.folder / "whole", **SETTINGS)
    for path in (*Path(work.folder).parents, work.folder):
        if path.stat().st_uid == os.getuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    for round in work.rounds():
        kind = round.number % 3
        place = round.folder / "shut"
        place.mkdir()
        if kind:
            subprocess.run(["cp", "-r", str(work.folder / "whole"), str(place / "run")], check=True)
        if kind == 2:
            (place / "run" / "checkpoints").chmod(0o000)
        for path in (place / "run", place):
            if path.exists():
                path.chmod(0o555)
        round.folder.chmod(0o755)
        told = round.folder / "told"
        told.touch()
        told.chmod(0o666)
        _, status = os.waitpid(forked(lambda place=place, told=told, kind=kind: refuse(place / "run", told, kind)), 0)  # type: ignore[misc]
        with work.naming((kind, told.read_text())):
            assert os.waitstatus_to_exitcode(status) in (1, 2)
            assert str(place) in told.read_text() and "unexpected" not in told.read_text()
    work.reached["refused"] = f"{work.done} of {work.done}, each with the path"


def refuse(out: Path, told: Path, kind: int) -> int:
    """What a user without permissions is told."""
    from small_run import train

    from bptt.cli.ending import explain

    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    how = {} if kind == 0 else {"resume": True}
    try:
        train(out, **{**SETTINGS, "epochs": 2}, **how)
    except (OSError, BpttError) as error:
        line, code = explain(error)
        told.write_text(line)
        return code
    return 0

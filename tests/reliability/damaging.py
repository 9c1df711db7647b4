"""R3: damage is detected, wherever it is, and costs no more than the newest checkpoint."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from work import Work

from bptt.training import checkpoint

NAMES = (*checkpoint.FILES, "manifest.json")


class Lines(logging.Handler):
    """The lines that are said meanwhile."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())

    def __enter__(self) -> Lines:
        self.log = logging.getLogger("bptt")
        self.propagated, self.log.propagate = self.log.propagate, False
        self.log.addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        self.log.removeHandler(self)
        self.log.propagate = self.propagated


def two_checkpoints(folder: Path) -> Path:
    """The checkpoints of a small run, of which the newest two are kept."""
    from small_run import train

    train(folder / "run", epochs=1, save_every=3)
    found = folder / "run" / "checkpoints"
    for path in checkpoint.steps(found)[2:]:
        shutil.rmtree(path)
    assert len(checkpoint.steps(found)) == 2
    return found


def content(saved: checkpoint.Saved) -> str:
    """A digest of everything that was loaded."""
    from small_run import digest

    return digest([saved.step, sorted(saved.parameters.items()), saved.model, saved.state])


def check_each(work: Work, harm: Any) -> None:
    """A round harms one file of the newest checkpoint: the one before is loaded, whole, with one line that names the harm."""
    folder = two_checkpoints(work.folder)
    newest, before = checkpoint.steps(folder)
    wanted = content(checkpoint.read(before))
    assert content(checkpoint.read(newest)) != wanted
    for round in work.rounds():
        path = newest / NAMES[round.number % len(NAMES)]
        whole = path.read_bytes()
        about = harm(path, whole, round)
        assert path.read_bytes() != whole
        with work.naming(about), Lines() as lines:
            found = checkpoint.load(folder)
            assert found.path == before and content(found) == wanted
            (line,) = lines.said
            assert newest.name in line and "cannot be used" in line and "\n" not in line and len(line) < 400
        path.write_bytes(whole)
    assert checkpoint.load(folder).path == newest
    work.reached["found"] = f"{work.done} of {work.done}"


def flips(work: Work) -> None:
    """One bit, drawn from all bits of a file."""

    def flip(path: Path, whole: bytes, round: Any) -> str:
        data, bit = bytearray(whole), round.random.randrange(8 * len(whole))
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        return f"bit {bit} of {path.name}"

    check_each(work, flip)


def cuts(work: Work) -> None:
    """The first so many bytes are left: none, all but one, or a number drawn from all lengths."""

    def cut(path: Path, whole: bytes, round: Any) -> str:
        chosen = {0: 0, 1: len(whole) - 1}.get(round.number // len(NAMES), round.random.randrange(len(whole)))
        path.write_bytes(whole[:chosen])
        return f"{chosen} of {len(whole)} bytes of {path.name}"

    check_each(work, cut)

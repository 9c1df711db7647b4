"""What a check of a promise is handed: how many rounds, from which seed, where, and for how long.

Knows rounds and time; must not know any promise.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

# The small runs of the training tests are also what is killed, damaged and interrupted here.
sys.path.insert(0, str(Path(__file__).parents[1] / "training"))


@dataclasses.dataclass(frozen=True)
class Round:
    """One of many: its number, draws of its own, a folder of its own that is gone afterwards."""

    number: int
    random: random.Random
    folder: Path


class Work:
    """One go at a promise.

    size     rounds to make; a check that knows how many there are can be handed more, and then makes them again
    seed     of all draws: round n of a seed is the same whatever came before it
    folder   to write in
    seconds  after which no further round begins
    only     the number of the one round to make, to look at a failure again
    done     rounds made so far
    reached  figures for people, by name
    """

    def __init__(self, size: int, seed: int, folder: Path, seconds: float = float("inf"), only: int | None = None) -> None:
        self.size, self.seed, self.folder, self.only = size, seed, folder, only
        self.done = 0
        self.reached: dict[str, str] = {}
        self._begun, self._seconds = time.monotonic(), seconds

    def rounds(self) -> Iterator[Round]:
        """Every round, while there is time."""
        for number in range(self.size) if self.only is None else [self.only]:
            if self.done and time.monotonic() - self._begun > self._seconds:
                return
            folder = self.folder / f"round-{number}"
            folder.mkdir(parents=True)
            try:
                yield Round(number, random.Random(f"{self.seed} {number}"), folder)
            finally:
                restore(folder)
                shutil.rmtree(folder, ignore_errors=True)
            self.done += 1

    @contextlib.contextmanager
    def naming(self, what: object) -> Iterator[None]:
        """A failure within says what it was about."""
        try:
            yield
        except BaseException as error:
            error.add_note(f"in: {what}")
            raise


def restore(folder: Path) -> None:
    """What a round made unwritable can be removed again."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


@contextlib.contextmanager
def calm() -> Iterator[None]:
    """One thread, no warnings about small batches, and no waiting for the disk: only a power cut would show the difference."""
    import torch

    threads, kind, sync = torch.get_num_threads(), torch.get_default_dtype(), os.fsync
    torch.set_num_threads(1)
    os.fsync = lambda handle: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        os.fsync = sync
        torch.set_num_threads(threads)
        torch.set_default_dtype(kind)

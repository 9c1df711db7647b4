"""One process per run directory: a lock that the system itself releases when its holder dies."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from bptt.errors import InputError, RunInUseError


class Lock:
    """Exclusive hold of a directory, as a context manager; RunInUseError at once if another live process has it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / ".lock"
        self.handle: int | None = None

    def __enter__(self) -> Lock:
        self.handle = _open(self.path)
        if not (_try_lock(self.handle) and _is_at(self.handle, self.path)):  # or its holder has just removed the directory
            holder = os.pread(self.handle, 32, 0).decode(errors="replace").strip() if hasattr(os, "pread") else ""
            os.close(self.handle)
            self.handle = None
            raise RunInUseError(
                "Another process is working in this run directory",
                f"{self.path.parent}" + (f", held by process {holder}" if holder else ""),
                "Wait for it to end, or give another directory",
            )
        os.truncate(self.handle, 0)
        os.write(self.handle, str(os.getpid()).encode())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.handle is not None:
            os.close(self.handle)  # which releases the lock; the file stays, unless the whole directory goes


def _open(path: Path) -> int:
    """The lock file, made if need be; never what a link of that name points at, since it is about to be written."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        if not path.is_symlink():
            raise
        raise InputError(
            "The lock of the run directory is a link", str(path), "Remove it, or give another directory"
        ) from error


def _is_at(handle: int, path: Path) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _try_lock(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

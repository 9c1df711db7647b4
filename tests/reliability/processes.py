"""Processes that the tests start as torchrun would, and end whatever happens."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def variables(rank: int, size: int, port: int) -> dict[str, str]:
    """What torchrun sets, as far as it is read."""
    own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {**os.environ, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in own.items()}}


@contextlib.contextmanager
def ranks(size: int, words: Sequence[str], cwd: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """`size` processes of one command; none of them outlives the block."""
    port, pipe = free_port(), subprocess.PIPE
    started = []
    try:
        for rank in range(size):
            how = {"env": variables(rank, size, port), "stdout": pipe, "stderr": pipe, "text": True, "cwd": cwd}
            started.append(subprocess.Popen([sys.executable, *words], **how))
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                stream.close()


def ended(processes: Sequence[subprocess.Popen[str]], timeout: float = 300) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each, once all have ended."""
    left = [process.communicate(timeout=timeout) for process in processes]
    return [(process.returncode, out, err) for process, (out, err) in zip(processes, left, strict=True)]


def completed(size: int, words: Sequence[str], cwd: Path) -> None:
    """All of them end well."""
    with ranks(size, words, cwd) as started:
        for code, _, err in ended(started):
            assert code == 0, err

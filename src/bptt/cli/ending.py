"""How a command ends: its exit code, and one line for whatever went wrong.

Knows errors, warnings and signals; must not know any command. It must stay cheap to import: every call of `bptt` passes here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from bptt.errors import BpttError, Interrupted, sentence


class Silent(Exception):
    """An end of which all has been said, in this process or in another of the same training."""

    def __init__(self, code: int) -> None:
        self.code = code


NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # torch has no error of its own for this


def ending(command: Callable[[], int]) -> int:
    """The exit code of `command`; an error becomes one line on standard error, with BPTT_DEBUG=1 a traceback."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that lacks a character shows "?"
    try:
        with notes_as_lines():
            code = command()
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        # Whoever read us has had enough. Python would complain once more when it closes the stream.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Silent as silent:
        return silent.code
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("BPTT_DEBUG", "0") not in ("", "0"):
            raise
        line, code = explain(error)
        if one_of_many():
            say(f"bptt: {line}")
        return code


def one_of_many() -> bool:
    """True unless torchrun started this process beside a first one, which makes the same mistake and says so."""
    return os.environ.get("RANK") in (None, "", "0") or not os.environ.get("WORLD_SIZE")


def explain(error: BaseException) -> tuple[str, int]:
    """One line for a person, and the exit code."""
    if isinstance(error, Interrupted):
        return f"interrupted: {error}" if str(error) else "interrupted.", error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted.", 130
    if isinstance(error, BpttError):
        return f"error: {error}", error.exit_code
    if isinstance(error, OSError):
        where = f" {error.filename}." if error.filename else ""
        return f"error: {sentence(error.strerror or str(error))}{where} {remedy(error)}", 1
    if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
        return "error: There is not enough memory for this. Take a smaller --batch-size, --steps or --hidden-size.", 1
    return f"error: unexpected: {type(error).__name__}: {error}. BPTT_DEBUG=1 shows where; please report it.", 1


def remedy(error: OSError) -> str:
    """What to do about an error of the system."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Free some space; a run that was cut off goes on with bptt train --resume RUN."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Change its permissions, or give another place with --out."
    return "Check the disk and the path."


def say(line: str) -> None:
    """One line on standard error, whatever is in it."""
    with contextlib.suppress(OSError):
        print(one_line(line), file=sys.stderr, flush=True)


def one_line(text: str) -> str:
    """`text` without line ends, and with every control character made visible."""
    return visible(" ".join(text.split()))


def visible(text: str) -> str:
    """`text` as a terminal may safely show it: line ends and tabs stay, other control characters become U+FFFD."""
    return "".join(char if char.isprintable() or char in "\n\t " else "\ufffd" for char in text)


@contextlib.contextmanager
def notes_as_lines() -> Iterator[None]:
    """Warnings, and what the library logs, as one line each on standard error, the same only once."""
    said: set[str] = set()

    def note(text: str) -> None:
        if text not in said:
            said.add(text)
            say(f"bptt: note: {sentence(text)}")

    def show(message: Any, category: Any, *place: Any) -> None:
        note(str(message))

    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: note(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("bptt")
    log.addHandler(handler)
    propagate, log.propagate = log.propagate, False
    try:
        with warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning, ResourceWarning, ImportWarning):
                warnings.simplefilter("ignore", category)
            warnings.filterwarnings("always", category=UserWarning)
            warnings.showwarning = show  # type: ignore[assignment]
            yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagate

"""The few errors that bptt raises on purpose, each in three parts: what is wrong, what was given, what to do.

The command line turns them into one line and an exit code; a library user gets an ordinary exception whose message teaches.
Every class also derives from the built-in error that it refines, so `except ValueError` keeps working.
"""

from __future__ import annotations


class BpttError(Exception):
    """Base of all errors below. `exit_code` is what the command line returns for it."""

    exit_code = 1

    def __init__(self, wrong: str, given: str = "", todo: str = "") -> None:
        self.wrong, self.given, self.todo = wrong, given, todo
        super().__init__(" ".join(sentence(part) for part in (wrong, given, todo) if part))


class InputError(BpttError, ValueError):
    """A setting, a file or an argument that cannot be used as it is."""

    exit_code = 2


class ShapeError(InputError):
    """A tensor of the wrong shape, type or device."""


class ContractError(BpttError, TypeError):
    """A cell, layer or strategy that does not keep its contract (see `bptt.testing`)."""


class CheckpointError(InputError):
    """A checkpoint or run directory that is missing, foreign or damaged."""


class DivergedError(BpttError, ArithmeticError):
    """A loss, gradient, weight or state that is no longer finite."""


class RunInUseError(BpttError):
    """Another live process holds the run directory."""

    exit_code = 3


class ProcessLostError(BpttError):
    """Another process of the same training has ended, does not answer, or never came."""


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal and has been saved; `exit_code` is 128 + the signal's number."""

    def __init__(self, signal: int, saved: str) -> None:
        self.exit_code = 128 + signal
        super().__init__(saved)


def sentence(part: str) -> str:
    """`part` with a full stop, unless it already ends like a sentence."""
    return part if part[-1:] in ".!?…。" else part + "."


def did_you_mean(name: str, known: list[str]) -> str:
    """A hint for a misspelled `name`: the nearest of `known`, or the whole list."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(known)}"

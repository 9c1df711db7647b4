"""A command that several processes run together: they meet, one of them speaks, and they part as one.

Knows who says what on a terminal and with which exit code a process ends; must not know what they do together.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bptt.cli.ending import Silent, explain, say
from bptt.errors import BpttError, Interrupted
from bptt.ranks import ALONE, Ranks
from bptt.training import join

if TYPE_CHECKING:
    from bptt.training.group import Group


@contextlib.contextmanager
def together(timeout: float) -> Iterator[Ranks]:
    """The processes that torchrun started, for as long as the command lasts; without torchrun this one.

    An error is said by one of them, whichever meets it first, and all end with its exit code.
    """
    try:
        ranks = join(timeout)
    except BpttError as error:  # of this process alone, perhaps
        say(f"bptt: {explain(error)[0]}")
        raise Silent(error.exit_code) from error
    if ranks is ALONE:
        yield ranks
        return
    from bptt.training.group import Group

    assert isinstance(ranks, Group)
    try:
        with contextlib.nullcontext() if ranks.first else hushed():
            yield ranks
    except (Exception, KeyboardInterrupt) as error:
        speaks, code = agreed(ranks, error)
        if speaks:
            say(f"bptt: {explain(error)[0]}")
        ranks.leave(well=isinstance(error, Interrupted))
        if os.environ.get("BPTT_DEBUG", "0") not in ("", "0"):
            raise
        raise Silent(code) from error
    ranks.leave(well=True)


def agreed(ranks: Group, error: BaseException) -> tuple[bool, int]:
    """Whether this process shall say the error, and the exit code of them all."""
    code = explain(error)[1]
    return (ranks.first, code) if isinstance(error, Interrupted) else ranks.claim(code)


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """No notes: the first process has the same to say."""
    log = logging.getLogger("bptt")
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = before

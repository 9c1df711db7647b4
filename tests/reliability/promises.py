"""The table of promises: what is promised, the figure, what shows it, and how much of that is done when.

`quick` rounds run with the tests (see test_promises.py), `full` ones in `make soak` (see soak.py), which ends each row after
`minutes`. A row with no quick rounds is shown on every commit by the tests that `elsewhere` names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import damaging
import fuzzing
import one_number
import racing
import resuming
from work import Work


@dataclasses.dataclass(frozen=True)
class Promise:
    """A row of the table.

    row        number and name, unique
    what       what a user may rely on
    figure     what is promised
    check      shows it, for as many rounds as it is handed; an AssertionError says that it is not kept
    """

    row: str
    what: str
    figure: str
    check: Callable[[Work], None]
    quick: int
    full: int
    minutes: float = 5.0
    elsewhere: tuple[str, ...] = ()


KILLED = "training/test_training_killed.py"
CHECKPOINT = "training/test_training_checkpoint.py"

PROMISES = (
    Promise(
        "R1 matrix",
        "a resumed run is the uninterrupted one, bit for bit: every strategy × cell × dropout × sampling × kernel, mid-epoch "
        "and at its edge",
        f"{2 * len(resuming.CASES)} of {2 * len(resuming.CASES)} equal",
        resuming.matrix,
        quick=5,
        full=len(resuming.CASES),
        minutes=15,
    ),
    Promise(
        "R1 kills",
        "a run killed again and again with SIGKILL, at random moments and chosen ones, is the uninterrupted one, bit for bit",
        "300 of 300 deaths",
        resuming.kills,
        quick=0,
        full=13,
        minutes=15,
        elsewhere=(f"{KILLED}::test_killed_runs_equal_whole_ones",),
    ),
    Promise(
        "R3 bit flips",
        "a flipped bit in any file of a checkpoint is found; the one before is loaded, and one line says so",
        "1,000 of 1,000",
        damaging.flips,
        quick=100,
        full=1000,
    ),
    Promise(
        "R3 truncations",
        "so is a file that was cut short",
        "200 of 200",
        damaging.cuts,
        quick=40,
        full=200,
    ),
    Promise(
        "R3 any file",
        "any file of a run or of a user, harmed in any way: each command works, or ends with exit code 2 and one line",
        "no traceback",
        fuzzing.fuzz_files,
        quick=40,
        full=3000,
        minutes=15,
    ),
    Promise(
        "R3 vouched",
        "a checkpoint that somebody else made, whose manifest vouches for it: the same",
        "no traceback",
        fuzzing.fuzz_checkpoints,
        quick=20,
        full=1500,
        minutes=10,
    ),
    Promise(
        "R4 hostile",
        "nothing executes on load: pickle, zip, tar, YAML, scripts in the place of any file",
        "no canary",
        fuzzing.hostile,
        quick=12,
        full=len(fuzzing.PAYLOADS) * (len(fuzzing.READERS) + len(fuzzing.PARTS)),
    ),
    Promise(
        "R4 links",
        "nothing is written through a link in a run directory",
        "nothing",
        fuzzing.links,
        quick=9,
        full=4 * len(fuzzing.LINKED),
    ),
    Promise(
        "R9 races",
        "one process per run directory: one wins, the others are told within 1 s; a dead one lets go",
        "100 of 100, < 1 s",
        racing.races,
        quick=5,
        full=100,
    ),
    Promise(
        "R12 perplexity",
        "evaluate gives one number, whatever the pieces, equal to a plain loop in NumPy",
        "1e-9",
        one_number.perplexity,
        quick=8,
        full=200,
    ),
    Promise(
        "R19 undisturbed",
        "validation, samples and checkpoints leave the trajectory as it is",
        "identical",
        one_number.undisturbed,
        quick=3,
        full=3 * len(resuming.STRATEGIES),
    ),
)

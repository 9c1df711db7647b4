"""The table of promises: what is promised, the figure, what shows it, and how much of that is done when.

`quick` rounds run with the tests (see test_promises.py), `full` ones in `make soak` (see soak.py), which ends each row after
`minutes`. A row with no quick rounds is shown on every commit by the tests that `elsewhere` names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import bad_settings
import crashing
import damaging
import fuzzing
import long_runs
import not_finite
import odd_texts
import one_number
import racing
import resuming
import same_bits
import signalled
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
        quick=3,
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
        "R2 deaths",
        "a process that is gone before or after any write, flush, rename or removal leaves a checkpoint that loads",
        "always the old or the new one",
        crashing.deaths,
        quick=4,
        full=400,
        minutes=10,
        elsewhere=(f"{CHECKPOINT}::test_the_newest_that_loads_is_the_old_or_the_new_one",),
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
        quick=20,
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
        "R5 refused writes",
        "a write that the system refuses, at any size of any file: the message names path and bytes, what was saved is intact",
        "previous checkpoint intact",
        crashing.limited,
        quick=4,
        full=100,
    ),
    Promise(
        "R5 full disk",
        "a disk of 8 MiB that fills up: the same",
        "previous checkpoint intact",
        crashing.full_disk,
        quick=3,
        full=60,
    ),
    Promise(
        "R5 read-only",
        "a folder or a run without permission: one line with the path",
        "message names the path",
        crashing.locked,
        quick=3,
        full=12,
    ),
    Promise(
        "R6 signals",
        "SIGINT and SIGTERM in forward, backward, update, validation, sample and save: saved at the last completed update",
        "exit 130/143 within 10 s, a second signal within 1 s",
        signalled.phases,
        quick=6,
        full=10 * len(signalled.CASES),
        minutes=10,
    ),
    Promise(
        "R7 not finite",
        "a NaN or infinity in a weight, a gradient, a loss, the state, the strategy's memory stops the run and reaches no file",
        "within one update, named",
        not_finite.poisoned,
        quick=10,
        full=500,
        minutes=10,
        elsewhere=("training/test_training_health.py::test_a_bad_input_is_named_before_what_it_spoils",),
    ),
    Promise(
        "R8 clipping",
        "gradients of any size, zero, NaN, infinite or absent: a finite result or an error, never silently zero",
        "right to 1e-5, or not finite",
        not_finite.clipping,
        quick=200,
        full=20_000,
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
        "R10 odd texts",
        "empty, tiny, T, T+1, B·T, B·T+1 tokens, NUL, noise, invalid, other encodings, BOM, line ends, a folder, a FIFO: it "
        "trains, or one clear error",
        "refused within 2 s; decode(encode(x)) = x",
        odd_texts.odd,
        quick=len(odd_texts.ODD) + len(odd_texts.PLACES),
        full=2 * (len(odd_texts.ODD) + len(odd_texts.PLACES)),
    ),
    Promise(
        "R10 long line",
        "a line of 2 GB is read with its tokens on disk (a round: a MiB)",
        "memory ≤ 1 GiB",
        odd_texts.long_line,
        quick=2,
        full=2048,
    ),
    Promise(
        "R11 settings",
        "unknown key, wrong type, NaN, infinite, zero, negative, out of range: exit 2, names the key and the fix",
        "no other end",
        bad_settings.settings,
        quick=len(bad_settings.CASES),
        full=len(bad_settings.CASES),
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
        "R13 sampling",
        "temperature 0 and any other, top-k > V, top-p 0 and 1, ties, −∞, seeds",
        "as defined",
        bad_settings.sampling,
        quick=100,
        full=20_000,
        elsewhere=("inference/test_generate.py::test_settings_out_of_range_are_refused_at_once",),
    ),
    Promise(
        "R14 vocabulary",
        "ids beyond 65,535, reserved ids apart from data of the same spelling, ties by first appearance, limits",
        "never wraps, never collides",
        odd_texts.vocabulary,
        quick=8,
        full=200,
    ),
    Promise(
        "R15 flat",
        "memory, time of an update and open files stay as they are (a round: an update)",
        "< 1 MiB per 10,000 updates, < 5 % over 100,000",
        long_runs.flat,
        quick=200,
        full=100_000,
        minutes=30,
    ),
    Promise(
        "R16 budget",
        "the gradient of a window under a budget, by the system's own count (a round: a step)",
        "peak ≤ budget + 10 % at 1,000,000 steps",
        long_runs.bounded,
        quick=60_000,
        full=1_000_000,
        minutes=30,
    ),
    Promise(
        "R18 kernels",
        "outputs and gradients are bit-equal for an equal number of threads (`make sanitize`: no reports)",
        "bit-equal",
        same_bits.kernels,
        quick=20,
        full=500,
        elsewhere=("kernels/test_fused.py::test_the_same_bits_whatever_the_rows_threads_and_instructions",),
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

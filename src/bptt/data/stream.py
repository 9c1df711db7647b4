"""Streams: an endless supply of epochs, each a sequence of windows over positions, and the one over the ids of a text.

Knows positions, plans and windows; must not know text, vocabularies, models or training. Window n of an epoch is a pure
function of the settings, the epoch and n, so a stream's whole state is two numbers.
"""

from __future__ import annotations

import abc
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from bptt.data.noise import noise
from bptt.data.plan import SAMPLINGS, Layout
from bptt.errors import CheckpointError, InputError, did_you_mean
from bptt.types import Window


class Stream(abc.ABC):
    """Windows of B rows and T steps over N positions, of which all but the last have something to predict.

    count       N
    batch_size  rows B; shrinks, with a warning, when there is less than B windows
    steps       T, the steps of a window
    sampling    "sequential": B lanes of equal length; row i of a window continues row i of the one before; the last window
                of an epoch may be shorter; reset at the first step of an epoch. At most B - 1 + offset go unused.
                "random": windows in random order, reset at each first step; the last batch is filled up with masked rows.
                "shuffled": blocks of `block` positions in random order, reset at each block's first step; within a block
                windows continue each other; the last partial batch is dropped.
    seed        of the offsets, the order and the noise; ≥ 0
    offset      True: each epoch skips a drawn number of positions, in [0, steps] (sequential) or [0, block - 1], so that
                cuts fall elsewhere each time (where there is no room for that, what there is). False: none.
                An integer: that many. Default: True, but False for "shuffled".
    drop_last   drop the last partial batch or, for "sequential", the last shorter window. Default: only for "shuffled".
    block       for "shuffled": length of a block in positions; default `steps`

    Each `iter(stream)` is the next epoch. `state_dict()` is valid at any point: after `load_state_dict`, the next iteration
    hands out exactly the windows that were not handed out yet, bit for bit. One iteration at a time.
    `noise` depends on (seed, epoch, position) alone, not on how windows are cut.
    The attribute `rows` is a slice of the rows that windows are to have: where several processes train, each sets its own.

    Raises InputError for fewer than two positions or settings out of range; CheckpointError for a foreign state. What lies at
    a position is `read`'s to say, in a subclass.
    """

    what, unit = "text", "tokens"

    def __init__(
        self,
        count: int,
        batch_size: int = 32,
        steps: int = 35,
        sampling: str = "sequential",
        *,
        seed: int = 0,
        offset: bool | int | None = None,
        drop_last: bool | None = None,
        block: int | None = None,
    ) -> None:
        if count < 2:
            wrong = f"A {self.what} needs two {self.unit}, one to read and one to predict"
            raise InputError(wrong, f"{count}", f"Give a longer {self.what}")
        check_settings(batch_size, steps, sampling, seed, offset, block)
        self.sampling, self.seed = sampling, seed
        self.rows = slice(None)
        self.notes: list[str] = []
        self._settings = {"batch_size": batch_size, "steps": steps, "block": block, "tokens": count}
        targets = count - 1
        length = min(steps if sampling != "shuffled" or block is None else block, targets)
        rows = min(batch_size, targets // length)
        self._shrink(batch_size, steps, rows, targets)
        self.layout = Layout(
            targets=targets,
            batch_size=rows,
            steps=min(steps, length),
            block=None if sampling == "sequential" else length,
            offset=(sampling != "shuffled") if offset is None else offset,
            drop_last=(sampling == "shuffled") if drop_last is None else drop_last,
            seed=seed,
        )
        if self.layout.offset is not True and targets - int(self.layout.offset) < rows * length:
            todo = f"Give at most {targets - rows * length}"
            raise InputError("The offset leaves less than one window for every row", f"offset {offset}", todo)
        self._stand_at(0, 0)

    def _shrink(self, batch_size: int, steps: int, rows: int, targets: int) -> None:
        if rows < batch_size:
            self._note(
                f"The {self.what} has {targets} targets, fewer than {batch_size} rows need: the batch shrinks to {rows}."
            )
        if targets < steps:
            self._note(
                f"The {self.what} has {targets} targets, fewer than one window of {steps} steps: windows are that short."
            )

    def _note(self, note: str) -> None:
        self.notes.append(note)
        warnings.warn(note, stacklevel=6)

    def _stand_at(self, epoch: int, handed: int) -> None:
        self.epoch, self.handed, self._begun = epoch, handed, False
        self._plan = self.layout.plan(epoch)

    @property
    def batch_size(self) -> int:
        """Rows B of the batch, after shrinking."""
        return self.layout.batch_size

    @property
    def own_rows(self) -> int:
        """How many of them windows have: all, unless `rows` says otherwise."""
        return len(range(self.batch_size)[self.rows])

    @property
    def steps(self) -> int:
        """Steps T of a full window."""
        return self.layout.steps

    def __len__(self) -> int:
        """Windows in the current epoch; a drawn offset can make it differ by a window from epoch to epoch."""
        return len(self._plan)

    def __iter__(self) -> Iterator[Window]:
        if self._begun or self.handed == len(self):
            self._stand_at(self.epoch + 1, 0)
        self._begun = True
        return self._rest()

    def _rest(self) -> Iterator[Window]:
        while self.handed < len(self):
            self.handed += 1
            yield self.window(self.handed - 1)

    def window(self, number: int) -> Window:
        """Window `number` of the current epoch, without moving on."""
        at = self._plan.positions(number)[self.rows]
        reset = np.zeros(at.shape, bool)
        reset[:, 0] = self._plan.begins(number)
        inputs, targets, counts = self.read(at)
        mask = np.repeat(self._plan.rows(number)[self.rows, None], at.shape[1], axis=1) & counts
        return Window(*map(torch.from_numpy, (inputs, targets, reset, mask, noise(self.seed, self.epoch, at))))

    @abc.abstractmethod
    def read(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | bool]:
        """What is read at positions [B, T], what shall be said there, each [B, T, …], and which of it counts [B, T]."""

    def _identity(self) -> dict[str, Any]:
        """What must be equal for a state to mean the same windows."""
        own = {"sampling": self.sampling, "offset": self.layout.offset, "drop_last": self.layout.drop_last, "seed": self.seed}
        return {**self._settings, **own}

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, as plain JSON: the epoch, how many of its windows are handed out, and the settings."""
        return {"epoch": self.epoch, "handed": self.handed, "settings": self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where `state` was taken; CheckpointError unless it is a state of a stream with equal settings."""
        epoch, handed, settings = read_state(state)
        for key, value in self._identity().items():
            if repr(settings.get(key)) != repr(value):  # as written, because True == 1
                given = f"{key} was {settings.get(key)!r}, is {value!r}"
                raise CheckpointError("The saved stream had other settings", given, "Continue with equal settings and text")
        if not 0 <= handed <= len(self.layout.plan(epoch)):
            raise CheckpointError("The saved stream stands outside its epoch", f"{handed} windows handed out", "It is damaged")
        self._stand_at(epoch, handed)


class TextStream(Stream):
    """Windows of B rows and T steps over a text; every target is the token after its input.

    ids  [N] integers, in memory or memory-mapped; all else as `Stream`

    >>> stream = TextStream(np.arange(11), batch_size=2, steps=3, offset=False)
    >>> [window.inputs.tolist() for window in stream]
    [[[0, 1, 2], [5, 6, 7]], [[3, 4], [8, 9]]]
    """

    def __init__(self, ids: np.ndarray, batch_size: int = 32, steps: int = 35, *args: Any, **settings: Any) -> None:
        self.ids = ids
        super().__init__(len(ids), batch_size, steps, *args, **settings)

    def read(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        """The tokens there, and those after them."""
        inputs, targets = (np.asarray(self.ids[where], dtype=np.int64) for where in (at, at + 1))
        return inputs, targets, True


def read_state(state: Any) -> tuple[int, int, dict[str, Any]]:
    """Take a stream state apart; CheckpointError unless it has the parts and types that `state_dict` gives."""
    try:
        epoch, handed, settings = state["epoch"], state["handed"], state["settings"]
    except (TypeError, KeyError) as error:
        raise CheckpointError("This is not the state of a stream", f"{error}", "Give what state_dict() returned") from error
    if type(epoch) is not int or type(handed) is not int or epoch < 0 or not isinstance(settings, dict):
        raise CheckpointError("The saved stream is damaged", f"epoch {epoch!r}, handed {handed!r}", "Use another checkpoint")
    return epoch, handed, settings


def check_settings(batch_size: int, steps: int, sampling: str, seed: int, offset: bool | int | None, block: int | None) -> None:
    """InputError for settings that nothing could satisfy."""
    if sampling not in SAMPLINGS:
        raise InputError("No such sampling", repr(sampling), did_you_mean(sampling, list(SAMPLINGS)))
    for name, value, least in (("batch_size", batch_size, 1), ("steps", steps, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name} must be a whole number of at least {least}", repr(value), f"Give {name}={least} or more")
    if block is not None and sampling != "shuffled":
        raise InputError("Only shuffled sampling has blocks", f"block={block}, sampling={sampling!r}", "Leave block out")
    if block is not None and (not isinstance(block, int) or block < steps):
        todo = f"Give a block of {steps} or more, or fewer steps"
        raise InputError("A block holds one window or more", f"block={block}, steps={steps}", todo)
    if offset is not None and (not isinstance(offset, int) or offset < 0):
        raise InputError("An offset counts tokens to skip", repr(offset), "Give True, False or a number from 0")


def whole(ids: np.ndarray, steps: int = 1024) -> TextStream:
    """One lane that reads every token in order: all N - 1 targets, each exactly once, windows of `steps` (the last shorter).

    For evaluation, where the state carried from token to token must not depend on batch or window.
    """
    return TextStream(ids, batch_size=1, steps=max(1, min(steps, len(ids) - 1)), offset=False)

"""What a synthetic task is: a drawn supply of steps, and what a perfect reader of them would still lose.

Knows draws and closed forms; must not know streams, vocabularies or models.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from bptt.errors import InputError

START = "\n"  # what every sequence of tokens begins with; its id is 0


@dataclasses.dataclass(frozen=True)
class Drawn:
    """N steps of a task.

    inputs   [N, …]       what is read
    targets  [N, …]       what shall be said
    counts   [N] bool     whether the loss counts
    reset    [N] bool     whether a sequence begins here, with a fresh state
    since    [N] int      the first step that one must have read to know all that helps here: before it nothing matters
    """

    inputs: np.ndarray
    targets: np.ndarray
    counts: np.ndarray
    reset: np.ndarray
    since: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(abc.ABC):
    """Base of the tasks: a frozen value with its lengths.

    Arguments:
        size: steps of an epoch, held-out parts included
        fresh: every epoch draws new steps, so that nothing can be learnt by heart; false: each has the same
        seed: of the draws

    name   as it is written
    about  what is read, what is to be said, in a line
    unit   of the floor: nats or squared error
    """

    size: int = 100_000
    fresh: bool = True
    seed: int = 0

    name: ClassVar[str]
    about: ClassVar[str]
    unit: ClassVar[str]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if field.name in ("fresh", "seed") or field.type != "int":
                continue
            whole(field.name, getattr(self, field.name), 2 if field.name == "size" else 1)
        whole("seed", self.seed, 0)
        if not isinstance(self.fresh, bool):
            raise InputError("fresh is true or false", f"fresh={self.fresh!r}", "Leave it out for fresh=true")

    @abc.abstractmethod
    def levels(self) -> dict[str, float]:
        """The least mean loss per counted step by what one knows of the past, from little to all: the last is the floor."""

    @abc.abstractmethod
    def draw(self, generator: np.random.Generator, count: int) -> Drawn:
        """`count` steps, the first of them the first of a sequence."""

    @property
    def floor(self) -> float:
        """The mean loss per counted step that no model can go below, given all that it has read."""
        return [*self.levels().values()][-1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenTask(Task):
    """Base of the tasks of tokens: losses are −ln p, in nats.

    continues  True if what is to be said is what is read next, so that a model of it can go on by itself
    """

    unit: ClassVar[str] = "nats"
    continues: ClassVar[bool] = True

    @property
    @abc.abstractmethod
    def tokens(self) -> tuple[str, ...]:
        """One character per id, in the order of the ids."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Words(TokenTask):
    """Base of the tasks that are text: words, each behind a START; the target of a step is the token after it.

    A reset stands at every START, so that nothing of the word before helps.
    """

    @abc.abstractmethod
    def words(self, generator: np.random.Generator) -> Iterator[np.ndarray]:
        """Ids of one word after the other, without START, for ever."""

    def counted(self, word: np.ndarray) -> np.ndarray:
        """Which of the losses of START and `word` count: those of the word's tokens, then that of the next START."""
        return np.ones(len(word) + 1, bool)

    def draw(self, generator: np.random.Generator, count: int) -> Drawn:
        """As many words as are needed, the last one cut."""
        parts, counts, length = [], [], 0
        for word in self.words(generator):
            parts += [np.zeros(1, np.int64), word]
            counts.append(self.counted(word))
            length += len(word) + 1
            if length > count:
                break
        ids = np.concatenate(parts)[: count + 1]
        reset = ids[:-1] == 0
        return Drawn(ids[:-1], ids[1:], np.concatenate(counts)[:count], reset, last(reset))


def last(reset: np.ndarray) -> np.ndarray:
    """For each step the last one with a reset, itself included; the first step counts as one."""
    return np.maximum.accumulate(np.where(reset, np.arange(len(reset)), 0))


def whole(name: str, value: object, least: int, most: int | None = None) -> int:
    """`value`, if it is a whole number from `least` to `most`; else an InputError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        what = f"at least {least}" if most is None else f"from {least} to {most}"
        raise InputError(f"{name} must be a whole number {what}", f"{name}={value!r}", f"Give for example {name}={least}")
    return value


def entropy(*shares: float) -> float:
    """−Σ p ln p in nats.

    >>> round(entropy(0.5, 0.5), 4)
    0.6931
    """
    known = np.array([share for share in shares if share > 0])
    return float(-(known * np.log(known)).sum())

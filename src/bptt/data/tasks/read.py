"""From the name of a task, "coin:lags=3,8", to the parts of one.

Knows the table of tasks; nothing that a name says is ever imported.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

from bptt.data.corpus import Corpus, check_shares, split
from bptt.data.series import SeriesData
from bptt.data.source import file_of
from bptt.data.tasks.adding import Adding
from bptt.data.tasks.anbn import AnBn
from bptt.data.tasks.brackets import Brackets
from bptt.data.tasks.coin import Coin
from bptt.data.tasks.copying import Copy
from bptt.data.tasks.parts import TaskNumbers, TaskTokens
from bptt.data.tasks.stream import PARTS, Supply
from bptt.data.tasks.task import Task, TokenTask
from bptt.data.vocabulary import Vocabulary
from bptt.errors import InputError, did_you_mean

TASKS: dict[str, type[Task]] = {kind.name: kind for kind in (Coin, Copy, AnBn, Brackets, Adding)}


def is_task(name: str) -> bool:
    """True for the name of a task, if there is no file of that name."""
    return name.partition(":")[0] in TASKS and file_of(name) is None


def parse_task(written: str) -> Task:
    """The task that "name:argument=value,…" means; InputError for an unknown name or argument, or a wrong value.

    >>> parse_task("coin:lags=2,5,seed=7")
    Coin(size=100000, fresh=True, seed=7, lags=(2, 5))
    """
    name, _, rest = written.partition(":")
    if name not in TASKS:
        raise InputError("There is no such task", repr(name), did_you_mean(name, sorted(TASKS)))
    kind = TASKS[name]
    known = {field.name: field for field in dataclasses.fields(kind)}
    given: dict[str, Any] = {}
    key = None
    for part in filter(None, rest.split(",")):
        left, equals, right = (piece.strip() for piece in part.partition("="))
        if equals:
            key, value = left, right
            if key not in known:
                raise InputError(f"{name} has no argument {key!r}", repr(written), did_you_mean(key, list(known)))
            if key in given:
                raise InputError(f"{key} is given twice", repr(written), "Keep one of them")
            given[key] = (scalar(value),)
        elif key is None:
            raise InputError("An argument is written name=value", repr(part), f"Write {name}:{next(iter(known))}={part}")
        else:
            given[key] += (scalar(left),)  # one more value of the argument before it
    return kind(**{key: values if len(values) > 1 else values[0] for key, values in given.items()})


def scalar(written: str) -> Any:
    """A whole number, true, false, or the text itself."""
    try:
        return int(written)
    except ValueError:
        return {"true": True, "false": False}.get(written.lower(), written)


def format_task(task: Task) -> str:
    """The text that `parse_task` reads as this task; arguments at their defaults are left out.

    >>> format_task(Coin(lags=(3, 9), size=1000))
    'coin:size=1000,lags=3,9'
    """
    parts = []
    for field in dataclasses.fields(task):
        value = getattr(task, field.name)
        if value != field.default:
            parts.append(f"{field.name}={','.join(map(str, value)) if isinstance(value, tuple) else str(value).lower()}")
    return task.name + (":" + ",".join(parts) if parts else "")


def read_task(
    task: str | Task,
    *,
    valid: float = 0.1,
    test: float = 0.0,
    max_tokens: int | None = None,
    vocab: Vocabulary | None = None,
    dtype: str = "float32",
) -> Corpus | SeriesData:
    """A synthetic task whose best possible loss is known, as the parts of a text or a series.

    task         "coin:lags=3,8", "copy:length=5,lag=10,kinds=8", "anbn:longest=10", "brackets:pairs=6,kinds=2",
                 "adding:length=20", or one of these as a value; each also takes size, fresh and seed
    valid, test  shares of its size; they are drawn by themselves, and are the same in every epoch
    max_tokens   a smaller size
    vocab        must be that of the task, if it is given
    dtype        of numbers: "float64" for a model in double precision, else "float32"

    Returns a `Corpus` for tasks of tokens, a `SeriesData` for adding. `facts` has the floor and the levels above it, in nats
    (or squared error) per step that counts. A stream of the training part has new steps in every epoch, without end; with
    `fresh=False` the same ones.

    >>> corpus = read_task("coin:lags=3,8,size=1000")
    >>> round(corpus.facts["floor"], 4), len(corpus.train), len(corpus.valid)
    (0.4545, 900, 100)
    """
    task = parse_task(task) if isinstance(task, str) else task
    check_shares(valid, test, max_tokens)
    ends, notes = split(min(task.size, max_tokens or task.size), valid, test)
    sizes = [end - start for start, end in zip((0, *ends), ends, strict=False)]
    dtype = "float32" if isinstance(task, TokenTask) else dtype  # tokens have no precision
    supplies = [Supply(task, part, size, dtype) if size else None for part, size in zip(PARTS, sizes, strict=True)]
    written = format_task(task)
    facts: dict[str, Any] = {
        "sources": [written],
        "about": task.about,
        "floor": task.floor,
        "levels": task.levels(),
        "floor_unit": task.unit,
        "unit": "step",
        "sha256": hashlib.sha256(f"{written} {sizes}".encode()).hexdigest(),  # of all that the draws hang on
        "tokens": sum(sizes),
        "parts": dict(zip(PARTS, sizes, strict=True)),
    }
    if not isinstance(task, TokenTask):
        numbers = [None if supply is None else TaskNumbers.of(supply) for supply in supplies]
        assert numbers[0] is not None
        return SeriesData(numbers[0], numbers[1], facts, notes)
    own = Vocabulary(task.tokens, reserved=())
    if vocab is not None and vocab != own:
        given = f"{len(vocab)} tokens there, {len(own)} in {written}"
        raise InputError("The task has other tokens than the model", given, "Use a model that was trained on it")
    facts |= {"vocabulary": len(own), "unknown": {}}
    train, valid_part, test_part = (None if supply is None else TaskTokens.of(supply) for supply in supplies)
    assert train is not None
    return Corpus(train, valid_part, test_part, own, facts, notes, continues=task.continues)

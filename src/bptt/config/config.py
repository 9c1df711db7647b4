"""Everything that a training run is asked for, as flat keys and as the dataclasses that they become.

Knows the table of settings; must not know argparse, terminals or exit codes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bptt.config.table import OWNERS, known, normal
from bptt.config.text import TextSettings
from bptt.config.values import Table, convert, plain
from bptt.data.source import file_of
from bptt.errors import InputError
from bptt.gradients import STRATEGIES
from bptt.models.settings import LanguageSettings
from bptt.training.settings import TrainSettings

DEFAULT_CORPUS = "python-docs"


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that `bptt train` is asked for, apart from where the run goes.

    >>> Config.from_flat({"hidden-size": 64, "gradient": "truncated:k1=32"}).to_flat()["gradient"]
    'truncated:k1=32'
    """

    corpus: tuple[str, ...] = (DEFAULT_CORPUS,)
    text: TextSettings = TextSettings()  # noqa: RUF009 - a frozen value
    model: LanguageSettings = LanguageSettings()  # noqa: RUF009 - a frozen value
    train: TrainSettings = TrainSettings()  # noqa: RUF009 - a frozen value

    @classmethod
    def from_flat(cls, flat: Mapping[str, Any], table: Table = STRATEGIES) -> Config:
        """From flat keys, with hyphens or underscores, to values or their text; InputError naming the key for any other."""
        named = {normal(key): value for key, value in flat.items()}
        corpus = names_of(named.pop("corpus", DEFAULT_CORPUS))
        parts: dict[type, dict[str, Any]] = {owner: {} for owner in OWNERS}
        for key, value in named.items():
            parts[known(key).owner][key] = convert(known(key), value, table)
        return cls(corpus, *(owner(**values) for owner, values in parts.items()))

    def to_flat(self, table: Table = STRATEGIES) -> dict[str, Any]:
        """Every setting as a plain value, such that `from_flat` gives this again."""
        flat: dict[str, Any] = {"corpus": list(self.corpus)}
        for part in (self.text, self.model, self.train):
            flat |= {field.name: plain(getattr(part, field.name), table) for field in dataclasses.fields(part)}
        return flat


def names_of(corpus: Any) -> tuple[str, ...]:
    """One name or several; InputError for anything else."""
    names = [corpus] if isinstance(corpus, str) else corpus
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise InputError("corpus must be a name or a list of names", f"corpus={corpus!r}", "Give for example corpus: book.txt")
    return tuple(names)


def places_of(corpus: Sequence[str]) -> list[str]:
    """Where each name lies now: the absolute path of a file, other names as they are."""
    return [name if (path := file_of(name)) is None else str(path.absolute()) for name in corpus]

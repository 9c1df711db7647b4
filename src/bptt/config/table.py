"""The table of all settings: key, type, default, and what it means in the words of the dataclass it belongs to.

Knows dataclasses and their docstrings; must not know YAML, flags or terminals.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from bptt.config.text import TextSettings
from bptt.errors import InputError, did_you_mean
from bptt.models.settings import LanguageSettings
from bptt.training.settings import TrainSettings


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting: its key, the dataclass it belongs to, its type, its default, and what it means."""

    key: str
    owner: type
    kind: Any
    default: Any
    help: str


def settings_of(owner: type) -> list[Setting]:
    """The settings of a dataclass, explained by the "Arguments:" of its docstring."""
    kinds, helps = typing.get_type_hints(owner), explained(owner.__doc__ or "")
    fields = dataclasses.fields(owner)
    return [Setting(field.name, owner, kinds[field.name], field.default, helps.get(field.name, "")) for field in fields]


def explained(doc: str) -> dict[str, str]:
    """Name → meaning, from lines "name: meaning" after "Arguments:", which may go on, further in, on the next line."""
    found: dict[str, str] = {}
    indent, last = 0, ""
    for line in doc.partition("Arguments:\n")[2].splitlines():
        depth, entry = len(line) - len(line.lstrip()), re.fullmatch(r"\s+(\w+): (.*)", line)
        if entry and (not indent or depth == indent):
            indent, last = depth, entry[1]
            found[last] = entry[2]
        elif last and depth > indent:
            found[last] += " " + line.strip()
    return found


OWNERS = (TextSettings, LanguageSettings, TrainSettings)
SETTINGS: dict[str, Setting] = {setting.key: setting for owner in OWNERS for setting in settings_of(owner)}


def normal(key: Any) -> str:
    """A key as the dataclasses spell it."""
    return str(key).replace("-", "_")


def known(key: str, settings: Mapping[str, Setting] | None = None, others: Sequence[str] = ("corpus",)) -> Setting:
    """The setting of a key, or an InputError with the nearest one."""
    table = SETTINGS if settings is None else settings
    if key not in table:
        raise InputError("There is no such setting", repr(key), did_you_mean(key, [*others[:1], *table]))
    return table[key]

"""Strategies as text: "truncated:k1=64,k2=128", the same in flags, YAML and tables.

Knows a plain table of names; nothing that a file says is ever imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from bptt.errors import InputError, did_you_mean
from bptt.gradients import STRATEGIES

Table = Mapping[str, Any]


def parse_strategy(written: str, table: Table = STRATEGIES) -> Any:
    """The strategy that "name:argument=value,…" means; InputError for an unknown name or argument, or a wrong value.

    >>> parse_strategy("truncated:k1=64,k2=128")
    Truncated(k1=64, k2=128, update='stretch')
    """
    return parse_value(written, table, "gradient strategy", "64")


def parse_value(written: str, table: Table, what: str, example: str) -> Any:
    """The value of a table's dataclass that "name:argument=value,…" means; `what` the table holds, an `example` of a number."""
    name, _, rest = written.partition(":")
    name = name.strip().lower()
    if name not in table:
        raise InputError(f"There is no such {what}", repr(name), did_you_mean(name, sorted(table)))
    fields = {field.name: field for field in dataclasses.fields(table[name]) if field.init}
    given: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise InputError("An argument is written name=value", repr(part), f"Write {name}:{next(iter(fields), 'k1')}={part}")
        if key not in fields:
            todo = did_you_mean(key, list(fields)) if fields else f"Write {name} alone"
            raise InputError(f"{name} has no argument {key!r}", repr(written), todo)
        if key in given:
            raise InputError(f"{key} is given twice", repr(written), "Keep one of them")
        given[key] = scalar(value)
    required = [key for key, field in fields.items() if field.default is field.default_factory is dataclasses.MISSING]
    for key in required:
        if key not in given:
            raise InputError(f"{name} needs {key}", repr(written), f"Write for example {name}:{key}={example}")
    return table[name](**given)


def format_strategy(strategy: Any, table: Table = STRATEGIES) -> str:
    """The text that `parse_strategy` reads as this strategy; arguments at their defaults are left out.

    >>> format_strategy(parse_strategy("truncated:k1=64"))
    'truncated:k1=64'
    """
    name = next((name for name, kind in table.items() if kind is type(strategy)), type(strategy).__name__.lower())
    values = [(field, getattr(strategy, field.name)) for field in dataclasses.fields(strategy) if field.init]
    parts = [f"{field.name}={'none' if value is None else value}" for field, value in values if value != field.default]
    return name + (":" + ",".join(parts) if parts else "")


def scalar(written: str) -> Any:
    """A value of a strategy: a number, true, false, none, or the text itself."""
    for reader in (int, float):
        try:
            return reader(written)
        except ValueError:
            continue
    return {"true": True, "false": False, "none": None}.get(written.lower(), written)

"""One value of a setting, from YAML or from the text of a flag, as the type that the setting wants.

Knows types and their spellings; must not know where a value comes from, so that one mistake gets one message.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from bptt.config.strategies import format_strategy, parse_strategy
from bptt.config.table import Setting
from bptt.errors import InputError
from bptt.gradients import STRATEGIES
from bptt.types import Strategy

Table = Mapping[str, Any]


def plain(value: Any, table: Table = STRATEGIES) -> Any:
    """A value as YAML and JSON have it."""
    if isinstance(value, tuple):
        return list(value)
    return format_strategy(value, table) if isinstance(value, Strategy) else value


NUMBERS = tuple[int, ...]
EXPECTED: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    tuple: "a list of texts",
    NUMBERS: "a list of whole numbers",
}
NONE, TRUE, FALSE = ("none", "null", "~"), ("true", "yes", "on"), ("false", "no", "off")


def convert(setting: Setting, value: Any, table: Table = STRATEGIES) -> Any:
    """A value of YAML, or the text of a flag, as the type that the setting wants; InputError naming the key."""
    union = typing.get_origin(setting.kind) in (types.UnionType, typing.Union)
    kinds = list(typing.get_args(setting.kind)) if union else [setting.kind]
    if type(None) in kinds and (value is None or (isinstance(value, str) and value.lower() in NONE)):
        return None
    kind = NUMBERS if kinds[0] == NUMBERS else typing.get_origin(kinds[0]) or kinds[0]
    try:
        if kind is tuple and typing.get_args(kinds[0])[0] is float:
            return tuple(real(part) for part in several(value))
        return strategy_from(value, table) if kind is Strategy else READERS[kind](value)
    except InputError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        todo = f"Give for example {setting.key}={example(setting, table)}"
        raise InputError(f"{setting.key} must be {EXPECTED.get(kind, 'a text')}", f"{setting.key}={value!r}", todo) from error


def example(setting: Setting, table: Table = STRATEGIES) -> str:
    """A value that the setting takes: its default, else something of its type."""
    value = plain(setting.default, table)
    if value in (None, []):
        known = {"clip": "1.0", "sample_prefix": '["The "]', "clean": "time-machine", "dilations": "1,2,4"}
        return known.get(setting.key, "32")
    return str(value).lower() if isinstance(value, bool) else str(value)


def whole(value: Any) -> int:
    """An int, from one or its text; never from a truth value or a fraction."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def real(value: Any) -> float:
    """A float, from a number or its text (YAML reads 3e-3 as a text)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    return float(value)


def truth(value: Any) -> bool:
    """A truth value, from one or its text."""
    if isinstance(value, bool):
        return value
    if text(value).lower() not in (*TRUE, *FALSE):
        raise ValueError
    return value.lower() in TRUE


def text(value: Any) -> str:
    """A text, from nothing else."""
    if not isinstance(value, str):
        raise TypeError
    return value


def texts(value: Any) -> tuple[str, ...]:
    """Several texts, from a list or one; "none" alone: no text."""
    return tuple(text(part) for part in several(value))


def several(value: Any) -> tuple[Any, ...]:
    """The entries of a list, or one alone; "none" alone: nothing."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple):
        raise TypeError
    return () if list(found) == ["none"] else tuple(found)


def numbers(value: Any) -> tuple[int, ...]:
    """Several whole numbers, from a list, or from a text with commas or blanks between them; "none": no number."""
    several = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(several, list | tuple):
        raise TypeError
    return () if list(several) == ["none"] else tuple(whole(number) for number in several)


READERS: dict[Any, Any] = {int: whole, float: real, bool: truth, str: text, tuple: texts, NUMBERS: numbers, Literal: text}


def strategy_from(value: Any, table: Table) -> Any:
    """A strategy, from one or its text."""
    return value if isinstance(value, Strategy) else parse_strategy(text(value), table)

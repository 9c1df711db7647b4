"""Sizes of layers, checked, so that each says the same of the same mistake."""

from __future__ import annotations

from typing import Any

from bptt.errors import InputError


def at_least(least: int, name: str, value: Any) -> int:
    """`value`, if it is a whole number from `least` on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(
            f"{name} must be a whole number, at least {least}", f"{name}={value!r}", f"Give for example {least + 2}"
        )
    return value

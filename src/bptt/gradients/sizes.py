"""An amount of memory as text: "64MiB".

Knows units; must not know what the memory is for.
"""

from __future__ import annotations

import re

from bptt.errors import InputError

UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
TODO = "Write for example 64MiB: a number, then B, KB, MB, GB (powers of 1000), KiB, MiB or GiB (powers of 1024)"


def byte_count(name: str, value: object) -> int:
    """The bytes that `value` means: a whole number of them, or a number and its unit as text. Raises InputError otherwise.

    >>> byte_count("budget", "1.5KiB")
    1536
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        number, unit = float(value), "b"
    else:
        found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(.*?)\s*", value) if isinstance(value, str) else None
        if found is None:
            raise InputError(f"{name} must be an amount of memory", f"{name}={value!r}", TODO)
        number, unit = float(found[1]), found[2].lower() or "b"
    if unit not in UNITS:
        raise InputError(f"{name} has a unit that is none of memory", f"{name}={value!r}", TODO)
    size = number * UNITS[unit]
    if not 1 <= size < 2**63:
        raise InputError(f"{name} is no amount of memory that could be kept to", f"{name}={value!r}", TODO)
    return int(size)

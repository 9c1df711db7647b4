"""A user's own strategies: `--plugin MODULE` on the command line, and nowhere else."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any

from bptt.errors import InputError
from bptt.gradients import STRATEGIES


def with_plugins(modules: Iterable[str]) -> dict[str, Any]:
    """The table of strategies with those of `modules`, each of which has a dict STRATEGIES from names to frozen dataclasses."""
    table: dict[str, Any] = dict(STRATEGIES)
    for module in modules:
        for name, kind in strategies_in(module).items():
            if name in table:
                raise InputError("A plugin's strategy has a name that is taken", f"{module}: {name}", "Give it another name")
            table[name] = kind
    return table


def strategies_in(module: str) -> dict[str, Any]:
    """What a module registers; InputError if it cannot be imported or registers nothing."""
    if not all(part.isidentifier() for part in module.split(".")):
        raise InputError("A plugin is the name of a module", repr(module), "Give for example --plugin my_strategies")
    sys.path.insert(0, os.getcwd())  # as `python -m` does; a console script does not
    try:
        found = getattr(importlib.import_module(module), "STRATEGIES", None)
    except Exception as error:
        given = f"{module}: {type(error).__name__}: {error}"
        raise InputError("The plugin cannot be imported", given, "Give a module's name: --plugin my_strategies") from error
    finally:
        sys.path.remove(os.getcwd())
    if not isinstance(found, dict) or not found or not all(map(dataclasses.is_dataclass, found.values())):
        raise InputError(
            "The plugin registers no strategies", module, 'Write STRATEGIES = {"mine": Mine}, Mine a frozen dataclass'
        )
    return {str(name).lower(): kind for name, kind in found.items()}

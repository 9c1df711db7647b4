"""Settings in a YAML file. Knows which keys there are; must not know what their values mean."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bptt.config.table import SETTINGS, Setting, known, normal
from bptt.errors import InputError


def read_yaml(
    path: str | os.PathLike[str], settings: Mapping[str, Setting] = SETTINGS, others: Sequence[str] = ("corpus", "corpus_at")
) -> dict[str, Any]:
    """The flat settings in a YAML file, keys with underscores; InputError naming the file for anything else.

    settings, others  the keys that there are: settings, and what is none
    """
    import yaml

    try:
        flat = yaml.safe_load(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError("The settings cannot be read", f"{path}: {error.strerror}", "Give a YAML file") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        given = f"{path}: {' '.join(str(error).split())}"
        raise InputError("The settings are not YAML", given, "Write one 'key: value' per line") from error
    if not isinstance(flat, dict | None):
        raise InputError("The settings are not a list of keys", f"{path}: {type(flat).__name__}", "Write 'key: value' lines")
    named: dict[str, Any] = {}
    for key, value in (flat or {}).items():
        if normal(key) in named:
            raise InputError("A setting is there twice", f"{path}: {key!r}", "Keep one of them")
        if normal(key) not in others:
            try:
                known(normal(key), settings, others)
            except InputError as error:
                raise InputError(error.wrong, f"{path}: {key!r}", error.todo) from error
        named[normal(key)] = value
    return named

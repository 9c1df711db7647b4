"""Flags: a parser whose errors teach and whose help reads well, and flags made from settings.

Knows argparse and `bptt.config`; must not know any command.
"""

from __future__ import annotations

import argparse
import re
import shutil
import typing
from collections.abc import Sequence
from typing import Any, NoReturn

from bptt.config import Setting, plain
from bptt.errors import InputError, did_you_mean


class Parser(argparse.ArgumentParser):
    """Reads the words after a command; a mistake is an InputError that names it."""

    def __init__(self, command: str, summary: str, example: str, usage: str) -> None:
        super().__init__(
            prog=f"bptt {command}",
            usage=" ".join(filter(None, ("bptt", command, usage, "[flags]"))),
            description=summary,
            epilog="examples:\n" + "\n".join(f"  {line}" for line in example.strip().splitlines()),
            formatter_class=Help,
            allow_abbrev=False,
        )

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """The arguments, flags and names in any order."""
        args, unknown = self.parse_known_intermixed_args(list(words))
        if unknown:
            flag = unknown[0].partition("=")[0]
            if not flag.startswith("-"):
                raise InputError("This is one argument too many", repr(flag), f"See {self.prog} --help")
            flags = [name for name in self._option_string_actions if name.startswith("--")]
            raise InputError(
                f"{self.prog} has no flag {flag}", "", did_you_mean(flag, flags) if near(flag, flags) else self.hint
            )
        return args

    @property
    def hint(self) -> str:
        return f"See {self.prog} --help"

    def error(self, message: str) -> NoReturn:
        """argparse's own complaints: a flag without its value, a name that is missing."""
        raise InputError(message[:1].upper() + message[1:], "", self.hint)


class Help(argparse.RawDescriptionHelpFormatter):
    """Flags in one column, their meaning in the next, no wider than is good to read."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=min(shutil.get_terminal_size((100, 24)).columns, 110) - 2)


def near(name: str, names: list[str]) -> bool:
    """True if one of `names` is spelled much like `name`."""
    return did_you_mean(name, names).startswith("Did you")


def add_setting(group: Any, setting: Setting) -> None:
    """The flag of a setting: hyphens, its type as a word, its default in brackets. Its value stays text until `convert`."""
    flag, default = "--" + setting.key.replace("_", "-"), shown(plain(setting.default))
    meaning = re.sub(r"`(\w+)`", lambda name: "--" + name[1].replace("_", "-"), setting.help)
    text = f"{meaning} [{default}]".replace("%", "%%")
    if setting.kind is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
    elif typing.get_origin(setting.kind) is tuple and str in typing.get_args(setting.kind):
        text += "; may be given several times"
        group.add_argument(flag, action="append", default=argparse.SUPPRESS, metavar="TEXT", help=text)
    else:
        group.add_argument(flag, default=argparse.SUPPRESS, metavar=metavar(setting), help=text)


def run_flags(group: Any, place: str, said: str) -> None:
    """What every command that trains takes about its run: `place` of a new one by default, what is `said` as JSON."""
    group.add_argument("--out", metavar="RUN", help=f"run directory [{place}]")
    group.add_argument("--overwrite", action="store_true", help="replace the run that is already there")
    group.add_argument("--resume", metavar="RUN", help="go on with this run, as if nothing had happened")
    group.add_argument("--config", metavar="FILE", help="settings as YAML, one 'key: value' per line; flags win")
    group.add_argument("--print-config", action="store_true", help="print all settings as YAML, and do not train")
    group.add_argument(
        "--plugin", action="append", default=[], metavar="MODULE", help="your module with STRATEGIES = {name: class}"
    )
    group.add_argument("--json", action="store_true", help=f"{said} as JSON lines on standard output")
    group.add_argument("--quiet", action="store_true", help="no progress; only the run directory at the end")


def shown(value: Any) -> str:
    """A default as one would write it."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else "no" if value is False else "yes" if value is True else str(value)


def metavar(setting: Setting) -> str:
    """What stands for the value in the help: N, X, N,N,…, NAME or TEXT."""
    if typing.get_origin(setting.kind) is tuple:
        return "N,N,…"
    for kind in (setting.kind, *typing.get_args(setting.kind)):
        if kind in (int, float):
            return "N" if kind is int else "X"
        if typing.get_origin(kind) is typing.Literal:
            return "NAME"
    return "NAME" if setting.key in ("gradient", "device", "encoding") else "TEXT"

"""The settings of a run as plain values: what a YAML file, the flags and config.yaml say, and the dataclasses they become.

Knows the settings of text, model and training, and how each is written down; must not know argparse, terminals or exit codes.
Nothing here imports what a file names: strategies come from a plain table.
"""

from __future__ import annotations

import dataclasses
import os
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from bptt.data import Corpus, Tokenizer, Vocabulary, read_text
from bptt.data.corpus import check_shares
from bptt.data.source import check_encoding
from bptt.errors import InputError, did_you_mean
from bptt.gradients import STRATEGIES
from bptt.models.language import LanguageSettings
from bptt.training.settings import TrainSettings
from bptt.types import Strategy

DEFAULT_CORPUS = "python-docs"
Table = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class TextSettings:
    """How a text is read, split and numbered.

    Arguments:
        unit: what a token is: char, word (between white space), byte, or chinese-word (needs the extra bptt[chinese])
        clean: time-machine: letters only, lower case, line by line; none: as it is
        lower: lower case
        encoding: of the files
        newline: keep: line ends as they are; fold: CRLF and CR become LF
        valid: share of the tokens, at the end, that measures the model and never trains it
        test: share of the tokens, behind those, that is kept for the end
        max_tokens: read only the first so many tokens; none: all
        min_freq: rarer tokens become <unk>
        vocab_limit: largest vocabulary, reserved tokens included; rarer tokens become <unk>; none: no limit
        reserved: tokens with a meaning of their own, such as <unk>
        map_reserved: a token of the text that is spelled like a reserved one means the reserved one
    """

    unit: Literal["char", "word", "byte", "chinese-word"] = "char"
    clean: Literal["time-machine"] | None = None
    lower: bool = False
    encoding: str = "utf-8"
    newline: Literal["keep", "fold"] = "keep"
    valid: float = 0.1
    test: float = 0.0
    max_tokens: int | None = None
    min_freq: int = 0
    vocab_limit: int | None = None
    reserved: tuple[str, ...] = ("<unk>",)
    map_reserved: bool = False

    def __post_init__(self) -> None:
        Tokenizer(self.unit, self.clean, self.lower, self.newline)
        check_encoding(self.encoding)
        check_shares(self.valid, self.test, self.max_tokens)
        for name, value, least in (("min_freq", self.min_freq, 0), ("vocab_limit", self.vocab_limit, 1)):
            if value is not None and value < least:
                raise InputError(f"{name} must be at least {least}", f"{name}={value}", "Give a larger number, or leave it out")

    def read(self, corpus: Sequence[str], vocab: Vocabulary | None = None) -> Corpus:
        """The corpus of these names, with `vocab` or one of its own: see `bptt.read_text`."""
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        settings["limit"] = settings.pop("vocab_limit")
        return read_text(list(corpus), vocab=vocab, **settings)


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


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that `bptt train` is asked for, apart from where the run goes.

    >>> Config.from_flat({"hidden-size": 64, "gradient": "truncated:k1=32"}).to_flat()["gradient"]
    'truncated:k1=32'
    """

    corpus: tuple[str, ...] = (DEFAULT_CORPUS,)
    text: TextSettings = TextSettings()
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


def normal(key: Any) -> str:
    """A key as the dataclasses spell it."""
    return str(key).replace("-", "_")


def known(key: str) -> Setting:
    """The setting of a key, or an InputError with the nearest one."""
    if key not in SETTINGS:
        raise InputError("There is no such setting", repr(key), did_you_mean(key, ["corpus", *SETTINGS]))
    return SETTINGS[key]


def names_of(corpus: Any) -> tuple[str, ...]:
    """One name or several; InputError for anything else."""
    names = [corpus] if isinstance(corpus, str) else corpus
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise InputError("corpus must be a name or a list of names", f"corpus={corpus!r}", "Give for example corpus: book.txt")
    return tuple(names)


def places_of(corpus: Sequence[str]) -> list[str]:
    """Where each name lies now: the absolute path of a file, other names as they are."""
    return [str(Path(name).absolute()) if os.path.exists(name) else name for name in corpus]


def plain(value: Any, table: Table = STRATEGIES) -> Any:
    """A value as YAML and JSON have it."""
    if isinstance(value, tuple):
        return list(value)
    return format_strategy(value, table) if isinstance(value, Strategy) else value


EXPECTED = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", tuple: "a list of texts"}
NONE, TRUE, FALSE = ("none", "null", "~"), ("true", "yes", "on"), ("false", "no", "off")


def convert(setting: Setting, value: Any, table: Table = STRATEGIES) -> Any:
    """A value of YAML, or the text of a flag, as the type that the setting wants; InputError naming the key."""
    union = typing.get_origin(setting.kind) in (types.UnionType, typing.Union)
    kinds = list(typing.get_args(setting.kind)) if union else [setting.kind]
    if type(None) in kinds and (value is None or (isinstance(value, str) and value.lower() in NONE)):
        return None
    kind = typing.get_origin(kinds[0]) or kinds[0]
    try:
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
        return {"clip": "1.0", "sample_prefix": '["The "]', "clean": "time-machine"}.get(setting.key, "32")
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
    several = [value] if isinstance(value, str) else value
    if not isinstance(several, list | tuple):
        raise TypeError
    return () if list(several) == ["none"] else tuple(text(part) for part in several)


READERS: dict[Any, Any] = {int: whole, float: real, bool: truth, str: text, tuple: texts, Literal: text}


def strategy_from(value: Any, table: Table) -> Any:
    """A strategy, from one or its text."""
    return value if isinstance(value, Strategy) else parse_strategy(text(value), table)


def parse_strategy(written: str, table: Table = STRATEGIES) -> Any:
    """The strategy that "name:argument=value,…" means; InputError for an unknown name or argument, or a wrong value.

    >>> parse_strategy("truncated:k1=64,k2=128")
    Truncated(k1=64, k2=128, update='stretch')
    """
    name, _, rest = written.partition(":")
    name = name.strip().lower()
    if name not in table:
        raise InputError("There is no such gradient strategy", repr(name), did_you_mean(name, sorted(table)))
    fields = {field.name: field for field in dataclasses.fields(table[name]) if field.init}
    given: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise InputError("An argument is written name=value", repr(part), f"Write {name}:{next(iter(fields), 'k1')}={part}")
        if key not in fields:
            todo = did_you_mean(key, list(fields)) if fields else f"Write {name} alone"
            raise InputError(f"{name} has no argument {key!r}", repr(written), todo)
        given[key] = scalar(value)
    required = [key for key, field in fields.items() if field.default is field.default_factory is dataclasses.MISSING]
    for key in required:
        if key not in given:
            raise InputError(f"{name} needs {key}", repr(written), f"Write for example {name}:{key}=64")
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


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The flat settings in a YAML file, keys with underscores; InputError naming the file for anything else."""
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
        if normal(key) not in ("corpus", "corpus_at"):
            try:
                known(normal(key))
            except InputError as error:
                raise InputError(error.wrong, f"{path}: {key!r}", error.todo) from error
        named[normal(key)] = value
    return named

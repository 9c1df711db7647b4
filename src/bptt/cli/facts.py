"""What strategies say of themselves, as plain values for machines and as tables for people.

Knows the facts that every strategy has; must not know any strategy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from bptt.errors import BpttError
from bptt.gradients import citation

FACTS = ("exact", "unbiased", "per_window", "random", "online", "omits", "cost", "memory")
ANY_NUMBER = 16  # stands for an argument that a strategy needs, where only its facts are asked for


def facts(strategy: Any, written: str) -> dict[str, Any]:
    """The facts of a strategy, or of its class: then None where they are not the same for all its values."""
    kind = strategy if isinstance(strategy, type) else type(strategy)
    about = " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())
    found = {name: getattr(strategy, name) for name in FACTS}
    known = {name: None if isinstance(fact, property) else fact for name, fact in found.items()}
    return {"strategy": written, "about": about, **known, "reference": citation(strategy)}


def all_facts(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The facts of every strategy of a table: of an example of it, else of its class."""
    found = []
    for name, kind in table.items():
        arguments, strategy = example(kind)
        found.append(facts(strategy, name + ":" * bool(arguments) + ",".join(f"{argument}=…" for argument in arguments)))
    return found


def example(kind: type[Any]) -> tuple[list[str], Any]:
    """The arguments that a strategy needs, and one with numbers for them; the class itself where no number will do.

    One that needs one argument of several, none of which it needs by itself, is given the first that it takes.
    """
    fields = [field for field in dataclasses.fields(kind) if field.init]
    needed = [field.name for field in fields if required(field)]
    for more in ([], *([field.name] for field in fields if not required(field))):
        with contextlib.suppress(BpttError):
            return needed + more, kind(**dict.fromkeys(needed + more, ANY_NUMBER))
    return needed, kind


def required(field: Any) -> bool:
    """True for an argument without a default."""
    return field.default is field.default_factory is dataclasses.MISSING


def word(said: Mapping[str, Any], name: str) -> str:
    """A fact for people; what holds for the gradient of a window, and not for that of the stream, is said to."""
    fact = said[name]
    if fact is True and name in ("exact", "unbiased") and said["per_window"]:
        return "in a window"
    return fact if isinstance(fact, str) else {True: "yes", False: "no", None: "–"}[fact]


def cited(reference: str) -> str:
    """What BibTeX says in a line: authors, year and title of every entry."""
    return "; ".join(map(entry, re.split(r"(?m)^(?=@)", reference)[1:]))


def entry(bibtex: str) -> str:
    """Authors, year and title of one entry."""
    found = {name: plain(value) for name, value in re.findall(r"(\w+)\s*=\s*\{((?:[^{}]|\{[^{}]*\})*)\}", bibtex)}
    authors = [name.rpartition(" ")[2] for name in found.get("author", "").split(" and ")]
    names = " & ".join(authors) if len(authors) < 3 else f"{authors[0]} et al."
    return ", ".join(filter(None, (f"{names} {found.get('year', '')}".strip(), found.get("title"))))


def plain(latex: str) -> str:
    """A value of BibTeX without braces, accents and line ends."""
    return " ".join(re.sub(r"\\\W|[{}]", "", latex).split())


def grid(lines: Iterable[Iterable[str]], columns: int, *, indent: int = 0) -> str:
    """Cells in columns as wide as they need to be; what does not fit is wrapped inside its column, but for the first."""
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for cells in lines:
        table.add_row(*map(Text, cells))
    drawn = io.StringIO()
    Console(file=drawn, width=columns - indent).print(table)
    return "\n".join(" " * indent + line.rstrip() for line in drawn.getvalue().splitlines())

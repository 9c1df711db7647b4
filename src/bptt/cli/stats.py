"""`bptt stats`: what counting says of a text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bptt.cli.compare import made
from bptt.cli.counts import show_statistics
from bptt.cli.explain import patient
from bptt.cli.live import counting
from bptt.cli.output import clean, emit, table
from bptt.cli.parser import Parser, add_setting
from bptt.config import DEFAULT_CORPUS, SETTINGS, Setting, TextSettings, convert
from bptt.counting import statistics
from bptt.counting.zipf import FIRST
from bptt.errors import InputError
from bptt.files import to_json, write_durably
from bptt.report import write_statistics
from bptt.report.plots import draw_statistics, picture_path

TEXT = "unit clean lower encoding newline max_tokens"
NUMBERS = [
    Setting("order", object, int, 3, "n-grams up to this length"),
    Setting("top", object, int, 20, "so many of the most frequent ones"),
    Setting("first", object, int, FIRST, "rank from which Zipf's law is fitted: the most frequent items do not follow it"),
    Setting("last", object, int | None, None, "rank up to which it is fitted; none: the last item that occurs twice"),
]
EXAMPLE = """
bptt stats book.txt --unit word --lower
bptt stats tiny-shakespeare --unit word -o zipf.svg
bptt stats hongloumeng --order 4 --out counted
"""


def parser() -> Parser:
    """The flags of `bptt stats`."""
    made = Parser(
        "stats",
        "Count a text: its most frequent tokens and n-grams, stop words, Zipf's law with a log-log plot, how few of all\n"
        "possible n-grams it has, and what smoothing makes of those that are rare.",
        EXAMPLE,
        "[CORPUS …]",
    )
    made.add_argument("corpus", nargs="*", metavar="CORPUS", help=f"texts as for train [{DEFAULT_CORPUS}]")
    for setting in NUMBERS:
        add_setting(made, setting)
    made.add_argument("-o", "--output", metavar="FILE", help="also draw it, as FILE.svg or FILE.png")
    made.add_argument("--out", metavar="DIR", help="folder for stats.json and stats.html, a page with everything [none]")
    made.add_argument("--json", action="store_true", help="one JSON object on standard output")
    group = made.add_argument_group("text")
    for key in TEXT.split():
        add_setting(group, SETTINGS[key])
    return made


def run(args: argparse.Namespace) -> int:
    """Count, write, show."""
    numbers = {setting.key: convert(setting, getattr(args, setting.key, setting.default)) for setting in NUMBERS}
    if numbers["top"] < 1:
        raise InputError("top must be at least 1", f"top={numbers['top']}", "Leave it out for 20")
    if args.output:
        picture_path(args.output)  # a name that cannot be drawn is refused before anything is counted
    out = None if args.out is None else made(Path(args.out))
    names = args.corpus or [DEFAULT_CORPUS]
    given = {key: convert(SETTINGS[key], vars(args)[key]) for key in TEXT.split() if key in args}
    corpus = TextSettings(**given, valid=0.0, reserved=()).read(names)
    with counting("counting") as progress:
        found = statistics(corpus.train, corpus.vocab, **numbers, progress=patient(progress))
    told = {"corpus": ", ".join(corpus.facts["sources"]), **found.to_json()}
    if args.output:
        draw_statistics(found, args.output)
    page = None if out is None else write(out, told)
    if args.json:
        emit({**told, "page": page and str(page), "picture": args.output})
        return 0
    show_statistics(found, told["corpus"])
    print_places(page, args.output)
    return 0


def write(out: Path, told: dict[str, Any]) -> Path:
    """stats.json and the page that shows it."""
    write_durably(out / "stats.json", to_json(clean(told), indent=1) + "\n")
    return write_statistics(out / "stats.html", clean(told))


def print_places(page: Path | None, picture: str | None) -> None:
    """Where what was written is."""
    places = [(name, str(place)) for name, place in (("page", page), ("picture", picture)) if place]
    if places:
        print("\n" + table(places, 0))

"""`bptt stats`: what counting says of a text."""

from __future__ import annotations

import argparse

from bptt.cli.counted import check_places, finish, place_flags
from bptt.cli.counts import show_statistics
from bptt.cli.explain import patient
from bptt.cli.live import counting
from bptt.cli.parser import Parser, add_setting
from bptt.config import DEFAULT_CORPUS, SETTINGS, Setting, TextSettings, convert
from bptt.counting import statistics
from bptt.counting.zipf import FIRST
from bptt.errors import InputError
from bptt.report import write_statistics
from bptt.report.plots import draw_statistics

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
    place_flags(made, "stats", "it")
    group = made.add_argument_group("text")
    for key in TEXT.split():
        add_setting(group, SETTINGS[key])
    return made


def run(args: argparse.Namespace) -> int:
    """Count, write, show."""
    numbers = {setting.key: convert(setting, getattr(args, setting.key, setting.default)) for setting in NUMBERS}
    if numbers["top"] < 1:
        raise InputError("top must be at least 1", f"top={numbers['top']}", "Leave it out for 20")
    check_places(args)
    names = args.corpus or [DEFAULT_CORPUS]
    given = {key: convert(SETTINGS[key], vars(args)[key]) for key in TEXT.split() if key in args}
    corpus = TextSettings(**given, valid=0.0, reserved=()).read(names)
    with counting("counting") as progress:
        found = statistics(corpus.train, corpus.vocab, **numbers, progress=patient(progress))
    told = {"corpus": ", ".join(corpus.facts["sources"]), **found.to_json()}
    return finish(
        args,
        "stats",
        told,
        draw=lambda file: draw_statistics(found, file),
        page=write_statistics,
        show=lambda: show_statistics(found, told["corpus"]),
    )

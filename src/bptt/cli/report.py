"""`bptt report`: the page on a run."""

from __future__ import annotations

import argparse

from bptt.cli.parser import Parser

EXAMPLE = """
bptt report runs/book
"""


def parser() -> Parser:
    """The flags of `bptt report`."""
    made = Parser(
        "report",
        "Write report.html into a run: curves, samples, data and settings on one self-contained page.",
        EXAMPLE,
        "RUN …",
    )
    made.add_argument("run", nargs="+", metavar="RUN", help="run directories, finished or not")
    return made


def run(args: argparse.Namespace) -> int:
    """Write the pages; say where they are."""
    from bptt.report import write_report

    for directory in args.run:
        print(write_report(directory))
    return 0

"""How the commands that count a text end: results as JSON or on standard output, a page and a picture, and where they are.

Knows places and formats; must not know what was counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bptt.cli.compare import made
from bptt.cli.output import clean, emit, table
from bptt.cli.parser import Parser
from bptt.files import to_json, write_durably
from bptt.report.plots import picture_path


def place_flags(parser: Parser, name: str, drawn: str) -> None:
    """Where results go: the picture of `drawn`, the folder for NAME.json and NAME.html, standard output for machines."""
    parser.add_argument("-o", "--output", metavar="FILE", help=f"also draw {drawn}, as FILE.svg or FILE.png")
    parser.add_argument("--out", metavar="DIR", help=f"folder for {name}.json and {name}.html, a page with everything [none]")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def check_places(args: argparse.Namespace) -> None:
    """InputError for a picture that cannot be drawn or a folder that cannot be made, before anything is counted."""
    if args.output:
        picture_path(args.output)
    if args.out is not None:
        made(Path(args.out))


def finish(
    args: argparse.Namespace,
    name: str,
    told: dict[str, Any],
    *,
    draw: Callable[[str], Any],
    page: Callable[[Path, dict[str, Any]], Path],
    show: Callable[[], None],
) -> int:
    """Draw and write what is asked for, then show; 0.

    draw  draws the picture into a file
    page  writes NAME.html from plain values, and gives its path
    show  tells people, where machines do not listen
    """
    if args.output:
        draw(args.output)
    written = None
    if args.out is not None:
        write_durably(Path(args.out) / f"{name}.json", to_json(clean(told), indent=1) + "\n")
        written = page(Path(args.out) / f"{name}.html", clean(told))
    if args.json:
        emit({**told, "page": written and str(written), "picture": args.output})
        return 0
    show()
    places = [(what, str(place)) for what, place in (("page", written), ("picture", args.output)) if place]
    if places:
        print("\n" + table(places, 0))
    return 0

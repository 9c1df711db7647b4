"""`bptt generate`: the continuation of a text, shown as it comes."""

from __future__ import annotations

import argparse

from bptt.cli.opening import open_model, run_flags
from bptt.cli.output import emit, printable
from bptt.cli.parser import Parser, add_setting
from bptt.config import Setting, convert

EXAMPLE = """
bptt generate runs/book "The time traveller" --length 500 --temperature 0.8
bptt generate runs/book --top-k 10 --seed 1 > sample.txt
"""
SAMPLING = [
    Setting("length", object, int, 200, "tokens to write"),
    Setting("temperature", object, float, 0.8, "below 1: safer, above 1: wilder, 0: always the likeliest"),
    Setting("top_k", object, int | None, None, "draw from the K likeliest tokens only"),
    Setting("top_p", object, float | None, None, "draw from the likeliest tokens that together have this probability"),
    Setting("seed", object, int | None, None, "same seed, same text; none: another one each time"),
]


def parser() -> Parser:
    """The flags of `bptt generate`."""
    made = Parser("generate", "Let a run's model write on.", EXAMPLE, "RUN [PREFIX]")
    run_flags(made)
    made.add_argument("prefix", nargs="?", default="", metavar="PREFIX", help="text to go on from [nothing]")
    group = made.add_argument_group("sampling")
    for setting in SAMPLING:
        add_setting(group, setting)
    made.add_argument("--allow-reserved", action="store_true", help="let <unk> and its like be written")
    made.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return made


def run(args: argparse.Namespace) -> int:
    """Write the prefix, then what comes, piece by piece."""
    sampling = {setting.key: convert(setting, getattr(args, setting.key, setting.default)) for setting in SAMPLING}
    model = open_model(args)
    pieces = model.stream(args.prefix, allow_reserved=args.allow_reserved, **sampling)
    if args.json:
        emit({"run": args.run, "prefix": args.prefix, "text": "".join(pieces), **sampling})
        return 0
    print(printable(args.prefix), end="", flush=True)
    for piece in pieces:
        print(printable(piece), end="", flush=True)
    print()
    return 0

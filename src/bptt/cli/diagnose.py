"""`bptt diagnose`: how far back the gradient of a run's model reaches, what its truncation leaves out, what to change."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from bptt.cli.diagnosis import show
from bptt.cli.evaluate import PARTS
from bptt.cli.live import counting
from bptt.cli.opening import open_run, run_flags, set_threads
from bptt.cli.output import emit
from bptt.cli.output import table as rows_of
from bptt.cli.parser import Parser, add_setting
from bptt.cli.plugin import with_plugins
from bptt.config import Setting, convert, format_strategy
from bptt.data import Corpus, Tokens
from bptt.data.series import SeriesData, SeriesPart
from bptt.diagnostics import diagnose
from bptt.diagnostics.comparison import whole
from bptt.diagnostics.diagnosis import ROWS, STEPS
from bptt.diagnostics.excerpt import part_of
from bptt.errors import InputError
from bptt.gradients.settings import step_count
from bptt.report import write_report
from bptt.report.plots import draw_diagnosis, picture_path
from bptt.training.directory import RunDirectory, as_json

SIZES = [
    Setting("steps", object, int, STEPS, "steps of the text that are looked at: lags beyond them are not seen"),
    Setting("rows", object, int, ROWS, "places of the text, one row each"),
]
EXAMPLE = """
bptt diagnose runs/book
bptt diagnose runs/book --steps 512 --rows 8 --part train -o gradient.svg
"""


def parser() -> Parser:
    """The flags of `bptt diagnose`."""
    made = Parser(
        "diagnose",
        "Say how far back the gradient of a run's model reaches: by lag, against the run's own way to truncate it, in\n"
        "products of Jacobians. Writes diagnose.json into the run, and a section of its report.",
        EXAMPLE,
        "RUN",
    )
    run_flags(made)
    for setting in SIZES:
        add_setting(made, setting)
    made.add_argument("--part", choices=tuple(PARTS), help="part of the run's text [valid, if it is long enough]")
    made.add_argument("-o", "--output", metavar="FILE", help="also draw it, as FILE.svg or FILE.png")
    made.add_argument("--plugin", action="append", default=[], metavar="MODULE", help="of the run's own strategy, as for train")
    made.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return made


def run(args: argparse.Namespace) -> int:
    """Measure, write, show."""
    table = with_plugins(args.plugin)
    steps, rows = (convert(s, getattr(args, s.key, s.default)) for s in SIZES)
    step_count("steps", steps)
    whole("rows", rows, 1)
    if args.output:
        picture_path(args.output)  # a name that cannot be drawn is refused before anything is measured
    set_threads(args)
    run = open_run(args.run, table, which=args.checkpoint, device=args.device)
    name, part = own_part(args, run.data, steps)
    how: dict[str, Any] = {
        "strategy": run.own,
        "window": run.train.steps,
        "sampling": run.train.sampling,
        "block": run.train.block,
    }
    with counting("gradients") as progress:
        measured = diagnose(run.model, part, **how, steps=steps, rows=rows, progress=progress)
    found = dataclasses.replace(measured, spell=lambda value: format_strategy(value, table))
    told = {"checkpoint": args.checkpoint, "part": name, **found.to_json()}
    directory = RunDirectory(args.run)
    directory.write("diagnose.json", as_json("diagnose.json", told))
    page = write_report(directory.path)
    if args.output:
        draw_diagnosis(found, args.output)
    if args.json:
        emit({"run": args.run, **told, "page": str(page)})
        return 0
    show(found, f"{run.title} on its {name} part")
    print("\n" + rows_of([("page", str(page)), *([("picture", args.output)] if args.output else [])], 0))
    return 0


def own_part(args: argparse.Namespace, data: Corpus | SeriesData, steps: int) -> tuple[str, Tokens | SeriesPart]:
    """The part of the run's data to look at, and its name."""
    if args.part is None:
        part = part_of(data, steps)
        return "validation" if part is data.valid else "training", part
    found = getattr(data, args.part, None)
    if found is None:
        raise InputError(f"The run has no {PARTS[args.part]} part", args.run, "Give --part train")
    return PARTS[args.part], found

"""`bptt runs`: the runs in a folder, as a table."""

from __future__ import annotations

import argparse
import datetime
import os
from pathlib import Path
from typing import Any

from bptt.cli.ending import one_line
from bptt.cli.output import emit, figure
from bptt.cli.parser import Parser
from bptt.errors import BpttError, InputError
from bptt.report import Run, read_run
from bptt.report.facts import facts_of

EXAMPLE = """
bptt runs
bptt runs experiments --json
"""
COLUMNS = ("run", "corpus", "cell", "gradient", "epochs", "perplexity", "state", "when")


def parser() -> Parser:
    """The flags of `bptt runs`."""
    made = Parser(
        "runs",
        "List the runs in a folder, the newest first; perplexity is the best on the validation part.\n\n"
        "state: finished or early-stop; interrupted: saved after a signal; diverged: a number was no longer finite;\n"
        "running; cut off: the process died, and bptt train --resume goes on with it",
        EXAMPLE,
        "[DIR]",
    )
    made.add_argument(
        "folder", nargs="?", default="runs", metavar="DIR", help="folder with runs, or with folders of runs [runs]"
    )
    made.add_argument("--json", action="store_true", help="one JSON array on standard output")
    return made


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    folder = Path(args.folder)
    if not folder.is_dir():
        raise InputError(
            "There is no such folder", args.folder, "Make a first run with bptt train, or give the folder of yours"
        )
    found = sorted(filter(None, map(row, places(folder))), key=lambda facts: facts["when"], reverse=True)
    if args.json:
        emit(found)
    elif not found:
        print(f"No runs in {folder}. Make one: bptt train --max-tokens 100000 --epochs 2")
    else:
        print_table(found)
    return 0


def places(folder: Path) -> list[Path]:
    """The run directories in a folder: itself, its children, and theirs."""
    return [path.parent for pattern in ("", "*/", "*/*/") for path in folder.glob(f"{pattern}config.yaml")]


def row(path: Path) -> dict[str, Any] | None:
    """The facts of one run; None for a directory that turns out to be something else."""
    try:
        run = read_run(path)
    except BpttError:
        return None
    facts = facts_of(run)
    names = run.config.get("corpus") or run.config.get("series") or run.corpus.get("sources") or []
    wanted = run.setting("epochs")
    done = int(facts.epochs or 0)
    return {
        "run": str(path),
        "corpus": ", ".join(Path(str(name)).name for name in ([names] if isinstance(names, str) else names)),
        "cell": str(run.setting("cell", "model") or "–"),
        "gradient": str(run.setting("gradient") or "–"),
        "epochs": f"{done}/{wanted}" if wanted is not None else str(done),
        "perplexity": facts.best_perplexity,
        "state": state_of(run, path),
        "when": started(run, path),
    }


def state_of(run: Run, path: Path) -> str:
    """How the run ended, or that it still runs."""
    if run.end is not None:
        return str(run.end.get("reason", "ended"))
    return "running" if held(path) else "cut off"


def held(path: Path) -> bool:
    """True if the process that last locked the run is alive."""
    try:
        os.kill(int((path / ".lock").read_text()), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


def started(run: Run, path: Path) -> str:
    """When the run was started or last resumed, by its own words, else by its files."""
    told = (run.resumes[-1:] or [run.start])[0].get("time")
    if isinstance(told, str):
        return told.replace("T", " ")
    return datetime.datetime.fromtimestamp((path / "config.yaml").stat().st_mtime).isoformat(" ", "seconds")


def print_table(found: list[dict[str, Any]]) -> None:
    """Columns as wide as they need to be."""
    shown = [{**facts, "when": facts["when"][: len("2026-11-21 07:36")]} for facts in found]
    rows = [COLUMNS, *(tuple(one_line(cell(facts[name])) for name in COLUMNS) for facts in shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for line in rows:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def cell(value: Any) -> str:
    """A value of the table as text."""
    return figure(value) if isinstance(value, float) or value is None else str(value)

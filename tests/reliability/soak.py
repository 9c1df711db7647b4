"""Every promise at full size: `make soak`, or

    python tests/reliability/soak.py [ROW …] [--scale 0.1] [--seed 0] [--report docs/reliability.md]
    python tests/reliability/soak.py "R3 bit flips" --round 17        # one round again, to look at a failure

Rows that are finished wait in build/soak.json; a soak that was interrupted goes on after them, unless commit, seed or scale are
others. A row ends after its minutes, and then says how many of its rounds it has made.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from promises import PROMISES, Promise
from work import Work, calm

ROOT = Path(__file__).parents[2]
DONE = ROOT / "build" / "soak.json"


def main(words: list[str]) -> int:
    """Exit code 0 if every promise was kept."""
    args = parse(words)
    chosen = [promise for promise in PROMISES if not args.rows or {promise.row, promise.row.split()[0]} & set(args.rows)]
    setting = {"commit": commit(), "seed": args.seed, "scale": args.scale}
    finished = {} if args.round is not None else read(setting)
    for promise in chosen:
        if promise.row not in finished:
            print(f"{promise.row}: {promise.what} …", flush=True)
            finished[promise.row] = make(promise, args)
            if args.round is None:
                write(setting, finished)
        print("   ", summary(finished[promise.row]), flush=True)
    print("\n" + table(finished))
    if args.report:
        Path(args.report).write_text(page(setting, finished), encoding="utf-8")
    return 0 if all(finished[promise.row]["kept"] for promise in chosen) else 1


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="rows, such as R3 or 'R3 bit flips'; none: all")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rounds and of the minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--round", type=int, help="this round alone")
    parser.add_argument("--report", help="write the table as a page")
    return parser.parse_args(words)


def make(promise: Promise, args: argparse.Namespace) -> dict[str, Any]:
    """One row: whether it was kept, and what was reached."""
    begun, error = time.monotonic(), ""
    size = max(1, round(args.scale * promise.full))
    with tempfile.TemporaryDirectory() as folder, calm():
        work = Work(size, args.seed, Path(folder), 60 * promise.minutes * args.scale, args.round)
        try:
            promise.check(work)
        except Exception as failure:
            traceback.print_exc()
            error = f"{type(failure).__name__}: {failure}".splitlines()[0][:200]
    took = time.monotonic() - begun
    return {
        "kept": not error,
        "error": error,
        "done": work.done,
        "size": size,
        "full": promise.full,
        "seconds": round(took, 1),
        "reached": work.reached,
    }


def summary(row: dict[str, Any]) -> str:
    """What was reached, in one line."""
    told = "; ".join(f"{name}: {value}" for name, value in row["reached"].items())
    state = told or "kept" if row["kept"] else f"NOT KEPT in round {row['done']}: {row['error']}"
    return f"{state} ({row['done']:,} of {row['full']:,} rounds, {row['seconds']:.0f} s)"


def table(finished: dict[str, Any]) -> str:
    """All rows, as Markdown."""
    lines = ["| promise | what | promised | reached | rounds | time |", "|---|---|---|---|---|---|"]
    for promise in PROMISES:
        row = finished.get(promise.row)
        if row is None:
            lines.append(f"| {promise.row} | {promise.what} | {promise.figure} | not run | 0 of {promise.full:,} | |")
            continue
        told = "; ".join(f"{name}: {value}" for name, value in row["reached"].items()) or "kept"
        reached = told if row["kept"] else f"**not kept** in round {row['done']}: {row['error']}"
        rounds = f"{row['done']:,} of {row['full']:,}"
        lines.append(f"| {promise.row} | {promise.what} | {promise.figure} | {reached} | {rounds} | {row['seconds']:.0f} s |")
    return "\n".join(lines)


def page(setting: dict[str, Any], finished: dict[str, Any]) -> str:
    """docs/reliability.md."""
    import torch

    made = f"commit {setting['commit']}, seed {setting['seed']}, scale {setting['scale']:g}"
    on = f"Python {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} cores, {platform.system()}"
    return PAGE.format(made=made, on=on, table=table(finished))


PAGE = """# What users may rely on, and what shows it

`make soak` writes this page. Each row is a promise, the figure promised, and the figure that the last soak reached. A row that
ran out of its time, or was asked for a share of its rounds (`--scale`), says how many it made. Every row also runs at a small
size with `make test` (`tests/reliability/`); a round that fails is made again alone with
`python tests/reliability/soak.py "ROW" --round N`.

Last made: {made}; {on}.

{table}
"""


def commit() -> str:
    """The commit, and whether files other than the page differ from it."""

    def ask(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changed = ask("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/reliability.md")
    return (ask("rev-parse", "--short", "HEAD") or "unknown") + "-dirty" * bool(changed)


def read(setting: dict[str, Any]) -> dict[str, Any]:
    """The rows that are finished under this setting."""
    if not DONE.exists():
        return {}
    saved = json.loads(DONE.read_text(encoding="utf-8"))
    return saved["rows"] if saved["setting"] == setting else {}


def write(setting: dict[str, Any], rows: dict[str, Any]) -> None:
    from bptt.files import write_durably

    DONE.parent.mkdir(exist_ok=True)
    write_durably(DONE, json.dumps({"setting": setting, "rows": rows}, indent=1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The layers of bptt.nn against those of others: checked first, then timed in paired rounds, forward and backward.

Peers are bptt with its gates kept and rebuilt, torch.nn, and on request torch.compile of it and `jax.lax.scan` under jit in an
environment of its own. What is not right to 1e-5 (outputs) and 1e-4 (gradients) is not timed; nor is bptt without its compiled
kernel. Progress goes to stderr, tables to stdout, everything as JSON to a file.

    python benchmarks/layers [--quick] [--cells rnn gru lstm] [--only NAME …] [--rounds 9] [--threads N] [--compile]
                             [--jax PYTHON] [--scaling] [--generation] [--long [T …]] [--json FILE] [--markdown]

`--scaling`, `--generation` and `--long` replace the main table; `--all` asks for everything. JAX needs only

    python -m venv jaxenv && jaxenv/bin/pip install jax      # then --jax jaxenv/bin/python
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import long
import table
import torch
from correctness import Wrong, kernel
from generation import generate
from growth import fit
from jax_client import Jax
from machine import cores, header, machine
from rows import Row, measure
from sizes import CELLS, PUBLISHED, QUICK, lines

LENGTHS = (10_000, 100_000, 1_000_000)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks/layers", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few small sizes")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="sizes whose name contains one of these")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument(
        "--compile", action="store_true", help="also torch.compile of torch.nn, up to 64 steps: minutes per size"
    )
    parser.add_argument("--jax", metavar="PYTHON", help="also JAX: an interpreter that has it")
    parser.add_argument("--scaling", action="store_true", help="how time grows with T, H and B")
    parser.add_argument("--generation", action="store_true", help="one step at a time")
    parser.add_argument("--long", nargs="*", type=int, metavar="T", help=f"full back-propagation over T steps, {LENGTHS}")
    parser.add_argument("--all", action="store_true", help="the main table and all of these")
    parser.add_argument("--json", metavar="FILE", help="write every figure")
    parser.add_argument("--markdown", action="store_true", help="tables ready for docs/performance.md")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.jax and not shutil.which(args.jax):
        parser.error(f"--jax: {args.jax} is not a program")
    if args.rounds < 1 or args.threads < 1:
        parser.error("--rounds and --threads are at least 1")
    return args


class Report:
    """Everything found so far, written after each step: a run that is cut short loses nothing."""

    def __init__(self, facts: dict[str, Any], path: str | None) -> None:
        self.found: dict[str, Any] = {"machine": facts}
        self.path = path

    def add(self, part: str, item: dict[str, Any], words: str) -> None:
        """Take in one item and say so."""
        self.found.setdefault(part, []).append(item)
        print(words, file=sys.stderr, flush=True)
        self.write()

    def write(self) -> None:
        """Bring the file up to date."""
        if self.path:
            Path(self.path).write_text(json.dumps(self.found, indent=1, ensure_ascii=False), encoding="utf-8")


def words(row: Row) -> str:
    """A row for those who wait."""
    if "wrong" in row:
        return f"{row['name']}: NOT TIMED: {row['wrong']}"
    times = ", ".join(f"{peer} {ms:.3g} ms" for peer, ms in row["ms"].items())
    return f"{row['name']}: {times}; {row['ratio']['gates']:.2f}x {row['versus']}, {row['share']['gates']:.0%} of the products"


def grid(args: argparse.Namespace, report: Report, jax: Jax | None) -> str:
    """The main table."""
    named = {name: size for name, size in (QUICK if args.quick else PUBLISHED).items() if size.cell in args.cells}
    wanted = {name: size for name, size in named.items() if not args.only or any(part in name for part in args.only)}
    for name, size in wanted.items():
        row = measure(name, size, args.rounds, jax=jax, compiled=args.compile)
        report.add("rows", row, words(row))
    return table.layers(report.found.get("rows", []), args.markdown)


def scaling(args: argparse.Namespace, report: Report) -> str:
    """How time grows."""
    for cell in args.cells:
        for varied, sizes in lines(cell, args.quick).items():
            rows = [measure(f"{cell} {varied}", size, args.rounds) for size in sizes]
            if wrong := [row["wrong"] for row in rows if "wrong" in row]:
                raise Wrong(wrong[0])
            found = fit(varied, rows)
            report.add("scaling", found, f"{cell}: time grows as {varied}^{found['gates']:.2f}, torch {found['torch']:.2f}")
    return table.scaling(report.found["scaling"], args.markdown)


def generation(args: argparse.Namespace, report: Report) -> str:
    """One step at a time."""
    for cell in args.cells:
        found = generate(cell, 256, args.rounds)
        report.add("generation", found, f"{cell}: {found['us']['bptt']:.1f} µs per step, {found['ratio']:.2f}x torch.nn")
    return table.generation(report.found["generation"], args.markdown)


def lengths(args: argparse.Namespace, report: Report) -> str:
    """Very long sequences."""
    exponents = {}
    for cell in args.cells:
        rows = []
        for steps in args.long or LENGTHS:
            rows.append(long.apart(cell, steps, args.threads))
            report.add("long", rows[-1], f"{cell}, T {steps:,}: {rows[-1]['seconds']:.3g} s, {rows[-1]['floats']:.2f} floats")
        if len(rows) > 1:
            exponents[cell] = long.growth(rows)
    report.found["exponents"] = exponents
    report.write()
    return table.long(report.found["long"], exponents, args.markdown)


def main() -> None:
    """Run what was asked for; exit code 1 if something was wrong."""
    args = arguments()
    torch.set_num_threads(args.threads)
    random.seed(0)
    if args.one:
        print(json.dumps(long.here(args.one[0], int(args.one[1]))))
        return
    asked = {"scaling": args.scaling, "generation": args.generation, "long": args.long is not None}
    jax = Jax(args.jax, args.threads) if args.jax else None
    facts = machine(jax.version if jax else "")
    report = Report(facts, args.json)
    print(header(facts), end="\n\n", flush=True)
    try:
        for cell in args.cells:
            kernel(cell)
        if args.all or not any(asked.values()):
            print(grid(args, report, jax), flush=True)
        for part, run in {"scaling": scaling, "generation": generation, "long": lengths}.items():
            if args.all or asked[part]:
                print("\n" + run(args, report), flush=True)
    except Wrong as wrong:
        raise SystemExit(f"Refused: {wrong}") from None
    finally:
        if jax:
            jax.close()
    if any("wrong" in row for row in report.found.get("rows", [])):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

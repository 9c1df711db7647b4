"""`bptt explain`: what a gradient strategy is, and with what weight it lets each loss reach each step before it."""

from __future__ import annotations

import argparse
import dataclasses
import math
import shutil
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bptt.cli.drawing import add_flags, check_unused, run_drawing
from bptt.cli.ending import one_line
from bptt.cli.facts import all_facts, cited, facts, grid, word
from bptt.cli.live import counting
from bptt.cli.output import emit
from bptt.cli.parser import Parser, add_setting
from bptt.cli.plugin import with_plugins
from bptt.config import Setting, convert, format_strategy, parse_strategy
from bptt.diagnostics import CreditMap, credit
from bptt.diagnostics.credit_map import DRAWS, LARGEST, NoMap
from bptt.diagnostics.cuts import Cuts, cuts
from bptt.diagnostics.kept import pattern
from bptt.diagnostics.rules import rule_table
from bptt.errors import InputError
from bptt.gradients import citation
from bptt.gradients.settings import step_count
from bptt.report.plots import draw_credit, draw_cuts, picture_path

EXAMPLE = """
bptt explain
bptt explain truncated:k1=20,k2=40
bptt explain full truncated:k1=16 randomized:mean=16 -o map.svg
bptt explain --view cuts
bptt explain --draw rnn --steps 3 --highlight h_3 -o rnn.svg
bptt explain truncated:k1=2 --draw lstm --steps 4 --gradients -o cut.svg
bptt explain --text "a line of your own" truncated:k1=5 randomized:mean=5 -o cuts.png
bptt explain --view rules
bptt explain randomized:mean=16 --cite
"""
SETTINGS = [
    Setting("steps", object, int | None, None, f"losses and lags of the map, at most {LARGEST}; none: about three stretches"),
    Setting("draws", object, int | None, None, f"draws to average for a strategy with chance; none: {DRAWS}"),
    Setting("window", object, int | None, None, "steps of the windows that the strategy is handed; none: all"),
    Setting("seed", object, int | None, None, "of the first draw; none: as the strategy says"),
]
CUT = ("randomized:mean=10", "truncated:k1=10", "full")
ASKED = ["full", "truncated:k1=4", "rtrl", "uoro", "kfrtrl", "snap:n=1", "rflo", "eprop", "syntheticgradient:k=4"]
VIEWS = (
    "map: weights by loss and lag; cuts: where one draw cuts a line of text; rules: which strategy is exact, unbiased, "
    "biased or refused on which cell, found by asking [map]"
)
SHOWN = ("strategy", "exact", "unbiased", "omits", "cost", "memory")
LEGEND = "│ no gradient passes; ▁▂▃… largest weight with which a loss reaches the character: 1, 2, 4, …"
SOME = "; ┊ some losses end here"
FACTS = ("leaves out", "time", "memory")
PATIENCE = 2.0  # seconds before a bar appears


def parser() -> Parser:
    """The flags of `bptt explain`."""
    made = Parser(
        "explain",
        "Say what a gradient strategy is, and show with what weight each loss reaches each step before it. The weights\n"
        "are measured: the strategy is run on a model with one parameter for each of them. Without a strategy: list all.\n"
        "With --draw: a network as a graph, folded or unrolled through time, as a strategy cuts it.",
        EXAMPLE,
        "[STRATEGY …]",
    )
    made.add_argument("strategy", nargs="*", metavar="STRATEGY", help="as for --gradient: full, truncated:k1=20,k2=40, …")
    made.add_argument("--view", choices=("map", "cuts", "rules"), help=VIEWS)
    made.add_argument("--text", metavar="TEXT", help="the line of text to cut [one of Python's documentation]")
    for setting in SETTINGS:
        add_setting(made, setting)
    made.add_argument("-o", "--output", metavar="FILE", help="also draw it, as FILE.svg or FILE.png (networks: .svg or .dot)")
    made.add_argument("--plugin", action="append", default=[], metavar="MODULE", help="a module with strategies of your own")
    made.add_argument("--cite", action="store_true", help="what to cite, as BibTeX, and nothing else")
    made.add_argument("--json", action="store_true", help="one JSON object on standard output")
    add_flags(made)
    return made


def run(args: argparse.Namespace) -> int:
    """Explain; draw if asked to."""
    table = with_plugins(args.plugin)
    numbers = {setting.key: convert(setting, getattr(args, setting.key, setting.default)) for setting in SETTINGS}
    check_unused(args)
    if args.view == "rules" and args.draw is None:
        show_rules(args, numbers, table)
        return 0
    if args.draw is not None:
        return run_drawing(args, [seeded(parse_strategy(one, table), numbers["seed"]) for one in args.strategy], numbers)
    text = line_of_text(args, numbers)
    check_strategies_named(args, numbers, text)
    if args.output:
        picture_path(args.output)  # a name that cannot be drawn is refused before anything is measured
    written = args.strategy or [name for name in CUT if text is not None and name.partition(":")[0] in table]
    strategies = [seeded(parse_strategy(one, table), numbers["seed"]) for one in written]
    check_heeded(strategies, numbers)
    if args.cite:
        print("\n\n".join(dict.fromkeys(map(citation, strategies or table.values()))))
    elif not strategies:
        show_all(args, table)
    elif text is None:
        told = [facts(one, format_strategy(one, table)) for one in strategies]
        maps = list(maps_of(strategies, table, numbers))
        no_map = next((found for found in maps if isinstance(found, NoMap)), None)
        if no_map and all(isinstance(found, NoMap) for found in maps) and (args.output or numbers["steps"] is not None):
            raise no_map  # who asks for a map is told why there is none
        show_maps(args, told, [kept(one, found) for one, found in zip(strategies, maps, strict=True)])
    else:
        found = [(one, cuts(one, len(text), window=numbers["window"])) for one in strategies]
        show_cuts(args, text, [dataclasses.replace(row, strategy=format_strategy(one, table)) for one, row in found])
    return 0


def seeded(strategy: Any, seed: int | None) -> Any:
    """The strategy with another first draw, if it draws."""
    return dataclasses.replace(strategy, seed=seed) if strategy.random and seed is not None else strategy


def check_strategies_named(args: argparse.Namespace, numbers: dict[str, int | None], text: str | None) -> None:
    """InputError for a flag about a map or a picture where none is made, instead of leaving it out unsaid."""
    drawn = {"--view": args.view, "--output": args.output, "--text": args.text}
    given = [name for name, value in {**{f"--{key}": n for key, n in numbers.items()}, **drawn}.items() if value is not None]
    if args.cite and given:
        raise InputError("--cite prints what to cite, and nothing else", ", ".join(given), "Leave one of them out")
    if given and not args.strategy and text is None:
        raise InputError("There is no strategy to show", ", ".join(given), f"Name one: bptt explain full {given[0]} …")


def check_heeded(strategies: list[Any], numbers: dict[str, int | None]) -> None:
    """InputError for a number that no strategy given depends on."""
    for name, fact, why in (
        ("draws", "random", "There is no chance in what is to be explained"),
        ("seed", "random", "There is no chance in what is to be explained"),
        ("window", "per_window", "Where windows end leaves no trace in what is to be explained"),
    ):
        if numbers[name] is not None and not any(getattr(one, fact) for one in strategies):
            raise InputError(why, f"--{name} {numbers[name]}", "Leave it out")


def line_of_text(args: argparse.Namespace, numbers: dict[str, int | None]) -> str | None:
    """The text to cut, on one line; None if the map is wanted."""
    if args.text is None and args.view != "cuts":
        return None
    if args.view == "map":
        raise InputError("A text is shown cut, not as a map", "--text and --view map", "Leave one of them out")
    unused = [f"--{name}" for name in ("steps", "draws") if numbers[name] is not None]
    if unused:
        raise InputError(
            "Cuts are of one draw, a step for each character", ", ".join(unused), "Leave it out, or choose --view map"
        )
    text = opening_line() if args.text is None else one_line(args.text)
    if not 1 < len(text) <= LARGEST:
        raise InputError("This text cannot be cut", f"{len(text)} characters", f"Give a line of 2 to {LARGEST}")
    return text


def opening_line() -> str:
    """The first line of Python's documentation that is long enough to be cut."""
    from bptt.data.corpora import python_docs

    return next(line for line in python_docs().decode().splitlines() if len(line) > 40)


def maps_of(strategies: list[Any], table: Any, numbers: dict[str, int | None]) -> Iterator[CreditMap | NoMap]:
    """The credit map of each or why there is none, over the same steps, with a bar for whoever waits."""
    steps = telling(strategies) if numbers["steps"] is None else step_count("steps", numbers["steps"])
    for one in strategies:
        written = format_strategy(one, table)
        with counting(f"measuring {written}") as count:
            try:
                found = credit(one, steps, draws=numbers["draws"], window=numbers["window"], progress=patient(count))
            except NoMap as error:
                yield error
            else:
                yield dataclasses.replace(found, strategy=written)


def patient(count: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """`count`, once it has taken so long that one wonders."""
    begun = time.monotonic()
    return lambda done, total: count(done, total) if time.monotonic() - begun > PATIENCE else None


def telling(strategies: list[Any]) -> int:
    """Steps for a picture that tells: three times the largest number of their settings, which is a length, from 12 to 64."""
    values = [getattr(one, field.name) for one in strategies for field in dataclasses.fields(one) if field.name != "seed"]
    lengths = [value for value in values if type(value) in (int, float) and 1 <= value < math.inf]
    return min(64, max(12, math.ceil(3 * max(lengths, default=8))))


def columns() -> int:
    """The width of the terminal, as far as it is good to read."""
    return min(shutil.get_terminal_size((100, 24)).columns, 110)


def show_all(args: argparse.Namespace, table: Any) -> None:
    """Every strategy: a row each, or in a narrow terminal a paragraph."""
    told = all_facts(table)
    if args.json:
        emit({"strategies": told})
    elif columns() >= 88:
        print(grid([SHOWN, *([word(said, name) for name in SHOWN] for said in told)], columns()))
    else:
        print("\n".join(paragraph(said, SHOWN[1:]) for said in told))


def paragraph(said: dict[str, Any], names: Sequence[str]) -> str:
    """A strategy, and below it some of its facts."""
    return f"{said['strategy']}\n{grid([(name, word(said, name)) for name in names], columns(), indent=2)}"


def show_maps(args: argparse.Namespace, told: list[dict[str, Any]], maps: list[CreditMap | str]) -> None:
    """Facts and map of each strategy, or what is said instead, and the picture of all maps."""
    if args.output:
        draw_credit([found for found in maps if isinstance(found, CreditMap)], args.output)
    if args.json:
        both = [{**said, **in_json(found)} for said, found in zip(told, maps, strict=True)]
        emit({"strategies": both, **drawn(args)})
        return
    for said, found in zip(told, maps, strict=True):
        title = said["strategy"] if isinstance(found, str) else found.title
        print(paragraph({**said, "strategy": title, "cite": cited(said["reference"])}, ("about", *SHOWN[1:], "cite")))
        if isinstance(found, str):
            print(f"\n{found}\n")
            continue
        print(f"\n{found.text(columns())}\n\n{textwrap.fill(found.summary(), columns())}\n\n{means(found)}\n")
    say_drawn(args)


def kept(strategy: Any, found: CreditMap | NoMap) -> CreditMap | str:
    """The map, or what is said instead: what a rule keeps of the influence, if it looks ahead, or why there is no map."""
    if not isinstance(found, NoMap):
        return found
    return pattern(strategy.reach) if hasattr(strategy, "reach") else textwrap.fill(str(found), columns())


def in_json(found: CreditMap | str) -> dict[str, Any]:
    """A map, or what is said instead."""
    return {"credit": None, "instead": found} if isinstance(found, str) else {"credit": found.to_json()}


def means(found: CreditMap) -> str:
    """The mean weight of lags, each twice the one before it, as a table."""
    mean, error = found.by_lag()
    known = bool(error.nan_to_num().any())
    lags = [lag for lag in (0, *(2**n for n in range(10))) if lag < found.steps - 1] + [found.steps - 1]
    rows = [(str(lag), f"{mean[lag]:.4g}", *([f"± {error[lag]:.2g}"] if known else [])) for lag in lags]
    return grid([("lag k", "mean weight", *(["standard error"] if known else [])), *rows], columns())


def show_cuts(args: argparse.Namespace, text: str, rows: list[Cuts]) -> None:
    """The text as each strategy cuts it, one below the other."""
    if args.output:
        draw_cuts(text, rows, args.output)
    if args.json:
        emit({"text": text, "strategies": [row.to_json() for row in rows], **drawn(args)})
        return
    for row in rows:
        print(f"{row.strategy}\n{textwrap.fill(row.summary(), columns())}\n\n{row.text(text, columns())}\n")
    print(textwrap.fill(LEGEND + (SOME if any("┊" in row.marks for row in rows) else ""), columns()))
    say_drawn(args)


def show_rules(args: argparse.Namespace, numbers: dict[str, int | None], table: Any) -> None:
    """Ask the strategies on cells of every kind, and say what each leaves out, costs and holds."""
    others = {**{f"--{key}": value for key, value in numbers.items()}, "--text": args.text, "--output": args.output}
    given = [name for name, value in {**others, "--cite": args.cite or None}.items() if value is not None]
    if given:
        raise InputError("Asking strategies on cells has no such choice", ", ".join(given), "Leave it out")
    strategies = {one: parse_strategy(one, table) for one in args.strategy or ASKED}
    with counting("asking every strategy on every cell") as count:
        found = rule_table(strategies, patient(count))
    if args.json:
        emit({"strategies": found.to_json()})
        return
    print(grid(found.rows(), columns()))
    for name, said in found.facts.items():
        print(f"\n{name}\n{grid(zip(FACTS, said, strict=True), columns(), indent=2)}")


def drawn(args: argparse.Namespace) -> dict[str, str]:
    """Where the picture is, for JSON."""
    return {"picture": args.output} if args.output else {}


def say_drawn(args: argparse.Namespace) -> None:
    """Where the picture is, in words."""
    if args.output:
        print(f"drawn: {args.output}")

"""`bptt compare`: gradient strategies side by side on a run's model, or on a fresh one."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bptt.cli.comparison import show
from bptt.cli.live import counting
from bptt.cli.opening import Subject, open_run
from bptt.cli.output import emit
from bptt.cli.parser import Parser, add_setting
from bptt.cli.plugin import with_plugins
from bptt.cli.train import GROUPS
from bptt.config import DEFAULT_CORPUS, SETTINGS, Config, Setting, convert, format_strategy, parse_strategy, read_yaml
from bptt.diagnostics import Comparison, compare
from bptt.diagnostics.comparison import check_numbers
from bptt.diagnostics.race import held_out, hold_race
from bptt.errors import InputError
from bptt.files import write_durably
from bptt.models import LanguageModel
from bptt.report import write_comparison, write_report
from bptt.training import TrainSettings
from bptt.training.devices import find_device
from bptt.training.directory import RunDirectory, as_json
from bptt.training.seeds import seed_everything
from bptt.types import Strategy

TELLING = ("full", "truncated:k1=16", "randomized:mean=16,tail=4", "adaptive:bias=0.1")
OURS = {
    **{title: GROUPS[title] for title in ("text", "model")},
    "gradient through time": "steps batch_size sampling block",
    "learning (only a race learns)": "optimizer lr momentum weight_decay warmup clip seed",
    "machine": GROUPS["machine"],
}
MEASURE = [
    Setting("probes", object, int, 4, "places of the text at which gradients are measured"),
    Setting("probe_steps", object, int | None, None, "steps of each; none: four windows of `steps`, or what the text allows"),
    Setting("draws", object, int, 16, "gradients per probe of a strategy that draws"),
    Setting("race", object, float | None, None, "seconds of training for each strategy, from fresh parameters; none: no race"),
]
EXAMPLE = """
bptt compare runs/book
bptt compare runs/book --gradient full truncated:k1=16 randomized:mean=16 --race 20
bptt compare book.txt --cell lstm --hidden-size 128 --gradient truncated:k1=8 truncated:k1=8,k2=32 --out compared
bptt compare --config recipes/tiny-shakespeare-gru.yaml
"""


def parser() -> Parser:
    """The flags of `bptt compare`."""
    parser = Parser(
        "compare",
        "Compare ways to carry gradients through time on one model: bias and direction against the exact gradient,\n"
        "variance, time, memory, and training in equal time. A run's own model and text, or a fresh model on a text.",
        EXAMPLE,
        "[RUN | CORPUS …]",
    )
    parser.add_argument(
        "what", nargs="*", metavar="RUN | CORPUS", help=f"a run directory, or texts as for train [{DEFAULT_CORPUS}]"
    )
    run = parser.add_argument_group("comparison")
    run.add_argument(
        "--gradient",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"strategies, as for train [{', '.join(TELLING)}, and the run's own]",
    )
    for setting in MEASURE:
        add_setting(run, setting)
    run.add_argument("--checkpoint", choices=("best", "last"), default="best", help="of a RUN [best]")
    run.add_argument(
        "--out", metavar="DIR", help="folder for compare.json and compare.html [a RUN keeps its own, in its report; else none]"
    )
    run.add_argument("--config", metavar="FILE", help="settings of text, model and training as YAML, as for train; flags win")
    run.add_argument(
        "--plugin", action="append", default=[], metavar="MODULE", help="your module with STRATEGIES = {name: class}"
    )
    run.add_argument("--json", action="store_true", help="one JSON object on standard output")
    for title, keys in OURS.items():
        group = parser.add_argument_group(title)
        for key in keys.split():
            add_setting(group, SETTINGS[key])
    return parser


def run(args: argparse.Namespace) -> int:
    """Measure, write, show."""
    table = with_plugins(args.plugin)
    asked = [strategy_of(text, table) for text in args.gradient or ()]
    numbers = {setting.key: convert(setting, getattr(args, setting.key, setting.default)) for setting in MEASURE}
    seconds = numbers.pop("race")
    check_numbers(numbers["probes"], numbers["draws"], seconds)
    subject = subject_of(args, table)
    strategies = by_text(asked or telling(subject.own, table), table)
    if seconds is not None:
        held_out(subject.data)
    out = None if args.out is None else made(Path(args.out))
    settings = {key: value for key, value in vars(subject.train).items() if key != "gradient"}
    with counting("gradients") as progress:
        found = compare(subject.model, subject.data, strategies, **numbers, **settings, progress=progress)
    if seconds is not None:
        with counting("race") as progress:
            race = hold_race(subject.fresh(), subject.data, strategies, seconds, subject.train, progress)
        found = dataclasses.replace(found, race=race)
    page = write(found, subject, out)
    if args.json:
        emit({**found.to_json(), "page": None if page is None else str(page)})
    else:
        print(subject.title)
        show(found)
        if page is not None:
            print(f"\npage  {page}")
    return 0


def subject_of(args: argparse.Namespace, table: Mapping[str, Any]) -> Subject:
    """The run that is named, or a fresh model on the texts that are."""
    flags = {key: value for key, value in vars(args).items() if key in SETTINGS and key != "gradient"}
    if len(args.what) == 1 and RunDirectory(args.what[0]).is_run():
        only_training(args, flags)
        return open_run(args.what[0], table, which=args.checkpoint, flags=flags)
    given = read_yaml(args.config) if args.config else {}
    given.pop("corpus_at", None)
    config = Config.from_flat({**given, **({"corpus": args.what} if args.what else {}), **flags}, table)
    find_device(config.train.device)
    corpus = config.text.read(config.corpus)
    seed_everything(config.train.seed)
    model = LanguageModel(vocab=corpus.vocab, **vars(config.model))
    title = f"a fresh {config.model.cell} of {config.model.hidden_size} units on {', '.join(config.corpus)}"
    return Subject(title, model, corpus, config.train, config.train.gradient if "gradient" in given else None)


def only_training(args: argparse.Namespace, flags: Mapping[str, Any]) -> None:
    """InputError for a flag that changes more of a run than how it is trained."""
    fixed = [key for key in flags if SETTINGS[key].owner is not TrainSettings]
    named = ["--config"] if args.config else ["--" + key.replace("_", "-") for key in fixed]
    if named:
        raise InputError(
            "A run has its own data and model", ", ".join(named), "Leave that out, or name a text instead of a run"
        )


def strategy_of(text: str, table: Mapping[str, Any]) -> Strategy:
    """The strategy that a text means; --gradient takes every word that follows it, also one meant as the corpus."""
    if text.partition(":")[0].lower() not in table and Path(text).exists():
        todo = f"Write it first: bptt compare {text} --gradient …"
        raise InputError("What to compare on comes before --gradient, which takes all words after it", text, todo)
    return parse_strategy(text, table)


def by_text(strategies: list[Strategy], table: Mapping[str, Any]) -> dict[str, Strategy]:
    """Strategies by the text that means them; InputError for one given twice."""
    found: dict[str, Strategy] = {}
    for strategy in strategies:
        text = format_strategy(strategy, table)
        if text in found:
            raise InputError("A strategy is given twice", text, "Keep one of them")
        found[text] = strategy
    return found


def telling(own: Strategy | None, table: Mapping[str, Any]) -> list[Strategy]:
    """What to compare where nothing is asked for: the exact gradient of a window, the run's own, a few that differ."""
    usual = [parse_strategy(text, table) for text in TELLING if text.partition(":")[0] in table]
    return usual if own is None or own in usual else [usual[0], own, *usual[1:]]


def made(folder: Path) -> Path:
    """A folder for the results; InputError before anything is measured if there can be none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("The folder cannot be made", f"{folder}: {error.strerror}", "Give another --out") from error
    return folder


def write(found: Comparison, subject: Subject, out: Path | None) -> Path | None:
    """compare.json and the page that shows it: in the folder that is asked for, else in the run; the page's path."""
    text = as_json("compare.json", found.to_json())
    if out is not None:
        write_durably(out / "compare.json", text)
        return write_comparison(out / "compare.html", found.to_json())
    if subject.directory is None:
        return None
    subject.directory.write("compare.json", text)
    return write_report(subject.directory.path)

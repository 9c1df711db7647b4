"""`bptt train`: a new run, or the continuation of one."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bptt.cli.ending import say, visible
from bptt.cli.floor import floor_rows
from bptt.cli.output import clock, emit, figure, table
from bptt.cli.parser import Parser, add_setting, run_flags
from bptt.cli.plugin import with_plugins
from bptt.cli.processes import together
from bptt.cli.progress import display, heading
from bptt.cli.resume import go_on
from bptt.config import SETTINGS, Config, Setting, format_strategy, places_of, read_yaml
from bptt.data import Corpus
from bptt.data.series import SeriesData
from bptt.data.tasks import TaskStream
from bptt.diagnostics import Watch
from bptt.errors import BpttError, DivergedError, InputError, Interrupted
from bptt.gradients import STRATEGIES
from bptt.models import LanguageModel, SeriesModel, series_settings
from bptt.ranks import Ranks
from bptt.training import Run, fit
from bptt.training.devices import find_device
from bptt.training.directory import RunDirectory
from bptt.training.launch import TIMEOUT
from bptt.training.listeners import Event
from bptt.training.seeds import seed_everything

GROUPS = {
    "text": "unit clean lower encoding newline valid test max_tokens min_freq vocab_limit reserved map_reserved",
    "model": "cell hidden_size layers embedding_size dropout tie_weights nonlinearity init",
    "leaky-rnn cell": "leak",
    "tdnn cell": "kernel_size dilations",
    "output-to-hidden cell": "feedback teacher_forcing forcing_end forcing_schedule",
    "gradient through time": "gradient steps batch_size sampling block",
    "learning": "epochs optimizer lr momentum weight_decay schedule decay decay_every warmup clip patience seed",
    "machine": "device dtype threads",
    "records and samples": "save_every log_every sample_every sample_prefix sample_length temperature tensorboard",
}
TOGETHER = f"seconds that processes started by torchrun wait for each other before they give up [{TIMEOUT:g}]"
EXAMPLE = """
bptt train book.txt --cell lstm --hidden-size 512 --gradient truncated:k1=64 --epochs 3 --out runs/book
bptt train --config recipes/tiny-shakespeare-gru.yaml --epochs 1
bptt train --resume runs/book --epochs 10
bptt train coin:lags=3,8 --cell rnn --hidden-size 16 --batch-size 8 --gradient truncated:k1=16 --out runs/coin
torchrun --nproc-per-node 2 -m bptt train book.txt --batch-size 64     two processes, 32 rows each
"""


def parser() -> Parser:
    """The flags of `bptt train`."""
    made = Parser("train", "Train a recurrent language model on a text, or go on with a run.", EXAMPLE, "[CORPUS …]")
    made.add_argument(
        "corpus",
        nargs="*",
        metavar="CORPUS",
        help="files (joined as they are), - for standard input, NAME for $BPTT_DATA/NAME.txt, or python-docs, time-machine, "
        "tiny-shakespeare; or a task with a known optimum: coin:lags=3,8, copy:length=5,lag=10, anbn:longest=10, "
        "brackets:pairs=6,kinds=2, adding:length=20 [python-docs]",
    )
    run = made.add_argument_group("run")
    run_flags(run, "runs/<corpus>-<cell>-<number>", "events")
    run.add_argument(
        "--watch",
        action=argparse.BooleanOptionalAction,
        help="look once at what truncation leaves out, and say so if it is much [where that costs below 1 %% of the run]",
    )
    for title, keys in GROUPS.items():
        group = made.add_argument_group(title)
        if title == "machine":
            group.add_argument("--timeout", type=seconds, default=TIMEOUT, metavar="X", help=TOGETHER)
        for key in keys.split():
            add_setting(group, gradient() if key == "gradient" else SETTINGS[key])
    return made


def gradient() -> Setting:
    """The setting of the strategy, with the strategies that there are."""
    setting = SETTINGS["gradient"]
    return dataclasses.replace(setting, help=f"{setting.help}: {', '.join(STRATEGIES)}, with arguments as NAME:A=1,B=2")


def seconds(text: str) -> float:
    """A number of seconds; `join` refuses those that cannot be."""
    return float(text)


def run(args: argparse.Namespace) -> int:
    """Train, with the other processes if there are any; 0 once it is done."""
    with together(args.timeout) as ranks:
        return trained(args, ranks)


def trained(args: argparse.Namespace, ranks: Ranks) -> int:
    """Train; 0 once it is done."""
    strategies = with_plugins(args.plugin)
    flags = {key: value for key, value in vars(args).items() if key in SETTINGS}
    if args.resume:
        return go_on(args, flags, strategies, ranks, train)
    flat = {**(read_yaml(args.config) if args.config else {}), **flags}
    flat.pop("corpus_at", None)
    if args.corpus:
        flat["corpus"] = args.corpus
    config = Config.from_flat(flat, strategies)
    if args.print_config:
        if ranks.first:
            print_config(config.to_flat(strategies))
        return 0
    refuse_pipe(config, ranks)
    out = Path(ranks.told(args.out or str(free_place(config))))
    if ranks.first:
        refuse_existing(out, args.overwrite)
    find_device(config.train.device)
    corpus = config.text.data(config.corpus, dtype=config.train.dtype)
    seed_everything(config.train.seed)
    model = model_for(config, corpus)
    written = {**config.to_flat(strategies), "corpus_at": places_of(config.corpus)}
    return train(args, config, model, corpus, out, {"overwrite": args.overwrite, "config": written, "ranks": ranks})


def model_for(config: Config, corpus: Corpus | SeriesData) -> LanguageModel | SeriesModel:
    """A fresh model of tokens or of numbers, as the corpus has them."""
    if isinstance(corpus, Corpus):
        return LanguageModel(vocab=corpus.vocab, **vars(config.model))
    inputs, outputs = corpus.train.inputs.shape[1], corpus.train.targets.shape[1]
    return SeriesModel(inputs=inputs, outputs=outputs, **series_settings(config.model))


def train(
    args: argparse.Namespace,
    config: Config,
    model: LanguageModel | SeriesModel,
    corpus: Corpus | SeriesData,
    out: Path,
    how: Mapping[str, Any],
) -> int:
    """`fit` with a display around it, and the report behind it, however it ends."""
    ranks: Ranks = how["ranks"]
    listeners = [*how.get("listeners", []), *([emit_event] if args.json else [])]
    quiet = args.quiet or args.json or not ranks.first
    settings = {**vars(config.train), "watchers": watchers(args.watch, config, corpus)}
    try:
        told: dict[str, Any] = {"measure": model.measure, "quiet": quiet}
        if "floor" in corpus.facts:
            told["unit"] = "steps"
        with display(config.train, heading(corpus, out), losses(corpus), **told) as shown:
            run = fit(model, corpus, out=out, **{**how, "listeners": [*listeners, shown]}, **settings)
    except (Interrupted, DivergedError) as error:
        if ranks.first:
            report(out)
        if isinstance(error, Interrupted):
            raise Interrupted(error.exit_code - 128, f"{error}; go on with bptt train --resume {out}") from error
        raise
    if ranks.first:
        summary(run, report(out), args, corpus)
    return 0


def losses(corpus: Corpus | SeriesData) -> int:
    """How many losses an epoch has: all steps but the last, of a task those that count."""
    lane = corpus.train.whole()
    return lane.counted if isinstance(lane, TaskStream) else len(corpus.train) - 1


def watchers(wanted: bool | None, config: Config, corpus: Corpus | SeriesData) -> list[Watch]:
    """One look at what truncation leaves out; if nobody said, where it costs less than 1 % of the run."""
    s, tokens = config.train, len(corpus.train)
    windows = s.epochs * (tokens // (s.batch_size * s.steps))
    watch = Watch(at=min(Watch.at, windows // 2), spell=format_strategy)
    return [watch] if (s.epochs * tokens > 100 * watch.cost if wanted is None else wanted) else []


def emit_event(event: Event) -> None:
    """Every event that also goes into metrics.jsonl. Whoever read them may leave; the run goes on."""
    if event["event"] != "progress":
        with contextlib.suppress(BrokenPipeError):
            emit(event)


def report(out: Path) -> Path | None:
    """The page on the run. A run is worth keeping without it."""
    from bptt.report import write_report

    try:
        return write_report(out)
    except BpttError as error:
        say(f"bptt: note: {error}")
        return None


def opening(corpus: Corpus) -> str:
    """How the text begins, quoted for a shell: something that the model surely can go on from."""
    start = corpus.vocab.opening(corpus.train.ids[: 16 if corpus.vocab.unit in ("char", "byte") else 3])
    return shlex.quote(visible(start).replace("\ufffd", "").strip().partition("\n")[0])


def summary(run: Run, page: Path | None, args: argparse.Namespace, corpus: Corpus | SeriesData) -> None:
    """What came out, where it is, and what to try next."""
    measure = run.model.measure
    best = {"epoch": run.best.epoch, "step": run.best.step, measure.name: run.best.value}
    if args.json:
        facts = {"reason": run.reason, "best": best, "tokens": run.tokens, "seconds": run.seconds}
        emit({"event": "run", **facts, "path": str(run.path), "report": str(page) if page else None})
        return
    if args.quiet:
        print(run.path)
        return
    measured = "validation" if any(event["event"] == "valid" for event in run.history) else "training"
    ended = "" if run.reason == "finished" else f", stopped early after epoch {run.history[-1]['epoch']}"
    rows = [
        (f"{measured} {measure.name}", f"{figure(run.best.value)} (best: epoch {run.best.epoch}{ended})"),
        *floor_rows(corpus.facts, measure),
        ("training", f"{run.tokens:,} {'steps' if 'floor' in corpus.facts else 'tokens'} in {clock(run.seconds)}"),
        ("run", str(run.path)),
        ("report", str(page or "not written")),
    ]
    print(table(rows, 0))
    place = shlex.quote(str(run.path))
    if not isinstance(corpus, Corpus):
        return
    nexts = [f"bptt generate {place} {opening(corpus)} --length 300"] if corpus.continues else []
    print("\nnext:  " + "\n       ".join([*nexts, f"bptt evaluate {place}"]))


def print_config(flat: Mapping[str, Any]) -> None:
    """All settings, as `--config` reads them."""
    import yaml

    yaml.safe_dump(dict(flat), sys.stdout, sort_keys=False, allow_unicode=True)


def free_place(config: Config) -> Path:
    """runs/<corpus>-<cell>-<number>, with the first number that is free."""
    first = "stdin" if config.corpus[0] == "-" else Path(config.corpus[0]).stem
    name = "".join(char if char.isalnum() or char in "._-" else "-" for char in first).strip(".-") or "text"
    number = 1
    while (place := Path("runs") / f"{name}-{config.model.cell}-{number}").exists():
        number += 1
    return place


def refuse_pipe(config: Config, ranks: Ranks) -> None:
    """InputError for standard input where several processes would each get a part of it."""
    if ranks.size > 1 and "-" in config.corpus:
        raise InputError(
            "Several processes cannot read one standard input", f"{ranks.size} processes, CORPUS -", "Save the text in a file"
        )


def refuse_existing(out: Path, overwrite: bool) -> None:
    """The refusal that `fit` would give, before a long text is read."""
    if RunDirectory(out).is_run() and not overwrite:
        todo = f"Continue it with --resume {out}, replace it with --overwrite, or give another --out"
        raise InputError("There is a run in this directory already", str(out), todo)

"""Opening what a command names: a run's model, and the text or series to measure it on.

Knows run directories and settings; must not know how results are shown.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from bptt.cli.ending import say
from bptt.cli.parser import Parser
from bptt.config import Config, TextSettings, convert, known, names_of
from bptt.data import Corpus, Vocabulary, open_corpus
from bptt.data.series import SeriesData
from bptt.errors import InputError
from bptt.models import LanguageModel, SeriesModel
from bptt.training import TrainSettings, load
from bptt.training.devices import find_device
from bptt.training.directory import RunDirectory
from bptt.training.seeds import seed_everything
from bptt.training.settings import THREADS
from bptt.types import Strategy


def run_flags(parser: Parser) -> None:
    """The flags of every command that opens a model."""
    parser.add_argument("run", metavar="RUN", help="run directory, as `bptt train` wrote it")
    parser.add_argument(
        "--checkpoint", choices=("best", "last"), default="best", help="the epoch with the best validation, or the last [best]"
    )
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N [auto]")
    parser.add_argument("--threads", metavar="N", help="CPU threads; none: torch's choice [none]")


def open_model(args: argparse.Namespace) -> LanguageModel:
    """The language model that the flags name."""
    set_threads(args)
    model = load(args.run, which=args.checkpoint, device=find_device(args.device))
    if not isinstance(model, LanguageModel):
        raise InputError(
            "This run is a model of numbers and no language model", args.run, f"Look at it with bptt report {args.run}"
        )
    return model


def set_threads(args: argparse.Namespace) -> None:
    """As many as the flags say."""
    if args.threads is not None and (threads := convert(known("threads"), args.threads)) is not None:
        if not 1 <= threads <= THREADS:
            raise InputError(f"threads must be from 1 to {THREADS}", f"threads={threads}", "Leave it out for torch's choice")
        torch.set_num_threads(threads)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model, what it is trained on, and how: all that gradients are measured by. Of a run, also its directory."""

    title: str
    model: LanguageModel | SeriesModel
    data: Corpus | SeriesData
    train: TrainSettings
    own: Strategy | None
    directory: RunDirectory | None = None

    def fresh(self) -> LanguageModel | SeriesModel:
        """The model before any training."""
        seed_everything(self.train.seed)
        return type(self.model).from_json(self.model.to_json())


def open_run(
    run: str, table: Mapping[str, Any], *, which: str, device: str | None = None, flags: Mapping[str, Any] | None = None
) -> Subject:
    """A run of any kind: its model, its data and its settings, those of the training as `flags` change them.

    device  None: the one of the settings
    """
    directory = RunDirectory(run).require()
    saved = directory.read_config()
    kind = next((kind for key, kind in KINDS.items() if key in saved), None)
    if kind is None:
        todo = "Use bptt.compare or bptt.diagnose in your code"
        raise InputError("The run does not say what it was trained on", str(directory.path), todo)
    train, data = kind(directory, saved, flags or {}, table)
    model = load(directory.path, which=which, device=find_device(device or train.device))
    title = f"the {which} checkpoint of {directory.path}"
    return Subject(title, model, data(model), train, train.gradient, directory)


Read = Callable[[Any], Any]  # from the model of a run to its data


def text_run(
    directory: RunDirectory, saved: dict[str, Any], flags: Mapping[str, Any], table: Mapping[str, Any]
) -> tuple[TrainSettings, Read]:
    """The settings of a run of `bptt train`, and how to read its text."""
    flat = {key: value for key, value in saved.items() if key != "corpus_at"}
    config = Config.from_flat({**flat, **flags}, table)
    return config.train, lambda model: measured_on(directory, saved, config.text, model.vocab)


def series_run(
    directory: RunDirectory, saved: dict[str, Any], flags: Mapping[str, Any], table: Mapping[str, Any]
) -> tuple[TrainSettings, Read]:
    """The settings of a run of `bptt forecast`, and how to read its series: the steps that trained it, and those set aside."""
    from bptt.config.forecast import FORECAST_SETTINGS
    from bptt.forecasting.keeping import load as load_forecaster
    from bptt.forecasting.recurrent import Recurrent

    forecaster = load_forecaster(directory.path, table)
    fitted, method = forecaster.fitted, forecaster.fitted.method
    if not isinstance(method, Recurrent):
        raise InputError("This model was not trained through time", forecaster.model, "Give a run of rnn, lstm or gru")
    changed = {key: convert(FORECAST_SETTINGS[key], value, table) for key, value in flags.items()}
    train = TrainSettings(**{**method.trained_with(fitted.train), **changed})
    parts = method.data(fitted.series, fitted.train)
    aside = None if parts.valid is None else parts.valid.counted()
    return train, lambda model: dataclasses.replace(parts, valid=aside)


# What names the data in config.yaml → how to open such a run.
KINDS = {"corpus": text_run, "series": series_run}


def corpus_of(run: RunDirectory, flat: dict[str, Any], text: TextSettings, vocab: Vocabulary) -> Corpus:
    """The corpus of a run: the one that it kept, else the text that its config.yaml names, read as it was read then."""
    if run.tokens.exists():
        return open_corpus(run.tokens)
    return text.read(names_of(flat.get("corpus_at") or flat["corpus"]), vocab)


def measured_on(run: RunDirectory, flat: dict[str, Any], text: TextSettings, vocab: Vocabulary) -> Corpus:
    """`corpus_of`, with a note if it is no longer what it was; a run that goes on refuses that instead."""
    corpus = corpus_of(run, flat, text, vocab)
    before = run.read_json("corpus.json")
    if not run.tokens.exists() and (not isinstance(before, dict) or before.get("sha256") != corpus.facts["sha256"]):
        say("bptt: note: the text has changed since the run was trained on it: the parts may overlap.")
    return corpus


def text_settings(flat: dict[str, Any]) -> TextSettings:
    """How a run read its text; whatever else its config.yaml holds is left aside."""
    ours = {key: value for key, value in flat.items() if key in TextSettings.__dataclass_fields__}
    return TextSettings(**{key: convert(known(key), value) for key, value in ours.items()})


def run_corpus(run: str, vocab: Vocabulary) -> Corpus:
    """The corpus of a run; InputError if config.yaml names none."""
    directory = RunDirectory(run).require()
    flat = directory.read_config()
    if "corpus" not in flat:
        raise InputError("The run does not say what it was trained on", f"{run}/config.yaml", "Give a text")
    return measured_on(directory, flat, text_settings(flat), vocab)

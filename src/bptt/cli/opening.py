"""Opening what a command names: a run's model, and the text to measure it on.

Knows run directories and settings; must not know how results are shown.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

from bptt.cli.parser import Parser
from bptt.config import TextSettings, convert, known, names_of
from bptt.data import Corpus, Vocabulary, open_corpus
from bptt.errors import InputError
from bptt.models import LanguageModel
from bptt.training import load
from bptt.training.devices import find_device
from bptt.training.directory import RunDirectory
from bptt.training.settings import THREADS


def run_flags(parser: Parser) -> None:
    """The flags of every command that opens a model."""
    parser.add_argument("run", metavar="RUN", help="run directory, as `bptt train` wrote it")
    parser.add_argument(
        "--checkpoint", choices=("best", "last"), default="best", help="the epoch with the best validation, or the last [best]"
    )
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N [auto]")
    parser.add_argument("--threads", metavar="N", help="CPU threads; none: torch's choice [none]")


def open_model(args: argparse.Namespace) -> LanguageModel:
    """The model that the flags name."""
    if args.threads is not None and (threads := convert(known("threads"), args.threads)) is not None:
        if not 1 <= threads <= THREADS:
            raise InputError(f"threads must be from 1 to {THREADS}", f"threads={threads}", "Leave it out for torch's choice")
        torch.set_num_threads(threads)
    model = load(args.run, which=args.checkpoint, device=find_device(args.device))
    if not isinstance(model, LanguageModel):
        raise InputError("This run is a forecast and no language model", args.run, f"Look at it with bptt report {args.run}")
    return model


def corpus_of(run: RunDirectory, flat: dict[str, Any], text: TextSettings, vocab: Vocabulary) -> Corpus:
    """The corpus of a run: the one that it kept, else the text that its config.yaml names, read as it was read then."""
    if run.tokens.exists():
        return open_corpus(run.tokens)
    names = names_of(flat.get("corpus_at") or flat["corpus"])
    return text.read(names, vocab)


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
    return corpus_of(directory, flat, text_settings(flat), vocab)

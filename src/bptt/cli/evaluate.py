"""`bptt evaluate`: perplexity of a text under a run's model, read as one lane with carried state."""

from __future__ import annotations

import argparse

from bptt.cli.ending import say
from bptt.cli.live import counting
from bptt.cli.opening import open_model, run_corpus, run_flags
from bptt.cli.output import emit, figure, table
from bptt.cli.parser import Parser
from bptt.config import TextSettings
from bptt.data import Corpus, Tokens
from bptt.errors import InputError
from bptt.metrics import Score
from bptt.models import LanguageModel
from bptt.training.directory import RunDirectory

PARTS = {"train": "training", "valid": "validation", "test": "test"}
EXAMPLE = """
bptt evaluate runs/book
bptt evaluate runs/book --part train --json
bptt evaluate runs/book another-book.txt
"""


def parser() -> Parser:
    """The flags of `bptt evaluate`."""
    made = Parser("evaluate", "Measure how well a run's model predicts a text.", EXAMPLE, "RUN [TEXT …]")
    run_flags(made)
    made.add_argument("text", nargs="*", metavar="TEXT", help="texts to read in place of the run's own")
    made.add_argument("--part", choices=tuple(PARTS), help="part of the run's own text [valid]")
    made.add_argument("--encoding", metavar="NAME", help="of TEXT [utf-8]")
    made.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return made


def run(args: argparse.Namespace) -> int:
    """Evaluate; print the score."""
    if args.text and args.part:
        raise InputError("--part is a part of the run's own text", f"--part {args.part} and a text", "Give one of the two")
    model = open_model(args)
    name, tokens = own_text(args, model) if args.text else own_part(args, model)
    with counting(name) as progress:
        score = model.evaluate(tokens, progress=progress)
    if args.json:
        emit({"run": args.run, "text": name, "checkpoint": args.checkpoint, **facts(score)})
    else:
        print(f"{name}, {args.checkpoint} checkpoint of {args.run}")
        print(table(rows(score)))
    return 0


def own_text(args: argparse.Namespace, model: LanguageModel) -> tuple[str, Tokens]:
    """The texts that the user names, whole."""
    settings = TextSettings(encoding=args.encoding or "utf-8", valid=0.0)
    corpus = settings.read(args.text, model.vocab)
    unknown = corpus.facts["unknown"].get("train", 0.0)
    if unknown:
        say(f"bptt: note: {unknown:.2%} of the tokens are not in the vocabulary and are read as <unk>.")
    return ", ".join(args.text), corpus.train


def own_part(args: argparse.Namespace, model: LanguageModel) -> tuple[str, Tokens]:
    """A part of the text that the run was trained on."""
    assert model.vocab is not None
    corpus = run_corpus(args.run, model.vocab)
    warn_if_changed(args.run, corpus)
    part = args.part or "valid"
    tokens = getattr(corpus, part)
    if tokens is None:
        raise InputError(f"The run has no {PARTS[part]} part", args.run, "Give --part train, or a text")
    return f"{PARTS[part]} part", tokens


def warn_if_changed(run: str, corpus: Corpus) -> None:
    """A note if the run's text is no longer what it was."""
    before = RunDirectory(run).read_json("corpus.json")
    if not isinstance(before, dict) or before.get("sha256") != corpus.facts["sha256"]:
        say("bptt: note: the text has changed since the run was trained on it: the parts may overlap.")


def facts(score: Score) -> dict[str, float]:
    """All numbers of a score."""
    rates = ("perplexity", "bits_per_token", "bits_per_character", "bits_per_byte")
    counts = {"nats": score.nats, "tokens": score.tokens, "characters": score.characters, "bytes": score.bytes}
    return {**{name: getattr(score, name) for name in rates}, "nats_per_token": score.mean, **counts}


def rows(score: Score) -> list[tuple[str, str]]:
    """The score as a person reads it."""
    return [
        ("perplexity", figure(score.perplexity)),
        ("bits per token", figure(score.bits_per_token)),
        ("bits per character", figure(score.bits_per_character)),
        ("bits per byte", figure(score.bits_per_byte)),
        ("tokens", f"{score.tokens:,}"),
    ]

"""`bptt baseline`: counting models on a text, alone or beside a run's model on the run's own text."""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bptt.cli.baselines import show
from bptt.cli.counted import check_places, finish, place_flags
from bptt.cli.evaluate import facts
from bptt.cli.explain import patient
from bptt.cli.generate import SAMPLING
from bptt.cli.live import counting
from bptt.cli.opening import run_corpus
from bptt.cli.parser import Parser, add_setting
from bptt.cli.train import GROUPS
from bptt.config import BASELINES, DEFAULT_CORPUS, SETTINGS, Baseline, Setting, TextSettings, convert, parse_baseline
from bptt.counting import AddK, Grams, KneserNey, Laplace, NGram, ahead, count
from bptt.data import Corpus, Tokens
from bptt.errors import InputError
from bptt.inference import total
from bptt.models import LanguageModel
from bptt.report import write_baselines
from bptt.report.plots import draw_baselines
from bptt.training import load
from bptt.training.devices import find_device
from bptt.training.directory import RunDirectory

USUAL = ("unigram", "bigram", "trigram", "kneser-ney")
LENGTH, SHOWN = 100, 10  # tokens of a sample, likeliest tokens of a distribution
STEPS = Setting("ahead", object, int | None, None, "also the exact distributions up to K tokens after the prefix")
OWN_SAMPLING = [
    dataclasses.replace(
        setting, kind=int | None, default=None, help=f"tokens to write with each model; none: {LENGTH} after a prefix"
    )
    if setting.key == "length"
    else setting
    for setting in SAMPLING
]
EXAMPLE = """
bptt baseline book.txt
bptt baseline book.txt --unit word --model trigram kneser-ney:order=4 --prefix "The time" --length 50
bptt baseline runs/book --model kneser-ney:order=6,modified=true --out counted
bptt baseline book.txt --model markov:3 --prefix "The " --ahead 8
bptt baseline book.txt --model trigram:epsilon=1/0.5/0.1 --score "deep learning is fun"
"""


def parser() -> Parser:
    """The flags of `bptt baseline`."""
    made = Parser(
        "baseline",
        "Predict a text by counting, in the units of `bptt train` and on the same held-out part: what a network has to beat.\n"
        "Named a run, its own text is counted and its model stands in the table.",
        EXAMPLE,
        "[RUN | CORPUS …]",
    )
    made.add_argument(
        "what", nargs="*", metavar="RUN | CORPUS", help=f"a run directory, or texts as for train [{DEFAULT_CORPUS}]"
    )
    made.add_argument(
        "--model",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"{', '.join(BASELINES)}, with arguments as NAME:A=1,B=2; a number alone is the order [{', '.join(USUAL)}]",
    )
    made.add_argument("--reverse", action="store_true", help="read from the end: each token given those after it")
    made.add_argument("--score", metavar="SENTENCE", help="also the probability of a sentence, token by token")
    made.add_argument("--prefix", metavar="TEXT", help="also write on from here (with --reverse: what leads here)")
    for setting in (STEPS, *OWN_SAMPLING):
        add_setting(made, setting)
    place_flags(made, "baseline", "the perplexities")
    group = made.add_argument_group("text")
    for key in GROUPS["text"].split():
        add_setting(group, SETTINGS[key])
    return made


def run(args: argparse.Namespace) -> int:
    """Count, measure, write, show."""
    asked = models_asked(args.model or USUAL)
    numbers = {s.key: convert(s, getattr(args, s.key, s.default)) for s in (STEPS, *OWN_SAMPLING)}
    check_places(args)
    name, corpus, network = subject(args)
    if corpus.valid is None:
        raise InputError("There is no held-out part to measure on", name, "Give --valid 0.1, or a longer text")
    order = max(one.order for one in asked)
    with counting("counting") as progress:
        ids = corpus.train.ids[::-1] if args.reverse else corpus.train.ids
        grams = count(ids, order, len(corpus.vocab), patient(progress))
    models = [(one, one.model(corpus.vocab, args.reverse).use(grams)) for one in asked]
    extra = further(args, numbers, models, corpus)  # what cannot be answered is said before the text is measured
    told = {
        "text": name,
        "unit": corpus.vocab.unit,
        "vocabulary": len(corpus.vocab),
        "tokens": {"train": len(corpus.train), "valid": len(corpus.valid)},
        "unknown": corpus.facts.get("unknown", {}).get("valid", 0.0),
        "reverse": args.reverse,
        "orders": seen_before(grams, corpus.valid, args.reverse),
        "models": [measured(one, model, corpus, corpus.valid) for one, model in models],
        **extra,
    }
    if network is not None:
        told["models"].append(of_network(args.what[0], network, corpus.valid))
    return finish(
        args,
        "baseline",
        told,
        draw=lambda file: draw_baselines(told, file),
        page=write_baselines,
        show=lambda: show(told),
    )


def models_asked(written: list[str] | tuple[str, ...]) -> list[Baseline]:
    """The models that the texts mean; --model takes every word that follows it, also one meant as the corpus."""
    found: dict[str, Baseline] = {}
    for text in written:
        if text.partition(":")[0].lower() not in BASELINES and Path(text).exists():
            todo = f"Write it first: bptt baseline {text} --model …"
            raise InputError("What to count comes before --model, which takes all words after it", text, todo)
        if text in found:
            raise InputError("A model is given twice", text, "Keep one of them")
        found[text] = parse_baseline(text)
    return list(found.values())


def require_text(corpus: Corpus) -> None:
    """InputError for a corpus whose targets are not its own next tokens: counting what follows what says nothing of them."""
    if not corpus.continues:
        raise InputError(
            "Counting predicts what is read next, and this is not what is to be said here",
            ", ".join(corpus.facts["sources"]),
            "Compare with the levels that bptt train prints",
        )


def subject(args: argparse.Namespace) -> tuple[str, Corpus, LanguageModel | None]:
    """What is counted, its name, and the model of a run."""
    flags = {key: convert(SETTINGS[key], vars(args)[key]) for key in GROUPS["text"].split() if key in args}
    if len(args.what) == 1 and RunDirectory(args.what[0]).is_run():
        if flags:
            named = ", ".join("--" + key.replace("_", "-") for key in flags)
            raise InputError("A run has its own text", named, "Leave that out, or name a text instead of a run")
        directory = RunDirectory(args.what[0]).require()
        network = load(directory.path, device=find_device("auto"))
        assert network.vocab is not None
        corpus = run_corpus(args.what[0], network.vocab)
        require_text(corpus)
        return f"the text of {args.what[0]}", corpus, network
    corpus = TextSettings(**flags).read(args.what or [DEFAULT_CORPUS])
    require_text(corpus)
    return ", ".join(corpus.facts["sources"]), corpus, None


def measured(asked: Baseline, model: NGram, corpus: Corpus, valid: Tokens) -> dict[str, Any]:
    """One model's figures on the held-out part, and its perplexity on what it has counted."""
    started = time.monotonic()
    with counting(asked.name) as progress:
        score = model.evaluate(valid, progress=patient(progress))
    with counting(f"{asked.name}, training part") as progress:
        training = model.evaluate(corpus.train, progress=patient(progress))
    impossible = 0
    if math.isinf(score.nats):
        impossible = int(np.isinf(model.nats(valid.ids)[slice(None, -1) if model.reverse else slice(1, None)]).sum())
    discounts = [table.discount.tolist() for table in model.tables if table.discount is not None]
    return {
        "model": asked.name,
        "kind": "counting",
        "order": model.order,
        "smoothing": smoothed(model),
        **({"discounts": discounts} if discounts else {}),
        **facts(score),
        "train_perplexity": training.perplexity,
        "impossible": impossible,
        "seconds": time.monotonic() - started,
    }


def smoothed(model: NGram) -> str:
    """The smoothing of a model in words, with what was estimated."""
    match model.smoothing:
        case Laplace() as own:
            return "Laplace, ε = " + ", ".join(f"{own.of(n):g}" for n in range(1, min(model.order, len(own.values)) + 1))
        case AddK(k):
            return f"{k:g} added to every count"
        case KneserNey() as own:
            each = [[f"{d:.3g}" for d in table.discount] for table in model.tables if table.discount is not None]
            return "discounts " + ", ".join("/".join(three if own.modified else three[:1]) for three in each)
    return str(model.smoothing)


def of_network(run: str, network: LanguageModel, valid: Tokens) -> dict[str, Any]:
    """The figures of a run's model on the same targets."""
    started = time.monotonic()
    with counting(run) as progress:
        score = network.evaluate(valid, progress=patient(progress))
    name = f"{network.settings.cell} {network.settings.hidden_size} ({run})"
    return {"model": name, "kind": "run", **facts(score), "seconds": time.monotonic() - started}


def seen_before(grams: Grams, valid: Tokens, reverse: bool) -> list[dict[str, Any]]:
    """For each order how many different n-grams were counted, and which share of the held-out ones is new."""
    walked = grams.walk(np.asarray(valid.ids[::-1] if reverse else valid.ids))
    return [
        {"order": n, "distinct": len(level), "new": float(np.mean(nodes < 0)) if len(nodes) else None}
        for n, (level, nodes) in enumerate(zip(grams.levels, walked, strict=True), 1)
    ]


def further(
    args: argparse.Namespace, numbers: Mapping[str, Any], models: list[tuple[Baseline, NGram]], corpus: Corpus
) -> dict[str, Any]:
    """What is told only if asked for: the probability of a sentence, distributions ahead, samples."""
    sampling = {setting.key: numbers[setting.key] for setting in OWN_SAMPLING if setting.key != "length"}
    length = numbers["length"] if numbers["length"] is not None else LENGTH if args.prefix is not None else 0
    found: dict[str, Any] = {}
    if args.score is not None:
        found["sentence"] = sentence(args.score, models)
    if numbers["ahead"] is not None:
        found["ahead"] = futures(args.prefix, numbers["ahead"], models, corpus)
    if length:
        prefix = args.prefix or ""
        texts = {one.name: "".join(model.stream(prefix, length=length, **sampling)) for one, model in models}
        found["samples"] = {"prefix": prefix, **sampling, "length": length, "texts": texts}
    return found


def sentence(text: str, models: list[tuple[Baseline, NGram]]) -> dict[str, Any]:
    """The tokens of a text, and what each model gives to each of them and to all."""
    scored = {one.name: model.score(text) for one, model in models}
    tokens = [score.token for score in next(iter(scored.values()))]
    if not tokens:
        raise InputError("The sentence has no tokens", repr(text[:50]), 'Give one: --score "deep learning is fun"')
    each = {name: {"nats": total(s).nats, "probabilities": [one.probability for one in s]} for name, s in scored.items()}
    return {"text": text, "tokens": tokens, "models": each}


def futures(prefix: str | None, steps: int, models: list[tuple[Baseline, NGram]], corpus: Corpus) -> dict[str, Any]:
    """The distributions 1 … steps tokens ahead: their entropy in bits and their likeliest tokens."""
    found, longest = {}, max(model.order for _, model in models) - 1
    ids = corpus.train.ids
    context = prefix if prefix is not None else ids[:longest] if models[0][1].reverse else ids[len(ids) - longest :]
    for one, model in models:
        rows = []
        with counting(f"{one.name} ahead") as bar:
            progress = patient(bar)
            for k, row in enumerate(ahead(model, context, steps), 1):
                progress(k, steps)
                likely = np.argsort(-row, kind="stable")[:SHOWN]
                top = [[corpus.vocab.tokens(int(token)), float(row[token])] for token in likely]
                rows.append({"steps": k, "entropy": entropy(row), "top": top})
        found[one.name] = rows
    return {"context": context if isinstance(context, str) else corpus.vocab.decode(context), "models": found}


def entropy(row: np.ndarray) -> float:
    """−Σ p log₂ p, in bits."""
    some = row[row > 0]
    return float(-(some * np.log2(some)).sum())

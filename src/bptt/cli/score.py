"""`bptt score`: the probability of a sentence, token by token."""

from __future__ import annotations

import argparse
import math
import sys

from bptt.cli.ending import visible
from bptt.cli.opening import open_model, run_flags
from bptt.cli.output import emit, figure
from bptt.cli.parser import Parser
from bptt.errors import InputError
from bptt.inference import TokenScore, total

EXAMPLE = """
bptt score runs/book "deep learning is fun"
echo "deep learning is fun" | bptt score runs/book -
"""
SHOWN = {"\n": "↵", "\t": "⇥", " ": "␣"}


def parser() -> Parser:
    """The flags of `bptt score`."""
    made = Parser(
        "score",
        "The probability of a sentence under a run's model: of each token given all before it.",
        EXAMPLE,
        "RUN SENTENCE",
    )
    run_flags(made)
    made.add_argument("sentence", metavar="SENTENCE", help="the text; - reads it from standard input")
    made.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return made


def run(args: argparse.Namespace) -> int:
    """Score; print the table and the total."""
    # `echo` ends its line; the sentence does not.
    text = sys.stdin.read().removesuffix("\n") if args.sentence == "-" else args.sentence
    if not text:
        raise InputError("There is no sentence to score", repr(text), 'Give one: bptt score RUN "deep learning is fun"')
    scores = open_model(args).score(text)
    if not scores:
        raise InputError("The sentence has no tokens", repr(text[:50]), "Give at least one word")
    score = total(scores)
    if args.json:
        tokens = [{"token": s.token, "probability": s.probability, "nats": s.nats} for s in scores]
        sums = {"nats": score.nats, "perplexity": score.perplexity, "bits_per_token": score.bits_per_token}
        emit({"run": args.run, "text": text, "tokens": tokens, **sums})
        return 0
    for line in lines(scores):
        print(line)
    print(f"\nprobability  {likelihood(score.nats)}\nperplexity   {figure(score.perplexity)} per token, {score.tokens} tokens")
    return 0


def lines(scores: list[TokenScore]) -> list[str]:
    """One line per token: its probability as a number and as a bar."""
    names = [visible("".join(SHOWN.get(char, char) for char in score.token)) for score in scores]
    width = max(map(len, names))
    return [
        f"  {name:{width}}  {score.probability:9.3%}  {'▇' * round(20 * score.probability)}".rstrip()
        for name, score in zip(names, scores, strict=True)
    ]


def likelihood(nats: float) -> str:
    """exp(−nats), also where it is smaller than any float: then as a power of ten."""
    if nats < 700:
        return f"{math.exp(-nats):.4g}"
    exponent = -nats / math.log(10)
    return f"{10 ** (exponent - math.floor(exponent)):.3f}e{math.floor(exponent)}"

"""Counting models as tables on standard output. Knows what was measured; must not know how."""

from __future__ import annotations

from typing import Any

from bptt.cli.ending import visible
from bptt.cli.output import figure, printable
from bptt.cli.score import likelihood
from bptt.cli.tables import columns, figures, paragraph
from bptt.report.words import percent
from bptt.report.words import visible as seen

UNITS = {"char": "characters", "byte": "bytes"}
NOTHING = "–"


def show(told: dict[str, Any]) -> None:
    """Everything that `bptt baseline` says."""
    unit, tokens = UNITS.get(told["unit"], "words"), told["tokens"]
    read = ", read from the end" if told["reverse"] else ""
    size = f"vocabulary {told['vocabulary']:,}, so blind guessing has perplexity {told['vocabulary']:,}"
    print(paragraph(f"{told['text']}: {tokens['train']:,} {unit} counted, {tokens['valid']:,} held out{read}; {size}"))
    print("\n" + perplexities(told))
    print("\n" + seen_before(told))
    for line in notes(told):
        print("\n" + paragraph(line))
    if "sentence" in told:
        print("\n" + sentence(told["sentence"]))
    if "ahead" in told:
        print("\n" + futures(told["ahead"], told["reverse"]))
    if "samples" in told:
        print("\n" + samples(told["samples"], told["reverse"]))


def perplexities(told: dict[str, Any]) -> str:
    """One line per model."""
    characters = told["unit"] != "char"
    head = ["", "perplexity", "bits/token", *(["bits/character"] if characters else []), "on the counted part", "of order"]
    rows = []
    for row in told["models"]:
        bits = [figure(row["bits_per_character"])] if characters else []
        own = [figure(row["train_perplexity"]), str(row["order"])] if row["kind"] == "counting" else [NOTHING, NOTHING]
        rows.append([row["model"], figure(row["perplexity"]), figure(row["bits_per_token"]), *bits, *own])
    return figures(head, rows)


def seen_before(told: dict[str, Any]) -> str:
    """How many n-grams there are, and how many of the held-out ones are among them."""
    rows = [[str(row["order"]), f"{row['distinct']:,}", share(row["new"])] for row in told["orders"]]
    return figures(["n", "different n-grams", "of the held-out ones are new"], rows)


def share(value: float | None) -> str:
    """A share in percent."""
    return NOTHING if value is None else percent(value)


def notes(told: dict[str, Any]) -> list[str]:
    """What a reader of the perplexities has to know."""
    said = []
    if told["unknown"]:
        said.append(f"{percent(told['unknown'])} of the held-out tokens are <unk>.")
    for row in told["models"]:
        if row.get("impossible"):
            said.append(
                f"{row['model']} gives probability 0 to {row['impossible']:,} of {row['tokens']:,} held-out tokens, so its "
                "perplexity is infinite: smooth it, for example with epsilon=1."
            )
    return said


def sentence(told: dict[str, Any]) -> str:
    """A line per token, a column per model."""
    names = list(told["models"])
    chances = [told["models"][name]["probabilities"] for name in names]
    rows = [[seen(token), *(f"{column[i]:.4g}" for column in chances)] for i, token in enumerate(told["tokens"])]
    rows.append(["all of it", *(likelihood(told["models"][name]["nats"]) for name in names)])
    return figures(["probability of", *(folded(name) for name in names)], rows)


def folded(name: str) -> str:
    """A long name with its arguments below it."""
    return name if len(name) <= 14 else name.replace(":", ":\n").replace(",", ",\n")


def futures(told: dict[str, Any], reverse: bool) -> str:
    """Per model a line for each step, with as many of the likeliest tokens as fit."""
    context = f"before {seen(told['context'][:40], 40)} …" if reverse else f"after … {seen(told['context'][-40:], 40)}"
    parts = [paragraph(context)]
    for name, rows in told["models"].items():
        lines = [f"{visible(name)}: steps ahead, entropy in bits, likeliest tokens"]
        for row in rows:
            line = f"{row['steps']:4}  {row['entropy']:6.3f} "
            for token, probability in row["top"]:
                entry = f"  {visible(seen(token))} {probability:.3f}"
                line += entry if len(line + entry) <= columns() else ""
            lines.append(line)
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def samples(told: dict[str, Any], reverse: bool) -> str:
    """What each model writes, with the prefix where it stands."""
    whole = {name: text + told["prefix"] if reverse else told["prefix"] + text for name, text in told["texts"].items()}
    return "\n\n".join(f"{visible(name)}:\n{printable(text)}" for name, text in whole.items())

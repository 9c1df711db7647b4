"""The page on counting models: what baseline.json says, as tables and texts.

Knows the keys of that file and trusts none of its values; must not know how they were measured.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from bptt.report.comparison import record, records, text
from bptt.report.page import shell, write_page
from bptt.report.run import Record
from bptt.report.sections import MAX_LENGTH, Section, render
from bptt.report.words import number, percent, significant, visible

MAX_TOKENS = 200
NOTHING = "–"


def write_baselines(path: Path | str, found: Record) -> Path:
    """Write a page on counting models that were measured on a text.

    path   of the page
    found  what `bptt baseline --json` gives

    Returns the path. Raises InputError if it cannot be written.
    """
    parts = [Section("Perplexity", render("perplexities.html", **perplexities(found)))]
    if found.get("sentence"):
        parts.append(Section("A sentence", render("sentence.html", **sentence(record(found.get("sentence"))))))
    if found.get("ahead"):
        parts.append(Section("Steps ahead", render("ahead.html", **futures(found))))
    if found.get("samples"):
        parts.append(Section("Samples", render("written.html", **samples(found))))
    title = text(found.get("text")).rpartition("/")[2] or "A text"
    said = {"kicker": "Predicted by counting", "title": title, "words": words(found), "tiles": tiles(found)}
    return write_page(Path(path), render("counted.html", **said, **shell(parts)))


def best(found: Record) -> tuple[str, float] | None:
    """The model of the least perplexity on the held-out part."""
    known = [
        (text(row.get("model")), value) for row in records(found.get("models")) if (value := number(row.get("perplexity")))
    ]
    return min(known, key=lambda pair: pair[1]) if known else None


def tiles(found: Record) -> list[tuple[str, str, str]]:
    """Key figures as (name, value, remark)."""
    tokens = record(found.get("tokens"))
    train, valid, size, unknown = (
        number(value) for value in (tokens.get("train"), tokens.get("valid"), found.get("vocabulary"), found.get("unknown"))
    )
    winner = best(found)
    shown = [
        ("Best perplexity", winner and significant(winner[1]), winner[0] if winner else ""),
        ("Blind guessing", size and significant(size, 1), "perplexity of 1 in V"),
        ("Counted", train and significant(train, 1), "tokens"),
        ("Held out", valid and significant(valid, 1), "tokens"),
        ("Unknown", unknown and percent(unknown), "of the held-out tokens"),
    ]
    return [(name, value, remark) for name, value, remark in shown if value]


def words(found: Record) -> list[str]:
    """What has to be known about the figures."""
    said = ["Read from the end: each token is predicted from those after it."] if found.get("reverse") is True else []
    for row in records(found.get("models")):
        zeros, count = number(row.get("impossible")), number(row.get("tokens"))
        if zeros and count:
            name = text(row.get("model"))
            said.append(
                f"{name} gives probability 0 to {zeros:,.0f} of {count:,.0f} held-out tokens: its perplexity is infinite."
            )
    return said


def perplexities(found: Record) -> dict[str, Any]:
    """One line per model, and one per order."""
    rows = records(found.get("models"))
    most = max([1.0, *(value for row in rows if (value := number(row.get("bits_per_token"))) is not None)])
    return {
        "rows": [line(row, most) for row in rows],
        "orders": [order(row) for row in records(found.get("orders"))],
        "characters": text(found.get("unit")) != "char",
    }


def line(row: Record, most: float) -> dict[str, Any]:
    """The figures of a model as text, and a bar as long as its bits."""
    value, bits, own, characters = (
        number(row.get(key)) for key in ("perplexity", "bits_per_token", "train_perplexity", "bits_per_character")
    )
    counts = row.get("kind") == "counting"
    return {
        "name": text(row.get("model")),
        "about": text(row.get("smoothing")) if counts else "a trained network",
        "perplexity": significant(value) if value is not None else "∞" if counts else NOTHING,
        "bits": significant(bits, 4) if bits is not None else "∞" if counts else NOTHING,
        "bar": 100.0 if bits is None else 100 * min(max(bits / most, 0.0), 1.0),
        "characters": NOTHING if characters is None else significant(characters, 4),
        "own": (significant(own) if own is not None else "∞") if counts else NOTHING,
    }


def order(row: Record) -> dict[str, str]:
    """How many n-grams there are, and the share of held-out ones that are new."""
    n, distinct, new = (number(row.get(key)) for key in ("order", "distinct", "new"))
    return {
        "n": NOTHING if n is None else f"{n:g}",
        "distinct": NOTHING if distinct is None else f"{distinct:,.0f}",
        "new": NOTHING if new is None else percent(new),
        "bar": f"{100 * min(max(new or 0.0, 0.0), 1.0):.2f}",
    }


def sentence(found: Record) -> dict[str, Any]:
    """A row per token and a column per model."""
    models = {text(name): record(value) for name, value in record(found.get("models")).items()}
    columns = [value.get("probabilities") for value in models.values()]
    told = found.get("tokens")
    tokens = [text(token) for token in told][:MAX_TOKENS] if isinstance(told, list) else []
    rows = [(visible(token), [chance(column, i) for column in columns]) for i, token in enumerate(tokens)]
    sums = [number(value.get("nats")) for value in models.values()]
    whole = ["0" if nats is None else power_of_ten(nats) for nats in sums]
    return {"names": list(models), "rows": rows, "whole": whole}


def chance(column: Any, index: int) -> tuple[str, int]:
    """A probability as text, and its shade in percent."""
    value = number(column[index]) if isinstance(column, list) and index < len(column) else None
    return (NOTHING, 0) if value is None else (f"{value:.3g}", round(60 * min(max(value, 0.0), 1.0)))


def power_of_ten(nats: float) -> str:
    """exp(−nats), however small."""
    exponent = -nats / math.log(10)
    return (
        f"{math.exp(-nats):.3g}" if exponent > -4 else f"{10 ** (exponent - math.floor(exponent)):.2f}e{math.floor(exponent)}"
    )


def futures(found: Record) -> dict[str, Any]:
    """Per model a row for each step ahead."""
    told, reverse = record(found.get("ahead")), found.get("reverse") is True
    models = []
    for name, rows in record(told.get("models")).items():
        lines = []
        for row in records(rows):
            pairs = [pair for pair in row.get("top") or () if isinstance(pair, list) and len(pair) == 2]
            likely = [(visible(text(token)), *chance([p], 0)) for token, p in pairs[:6]]
            lines.append((number(row.get("steps")), number(row.get("entropy")), likely))
        models.append((text(name), lines))
    context = text(told.get("context"))
    return {"context": visible(context[:60] if reverse else context[-60:], 60), "models": models, "reverse": reverse}


def samples(found: Record) -> dict[str, Any]:
    """What each model wrote, with the prefix apart."""
    told = record(found.get("samples"))
    texts = [(text(name), str(value)[:MAX_LENGTH]) for name, value in record(told.get("texts")).items()]
    return {"prefix": str(told.get("prefix") or "")[:MAX_LENGTH], "texts": texts, "reverse": found.get("reverse") is True}

"""The page on a text that was counted: what stats.json says, as tables, a plot and sentences.

Knows the keys of that file and trusts none of its values; must not know how they were counted.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from bptt.report.chart import Chart, Line
from bptt.report.comparison import record, records, text, texts
from bptt.report.page import shell, write_page
from bptt.report.run import Record
from bptt.report.sections import Section, render
from bptt.report.series import Point
from bptt.report.words import compact, number, percent, significant, visible

MOST = 50  # rows of a table
NAMES = {1: "token", 2: "pair", 3: "triple"}


def write_statistics(path: Path | str, found: Record) -> Path:
    """Write a page on a text that was counted.

    path   of the page
    found  what `bptt.counting.statistics(…).to_json()` gave, with the name of the text as "corpus"

    Returns the path. Raises InputError if it cannot be written.
    """
    parts = [
        Section("Zipf's law", render("zipf.html", **law(found))),
        Section("Most frequent", render("frequent.html", **frequent(found))),
        Section("What smoothing makes of the tail", render("tail.html", tails=tails(found))),
    ]
    title = text(found.get("corpus")).rpartition("/")[2] or "A text"
    said = {"kicker": "Text statistics", "title": title, "words": texts(found.get("words")), "tiles": tiles(found)}
    return write_page(Path(path), render("counted.html", **said, **shell([part for part in parts if part.html.strip()])))


def tiles(found: Record) -> list[tuple[str, str, str]]:
    """Key figures as (name, value, remark)."""
    unit = {"char": "Characters", "byte": "Bytes"}.get(text(found.get("unit")), "Words")
    tokens, size, stops = (number(found.get(key)) for key in ("tokens", "vocabulary", "stop_share"))
    first = record(next(iter(records(found.get("orders"))), {}))
    once, exponent = number(first.get("once")), number(record(first.get("zipf")).get("exponent"))
    half = number(first.get("half"))
    shown = [
        (unit, tokens and significant(tokens, 1), ""),
        ("Different ones", size and significant(size, 1), ""),
        ("Occur once", once is not None and size and percent(once / size), "of the different ones"),
        ("Half the text", half and significant(half, 1), "most frequent ones make it up"),
        ("Zipf exponent", exponent and significant(exponent, 3), "of single ones"),
        ("Stop words", stops and percent(stops), "of the text"),
    ]
    return [(name, value, remark) for name, value, remark in shown if value]


def law(found: Record) -> dict[str, Any]:
    """The log-log chart and the facts of each order."""
    orders = records(found.get("orders"))
    lines = [
        *(Line(f"{name(row)}s", points(row.get("curve")), f"s{index % 6}") for index, row in enumerate(orders)),
        *(Line(f"fit to {name(row)}s", line, f"s{6 + index % 6}") for index, row in enumerate(orders) if (line := fitted(row))),
    ]
    about = "How often the i-th most frequent one occurs. Both axes are logarithmic; dashed: the fitted law, over its ranks."
    chart = Chart("Count by rank", about, lines, log=True, over="rank i", log_x=True)
    return {"chart": chart.view(), "rows": [facts(row) for row in orders]}


def name(row: Record) -> str:
    """What n-grams of an order are called, one of them."""
    order = number(row.get("order")) or 0
    return NAMES.get(int(order), f"{order:g}-gram")


def points(value: Any) -> list[Point]:
    """The (rank, count) pairs of a curve."""
    pairs = [pair for pair in value if isinstance(pair, list) and len(pair) == 2] if isinstance(value, list) else []
    return [(x, number(y)) for first, y in pairs if (x := number(first)) is not None]


def fitted(row: Record) -> list[Point]:
    """The two ends of the fitted line."""
    fit = record(row.get("zipf"))
    exponent, scale, first, last = (number(fit.get(key)) for key in ("exponent", "scale", "first", "last"))
    if exponent is None or scale is None or not first or not last or min(first, last, scale) <= 0:
        return []
    # Many points on the way, so that the readout finds one near each rank.
    ranks = [first * (last / first) ** (k / 60) for k in range(61)]
    return [(rank, math.exp(math.log(scale) - exponent * math.log(rank))) for rank in ranks]


def facts(row: Record) -> dict[str, str]:
    """One order's figures as text."""
    fit = record(row.get("zipf"))
    total, distinct, possible, once, half = (number(row.get(k)) for k in ("total", "distinct", "possible", "once", "half"))
    exponent, error, first, last, share = (number(fit.get(k)) for k in ("exponent", "error", "first", "last", "fit"))
    return {
        "name": f"{name(row)}s",
        "total": whole(total),
        "distinct": whole(distinct),
        "possible": "more than 10³⁰⁸" if possible is None else significant(possible, 3),
        "share": percent(distinct / possible) if distinct is not None and possible else "",
        "once": percent(once / distinct) if once is not None and distinct else "",
        "half": whole(half),
        "exponent": "–" if exponent is None else f"{exponent:.3f}",
        "error": "" if error is None else f"± {error:.3f}",
        "ranks": f"ranks {whole(first)} to {whole(last)}" if first and last else "",
        "fit": "" if share is None else f"R² {share:.3f}",
    }


def whole(value: float | None) -> str:
    """A whole number with its thousands apart."""
    return "" if value is None else f"{value:,.0f}"


def frequent(found: Record) -> dict[str, Any]:
    """The most frequent n-grams of each order, and the tokens that are no stop words."""
    between = {"word": " ", "chinese-word": " ", "byte": "·"}.get(text(found.get("unit")), "")
    lists = [
        (
            f"{name(row)}s".capitalize(),
            [(between.join(visible(text(token)) for token in tokens), count) for tokens, count in pairs],
        )
        for row in records(found.get("orders"))
        if (pairs := counted(row.get("top")))
    ]
    content = [(visible(token), count) for token, count in singles(found.get("content"))]
    if number(found.get("stop_share")) and content:
        lists.insert(1, ("Without stop words", content))
    return {"lists": [(title, bars(entries)) for title, entries in lists]}


def bars(entries: list[tuple[str, float]]) -> list[tuple[str, str, float]]:
    """Each with its count as text, and the length of its bar in percent of the longest."""
    most = max(count for _, count in entries)
    return [(shown, compact(count), 100 * count / most) for shown, count in entries[:MOST]]


def counted(value: Any) -> list[tuple[list[Any], float]]:
    """The pairs of an n-gram, as a list of tokens, and its count."""
    pairs = [pair for pair in value if isinstance(pair, list) and len(pair) == 2] if isinstance(value, list) else []
    return [(gram, n) for gram, count in pairs if isinstance(gram, list) and (n := number(count)) is not None and n > 0]


def singles(value: Any) -> list[tuple[str, float]]:
    """The pairs of a token and its count."""
    pairs = [pair for pair in value if isinstance(pair, list) and len(pair) == 2] if isinstance(value, list) else []
    return [(text(token), n) for token, count in pairs if (n := number(count)) is not None and n > 0]


def tails(found: Record) -> list[dict[str, Any]]:
    """For each order the shares of the held-out n-grams by how often they were seen before, actual and expected."""
    classes = texts(found.get("classes"))
    shown = []
    for held in records(found.get("tails")):
        actual = shares(held.get("actual"), len(classes))
        rows = [("The text itself", actual, True)]
        rows += [(text(key), shares(value, len(classes)), False) for key, value in record(held.get("predicted")).items()]
        shown.append({"title": f"{name(held)}s".capitalize(), "classes": classes, "rows": [lines(row, actual) for row in rows]})
    return shown


def shares(value: Any, count: int) -> list[float]:
    """So many shares, 0 where one is missing."""
    found = [number(item) or 0.0 for item in value] if isinstance(value, list) else []
    return (found + [0.0] * count)[:count]


def lines(row: tuple[str, list[float], bool], actual: list[float]) -> dict[str, Any]:
    """A row with its cells, each shaded by how much more or less it expects than there is."""
    title, values, own = row
    cells = [
        (percent(value), 0 if own else min(70, round(150 * abs(value - true))))
        for value, true in zip(values, actual, strict=True)
    ]
    return {"name": title if own else f"expected by {title}", "cells": cells, "own": own}

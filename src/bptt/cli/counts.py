"""What was counted, as tables and sentences on standard output.

Knows statistics and terminals; must not know how they are made or written.
"""

from __future__ import annotations

from bptt.cli.ending import visible
from bptt.cli.plot import log_log
from bptt.cli.tables import figures, paragraph
from bptt.counting import Statistics, is_stop_word
from bptt.counting.statistics import Order, large
from bptt.counting.tail import CLASSES, Tail
from bptt.report.words import percent
from bptt.report.words import visible as seen

NOTHING = "–"
BETWEEN = {"word": " ", "chinese-word": " ", "byte": "·"}  # what stands between the tokens of an n-gram


def show_statistics(found: Statistics, corpus: str) -> None:
    """Everything that `bptt stats` says."""
    unit = {"char": "characters", "byte": "bytes"}.get(found.unit, "words")
    print(paragraph(f"{corpus}: {found.tokens:,} {unit}, {found.vocabulary:,} different"))
    print("\n" + top_grams(found))
    if found.stop_share:
        print(paragraph(f"* stop words: {percent(found.stop_share)} of the text. Without them: {content(found)}"))
    print("\n" + orders(found))
    print("\n" + log_log([row.curve for row in found.orders], [f"{row.order}" for row in found.orders]))
    for held in found.tails:
        print("\n" + tail_table(held))
    print()
    for line in found.words():
        print(paragraph(line))


def gram(tokens: tuple[str, ...], unit: str) -> str:
    """An n-gram as it is read."""
    shown = [visible(seen(token)) for token in tokens]
    return BETWEEN.get(unit, "").join(shown)


def top_grams(found: Statistics) -> str:
    """The most frequent n-grams, one order beside the other."""
    head, rows = ["rank"], [[str(rank + 1)] for rank in range(max(len(row.top) for row in found.orders))]
    for row in found.orders[:4]:
        head += [title(row.order), "count"]
        for rank, cells in enumerate(rows):
            if rank < len(row.top):
                tokens, count = row.top[rank]
                star = "*" if row.order == 1 and is_stop_word(tokens[0], found.unit) else ""
                cells += [gram(tokens, found.unit) + star, f"{count:,}"]
            else:
                cells += ["", ""]
    return figures(head, rows)


def title(order: int) -> str:
    """What n-grams of an order are called, one of them."""
    return {1: "token", 2: "pair", 3: "triple"}.get(order, f"{order}-gram")


def content(found: Statistics) -> str:
    """The most frequent tokens that are no stop words."""
    return ", ".join(f"{gram((token,), found.unit)} {count:,}" for token, count in found.content[:12])


def orders(found: Statistics) -> str:
    """The facts of each order."""
    head = ["n", "n-grams", "different", "of possible", "once", "half the text", "Zipf exponent", "ranks", "R²"]
    return figures(head, [order_row(row) for row in found.orders])


def order_row(row: Order) -> list[str]:
    """The facts of one order."""
    law = row.zipf
    fit = [NOTHING] * 3 if law is None else [
        f"{law.exponent:.3f} ± {law.error:.3f}", f"{law.first:,}–{law.last:,}", f"{law.fit:.3f}"
    ]  # fmt: skip
    counts = [f"{row.total:,}", f"{row.distinct:,}", large(row.possible), percent(row.once / row.distinct), f"{row.half:,}"]
    return [str(row.order), *counts, *fit]


def tail_table(held: Tail) -> str:
    """How often the held-out n-grams were seen before, and how often each smoothing expects it."""
    head = [f"{title(held.order)}s of the last tenth, seen before", *CLASSES]
    rows = [["the text itself", *map(percent, held.actual)]]
    rows += [[f"expected by {name}", *map(percent, shares)] for name, shares in held.predicted.items()]
    return figures(head, rows)

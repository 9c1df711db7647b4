"""A credit map as characters: one column per lag, two losses per line.

Knows numbers and characters; must not know where they come from.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MARGIN = 5  # the loss, at the left of its line
SHADES = (
    ("−", -math.inf, 0.0, "below 0"),
    ("░", 0.0, 0.25, "below ¼"),
    ("▒", 0.25, 0.5, "¼ to ½"),
    ("▓", 0.5, 0.8, "½ to 0.8"),
    ("█", 0.8, 1.25, "about 1"),
    ("+", 1.25, math.inf, "above 1.25"),
)
BARS = " ▁▂▃▄▅▆▇█"


def shaded(weights: Tensor, by_lag: Tensor, columns: int) -> str:
    """Lines of shades for weights [T, T], NaN where there is no such lag, the mean of each lag as a bar below, and a legend.

    A map wider than `columns` is pooled: a character stands for the mean of several lags and losses.
    """
    steps = len(weights)
    pool = max(1, math.ceil(steps / max(columns - MARGIN, 8)))
    blocks = pooled(weights, pool)
    lines = [
        f"{2 * i * pool:>{MARGIN - 1}} " + "".join(map(character, upper, lower)).rstrip()
        for i, (upper, lower) in enumerate(zip(blocks[::2], [*blocks[1::2], [math.nan] * len(blocks)], strict=False))
    ]
    bars = f"{'mean':>{MARGIN - 1}} " + "".join(bar(value) for value in pooled(by_lag[None], pool)[0]).rstrip()
    body = [f"loss{'':{MARGIN - 4}}lag →", *lines, axis(len(blocks), pool), bars]
    return "\n".join([*body, *legend("".join(lines), pool, columns)])


def pooled(values: Tensor, pool: int) -> list[list[float]]:
    """Means over pool × pool blocks of what is known in them (pool × rows if there are fewer), NaN where nothing is."""
    rows, columns = (math.ceil(size / pool) for size in values.shape)
    padded = values.new_full((rows * pool, columns * pool), torch.nan)
    padded[: values.shape[0], : values.shape[1]] = values
    return padded.view(rows, pool, columns, pool).nanmean((1, 3)).tolist()


def character(upper: float, lower: float) -> str:
    """Two losses at one lag: a half block where only one of them has a weight, else the shade of their mean."""
    seen = [value for value in (upper, lower) if value and not math.isnan(value)]
    if len(seen) != 1:
        return shade(sum(seen) / 2) if seen else " "
    return shade(seen[0]) if seen[0] < 0 else "▀" if seen[0] == upper else "▄"


def shade(weight: float) -> str:
    """The character of a weight."""
    return next(sign for sign, low, high, _ in SHADES if low <= weight < high)


def bar(weight: float) -> str:
    """An eighth of a character for each eighth of the weight 1; more than 1 looks like 1, any weight like some."""
    return BARS[max(0, min(8, math.ceil(8 * weight - 1e-9)))]


def axis(characters: int, pool: int) -> str:
    """Lags below their columns, ten characters apart."""
    return " " * MARGIN + "".join(f"{at * pool:<10}" for at in range(0, characters, 10)).rstrip()


def legend(drawn: str, pool: int, columns: int) -> list[str]:
    """What the characters mean, those that were drawn, on lines no longer than `columns`."""
    import textwrap

    parts = [f"{sign} {meaning}" for sign, *_, meaning in SHADES if sign in drawn]
    parts += ["▀▄ one of two losses"] if "▀" in drawn or "▄" in drawn else []
    parts += ["blank: 0, or before the first step"]
    parts += [f"a character: {pool} lags × {2 * pool} losses"] if pool > 1 else []
    # A space that must not break is replaced after the wrapping.
    text = "   ".join(part.replace(" ", "\0") for part in parts)
    return [line.replace("\0", " ") for line in textwrap.wrap(text, columns, break_long_words=False)]

"""A plot made of characters: each is eight dots of Unicode's braille patterns.

Knows points and characters; must not know what they mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

WIDTH, HEIGHT = 60, 16  # characters; two and four times as many dots
# Bit of each of the eight dots of a character, by row and column.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
BRAILLE = 0x2800


def log_log(curves: Sequence[Sequence[tuple[float, float]]], names: Sequence[str]) -> str:
    """Curves of positive points on two logarithmic axes with a tick at each power of ten, each with its name at its start.

    >>> print(log_log([[(1, 100), (10, 10), (100, 1)]], ["a"]).splitlines()[0].strip())
    100 ┤a⠠⠄⡀
    """
    right = max(1.0, *(math.log10(x) for curve in curves for x, _ in curve))
    top = max(1.0, *(math.log10(y) for curve in curves for _, y in curve))
    cells = [[0] * WIDTH for _ in range(HEIGHT)]
    for curve in curves:
        for x, y in filled(curve):
            column = round(math.log10(x) / right * (2 * WIDTH - 1))
            row = round((1 - math.log10(y) / top) * (4 * HEIGHT - 1))
            cells[row // 4][column // 2] |= DOTS[row % 4][column % 2]
    lines = [[chr(BRAILLE + cell) if cell else " " for cell in line] for line in cells]
    for curve, name in zip(curves, names, strict=True):
        row = round((1 - math.log10(curve[0][1]) / top) * (4 * HEIGHT - 1)) // 4
        lines[row][: len(name)] = name
    return framed(["".join(line) for line in lines], right, top)


def filled(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points, and between two of them enough others that the dots touch."""
    found: list[tuple[float, float]] = []
    for (x, y), (later, lower) in pairwise(curve):
        steps = max(1, math.ceil(40 * math.log10(later / x)), math.ceil(40 * abs(math.log10(y / lower))))
        found += [(x * (later / x) ** (k / steps), y * (lower / y) ** (k / steps)) for k in range(steps)]
    return [*found, *curve[-1:]]


def framed(lines: Sequence[str], right: float, top: float) -> str:
    """Lines within two axes that run to 10^right and 10^top, with a number at each power of ten."""
    heights = {round((1 - power / top) * (4 * HEIGHT - 1)) // 4: f"{10**power:,}" for power in range(int(top + 1e-9) + 1)}
    places = {round(power / right * (2 * WIDTH - 1)) // 2: f"{10**power:,}" for power in range(int(right + 1e-9) + 1)}
    margin = max(map(len, heights.values()))
    drawn = [f"{heights.get(row, ''):>{margin}} {'┤' if row in heights else '│'}{line}" for row, line in enumerate(lines)]
    axis = "".join("┬" if column in places else "─" for column in range(WIDTH))
    numbers = ""
    for column, number in places.items():
        start = max(column - len(number) // 2, 0)
        if start >= len(numbers) + bool(numbers):
            numbers = f"{numbers:{start}}{number}"
    beneath = [f"{'':{margin}} └{axis}", f"{'':{margin}}  {numbers}"]
    return "\n".join(line.rstrip() for line in [*drawn, *beneath])

"""Where one draw of a strategy cuts the sequence, and what the edges that survive weigh, read off its credits.

Knows a credit map of one draw; must not know which strategy it is of, nor where the cuts are drawn.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import unicodedata
from typing import Any

import torch

from bptt.diagnostics.credit_map import CreditMap, credit
from bptt.diagnostics.shades import BARS
from bptt.types import Strategy


@dataclasses.dataclass(frozen=True)
class Cuts:
    """The T − 1 edges between T steps, edge s from step s − 1 to step s; lists start with edge 1.

    strategy  what was measured, as text
    weights   the factor on the gradient over each edge, w(t, t − s + 1) / w(t, t − s), its mean over the losses that pass: 0 at
              a cut, NaN where it cannot be told because those losses skip one of the two lags
    shares    of the losses whose gradient arrives at an edge, the share that passes: 0 a cut, 1 a whole edge, between them
              an edge at which only some losses end, as where truncation overlaps
    highest   [T] the largest weight with which any loss reaches each step
    """

    strategy: str
    weights: list[float]
    shares: list[float]
    highest: list[float]

    @classmethod
    def of(cls, credits: CreditMap) -> Cuts:
        """Read the edges off a map of one draw."""
        steps = torch.arange(credits.steps)
        lag = steps.view(-1, 1) - steps
        by_step = credits.weights.gather(1, lag.clamp_min(0)).masked_fill(lag < 0, 0.0)
        first = (steps - torch.tensor(credits.reach())).view(-1, 1)
        after, before = by_step[:, 1:], by_step[:, :-1]
        arrived = (lag[:, 1:] >= 0) & (first <= steps[1:])
        passed = arrived & (first <= steps[:-1])
        known = passed & (after != 0) & (before != 0)
        ratio = torch.where(known, before / torch.where(known, after, 1.0), 0.0)
        return cls(
            credits.strategy,
            torch.where(passed.any(0), ratio.sum(0) / known.sum(0), 0.0).tolist(),
            (passed.sum(0) / arrived.sum(0).clamp_min(1)).tolist(),
            by_step.amax(0).tolist(),
        )

    @property
    def marks(self) -> str:
        """A character for each edge: │ a cut, ┊ an edge where some losses end, blank a whole one."""
        return "".join("│" if share == 0 else " " if share == 1 else "┊" for share in self.shares)

    @property
    def at(self) -> list[int]:
        """The steps before which the sequence is cut."""
        return [s for s, share in enumerate(self.shares, 1) if share == 0]

    @property
    def lengths(self) -> list[int]:
        """The lengths of the stretches between cuts."""
        borders = [0, *self.at, len(self.highest)]
        return [b - a for a, b in itertools.pairwise(borders)]

    def summary(self) -> str:
        """What one sees, in a few words."""
        lengths = self.lengths
        said = f"{len(lengths)} stretches of {_range(lengths)} steps" if len(lengths) > 1 else "not cut"
        if "┊" in self.marks:
            said += f", some losses end at {self.marks.count('┊')} edges"
        edges = [weight for weight in self.weights if weight and not math.isnan(weight)]
        if edges:
            said += f"; an edge weighs {_range(edges)}"
        return said + (f", a step up to {max(self.highest):.3g}" if max(self.highest) != 1 else "")

    def text(self, characters: str, columns: int = 80) -> str:
        """`characters`, one for each step, with their cuts; above each the largest weight with which a loss reaches it.

        ▁ is a weight of 1 or less, each further eighth a doubling.
        """
        lines: list[str] = []
        bars = letters = ""
        for character, weight, mark in zip(characters, self.highest, self.marks + " ", strict=True):
            edge = mark.strip()
            if width(letters) + width(character) + len(edge) > columns:
                lines, bars, letters = [*lines, bars, letters], "", ""
            level = min(7, max(0, round(math.log2(weight)))) if weight > 0 else -1
            bars += f"{BARS[level + 1]:<{width(character)}}{' ' * len(edge)}"
            letters += character + edge
        return "\n".join(line.rstrip() for line in (*lines, bars, letters))

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists; None is a weight that cannot be told."""
        weights = [None if math.isnan(weight) else weight for weight in self.weights]
        return {**dataclasses.asdict(self), "weights": weights, "cuts": self.at}


def cuts(strategy: Strategy, T: int, *, window: int | None = None) -> Cuts:
    """Where one draw of a strategy cuts T steps; arguments and errors as of `bptt.credit`."""
    return Cuts.of(credit(strategy, T, draws=1, window=window))


def width(text: str) -> int:
    """The columns that `text` takes in a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _range(values: list[Any]) -> str:
    least, most = f"{min(values):.3g}", f"{max(values):.3g}"
    return least if least == most else f"{least} to {most}"

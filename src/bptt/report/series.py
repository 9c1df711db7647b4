"""Curves as lists of points: smoothing, thinning, speed. Knows numbers only, no file and no drawing.

A point is (x, y); y is None where there is nothing to draw, and the line has a gap there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from bptt.report.words import number

Point = tuple[float, float | None]


def curve(records: Iterable[dict[str, Any]], key: str) -> list[Point]:
    """`key` over the step; a value that is missing or not finite leaves a gap."""
    return [(float(record["step"]), number(record.get(key))) for record in records]


def exponential(points: Iterable[Point]) -> list[Point]:
    """exp y, a gap where that overflows: nats per token to perplexity."""
    return [(x, math.exp(y) if y is not None and y < 700 else None) for x, y in points]


def smooth(points: Sequence[Point], span: float) -> list[Point]:
    """Exponential moving mean over about `span` points, unbiased from the first: m_t = Σ aⁱ y_{t-i} / Σ aⁱ, a = 1 - 1/span."""
    means = (total / weight if weight else None for total, weight in _sums(points, span))
    return [(x, None if y is None else mean) for (x, y), mean in zip(points, means, strict=True)]


def centred(points: Sequence[Point], span: float) -> list[Point]:
    """The same mean to both sides, m_t = Σ a^|i| y_{t+i} / Σ a^|i|: it does not lag behind a falling curve."""
    both = zip(points, _sums(points, span), reversed(_sums(points[::-1], span)), strict=True)
    return [(x, None if y is None else (before + after - y) / (w + v - 1)) for (x, y), (before, w), (after, v) in both]


def _sums(points: Sequence[Point], span: float) -> list[tuple[float, float]]:
    """For each point Σ aⁱ y_{t-i} and Σ aⁱ over the points up to it; gaps weigh nothing."""
    keep = 1 - 1 / max(span, 1.0)
    total = weight = 0.0
    result: list[tuple[float, float]] = []
    for _, y in points:
        if y is not None:
            total, weight = keep * total + y, keep * weight + 1
        result.append((total, weight))
    return result


def thin(points: Sequence[Point], limit: int = 800) -> list[Point]:
    """At most about `limit` points that look the same: both ends, and of each bucket lowest, highest and a gap."""
    if len(points) <= limit:
        return list(points)
    gaps = any(y is None for _, y in points)
    buckets, inner = (limit - 2) // (3 if gaps else 2), points[1:-1]
    result = [points[0]]
    for index in range(buckets):
        result += _extremes(inner[index * len(inner) // buckets : (index + 1) * len(inner) // buckets])
    return [*result, points[-1]]


def _extremes(bucket: Sequence[Point]) -> list[Point]:
    known = [(y, index) for index, (_, y) in enumerate(bucket) if y is not None]
    picked = {min(known)[1], max(known)[1]} if known else set()
    gap = next((index for index, (_, y) in enumerate(bucket) if y is None), None)
    return [bucket[index] for index in sorted(picked | ({gap} if gap is not None else set()))]


def speed(records: Sequence[dict[str, Any]], pieces: int = 200) -> list[Point]:
    """Tokens per second over `pieces` stretches of the run, from its running totals; a gap where a clock went back."""
    totals = [(float(r["step"]), number(r.get("tokens")), number(r.get("seconds"))) for r in records]
    known = [(x, tokens, seconds) for x, tokens, seconds in totals if tokens is not None and seconds is not None]
    ends = known[:: max(1, math.ceil(len(known) / pieces))]
    ends += known[-1:] if ends[-1:] != known[-1:] else []
    result: list[Point] = []
    for (_, tokens, seconds), (x, later, end) in pairwise(ends):
        result.append((x, (later - tokens) / (end - seconds) if end > seconds and later >= tokens else None))
    return result

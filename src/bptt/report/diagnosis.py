"""A diagnosis on a page: what `diagnose.json` of a run says, as charts, figures and sentences.

Knows the file and charts; must not know how a diagnosis is made. What is missing or strange is left out.
"""

from __future__ import annotations

from typing import Any

from bptt.report.chart import Chart, Line
from bptt.report.comparison import record, text, texts
from bptt.report.run import Record
from bptt.report.series import Point
from bptt.report.words import compact, number, percent, significant

LOWEST = 1e-6  # relative errors below it are rounding, and would flatten the rest


def view(found: Record) -> dict[str, Any]:
    """Everything that `diagnosis.html` prints."""
    return {
        "words": texts(found.get("words")),
        "advice": texts(found.get("advice")),
        "notes": texts(found.get("notes")),
        "where": where(found),
        "charts": [by_lag(found).view(), off(found).view()],
        "facts": [(name, value) for name, value in facts(found) if value],
    }


def where(found: Record) -> str:
    """What was looked at; empty if the file does not say."""
    setting = record(found.get("setting"))
    rows, steps = number(setting.get("rows")), number(setting.get("steps"))
    if rows is None or steps is None:
        return ""
    part = f" of the {text(found.get('part'))} part" if found.get("part") else ""
    model = f" by the {text(found.get('checkpoint'))} checkpoint" if found.get("checkpoint") else ""
    return f"Measured on {compact(rows)} rows × {compact(steps)} steps{part}, read{model}."


def by_lag(found: Record) -> Chart:
    """The size of the gradient over the lag."""
    sizes, seen = numbers(found.get("sizes")), number(found.get("seen"))
    points: list[Point] = [(k, size) for k, size in enumerate(sizes, 1) if seen is None or k <= seen]
    about = "How much of a loss is felt k steps back: the mean of ‖∂l/∂h‖."
    return Chart("Gradient by lag", about, [Line("size", points)], log=True, over="steps back")


def off(found: Record) -> Chart:
    """The error of truncation over the number of terms, and over the length of stretches, beside the run's own."""
    terms, errors = numbers(found.get("terms")), numbers(found.get("errors"))
    each: list[Point] = [(k, percents(e)) for k, e in zip(terms, errors, strict=False) if k is not None and (e or 0) > LOWEST]
    pairs = [numbers(pair) for pair in found.get("stretches") or () if isinstance(pair, list) and len(pair) == 2]
    plain: list[Point] = [(k, percents(error)) for k, error in pairs if k is not None]
    own = record(found.get("strategy"))
    bias = percents(number(own.get("bias"))) if own.get("resolved") is not False else None
    lines = [Line("K terms of each loss", each, "s0"), Line("stretches of K steps", plain, "s1")]
    levels = [(bias, text(own.get("name")))] if bias is not None and bias > 100 * LOWEST else []
    about = "What is missing with so many terms, in percent of the exact gradient."
    return Chart("Off the exact gradient", about, lines, log=True, levels=levels, over="terms K")


def facts(found: Record) -> list[tuple[str, str]]:
    """Name and value of every figure that there is."""
    k90, k99, growth = (number(found.get(key)) for key in ("k90", "k99", "growth"))
    radii = [radius for radius in numbers(found.get("radii")) if radius is not None]
    rates = [significant(rate, 3) for rate in numbers(found.get("exponents")) if rate is not None]
    largest = [numbers(values) for values in found.get("singular") or () if isinstance(values, list)]
    spans = numbers(found.get("spans"))
    products = [
        f"{significant(values[0])} over {compact(k)}"
        for k, values in zip(spans, largest, strict=False)
        if k is not None and values and values[0] is not None
    ]
    seen = record(found.get("jacobians_of"))
    rows, steps = number(seen.get("rows")), number(seen.get("steps"))
    some = f" (rows: {compact(rows)}, the last {compact(steps)} steps)" if rows and steps else ""
    blocks = record(record(found.get("strategy")).get("blocks"))
    worst = [f"{text(name)} {percent(value)}" for name, bias in blocks.items() if (value := number(bias)) is not None]
    return [
        ("Terms for 10 % (K90)", compact(k90) if k90 is not None else ""),
        ("Terms for 1 % (K99)", compact(k99) if k99 is not None else ""),
        ("Off by parameters", ", ".join(worst[:12])),
        ("Growth per step, ρ", significant(growth, 4) if growth is not None else ""),
        ("Lyapunov exponents", ", ".join(rates[:8])),
        ("Largest singular value of products", ", ".join(products) + some if products else ""),
        ("Spectral radius of D", f"{significant(min(radii))} to {significant(max(radii))}{some}" if radii else ""),
    ]


def numbers(value: Any) -> list[float | None]:
    """The entries of a list as numbers."""
    return [number(item) for item in value] if isinstance(value, list) else []


def percents(value: float | None) -> float | None:
    """A share in percent."""
    return None if value is None else 100 * value

"""A comparison of gradient strategies, from compare.json to what its template prints.

Knows the keys of that file and trusts none of its values; must not know how they were measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from bptt.report.chart import Chart, Line
from bptt.report.run import Record
from bptt.report.words import compact, number, percent, significant

MOST, LONGEST = 24, 600
TONES = 12
NOTHING = "–"
Form = Callable[[Record], str]
Heat = Callable[[Record], float | None]


def view(found: Record) -> dict[str, Any]:
    """Everything that comparison.html prints."""
    rows = records(found.get("rows"))
    shown = [row for row in rows if not row.get("reason")]
    scale = max([0.0, *(value for row in shown for value in (_bias(row), _noise(row)) if value is not None)])
    exact = record(found.get("exact"))
    trials = records(record(found.get("race")).get("trials"))
    return {
        "setting": setting(record(found.get("setting"))),
        "words": [line.replace(" %", "\u00a0%") for line in texts(found.get("words"))],
        "notes": [
            *texts(found.get("notes")),
            *(f"{text(row.get('gradient'))}: {n}" for row in rows for n in texts(row.get("notes"))),
        ],
        "unit": text(record(found.get("setting")).get("unit")) or "token",
        "rows": [_row(row, tone, scale) for tone, row in enumerate(rows)],
        "exact": {"time": time(exact), "memory": memory(exact)},
        "data_noise": root(number(exact.get("data_variance"))),
        "heats": [table for table in (by_block(rows, *each) for each in HEATS) if table["names"]],
        "legend": [(tone % TONES, text(trial.get("name")), last(trial)) for tone, trial in enumerate(trials)],
        "charts": [chart.view() for chart in race(trials)] if trials else [],
        "failed": [f"{text(trial.get('name'))}: {text(trial.get('reason'))}" for trial in trials if trial.get("reason")],
        "seconds": number(record(found.get("race")).get("seconds")),
        "held_out": number(record(found.get("race")).get("held_out")),
    }


def title(found: Record) -> str:
    """The model and text that strategies are compared on."""
    where = record(found.get("setting"))
    texts = ", ".join(name.rpartition("/")[2] for name in text(where.get("corpus")).split(", "))
    return " on ".join(filter(None, (text(where.get("cell")).upper(), texts))) or "Gradient strategies"


def setting(found: Record) -> str:
    """On what it was measured, in one sentence; what is not known is left out."""
    probes, rows, steps, windows = (number(found.get(key)) for key in ("probes", "batch_size", "probe_steps", "steps"))
    sampling = found.get("sampling")
    units, parameters, draws = (number(found.get(key)) for key in ("hidden_size", "parameters", "draws"))
    model = " ".join(filter(None, (text(found.get("cell")).upper(), f"of {compact(units)} units" if units else "")))
    parts = [
        model + (f" with {compact(float(f'{parameters:.3g}'))} parameters" if parameters else ""),
        f"on {text(found.get('corpus'))}" if found.get("corpus") else "",
        f"{compact(probes)} probes of {compact(rows)} rows × {compact(steps)} steps" if probes and rows and steps else "",
        f"handed out in windows of {compact(windows)}" if windows else "",
        f"{text(sampling)} sampling" if sampling not in (None, "sequential") else "",
        f"{compact(draws)} draws where there is chance" if draws else "",
        " ".join(text(found.get(key)) for key in ("dtype", "device") if found.get(key)),
    ]
    return ", ".join(part for part in parts if part)


def _row(row: Record, tone: int, scale: float) -> dict[str, Any]:
    """One strategy: its figures as text, and the lengths of its bars in percent."""
    shown = {"name": text(row.get("gradient")), "tone": tone % TONES, "reason": text(row.get("reason"))}
    if row.get("reason"):
        return shown
    noise, weight = _noise(row), number(row.get("largest_weight"))
    return {
        **shown,
        "bias": bias(row),
        "bias_bar": _length(_bias(row), scale),
        "hidden": row.get("resolved") is False,
        "noise": _if(noise, percent) if noise else NOTHING,
        "noise_bar": _length(noise, scale) if noise else None,
        "cosine": cosine(row),
        "variance": _if(number(row.get("variance")), significant) if noise else NOTHING,
        "signal": _if(number(row.get("signal_to_noise")), significant),
        "time": time(row),
        "memory": memory(row),
        "weight": _if(weight, lambda value: compact(float(f"{value:.3g}"))),
    }


def by_block(rows: list[Record], title: str, shown: Form, heat: Heat) -> dict[str, Any]:
    """A figure of each block of parameters: names, and one line of cells per strategy, as text and as a share of full heat."""
    own = [(text(row.get("gradient")), record(row.get("blocks"))) for row in rows if row.get("blocks")]
    names = list(dict.fromkeys(block for _, found in own for block in found))[:MOST]
    lines = []
    for name, found in own:
        cells = [record(found.get(block)) for block in names]
        heats = [math.sqrt(min(max(heat(cell) or 0.0, 0.0), 1.0)) for cell in cells]
        lines.append((name, [(shown(cell), round(60 * heat)) for cell, heat in zip(cells, heats, strict=True)]))
    shortened = [name[:LONGEST] for name in names]
    return {"title": title, "names": shortened if len(names) > 1 else [], "lines": lines}


def race(trials: list[Record]) -> list[Chart]:
    """Held-out perplexity against the time and against the tokens of training."""
    about = "Held-out perplexity over the time spent training, evaluation left out."
    return [
        Chart("In equal time", about, _lines(trials, 0), log=True, over="seconds of training"),
        Chart("In equal text", "The same runs over the text that they have read.", _lines(trials, 1), log=True, over="tokens"),
    ]


def _lines(trials: list[Record], axis: int) -> list[Line]:
    found = []
    for tone, trial in enumerate(trials):
        placed = [(x, number(point[2])) for point in _points(trial) if (x := number(point[axis])) is not None]
        found.append(Line(text(trial.get("name")), sorted(placed, key=lambda point: point[0]), f"s{tone % TONES}"))
    return found


def last(trial: Record) -> float | None:
    """The perplexity at the end of a run."""
    points = _points(trial)
    return number(points[-1][2]) if points else None


def _points(trial: Record) -> list[list[Any]]:
    listed = trial.get("points")
    return [point for point in listed if isinstance(point, list) and len(point) == 3] if isinstance(listed, list) else []


def bias(found: Record) -> str:
    """The relative bias, or what it is at most where noise hides it."""
    value = _bias(found)
    if value is None:
        return NOTHING
    return f"≤ {percent(value)}" if found.get("resolved") is False else "0" if value < 1e-5 else percent(value)


def _bias(found: Record) -> float | None:
    return number(found.get("bias_limit" if found.get("resolved") is False else "bias"))


def cosine(found: Record) -> str:
    """Of the average gradient and the exact one."""
    return _if(number(found.get("cosine")), lambda value: f"{value:.4f}")


def _turned(found: Record) -> float | None:
    """1 − cosine: 0 for the right direction."""
    value = number(found.get("cosine"))
    return None if value is None else 1 - value


def _noise(row: Record) -> float | None:
    return root(number(row.get("variance")))


def root(value: float | None) -> float | None:
    """Its square root; None for what has none."""
    return None if value is None or value < 0 else math.sqrt(value)


def time(found: Record) -> tuple[str, str]:
    """Microseconds per token or step, and how many times the exact gradient's that is."""
    seconds, ratio = number(found.get("seconds_per_token")), number(found.get("time_ratio"))
    return _if(seconds, lambda value: f"{significant(1e6 * value)} µs"), _if(ratio, lambda value: f"{significant(value)} ×")


def memory(found: Record) -> tuple[str, str]:
    """MiB at the peak, and how many times the exact gradient's that is."""
    size, ratio = number(found.get("memory")), number(found.get("memory_ratio"))
    return _if(size, lambda value: f"{significant(value / 2**20)} MiB"), _if(ratio, lambda value: f"{significant(value)} ×")


def _length(value: float | None, scale: float) -> float:
    return 100 * max(0.0, value / scale) if value is not None and scale > 0 else 0.0


def _if(value: float | None, form: Any) -> str:
    return NOTHING if value is None else form(value)


def record(value: Any) -> Record:
    """`value` if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def records(value: Any) -> list[Record]:
    """The mappings in a list."""
    return [item for item in value if isinstance(item, dict)][:MOST] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """The texts in a list."""
    return [item[:LONGEST] for item in value if isinstance(item, str)][:MOST] if isinstance(value, list) else []


def text(value: Any) -> str:
    """`value` as a short text; empty for nothing."""
    return "" if value is None else str(value)[:LONGEST]


HEATS = (("Bias by parameters", bias, _bias), ("Cosine by parameters", cosine, _turned))

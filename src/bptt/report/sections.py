"""The parts of the page, in order: each a small function from a run to a section.

To add a part, write such a function and put it into `SECTIONS`, or pass your own list to `write_report`. A section shows what
is there and says what is missing; one that nobody asked for is None. It escapes through its template and never raises on a
strange run.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from bptt.report import comparison as strategies
from bptt.report import diagnosis as through_time
from bptt.report import forecast as series
from bptt.report import levels
from bptt.report.charts import charts
from bptt.report.facts import facts_of, loss_of, nats_of, perplexity
from bptt.report.run import Record, Run, flatten
from bptt.report.words import compact, duration, number, percent, significant, visible

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_SAMPLES, MAX_LENGTH, MAX_ROWS, MAX_HEAD = 60, 4000, 400, 30


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page: its heading, its HTML (already escaped), and whether it starts folded away."""

    title: str
    html: str
    folded: bool = False

    @property
    def anchor(self) -> str:
        """The name of the section in links."""
        return self.title.lower().replace(" ", "-")


@functools.cache
def templates() -> Environment:
    """The templates of this folder, with escaping on: the text of a run is not ours."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bptt.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "significant": significant,
        "compact": compact,
        "duration": duration,
        "percent": percent,
        "visible": visible,
    }
    return environment


def render(template: str, **values: Any) -> str:
    """One template of this folder, filled."""
    return templates().get_template(template).render(**values)


def curves(run: Run) -> Section:
    """Perplexity, gradient norm, learning rate and speed over the steps."""
    return Section("Curves", render("curves.html", charts=[chart.view() for chart in charts(run)]))


def optimum(run: Run) -> Section | None:
    """The floor of a synthetic task and what lies above it; None for any other data."""
    found = [loss for record in run.valids if (loss := loss_of(record)) is not None]
    view = levels.view(run, min(found, default=None))
    return None if view is None else Section("Known optimum", render("task.html", **view))


def samples(run: Run) -> Section | None:
    """What the model wrote as training went on, one card per step that sampled; None for a task of which none was drawn."""
    if levels.levels_of(run) and not run.samples:
        return None
    held = _texts_hold_prefix(run.samples)
    cards = [
        {"step": step, "perplexity": _perplexity_at(run, step), "texts": [_pieces(record, held) for record in records]}
        for step, records in groupby(run.samples, key=lambda record: float(record["step"]))
    ]
    shown = spread(cards, MAX_SAMPLES)
    log = "" if cards else run.samples_text[-MAX_LENGTH:]
    return Section("Samples", render("samples.html", cards=shown, left_out=len(cards) - len(shown), log=log))


def comparison(run: Run) -> Section | None:
    """Gradient strategies side by side; None where nobody compared any."""
    return compared(run.comparison) if run.comparison else None


def diagnosis(run: Run) -> Section | None:
    """How far back gradients reach; None where nobody asked."""
    if not run.diagnosis:
        return None
    return Section("Gradient through time", render("diagnosis.html", **through_time.view(run.diagnosis)))


def compared(found: Record) -> Section:
    """A comparison, as compare.json has it."""
    return Section("Comparison", render("comparison.html", **strategies.view(found)))


def data(run: Run) -> Section:
    """The facts of the text and the most frequent tokens."""
    head = vocabulary_head(run.corpus)
    # Lengths of targets serve the evaluation; an empty list of notes says nothing.
    shown = {name: value for name, value in run.corpus.items() if name not in ("targets", "levels") and value not in ([], {})}
    plain = {name: value for name, value in shown.items() if not _pairs(value)}
    rows = [
        (" · ".join(path).replace("_", " "), _cell(path, value)) for path, value in islice(flatten(plain), MAX_ROWS) if path
    ]
    total = number(run.corpus.get("tokens")) or sum(count for _, count in head)
    return Section("Data", render("data.html", rows=rows, head=head, total=total))


def configuration(run: Run) -> Section:
    """Every setting, grouped by its first word."""
    return Section("Configuration", render("table.html", groups=_groups(run.config), source="config.yaml"), folded=True)


def environment(run: Run) -> Section:
    """Versions, machine, threads, device."""
    return Section("Environment", render("table.html", groups=_groups(run.environment), source="env.json"), folded=True)


def glossary(run: Run) -> Section:
    """The words of this page for newcomers, with this run's own numbers."""
    vocabulary = vocabulary_size(run)
    return Section("How to read this page", render("glossary.html", facts=facts_of(run), vocabulary=vocabulary))


def forecast(run: Run) -> Section | None:
    """The series and what comes; None where nothing was forecast."""
    return Section("Forecast", render("forecast.html", **series.forecast_view(run.forecast))) if run.forecast else None


def backtest(run: Run) -> Section | None:
    """Forecasts of the past beside what came, and the baselines."""
    return Section("Backtest", render("backtest.html", **series.backtest_view(run.forecast))) if run.forecast else None


def k_steps(run: Run) -> Section | None:
    """One step and many steps ahead."""
    view = series.curves_view(run.forecast) if run.forecast else None
    return None if view is None else Section("k steps ahead", render("ksteps.html", **view))


def training(run: Run) -> Section | None:
    """How the model was trained; None where nothing was."""
    return dataclasses.replace(curves(run), title="Training") if run.steps or run.epochs else None


SECTIONS: tuple[Callable[[Run], Section | None], ...] = (
    curves,
    optimum,
    samples,
    diagnosis,
    comparison,
    data,
    glossary,
    configuration,
    environment,
)
FORECAST: tuple[Callable[[Run], Section | None], ...] = (
    forecast,
    backtest,
    k_steps,
    training,
    diagnosis,
    comparison,
    data,
    configuration,
    environment,
)


def spread(items: list[Any], limit: int) -> list[Any]:
    """At most `limit` of `items`, evenly spread, the first and the last among them."""
    if len(items) <= limit:
        return items
    return [items[round(index * (len(items) - 1) / (limit - 1))] for index in range(limit)]


def vocabulary_head(corpus: Record) -> list[tuple[str, float]]:
    """The most frequent tokens with their counts: the first list of [token, count] pairs that `corpus` holds."""
    for value in corpus.values():
        if pairs := _pairs(value):
            return pairs[:MAX_HEAD]
    return []


def vocabulary_size(run: Run) -> float | None:
    """How many tokens the model chooses from."""
    sizes = (number(run.corpus.get(key)) for key in ("vocab_size", "vocabulary_size", "vocabulary", "vocab", "distinct"))
    return next((size for size in sizes if size is not None and size >= 1), None)


def _perplexity_at(run: Run, step: float) -> float | None:
    before = [record for record in run.valids if float(record["step"]) <= step]
    return perplexity(nats_of(before[-1])) if before else None


def _texts_hold_prefix(records: list[Record]) -> bool:
    """Whether every `text` begins with its `prefix`: then it is logged twice."""
    return all(str(record.get("text") or "").startswith(str(record.get("prefix") or "")) for record in records)


def _pieces(record: Record, held: bool) -> tuple[str, str]:
    prefix, text = str(record.get("prefix") or ""), str(record.get("text") or "")
    text = text[len(prefix) :] if held else text
    return prefix[:MAX_LENGTH], text[:MAX_LENGTH] + ("…" if len(text) > MAX_LENGTH else "")


def _pairs(value: Any) -> list[tuple[str, float]]:
    """The pairs of token and count in `value`, if it is a list of such."""
    pairs = [pair for pair in value if isinstance(pair, list) and len(pair) == 2] if isinstance(value, list) else []
    counted = [(str(token), number(count)) for token, count in pairs]
    return [(token, count) for token, count in counted if count is not None and count > 0]


def _cell(path: tuple[str, ...], value: Any) -> str:
    figure = number(value)
    if figure is None:
        return "—" if value is None else str(value)[:MAX_LENGTH]
    if isinstance(value, float) and 0 <= value <= 1 and any(word in name for word in ("share", "unknown") for name in path):
        return percent(figure)
    return f"{value:,}" if isinstance(value, int) else significant(figure, 4)


def _groups(mapping: Record) -> list[tuple[str, list[tuple[str, str]]]]:
    """Rows (name, value) under the first key; plain settings come together under no heading."""
    rows = list(islice(flatten(mapping), MAX_ROWS)) if mapping else []
    groups: dict[str, list[tuple[str, str]]] = {"": []}
    for path, value in rows:
        heading, name = (path[0], path[1:]) if len(path) > 1 else ("", path)
        groups.setdefault(heading, []).append((".".join(name), "—" if value is None else str(value)[:MAX_LENGTH]))
    return [(heading, entries) for heading, entries in groups.items() if entries]

"""A forecast, from forecast.json to what its templates print.

Knows the keys of that file and trusts none of its values; must not know how forecasts are made or judged.
"""

from __future__ import annotations

from typing import Any

from bptt.report.chart import Band, Chart, Line
from bptt.report.comparison import record, records, text, texts
from bptt.report.run import Record
from bptt.report.series import Point
from bptt.report.words import compact, number, percent, significant

MOST_TARGETS, MOST_FOLDS, TICKS = 6, 60, 7
NOTHING = "–"
ACRONYMS = ("rnn", "lstm", "gru", "tdnn", "mlp")
# The past in a quiet colour, then one for each k.
TONES = ("s0", "s2", "s4", "s1", "s3", "s5")


def title(found: Record) -> str:
    """What is forecast by what."""
    model = text(found.get("model"))
    name = model.upper() if model in ACRONYMS else f"{model[:1].upper()}{model[1:]}"
    return f"{name} forecast of {text(record(found.get('series')).get('name'))}"


def story(found: Record) -> str:
    """What was forecast and how well, in plain words; what is not known is left out."""
    series, test = record(found.get("series")), record(found.get("backtest"))
    horizon, folds = number(test.get("horizon")), len(numbers(test.get("origins")))
    targets = ", ".join(texts(series.get("targets")))
    what = f"{text(found.get('model'))} ({text(found.get('about'))}) forecasts {targets or 'a series'}"
    what += f" {compact(horizon)} steps ahead." if horizon else "."
    own, best = score(found, text(found.get("model"))), rival(found)
    if own is None:
        return what
    fold = f"Over {folds} forecast{'s' * (folds != 1)} of the past that it was not trained on" if folds else "In the backtest"
    result = f" {fold}, its MASE is {significant(own)}"
    if best is not None:
        name, value = best
        better = f"{percent(1 - own / value)} better than" if own < value else f"{percent(own / value - 1)} worse than"
        result += f", {better} the best baseline ({name}, {significant(value)})"
    return f"{what}{result}."


def tiles(found: Record) -> list[tuple[str, str, str]]:
    """Key figures as (name, value, remark); a figure that is not known is left out."""
    series, test = record(found.get("series")), record(found.get("backtest"))
    own = next((row for row in records(test.get("rows")) if row.get("model") == found.get("model")), {})
    seasonal = score(found, "seasonal-naive")
    period = number(test.get("period"))
    made: list[tuple[str, float | None, Any, str]] = [
        ("MASE", number(own.get("MASE")), significant, f"seasonal naive: {significant(seasonal)}" if seasonal else ""),
        ("RMSE", number(own.get("RMSE")), significant, "in the units of the series"),
        ("sMAPE", number(own.get("sMAPE")), lambda value: f"{significant(value)} %", "from 0 to 200 %"),
    ]
    for name, value in own.items():
        if name.startswith("coverage ") and (level := number_in(name)) is not None:
            made.append((f"Covered by the {level:.0%} interval", number(value), percent, "in the backtest"))
    made += [
        ("Horizon", number(test.get("horizon")), compact, "steps"),
        ("Season", period, compact, "steps"),
        (
            "Training steps",
            number(series.get("train")),
            compact,
            f"and {compact(number(series.get('valid')) or 0)} to validate",
        ),
    ]
    return [(name, form(value), remark) for name, value, form, remark in made if value is not None]


def number_in(name: str) -> float | None:
    """The level that a column's name ends in."""
    try:
        return float(name.rpartition(" ")[2])
    except ValueError:
        return None


def score(found: Record, model: str) -> float | None:
    """The MASE of a model in the backtest."""
    rows = records(record(found.get("backtest")).get("rows"))
    return next((number(row.get("MASE")) for row in rows if row.get("model") == model), None)


def rival(found: Record) -> tuple[str, float] | None:
    """The best other model."""
    rows = records(record(found.get("backtest")).get("rows"))
    known = [
        (value, text(row.get("model")))
        for row in rows
        if row.get("model") != found.get("model") and (value := number(row.get("MASE")))
    ]
    return (min(known)[1], min(known)[0]) if known else None


def forecast_view(found: Record) -> dict[str, Any]:
    """The series and what comes."""
    return {
        "charts": [ahead(found, i).view() for i in range(targets(found))],
        "notes": texts(record(found.get("forecast")).get("notes")),
    }


def backtest_view(found: Record) -> dict[str, Any]:
    """The table against the baselines, what was forecast and what came, and the error by step."""
    test = record(found.get("backtest"))
    return {
        "table": versus(found, records(test.get("rows"))),
        "by_target": [
            (text(name), versus(found, records(rows))) for name, rows in record(test.get("by_target")).items() if records(rows)
        ],
        "lead": lead(test),
        "charts": [folds(found, i).view() for i in range(targets(found))],
        "by_step": by_step(found).view(),
        "definitions": [(name, text(said)) for name, said in record(test.get("definitions")).items()],
    }


def versus(found: Record, rows: list[Record]) -> dict[str, Any]:
    """A table of models: columns as (name, words), rows as (model, whether it is the one asked for, cells)."""
    columns = [name for name in (rows[0] if rows else {}) if name != "model"]
    lowest = {name: min((v for row in rows if (v := number(row.get(name))) is not None), default=None) for name in columns}
    return {
        "columns": [
            (name, " ".join([name.partition(" ")[0], f"{number_in(name):.0%}"]) if name.startswith("coverage ") else name)
            for name in columns
        ],
        "rows": [
            (text(row.get("model")), row.get("model") == found.get("model"), [cell(row, name, lowest) for name in columns])
            for row in rows
        ],
    }


def lead(test: Record) -> str:
    """How it was judged, in a sentence."""
    origins, horizon = numbers(test.get("origins")), number(test.get("horizon"))
    if not origins or horizon is None:
        return ""
    refit = (
        "every model is fitted anew before each"
        if test.get("refit")
        else "every model is fitted once, on what lies before the first, and reads on"
    )
    lag = number(test.get("period"))
    scale = (
        f"MASE is relative to the seasonal naive forecast of {compact(lag)} steps"
        if lag
        else "No season is given: MASE is relative to the naive forecast"
    )
    count = f"{len(origins)} forecast{'s' * (len(origins) != 1)}"
    return f"{count} of {compact(horizon)} steps; {refit}. {scale} within the training part."


def cell(row: Record, name: str, lowest: dict[str, float | None]) -> tuple[str, bool]:
    """A figure of the table, and whether it is the best of its column."""
    value = number(row.get(name))
    if value is None:
        return NOTHING, False
    if name.startswith("coverage"):
        return percent(value), False
    return significant(value), value == lowest[name]


def curves_view(found: Record) -> dict[str, Any] | None:
    """k steps ahead: the curves and the table; None where there are none."""
    curves = record(found.get("curves"))
    steps = [int(k) for k in numbers(curves.get("steps")) if k is not None]
    if not steps:
        return None
    errors = record(curves.get("errors"))
    return {
        "charts": [k_chart(found, i, steps).view() for i in range(targets(found))],
        "growth": growth(errors, steps).view(),
        "steps": steps,
        "rows": [
            (
                name,
                name == found.get("model"),
                [significant(v) if (v := number(record(row).get(str(k)))) is not None else NOTHING for k in steps],
            )
            for name, row in errors.items()
        ],
    }


def targets(found: Record) -> int:
    """How many targets are drawn."""
    return min(len(texts(record(found.get("series")).get("targets"))), MOST_TARGETS)


def ahead(found: Record, target: int) -> Chart:
    """The end of the series, the forecast, and its intervals."""
    past, coming = record(found.get("history")), record(found.get("forecast"))
    seen = points(column(past.get("values"), target), number(past.get("start")) or 0)
    horizon = len(column(coming.get("mean"), target))
    seen = seen[-max(4 * horizon, 60) :]
    start = number(coming.get("start")) or 0
    said = points(column(coming.get("mean"), target), start)
    bands = [
        Band(
            f"{number(b.get('level')) or 0:.0%}",
            points(column(b.get("lower"), target), start),
            points(column(b.get("upper"), target), start),
            "s1",
        )
        for b in records(coming.get("bounds"))
    ]
    levels = " and ".join(f"{number(b.get('level')) or 0:.0%}" for b in records(coming.get("bounds")))
    about = (
        f"The end of the series, what comes next, and intervals of {levels}."
        if levels
        else "The end of the series, and what comes next."
    )
    lines = [Line("seen", seen, "past"), Line("forecast", said, "s1")]
    return Chart(
        name_of(found, target),
        about,
        lines,
        over="time",
        lo=seen[0][0] if seen else 0.0,
        labels=dates(found, seen, said),
        bands=bands,
    )


def folds(found: Record, target: int) -> Chart:
    """What was forecast in the backtest, and what came."""
    past, test = record(found.get("history")), record(found.get("backtest"))
    begin, horizon = number(past.get("start")) or 0, int(number(test.get("horizon")) or 0)
    origins = numbers(test.get("origins"))[-MOST_FOLDS:]
    said_by = [each for each in test.get("said") or () if isinstance(each, list)][-MOST_FOLDS:]
    bounds = records(test.get("bounds"))[-MOST_FOLDS:]
    lowest = (origins[0] or 0) - max(horizon, 20) if origins else 0.0
    seen = [point for point in points(column(past.get("values"), target), begin) if point[0] >= lowest]
    said: list[Point] = []
    for origin, fold in zip(origins, said_by, strict=False):
        said += [*points(column(fold, target), origin or 0), ((origin or 0) + horizon - 0.5, None)]
    bands = [
        Band("", points(column(b.get("lower"), target), origin or 0), points(column(b.get("upper"), target), origin or 0), "s1")
        for origin, b in zip(origins, bounds, strict=False)
    ]
    lines = [Line("what came", seen, "past"), Line("forecast", said, "s1")]
    about = "Every forecast of the backtest, with its widest interval, and what came."
    return Chart(
        name_of(found, target), about, lines, over="time", lo=max(lowest, 0.0), labels=dates(found, seen, []), bands=bands
    )


def by_step(found: Record) -> Chart:
    """RMSE over the step ahead, for every model."""
    rows = record(record(found.get("backtest")).get("by_step"))
    lines = [
        Line(text(name), [(k + 1.0, v) for k, v in enumerate(numbers(values))], f"s{i % 12}")
        for i, (name, values) in enumerate(rows.items())
    ]
    return Chart(
        "Error by step ahead", "RMSE of each step of the forecasts, over all folds.", lines, over="steps ahead", zero=True
    )


def k_chart(found: Record, target: int, steps: list[int]) -> Chart:
    """The same steps, forecast from k steps before."""
    curves = record(found.get("curves"))
    first = number(curves.get("first")) or 0
    came = points(column(curves.get("actual"), target), first)
    said = record(curves.get("said"))
    lines = [Line("what came", came, "past")]
    lines += [
        Line(f"{k} step{'s' * (k != 1)} ahead", points(column(said.get(str(k)), target), first), TONES[i % len(TONES)])
        for i, k in enumerate(steps)
    ]
    about = "Every step, forecast from k steps before it."
    return Chart(name_of(found, target), about, lines, over="time", lo=first, labels=dates(found, came, []))


def growth(errors: Record, steps: list[int]) -> Chart:
    """RMSE over k, for every model."""
    lines = [
        Line(text(name), [(float(k), number(record(row).get(str(k)))) for k in steps], f"s{i % 12}")
        for i, (name, row) in enumerate(errors.items())
    ]
    return Chart("Error over k", "RMSE of the k-step-ahead forecasts, all over the same steps.", lines, over="k", zero=True)


def name_of(found: Record, target: int) -> str:
    """The target's name."""
    return texts(record(found.get("series")).get("targets"))[target]


def dates(found: Record, seen: list[Point], said: list[Point]) -> list[tuple[float, str]]:
    """A few dates along the axis; none where the series has no times, or they are plain numbers of steps."""
    past, coming = record(found.get("history")), record(found.get("forecast"))
    if not record(found.get("series")).get("dated"):
        return []
    begin = number(past.get("start")) or 0
    known = {begin + i: time for i, time in enumerate(stamps(past.get("times")))}
    start = number(coming.get("start")) or 0
    known |= {start + i: time for i, time in enumerate(stamps(coming.get("times")))}
    places = [at for at, _ in (*seen, *said) if at in known]
    if len(places) < 2:
        return []
    picked = [places[round(i * (len(places) - 1) / (TICKS - 1))] for i in range(TICKS)]
    return [(at, known[at]) for at in dict.fromkeys(picked)]


def stamps(value: Any) -> list[str]:
    """Times as short texts, one for each: of a list that is shortened, the places would be wrong."""
    return [text(time) for time in value] if isinstance(value, list) else []


def points(values: list[float | None], start: float) -> list[Point]:
    """Values, one per step from `start` on."""
    return [(start + i, value) for i, value in enumerate(values)]


def column(value: Any, target: int) -> list[float | None]:
    """The numbers of one target."""
    return numbers(value[target]) if isinstance(value, list) and target < len(value) else []


def numbers(value: Any) -> list[float | None]:
    """The entries of a list as numbers."""
    return [number(item) for item in value] if isinstance(value, list) else []

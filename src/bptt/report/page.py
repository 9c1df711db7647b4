"""Puts a run, or a comparison without one, on a page: `write_report`, `write_comparison`.

Knows the run directory and the sections; must not know models or training.

The page needs nothing but itself: no script, style, font or picture from elsewhere, and its policy forbids any.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bptt.errors import InputError
from bptt.files import write_durably
from bptt.report import forecast as series
from bptt.report.comparison import title as comparison_title
from bptt.report.facts import Facts, facts_of
from bptt.report.run import Record, Run, flatten, read_run
from bptt.report.sections import FORECAST, SECTIONS, Section, compared, render, templates, vocabulary_size
from bptt.report.words import compact, duration, number, percent, significant

Sections = Sequence[Callable[[Run], Section | None]]


def write_report(run_dir: Path | str, sections: Sections = SECTIONS) -> Path:
    """Write `report.html` into a run directory: one self-contained page on a run, finished or not.

    run_dir   the directory of a run; missing or damaged files become notes on the page
    sections  the parts of the page, each a function from the run to a `Section`

    Returns the path of the page, which appears whole or not at all. Raises InputError if the directory is missing, is not a run
    or cannot be written to.

    Example: `write_report("runs/book")`.
    """
    return write_page(Path(run_dir) / "report.html", page(read_run(run_dir), sections))


def write_comparison(path: Path | str, found: Record) -> Path:
    """Write a page on a comparison of gradient strategies that belongs to no run.

    path   of the page
    found  what `bptt.compare(…).to_json()` gave

    Returns the path. Raises InputError if it cannot be written.

    Example: `write_comparison("compare.html", bptt.compare(model, corpus, strategies).to_json())`.
    """
    return write_page(Path(path), render("compared.html", title=comparison_title(found), **shell([compared(found)])))


def write_page(target: Path, html: str) -> Path:
    """Write a page, whole or not at all; InputError where that cannot be."""
    try:
        write_durably(target, html.encode("utf-8", "replace"))
    except OSError as error:
        given = f"{target}: {error.strerror}"
        raise InputError("The report cannot be written", given, "Free space or change permissions") from error
    return target


def page(run: Run, sections: Sections = SECTIONS) -> str:
    """The HTML of the page."""
    facts = facts_of(run)
    if run.forecast:
        sections = FORECAST if sections is SECTIONS else sections
        told, figures = series.story(run.forecast), series.tiles(run.forecast)
    else:
        told, figures = story(run, facts), tiles(run, facts)
    parts = [part for section in sections if (part := section(run)) is not None]
    kind = "Forecast" if run.forecast else "Training report"
    return render("page.html", run=run, kind=kind, facts=facts, story=told, tiles=figures, **shell(parts))


def shell(parts: Sequence[Section]) -> dict[str, Any]:
    """What every page needs around its own: sections, style, script and the hash that allows it, the time."""
    from markupsafe import Markup

    script = _file("page.js")
    return {
        "sections": [(part, Markup(part.html)) for part in parts],
        "style": Markup(_file("page.css")),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "written": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def story(run: Run, facts: Facts) -> str:
    """What was trained on what and how well, in plain words; what is not known is left out."""
    cell, gradient = run.setting("cell"), run.setting("gradient")
    source = _source_of(run)
    count, tokens = facts.parameters, number(run.corpus.get("tokens"))
    what = f"A {str(cell).upper()} model" if cell else "A model"
    what += f" with {_quantity(count)} parameters" if count else ""
    on = f" was trained on {_short(source)}" if source else " was trained"
    on += f" ({_quantity(tokens)} {facts.unit}s)" if tokens else ""
    by = f", with gradients by {_short(gradient)}" if gradient else ""
    end = " Then it diverged." if facts.status[1] == "bad" else ""
    return f"{what}{on}{by}. {_result(run, facts)}{end}"


def tiles(run: Run, facts: Facts) -> list[tuple[str, str, str]]:
    """Key figures as (name, value, remark); a figure that is not known is left out."""
    size = vocabulary_size(run)
    guessing = f"blind guessing: {compact(size)}" if size else ""
    span = "last epoch" if facts.train_is_epoch else "latest steps"
    found: list[tuple[str, str | None, str]] = [
        ("Best validation perplexity", _if(facts.best_perplexity, significant), guessing),
        (f"Bits per {facts.unit}", _if(facts.bits, significant), "validation, best"),
        (
            "Bits per character",
            _if(None if facts.unit in ("character", "step") else facts.character_bits, significant),
            "validation, best",
        ),
        ("Training perplexity", _if(facts.train_perplexity, significant), span),
        ("Best step", _if(facts.best_step, _whole), f"of {_whole(facts.last_step)}" if facts.last_step else ""),
        ("Epochs", _if(facts.epochs, _whole), ""),
        ("Training time", _if(facts.seconds, duration), f"{_quantity(facts.tokens)} tokens" if facts.tokens else ""),
        ("Tokens per second", _if(facts.tokens_per_second, _quantity), ""),
        ("Clipped steps", _if(facts.clip_rate, percent), f"threshold {compact(facts.clip)}" if facts.clip else ""),
        ("Parameters", _if(facts.parameters, _quantity), ""),
    ]
    return [(name, value, remark) for name, value, remark in found if value is not None]


def _result(run: Run, facts: Facts) -> str:
    after = [f"{_whole(facts.last_step)} steps" if facts.last_step else "", duration(facts.seconds) if facts.seconds else ""]
    took = " and ".join(part for part in after if part)
    lead = f"After {took}, it" if took else "It"
    measure = str(run.start.get("measure", "perplexity"))
    errors = [figure for record in run.valids if (figure := number(record.get(measure))) is not None]
    if measure != "perplexity" and errors:
        return f"{lead} reached a validation {measure.upper()} of {significant(min(errors))}."
    if facts.best_perplexity is None:
        train = facts.train_perplexity
        return f"{lead} reached a training perplexity of {significant(train)}." if train else "No result is logged yet."
    result = f"{lead} reached a validation perplexity of {significant(facts.best_perplexity)}"
    result += f" ({significant(facts.bits)} bits per {facts.unit})" if facts.bits is not None else ""
    result += f" at step {_whole(facts.best_step)}" if facts.best_step is not None else ""
    train = facts.train_perplexity
    return result + (f"; on the training text it stands at {significant(train)}." if train else ".")


def _source_of(run: Run) -> str:
    """The text that the run learns from, by the names that its data or its settings give."""
    named = next((run.corpus[key] for key in ("source", "sources") if run.corpus.get(key)), None)
    value = named or run.setting("source", "corpus", "text")
    return "" if value is None else next((str(leaf) for _, leaf in flatten(value)), "")


def _if(value: float | None, form: Callable[[float], str]) -> str | None:
    return None if value is None else form(value)


def _whole(value: float | None) -> str:
    return "" if value is None else significant(value, 1)


def _quantity(value: float) -> str:
    """1,234 in full, larger numbers in words: 1.23 million."""
    for limit, word in ((1e9, "billion"), (1e6, "million")):
        if value >= limit:
            return f"{value / limit:.3g} {word}"
    return significant(value, 3)


def _short(value: Any, limit: int = 80) -> str:
    text = str(value)
    return text if len(text) <= limit else "…" + text[1 - limit :]


def _file(name: str) -> str:
    environment = templates()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]

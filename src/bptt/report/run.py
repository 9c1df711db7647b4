"""Reads the files of a run directory as they are: whole, cut off, damaged or missing.

Knows file names and events; must not know charts, HTML, models or how a run is made. Nothing here trusts the contents: a file
that cannot be read becomes a note for the reader of the report, never an error.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bptt.errors import InputError
from bptt.report.words import number

Record = dict[str, Any]


@dataclasses.dataclass
class Run:
    """What the files of one run say. Lists are in the order of their steps, each step once."""

    name: str
    config: Record = dataclasses.field(default_factory=dict)
    environment: Record = dataclasses.field(default_factory=dict)
    corpus: Record = dataclasses.field(default_factory=dict)
    comparison: Record = dataclasses.field(default_factory=dict)
    diagnosis: Record = dataclasses.field(default_factory=dict)
    forecast: Record = dataclasses.field(default_factory=dict)
    samples_text: str = ""
    start: Record = dataclasses.field(default_factory=dict)
    end: Record | None = None
    resumes: list[Record] = dataclasses.field(default_factory=list)
    steps: list[Record] = dataclasses.field(default_factory=list)
    epochs: list[Record] = dataclasses.field(default_factory=list)
    valids: list[Record] = dataclasses.field(default_factory=list)
    samples: list[Record] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def setting(self, *names: str) -> Any:
        """The first plain value under one of `names`, at any depth of the configuration; None if there is none."""
        return next((value for name in names for path, value in flatten(self.config) if path[-1:] == (name,)), None)


def read_run(run_dir: Path | str) -> Run:
    """Read a run directory, finished or not.

    Raises InputError if the directory is missing or holds neither `config.yaml` nor `metrics.jsonl`.

    Example: `read_run("runs/book").valids[-1]["perplexity"]`.
    """
    folder = Path(run_dir)
    if not folder.is_dir():
        raise InputError("There is no such run directory", str(run_dir), "Give the folder that training wrote (its --out)")
    if not any((folder / name).is_file() for name in ("config.yaml", "metrics.jsonl")):
        raise InputError("This directory is not a run", str(run_dir), "Give a folder that holds config.yaml or metrics.jsonl")
    run = Run(folder.resolve().name)
    run.config = _mapping(run, folder / "config.yaml", _yaml)
    run.environment = _mapping(run, folder / "env.json", json.loads)
    run.corpus = _mapping(run, folder / "corpus.json", json.loads)
    if (folder / "compare.json").is_file():
        run.comparison = _mapping(run, folder / "compare.json", json.loads)
    if (folder / "diagnose.json").is_file():
        run.diagnosis = _mapping(run, folder / "diagnose.json", json.loads)
    if (folder / "forecast.json").is_file():
        run.forecast = _mapping(run, folder / "forecast.json", json.loads)
    run.samples_text = _text(folder / "samples.txt") or ""
    if not run.forecast or (folder / "metrics.jsonl").exists():  # a forecast without training has no metrics
        _read_metrics(run, folder / "metrics.jsonl")
    return run


def flatten(value: Any, path: tuple[str, ...] = (), depth: int = 8) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The plain values of nested mappings and lists, each with its path; deeper nests are cut, so a cycle ends."""
    if not isinstance(value, dict | list) or not value:
        yield path, None if isinstance(value, dict | list) else value
    elif not depth:
        yield path, "…"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from flatten(item, (*path, str(key)), depth - 1)
    elif any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from flatten(item, (*path, str(index)), depth - 1)
    else:
        yield path, ", ".join(str(item) for item in value)


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _mapping(run: Run, path: Path, parse: Any) -> Record:
    text = _text(path)
    if text is None:
        run.notes.append(f"{path.name} is missing.")
        return {}
    try:
        value = parse(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        run.notes.append(f"{path.name} could not be read.")
        return {}
    return {str(key): item for key, item in value.items()}


def _records(run: Run, path: Path) -> Iterator[Record]:
    """The objects of a JSON-lines file. The last line may be torn, by a kill or by being written: no note for it."""
    text = _text(path)
    if text is None:
        run.notes.append(f"{path.name} is missing: there are no curves to show.")
        return
    lines = text.split("\n")
    damaged = 0
    for index, line in enumerate(lines):
        try:
            record = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            damaged += index < len(lines) - 1
            continue
        if isinstance(record, dict):
            yield record
    if damaged:
        run.notes.append(f"{damaged} damaged line{'s' * (damaged > 1)} of {path.name} left out.")


def _read_metrics(run: Run, path: Path) -> None:
    """Sort the events of `metrics.jsonl` by kind and step.

    A resumed run goes back to its last checkpoint: what was logged after that step belongs to a past that did not happen, so a
    resume drops it, and of two lines for one step the later wins.
    """
    kept: dict[str, dict[Any, Record]] = {"step": {}, "epoch": {}, "valid": {}, "sample": {}}
    for record in _records(run, path):
        event, step = record.get("event"), number(record.get("step"))
        if event == "start":
            run.start = record
        elif event == "end":
            run.end = record
        elif event == "resume":
            run.resumes.append(record)
            run.end = None
            _rewind(kept, step)
        elif isinstance(event, str) and event in kept and step is not None:
            kept[event][_key(event, step, record, len(run.resumes), kept)] = record
    run.steps, run.epochs, run.valids, run.samples = (
        sorted(records.values(), key=lambda record: float(record["step"])) for records in kept.values()
    )


def _rewind(kept: dict[str, dict[Any, Record]], step: float | None) -> None:
    if step is None:
        return
    for records in kept.values():
        for key in [key for key, record in records.items() if float(record["step"]) > step]:
            del records[key]


def _key(event: str, step: float, record: Record, session: int, kept: dict[str, dict[Any, Record]]) -> Any:
    """One line per step; of samples, one per step and prefix and, within one session, as many as were drawn."""
    if event != "sample":
        return step
    prefix, nth = str(record.get("prefix")), 0
    while kept[event].get((step, prefix, nth), {}).get("session") == session:
        nth += 1
    record["session"] = session
    return step, prefix, nth

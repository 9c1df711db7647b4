"""`bptt train --resume`: the settings, text and vocabulary of a run again, and only what may change changed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bptt.cli.opening import corpus_of
from bptt.config import Config, convert, known, names_of, plain
from bptt.errors import InputError
from bptt.ranks import Ranks
from bptt.training import load
from bptt.training.directory import RunDirectory
from bptt.training.identity import CHANGEABLE
from bptt.training.listeners import Event, Listener
from bptt.training.lock import Lock


def refuse_new(what: str, given: Mapping[str, Any]) -> None:
    """InputError for the first thing given that only a new run takes: a resumed one has its own `what`."""
    for flag, value in given.items():
        if value:
            raise InputError(f"A resumed run has its own {what}: {flag} is for new ones", "", "Leave it out")


def go_on(
    args: argparse.Namespace, flags: Mapping[str, Any], strategies: Mapping[str, Any], ranks: Ranks, train: Callable[..., int]
) -> int:
    """Train on from the newest checkpoint of the run."""
    given = {"--config": args.config, "CORPUS": args.corpus, "--out": args.out, "--overwrite": args.overwrite}
    refuse_new("settings, text and place", given)
    directory = RunDirectory(args.resume).require()
    if ranks.first:
        with Lock(directory.path):
            pass  # before anything is read: whoever trains there now may be writing it
    ranks.told(None)
    saved = directory.read_config()
    if "series" in saved:
        raise InputError("This run is a forecast", str(directory.path), f"Resume it with bptt forecast --resume {args.resume}")
    if "corpus" not in saved:
        raise InputError(
            "This run was not made by `bptt train`", str(directory.path), "Resume it with bptt.fit(…, resume=True)"
        )
    places = saved.pop("corpus_at", saved["corpus"])
    before = Config.from_flat(saved, strategies).to_flat(strategies)
    changed = changes(before, flags, strategies)
    config = Config.from_flat({**before, **changed}, strategies)
    model = load(args.resume, which="last")
    if model.vocab is None:
        corpus: Any = config.text.data(names_of(places), dtype=config.train.dtype)
    else:
        corpus = corpus_of(directory, {**before, "corpus_at": places}, config.text, model.vocab)
    note = {**config.to_flat(strategies), "corpus_at": places}
    how = {"resume": True, "ranks": ranks, "listeners": [keeper(directory, note)] if changed else []}
    return train(args, config, model, corpus, Path(args.resume), how)


def changes(before: Mapping[str, Any], flags: Mapping[str, Any], strategies: Mapping[str, Any]) -> dict[str, Any]:
    """What the flags change; InputError for a setting that would make it another run."""
    wanted = {key: plain(convert(known(key), value, strategies), strategies) for key, value in flags.items()}
    changed = {key: value for key, value in wanted.items() if value != before[key]}
    for key, value in changed.items():
        if key not in CHANGEABLE:
            given = f"{key} is {before[key]} in the run, {value} here"
            raise InputError("A resumed run cannot change this setting", given, "Leave it out, or start a new run")
    return changed


def keeper(directory: RunDirectory, config: Mapping[str, Any]) -> Listener:
    """Writes the changed settings down once the run is ours, so that the next resume knows them."""

    def keep(event: Event) -> None:
        if event["event"] == "resume":
            directory.write_config(config)

    return keep

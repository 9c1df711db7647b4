"""`fit`: train a model on a corpus or a series, with validation, samples, checkpoints and a run directory around the loop."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bptt.data import Corpus
from bptt.data.series import SeriesData
from bptt.errors import InputError, did_you_mean
from bptt.models import LanguageModel, SeriesModel
from bptt.ranks import ALONE, Ranks
from bptt.training.directory import RunDirectory
from bptt.training.identity import cell_name
from bptt.training.listeners import Listener
from bptt.training.lock import Lock
from bptt.training.prepare import check_vocabulary
from bptt.training.run import Run
from bptt.training.session import Session
from bptt.training.settings import TrainSettings
from bptt.training.signals import Interrupts
from bptt.training.watchers import Watcher


def fit(
    model: LanguageModel | SeriesModel,
    corpus: Corpus | SeriesData,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    config: Mapping[str, Any] | None = None,
    listeners: Iterable[Listener] = (),
    watchers: Iterable[Watcher] = (),
    ranks: Ranks = ALONE,
    **settings: Any,
) -> Run:
    """Train `model` on `corpus`.

    Arguments:
        model      a `LanguageModel` or a `SeriesModel`; its parameters are changed in place
        corpus     from `read_text`; for a series, its prepared parts (`bptt.Forecaster` prepares them)
        out        run directory for metrics, samples and checkpoints; None: nothing is written
        resume     go on from the newest checkpoint in `out`, as if nothing had happened
        overwrite  replace a run that is already in `out`
        config     what config.yaml shall say; None: the settings
        listeners  functions that are called with every event (see `bptt.training.listeners`)
        watchers   called once each before a window of the run, to look and not to touch; what they say becomes a notice (see
                   `bptt.training.watchers`, and `bptt.diagnostics.Watch`)
        ranks      the processes that train this model together, from `bptt.training.join` in each of them: the rows of a batch
                   are spread over them, and the first one writes
        settings   the fields of `TrainSettings` by name: gradient, epochs, batch_size, steps, lr, clip, seed …

    From its start to its end a run in `out` can be resumed, whatever ended the process; a resumed run equals an uninterrupted
    one bit for bit on one machine. Resuming a finished run returns at once and writes nothing.

    Returns a `Run`. Raises InputError for settings that cannot be and for a model of other tokens than the corpus,
    DivergedError when a number is no longer finite, RunInUseError if another process holds `out`, Interrupted after SIGINT
    or SIGTERM, once everything is saved.

        corpus = bptt.read_text("book.txt", unit="char", valid=0.1)
        model = bptt.LanguageModel("gru", vocab=corpus.vocab, hidden_size=256)
        run = bptt.fit(model, corpus, gradient=bptt.Truncated(64), epochs=3, out="runs/book")
        print(run.best.perplexity)
    """
    kind = SeriesData if isinstance(model, SeriesModel) else Corpus
    if not isinstance(corpus, kind):
        todo = 'Read one: bptt.read_text("book.txt")' if kind is Corpus else "Let bptt.Forecaster prepare it"
        raise InputError(f"The corpus is no {kind.__name__}", type(corpus).__name__, todo)
    chosen = choose(settings)
    if isinstance(model, LanguageModel) and isinstance(corpus, Corpus):
        check_vocabulary(model, corpus)
    with contextlib.ExitStack() as stack:
        directory = None if out is None else RunDirectory(out)
        if directory is None and resume:
            raise InputError("A run without a directory cannot be resumed", "resume=True, out=None", "Give out")
        if directory is not None:
            if resume and overwrite:
                raise InputError("A run is either resumed or replaced", "resume=True, overwrite=True", "Choose one")
            if ranks.first:
                stack.enter_context(hold(directory, resume=resume, overwrite=overwrite))
        interrupts = stack.enter_context(Interrupts())
        session = Session(model, corpus, chosen, directory, interrupts, list(listeners), list(watchers), ranks)
        stack.callback(session.close)
        if resume:
            session.resume()
        else:
            session.begin(config or describe(model, chosen))
        return session.run()


def choose(settings: Mapping[str, Any]) -> TrainSettings:
    """The settings of these names; InputError for a name that is none."""
    known = list(TrainSettings.__dataclass_fields__)
    for name in settings:
        if name not in known:
            raise InputError("There is no such setting", f"{name}={settings[name]!r}", did_you_mean(name, known))
    return TrainSettings(**settings)


@contextlib.contextmanager
def hold(directory: RunDirectory, *, resume: bool, overwrite: bool) -> Iterator[None]:
    """The directory for this process alone, once it is clear that the run may be there; none is left where none began."""
    if resume:
        with Lock(directory.require().path):
            yield
        return
    made = directory.make()
    directory.check_room(overwrite=overwrite)  # before a lock is left in a directory that is none of ours
    with Lock(directory.path):
        directory.check_room(overwrite=overwrite)  # and again: another process may have been here since
        try:
            yield
        except BaseException:
            directory.withdraw(made)
            raise


def describe(model: LanguageModel | SeriesModel, settings: TrainSettings) -> dict[str, Any]:
    """The settings of a run as plain values."""
    trained = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    trained |= {"gradient": repr(settings.gradient), "sample_prefix": list(settings.sample_prefix)}
    made = {"cell": cell_name(model)} if model.own_cell else model.settings.to_json()
    return {**made, **trained}

"""A run while it lasts: the training, what is known of it so far, and who hears of it.

Knows the order in which things happen: updates, then validation, sample and checkpoint; every thing itself is another file.
"""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Mapping
from typing import Any

from bptt.data import Corpus, Vocabulary
from bptt.data.series import SeriesData
from bptt.errors import DivergedError, InputError, Interrupted
from bptt.metrics import Score
from bptt.models import LanguageModel, SeriesModel
from bptt.training import checkpoint
from bptt.training.course import Best, Course
from bptt.training.directory import RunDirectory, as_json, as_yaml
from bptt.training.environment import environment
from bptt.training.facts import corpus_facts
from bptt.training.health import check_saved
from bptt.training.identity import cell_name, check_same, describe_model, identity
from bptt.training.listeners import JOURNALS, Journal, Listener, TensorBoard
from bptt.training.prepare import prepare
from bptt.training.rehearsal import rehearse, rehearse_resumed
from bptt.training.restore import check_state
from bptt.training.run import Run, parameters, set_parameters
from bptt.training.seeds import random_state, set_random_state
from bptt.training.settings import TrainSettings
from bptt.training.signals import Interrupts
from bptt.training.update import Spent
from bptt.training.watchers import Moment, Watcher, due
from bptt.types import Estimate, Window

MINUTES_BETWEEN_SAVES = 5.0


class Session:
    """One call of `fit`: the training, what is known of it so far, and who hears of it."""

    def __init__(
        self,
        model: LanguageModel | SeriesModel,
        corpus: Corpus | SeriesData,
        settings: TrainSettings,
        directory: RunDirectory | None,
        interrupts: Interrupts,
        listeners: list[Listener],
        watchers: list[Watcher],
    ) -> None:
        self.model, self.corpus, self.settings, self.directory = model, corpus, settings, directory
        self.interrupts, self.listeners, self.watchers = interrupts, listeners, watchers
        self.journals: dict[str, Journal] = {}
        self.tensorboard: TensorBoard | None = None
        self.training = prepare(model, corpus, settings)
        self.training.look = self._look if watchers else None
        self.course = Course(model.measure.name)
        self._saved_at = time.monotonic()

    def begin(self, config: Mapping[str, Any]) -> None:
        """Start a new run, in place of what is in the directory; from its checkpoint at update 0 on it can be resumed."""
        rehearse(self.training)
        self.course.tick(training=False)
        if self.directory is not None:
            check_saved(parameters(self.model).items(), 0)
            files = self._files(config)  # all of them, before the old run is gone
            self.directory.clear()
            for name, text in files.items():
                self.directory.write(name, text)
            if isinstance(self.corpus, Corpus) and self.corpus.fleeting:
                self.corpus.save(self.directory.tokens)
            self._open_files({})
        size = sum(p.numel() for p in self.model.parameters())
        self.tell("start", time=now(), parameters=size, measure=self.model.measure.name)
        self._notices()
        self.save()

    def _files(self, config: Mapping[str, Any]) -> dict[str, str]:
        """What is written once; the one that makes a directory a run comes first."""
        made = environment(self.training.device, self.settings.dtype, cell_name(self.model))
        return {
            "config.yaml": as_yaml(config),
            "env.json": as_json("env.json", made),
            "corpus.json": as_json("corpus.json", corpus_facts(self.corpus, self.training.stream)),
        }

    def resume(self) -> None:
        """Go on from the newest checkpoint; where that is the end of the run, no file is touched."""
        assert self.directory is not None
        saved = checkpoint.load(self.directory.checkpoints)
        check_state(saved.state)
        check_same(saved, self.model, self.corpus, self.settings)
        set_parameters(self.model, saved.parameters)
        self.training.load_state_dict(saved.state["training"])
        self.course.load_state_dict(saved.state["course"])
        done, wanted = self.training.epochs, self.settings.epochs
        if wanted < done:
            raise InputError(
                "The run has more epochs behind it than it shall have", f"{done} done, epochs={wanted}", "Give more"
            )
        set_random_state(saved.state["random"])  # refuses what is none before a file is touched
        if self._ending() is None:
            rehearse_resumed(self.training)
            self._open_files(saved.state["journals"])
        # Once more, as nothing above may have drawn from them.
        set_random_state(saved.state["random"])
        self.tell("resume", time=now())
        self._notices()

    def run(self) -> Run:
        """Epochs until done."""
        try:
            while (reason := self._ending()) is None:
                self._epoch()
        except DivergedError:
            self._end("diverged")
            raise
        self._end(reason)
        if self.interrupts.received is not None:  # too late to stop the run, not to stop the program
            raise Interrupted(self.interrupts.received, "the run is complete")
        training, course = self.training, self.course
        best = course.best or Best(training.step, training.epochs, math.nan, self.model.measure.name)
        path = None if self.directory is None else self.directory.path
        return Run(self.model, best, course.history, reason, path, training.step, training.tokens, course.seconds)

    def _ending(self) -> str | None:
        """Why the run is over; None while it is not."""
        if self.training.epochs >= self.settings.epochs:
            return "finished"
        return "early-stop" if self._stops_early() else None

    def _stops_early(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.course.stalled >= patience

    def _epoch(self) -> None:
        for estimate, spent in self.training.epoch():
            self._record(estimate, spent)
            self._leave_if_asked()
            if spent is not None and self._due():
                self.save()
        if self.training.epochs + 1 == self.settings.epochs:
            self._record(*self.training.close())
        self._end_epoch()
        if self._ending() is None:
            self._leave_if_asked(saved=True)

    def _due(self) -> bool:
        every = self.settings.save_every
        return self.training.step % every == 0 if every else time.monotonic() - self._saved_at > 60 * MINUTES_BETWEEN_SAVES

    def _record(self, estimate: Estimate, spent: Spent | None) -> None:
        self.course.tick()
        if spent is None:
            return
        event = {
            "loss": float(estimate.loss_sum) / max(estimate.count, 1),
            "grad_norm": spent.norm,
            "clipped": spent.clipped,
            "lr": spent.lr,
            "tokens": self.training.tokens,
            "seconds": self.course.seconds,
            **estimate.info,
        }
        self.tell("step" if self.training.step % self.settings.log_every == 0 else "progress", **event)

    def _end_epoch(self) -> None:
        """Validate, sample, save."""
        # Before the epoch is told: whoever interrupts these finds it still untold, and they are made again.
        score, samples = self._validate(), self._samples()
        trained = self._tell_epoch()
        measure = self.model.measure
        if score is not None:
            self.tell("valid", seconds=self.course.seconds, **measure.facts(score))
        result = trained if score is None else measure.of(score.mean)
        number = self.training.epochs + 1
        self.course.judge(self.training.step, number, result)
        self.training.update.schedule.validated(result)
        for sample in samples:
            self.tell("sample", **sample)
        if self._stops_early():
            self._record(*self.training.close())
        self.training.end_epoch()
        self.save()

    def _validate(self) -> Score | None:
        """How well the validation part is predicted; None where there is none."""
        if self.corpus.valid is None or len(self.corpus.valid) < 2:
            return None
        score = self.model.evaluate(self.corpus.valid, stop=self.interrupts, progress=self._validating)  # type: ignore[arg-type]
        self.course.tick(training=False)
        self._leave_if_asked()
        return score

    def _validating(self, done: int, total: int) -> None:
        self.tell("progress", validated=done, validation=total)

    def _tell_epoch(self) -> float:
        """The sums of the epoch; the figure that it is judged by."""
        training, tally, measure = self.training, self.training.tally, self.model.measure
        self.tell(
            "epoch",
            **measure.figures(tally.mean, "train_"),
            tokens_per_second=training.tokens / max(self.course.seconds, 1e-9),
            clip_rate=tally.clipped / max(tally.updates, 1),
            seconds=self.course.seconds,
        )
        return measure.of(tally.mean)

    def _samples(self) -> list[dict[str, str]]:
        """What the model writes now, if it is time for that."""
        s = self.settings
        due = s.sample_every and (self.training.epochs + 1) % s.sample_every == 0
        if not isinstance(self.model, LanguageModel) or self.model.vocab is None or not due:
            return []
        sampling: dict[str, Any] = {
            "length": s.sample_length,
            "temperature": s.temperature,
            "seed": s.seed + self.training.step,
        }
        prefixes = s.sample_prefix or (self._own_prefix(self.model.vocab),)
        samples = [{"prefix": prefix, "text": self._sample(self.model, prefix, sampling)} for prefix in prefixes]
        self.course.tick(training=False)
        return samples

    def _sample(self, model: LanguageModel, prefix: str, sampling: Mapping[str, Any]) -> str:
        pieces = []
        for piece in model.stream(prefix, **sampling):
            pieces.append(piece)
            self._leave_if_asked()
        return "".join(pieces)

    def _own_prefix(self, vocab: Vocabulary) -> str:
        """The text's first tokens."""
        assert isinstance(self.corpus, Corpus)
        return vocab.opening(self.corpus.train.ids[:16])

    def save(self) -> None:
        """A checkpoint of this moment."""
        self._saved_at = time.monotonic()
        if self.directory is None:
            return
        state = {
            "training": self.training.state_dict(),
            "course": self.course.state_dict(),
            "journals": {name: journal.length() for name, journal in self.journals.items()},
            "random": random_state(),
            "identity": identity(self.corpus, self.settings),
        }
        best = None if self.course.best is None else self.course.best.step
        described = describe_model(self.model)
        checkpoint.save(self.directory.checkpoints, self.training.step, parameters(self.model), described, state, best=best)

    def _leave_if_asked(self, *, saved: bool = False) -> None:
        if self.interrupts.received is None:
            return
        if not saved:
            self.save()
        self._end("interrupted")
        where = "" if self.directory is None else f"saved at update {self.training.step} in {self.directory.path}"
        raise Interrupted(self.interrupts.received, where)

    def _end(self, reason: str) -> None:
        self.tell("end", reason=reason, best=self.course.best_facts())
        for journal in self.journals.values():
            journal.length()

    def _notices(self) -> None:
        for text in (*self.corpus.notes, *self.training.stream.notes):
            self.tell("notice", text=text)

    def _look(self, window: Window) -> None:
        """Show the window that comes to whom it is due, and tell what they say; their time is not training's."""
        training = self.training
        for watcher in self.watchers:
            if due(watcher.at, training.stream):
                self.course.tick()
                said = watcher(Moment(training.unroll, training.strategy, window, training.carry, training.stream))
                self.course.tick(training=False)
                if said:
                    self.tell("notice", text=said, watcher=type(watcher).__name__)

    def tell(self, kind: str, **facts: Any) -> None:
        """An event, to everyone who listens."""
        epoch = min(self.training.epochs + 1, self.settings.epochs)
        event = {"event": kind, "step": self.training.step, "epoch": epoch, **facts}
        if kind in ("epoch", "valid"):
            self.course.history.append(event)
        for journal in self.journals.values():
            journal(event)
        for listener in self.listeners:
            listener(event)

    def _open_files(self, lengths: Mapping[str, int]) -> None:
        assert self.directory is not None
        for name, kind in JOURNALS.items():
            self.journals[name] = kind(self.directory.path / name, lengths.get(name, 0))
        if self.settings.tensorboard:
            self.tensorboard = TensorBoard(self.directory.path / "tensorboard", self.training.step)
            self.listeners.append(self.tensorboard)

    def close(self) -> None:
        """Close the files."""
        for file in (*self.journals.values(), self.tensorboard):
            if file is not None:
                file.close()


def now() -> str:
    """The time, as in a log."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")

"""A run while it lasts: the training, what is known of it so far, and who hears of it.

Knows the order in which things happen: updates, then validation, sample and checkpoint; every thing itself is another file.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from bptt.data import Corpus, Vocabulary
from bptt.data.series import SeriesData
from bptt.errors import ContractError, DivergedError, InputError, Interrupted
from bptt.metrics import Score
from bptt.models import LanguageModel, SeriesModel
from bptt.ranks import Ranks
from bptt.training import checkpoint
from bptt.training.course import Best, Course
from bptt.training.directory import RunDirectory, as_json, as_yaml
from bptt.training.environment import environment
from bptt.training.facts import corpus_facts
from bptt.training.health import check_saved
from bptt.training.identity import cell_name, check_same, describe_model, identity
from bptt.training.listeners import JOURNALS, Journal, Listener, TensorBoard
from bptt.training.prepare import prepare
from bptt.training.rehearsal import rehearse
from bptt.training.run import Run, parameters, set_parameters
from bptt.training.seeds import random_state, set_random_state
from bptt.training.settings import TrainSettings
from bptt.training.shares import other_size
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
        ranks: Ranks,
    ) -> None:
        self.model, self.corpus, self.settings, self.directory = model, corpus, settings, directory
        # One process writes and is heard; the others go the same way in silence.
        self.interrupts = interrupts
        self.listeners, self.watchers = (listeners, watchers) if ranks.first else ([], [])
        self.journals: dict[str, Journal] = {}
        self.tensorboard: TensorBoard | None = None
        self.training = prepare(model, corpus, settings, ranks)
        self.ranks = self.training.ranks
        self.leaving = 0  # the signal that this process, or another, has received
        self.training.look = self._look if watchers else None
        self.course = Course(model.measure.name)
        self._saved_at = time.monotonic()

    def begin(self, config: Mapping[str, Any]) -> None:
        """Start a new run, in place of what is in the directory; from its checkpoint at update 0 on it can be resumed."""
        self.ranks.spread(parameters(self.model).values())
        self._check_alike("settings or text", self._same)
        rehearse(self.training)
        self.course.tick(training=False)
        if self.directory is not None and self.ranks.first:
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

    def _same(self) -> str:
        """What must be the same in all processes, in words."""
        s = self.settings
        return f"{describe_model(self.model)} {identity(self.corpus, s)} {s.epochs} {s.patience} {s.save_every}"

    def _files(self, config: Mapping[str, Any]) -> dict[str, str]:
        """What is written once; the one that makes a directory a run comes first."""
        made = environment(self.training.device, self.settings.dtype, cell_name(self.model), self.ranks.size)
        return {
            "config.yaml": as_yaml(config),
            "env.json": as_json("env.json", made),
            "corpus.json": as_json("corpus.json", corpus_facts(self.corpus, self.training.stream)),
        }

    def resume(self) -> None:
        """Go on from the newest checkpoint; where that is the end of the run, no file is touched."""
        assert self.directory is not None
        saved = checkpoint.load(self.directory.checkpoints)
        check_same(saved, self.model, self.corpus, self.settings)
        set_parameters(self.model, saved.parameters)
        self.training.load_state_dict(saved.state["training"])
        self.course.load_state_dict(saved.state["course"])
        done, wanted = self.training.epochs, self.settings.epochs
        if wanted < done:
            raise InputError(
                "The run has more epochs behind it than it shall have", f"{done} done, epochs={wanted}", "Give more"
            )
        self._check_alike("settings, text or checkpoint", lambda: f"{saved.step} {self._same()}")
        if self._ending() is None and self.ranks.first:
            self._open_files(saved.state["journals"])
        randoms = [saved.state["random"], *saved.state.get("others", [])]
        # Last, so that nothing above draws from them.
        if self.ranks.rank < len(randoms):
            set_random_state(randoms[self.ranks.rank])
        self.tell("resume", time=now())
        self._notices()
        if len(randoms) != self.ranks.size:
            self.tell("notice", text=other_size(len(randoms), self.ranks.size))

    def run(self) -> Run:
        """Epochs until done."""
        try:
            while (reason := self._ending()) is None:
                self._epoch()
        except DivergedError:
            self._end("diverged")
            raise
        self._end(reason)
        self._vote()
        if self.leaving:  # too late to stop the run, not to stop the program
            raise Interrupted(self.leaving, "the run is complete")
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
            due = self._vote(spent is not None and self._due())
            self._leave_if_asked(voted=True)
            if due:
                self.save()
        if self.training.epochs + 1 == self.settings.epochs:
            self._record(*self.training.close())
        self._end_epoch()
        if self._ending() is None:
            self._leave_if_asked(saved=True)

    def _due(self) -> bool:
        every = self.settings.save_every
        if every:
            return self.training.step % every == 0
        return self.ranks.first and time.monotonic() - self._saved_at > 60 * MINUTES_BETWEEN_SAVES

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
        figures, samples = self._aside(lambda: (self._validate(), self._samples()))
        score = None if figures is None else Score(*figures)
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

    def _aside(self, job: Callable[[], Any]) -> Any:
        """What `job` gives, a JSON value: the first process does it, and may ask who wants to leave; the others answer."""
        if not self.ranks.first:
            done = False
            while not done:
                done = self._vote()
                self._leave_if_asked(voted=True)
            return self.ranks.told(None)
        result = job()
        self._vote(done=True)
        self._leave_if_asked(voted=True)
        return self.ranks.told(result)

    def _validate(self) -> tuple[float, ...] | None:
        """How well the validation part is predicted, as the fields of a `Score`; None where there is none."""
        if self.corpus.valid is None or len(self.corpus.valid) < 2:
            return None
        score = self.model.evaluate(self.corpus.valid, stop=self._asked, progress=self._validating)  # type: ignore[arg-type]
        self.course.tick(training=False)
        self._leave_if_asked()
        return dataclasses.astuple(score)

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
        if isinstance(self.corpus, Corpus) and not self.corpus.continues:
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
        parts = self.ranks.gathered({"carry": self.training.carry, "random": random_state()})
        self._check_alike("parameters", lambda: digest(self.model.parameters()))
        if self.ranks.first:
            self._write(parts)
        self.ranks.told(None)  # nobody goes on before it is on the disk: whoever reads it next finds it

    def _write(self, parts: list[dict[str, Any]]) -> None:
        """The checkpoint, from what every process had to give."""
        assert self.directory is not None
        carry = self.ranks.whole([part["carry"] for part in parts])
        state = {
            "training": {**self.training.state_dict(), "carry": carry},
            "course": self.course.state_dict(),
            "journals": {name: journal.length() for name, journal in self.journals.items()},
            "random": parts[0]["random"],
            "others": [part["random"] for part in parts[1:]],
            "identity": identity(self.corpus, self.settings),
        }
        best = None if self.course.best is None else self.course.best.step
        described = describe_model(self.model)
        checkpoint.save(self.directory.checkpoints, self.training.step, parameters(self.model), described, state, best=best)

    def _check_alike(self, what: str, text: Callable[[], str]) -> None:
        """ContractError, on all processes, unless all of them have the same."""
        if not self.ranks.alike(text):
            raise ContractError(
                f"The processes of this training have different {what}",
                f"at update {self.training.step}, in {self.ranks.size} processes",
                "Start all of them with the same command, files and versions",
            )

    def _vote(self, done: bool = False) -> bool:
        """Learn whether any process was asked to leave; True if any says that something is done, or due."""
        self.leaving, yes = self.ranks.largest(self.interrupts.received or 0, int(done))
        return bool(yes)

    def _asked(self) -> bool:
        """True once any process was asked to leave: then all have learned it in the same vote, and none is held after it."""
        if not self.leaving:
            self._vote()
        return bool(self.leaving)

    def _leave_if_asked(self, *, saved: bool = False, voted: bool = False) -> None:
        if not (self.leaving if voted else self._asked()):
            return
        if not saved:
            self.save()
        self._end("interrupted")
        where = "" if self.directory is None else f"saved at update {self.training.step} in {self.directory.path}"
        raise Interrupted(self.leaving, where)

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


def digest(tensors: Iterable[Tensor]) -> str:
    """SHA-256 over the bytes of all tensors."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def now() -> str:
    """The time, as in a log."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")

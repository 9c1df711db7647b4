"""A run while it lasts: the training, what is known of it so far, and who hears of it.

Knows the order in which things happen: updates, then validation, sample and checkpoint; every thing itself is another file.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Mapping
from typing import Any

import torch

from bptt.data import Corpus
from bptt.errors import CheckpointError, DivergedError, Interrupted
from bptt.metrics import perplexity
from bptt.models import LanguageModel
from bptt.training import checkpoint
from bptt.training.devices import find_device, precision
from bptt.training.directory import RunDirectory
from bptt.training.environment import environment
from bptt.training.listeners import Listener, MetricsFile, SamplesFile, TensorBoard
from bptt.training.loop import Training
from bptt.training.run import Best, Run, parameters, set_parameters
from bptt.training.schedule import Schedule
from bptt.training.seeds import random_state, seed_everything, set_random_state
from bptt.training.settings import TrainSettings
from bptt.training.signals import Interrupts
from bptt.training.update import Spent, Update, make_optimizer
from bptt.types import Estimate

MINUTES_BETWEEN_SAVES = 5.0


class Session:
    """One call of `fit`: the training, what is known of it so far, and who hears of it."""

    def __init__(
        self,
        model: LanguageModel,
        corpus: Corpus,
        settings: TrainSettings,
        directory: RunDirectory | None,
        interrupts: Interrupts,
        listeners: list[Listener],
    ) -> None:
        self.model, self.corpus, self.settings, self.directory = model, corpus, settings, directory
        self.interrupts, self.listeners = interrupts, listeners
        self.metrics: MetricsFile | None = None
        self.history: list[dict[str, Any]] = []
        self.best: Best | None = None
        self.stalled = 0
        self.seconds = 0.0
        self._clock = self._saved_at = time.monotonic()
        self.training = self._prepare()

    def _prepare(self) -> Training:
        s = self.settings
        if s.threads is not None:
            torch.set_num_threads(s.threads)
        device = find_device(s.device)
        dtype, autocast = precision(s.dtype)
        seed_everything(s.seed)
        self.model.to(device=device, dtype=dtype).train()
        stream = self.corpus.train.stream(s.batch_size, s.steps, s.sampling, block=s.block, seed=s.seed)
        per = stream.batch_size * s.gradient.nominal(stream.steps)
        unroll = self.model.unroll(per=per, autocast=autocast)
        optimizer = make_optimizer(s.optimizer, unroll.parameters(), lr=s.lr, momentum=s.momentum, weight_decay=s.weight_decay)
        schedule = Schedule(s.schedule, s.epochs, s.warmup, s.decay, s.decay_every)
        update = Update(unroll.parameters(), optimizer, schedule, s.clip)
        return Training(unroll, stream, s.gradient, update, device)

    def begin(self, config: Mapping[str, Any]) -> None:
        """Start a new run in an empty directory."""
        if self.directory is not None:
            self.directory.write_json("env.json", self._environment())
            self.directory.write_json("corpus.json", self._facts())
            self.directory.write_config(config)
            self._open_files(0)
        self.tell("start", time=now(), parameters=sum(p.numel() for p in self.model.parameters()))

    def resume(self) -> None:
        """Go on from the newest checkpoint."""
        assert self.directory is not None
        saved = checkpoint.load(self.directory.checkpoints)
        self._check_same(saved)
        set_parameters(self.model, saved.parameters)
        state = saved.state
        self.training.load_state_dict(state["training"])
        self.history = state["history"]
        self.best = None if state["best"] is None else Best(*state["best"])
        self.stalled, self.seconds = state["stalled"], state["seconds"]
        self._open_files(state["metrics_bytes"])
        # Last, so that nothing above draws from them.
        set_random_state(state["random"])
        self.tell("resume", time=now())

    def _check_same(self, saved: checkpoint.Saved) -> None:
        """CheckpointError if the checkpoint is of another model, vocabulary, text or method."""
        here = {"model": self.model.to_json(), **self._identity()}
        there = {"model": saved.model, **saved.state["identity"]}
        if here["model"]["vocab"] != there["model"]["vocab"]:
            raise CheckpointError("The checkpoint has another vocabulary", str(saved.path), "Resume with the text of the run")
        for key, value in here.items():
            if there[key] != value:
                raise CheckpointError(
                    f"The checkpoint was made with another {key}",
                    f"{there[key]} there, {value} here",
                    "Resume with the run's own",
                )

    def _identity(self) -> dict[str, Any]:
        """What may not change between a run and its continuation."""
        s = self.settings
        same = ("optimizer", "lr", "momentum", "weight_decay", "schedule", "clip", "dtype", "seed")
        text = self.corpus.facts.get("sha256")
        return {"gradient": repr(s.gradient), "text": text, **{name: getattr(s, name) for name in same}}

    def run(self) -> Run:
        """Epochs until done."""
        try:
            reason = self._epochs()
        except DivergedError:
            self.tell("end", reason="diverged", best=self._best_facts())
            raise
        self.tell("end", reason=reason, best=self._best_facts())
        self._flush()
        assert self.best is not None
        path = None if self.directory is None else self.directory.path
        return Run(self.model, self.best, self.history, reason, path, self.training.step, self.training.tokens, self.seconds)

    def _epochs(self) -> str:
        training, s = self.training, self.settings
        while training.epochs < s.epochs:
            if self._stalled_out():
                return "early-stop"
            for estimate, spent in training.epoch():
                self._after(estimate, spent)
            if training.epochs + 1 == s.epochs:
                self._record(*training.close())
            self._end_epoch()
        return "early-stop" if self._stalled_out() else "finished"

    def _stalled_out(self) -> bool:
        return self.settings.patience is not None and self.stalled >= self.settings.patience

    def _after(self, estimate: Estimate, spent: Spent | None) -> None:
        self._record(estimate, spent)
        if self.interrupts():
            self._leave()
        every, step = self.settings.save_every, self.training.step
        due = step % every == 0 if every else time.monotonic() - self._saved_at > 60 * MINUTES_BETWEEN_SAVES
        if spent is not None and due:
            self.save()

    def _record(self, estimate: Estimate, spent: Spent | None) -> None:
        self._tick()
        if spent is None:
            return
        training = self.training
        event = {
            "loss": float(estimate.loss_sum) / max(estimate.count, 1),
            "grad_norm": spent.norm,
            "clipped": spent.clipped,
            "lr": spent.lr,
            "tokens": training.tokens,
            "seconds": self.seconds,
            **estimate.info,
        }
        self.tell("step" if training.step % self.settings.log_every == 0 else "progress", **event)

    def _end_epoch(self) -> None:
        """Validate, sample, save; then the next one."""
        training, number = self.training, self.training.epochs + 1
        tally = training.tally
        self.tell(
            "epoch",
            train_nats=tally.mean,
            train_perplexity=perplexity(tally.mean),
            tokens_per_second=training.tokens / max(self.seconds, 1e-9),
            clip_rate=tally.clipped / max(tally.updates, 1),
            seconds=self.seconds,
        )
        result = self._validate(perplexity(tally.mean))
        better = self.best is None or result < self.best.perplexity
        if better:
            self.best = Best(training.step, number, result)
        self.stalled = 0 if better else self.stalled + 1
        training.update.schedule.validated(result)
        if self.settings.sample_every and number % self.settings.sample_every == 0:
            self._sample()
        training.end_epoch()
        self.save(best=better)

    def _validate(self, trained: float) -> float:
        """Perplexity on the validation part, or of training where there is none."""
        if self.corpus.valid is None or len(self.corpus.valid) < 2:
            return trained
        score = self.model.evaluate(self.corpus.valid, stop=self.interrupts, progress=self._validating)
        if self.interrupts():
            self._leave()
        facts = {"bits_per_token": score.bits_per_token, "bits_per_character": score.bits_per_character}
        self._tick(training=False)
        self.tell("valid", nats=score.mean, perplexity=score.perplexity, seconds=self.seconds, **facts)
        return score.perplexity

    def _validating(self, done: int, total: int) -> None:
        self.tell("progress", validated=done, validation=total)

    def _sample(self) -> None:
        if self.model.vocab is None:
            return
        s = self.settings
        for prefix in s.sample_prefix or (self._own_prefix(),):
            text = "".join(
                self.model.stream(prefix, length=s.sample_length, temperature=s.temperature, seed=s.seed + self.training.step)
            )
            self.tell("sample", prefix=prefix, text=text)
        self._tick(training=False)

    def _own_prefix(self) -> str:
        """The first tokens of the validation part: a text that the model has not been trained on."""
        assert self.model.vocab is not None
        part = self.corpus.valid or self.corpus.train
        return self.model.vocab.decode(part.ids[:16])

    def save(self, *, best: bool = False) -> None:
        """A checkpoint of this moment."""
        self._saved_at = time.monotonic()
        if self.directory is None:
            return
        state = {
            "training": self.training.state_dict(),
            "history": self.history,
            "best": None if self.best is None else list(dataclasses.astuple(self.best)),
            "stalled": self.stalled,
            "seconds": self.seconds,
            "metrics_bytes": self._flush(),
            "random": random_state(),
            "identity": self._identity(),
        }
        described = {"kind": "own"} if self.model.own_cell else self.model.to_json()
        checkpoint.save(self.directory.checkpoints, self.training.step, parameters(self.model), described, state, best=best)

    def _leave(self) -> None:
        assert self.interrupts.received is not None
        self.save()
        self.tell("end", reason="interrupted", best=self._best_facts())
        self._flush()
        saved = "" if self.directory is None else f"saved at update {self.training.step} in {self.directory.path}"
        raise Interrupted(self.interrupts.received, saved)

    def tell(self, kind: str, **facts: Any) -> None:
        """An event, to everyone who listens."""
        event = {"event": kind, "step": self.training.step, "epoch": min(self.training.epochs + 1, self.settings.epochs), **facts}
        if kind in ("epoch", "valid"):
            self.history.append(event)
        for listener in self.listeners:
            listener(event)

    def _tick(self, training: bool = True) -> None:
        """Count the time since the last tick as training, or leave it out."""
        at = time.monotonic()
        self.seconds += (at - self._clock) * training
        self._clock = at

    def _best_facts(self) -> dict[str, Any] | None:
        return None if self.best is None else dataclasses.asdict(self.best)

    def _environment(self) -> dict[str, Any]:
        return environment(self.training.device, self.settings.dtype, self.model.settings.cell)

    def _facts(self) -> dict[str, Any]:
        stream = self.training.stream
        return {**self.corpus.facts, "batch_size": stream.batch_size, "steps": stream.steps, "notes": list(stream.notes)}

    def _open_files(self, offset: int) -> None:
        assert self.directory is not None
        self.metrics = MetricsFile(self.directory.metrics, offset)
        self.listeners[:0] = [self.metrics, SamplesFile(self.directory.path / "samples.txt")]
        if self.settings.tensorboard:
            self.listeners.append(TensorBoard(self.directory.path / "tensorboard"))

    def _flush(self) -> int:
        return 0 if self.metrics is None else self.metrics.flush()

    def close(self) -> None:
        """Close the files."""
        for listener in self.listeners:
            close = getattr(listener, "close", None)
            if close is not None:
                close()


def now() -> str:
    """The time, as in a log."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")

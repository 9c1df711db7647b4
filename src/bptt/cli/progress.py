"""What a person sees while a model trains: a live view on a terminal, plain lines elsewhere.

Knows the events of a run and nothing of how they come about. Everything goes to standard error; without a terminal there is
never a control code.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bptt.cli.ending import visible
from bptt.cli.output import clock, figure
from bptt.data import Corpus
from bptt.data.series import SeriesData
from bptt.metrics import PERPLEXITY, Measure
from bptt.training.listeners import Event, Listener
from bptt.training.settings import TrainSettings

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_VIEWS = 0.2
SAMPLE_CHARACTERS = 400


@contextlib.contextmanager
def display(
    settings: TrainSettings,
    heading: str,
    per_epoch: int,
    *,
    quiet: bool,
    measure: Measure = PERPLEXITY,
    unit: str = "tokens",
    pause: float = 0.0,
) -> Iterator[Listener]:
    """A listener that shows a run to whoever looks at standard error.

    heading    what is trained on, in one line
    per_epoch  losses in an epoch, in the unit of the data
    pause      seconds between the lines of two epochs: where an epoch takes a blink, most of them go untold
    """
    if quiet:
        yield lambda event: None
        return
    state = State(settings, heading, per_epoch, measure, unit, pause)
    if on_terminal():
        from bptt.cli.live import live

        with live(state) as listener:
            yield listener
    else:
        yield Lines(state)


def on_terminal() -> bool:
    """True if standard error is a terminal that can move its cursor."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def heading(corpus: Corpus | SeriesData, out: Path) -> str:
    """What is trained on, in one line."""
    facts = corpus.facts
    parts = f"{len(corpus.train):,} for training, {len(corpus.valid or ()):,} for validation"
    if "floor" in facts:
        return visible(f"{', '.join(facts['sources'])}, {facts['about']}: {parts} (steps) → {out}")
    assert isinstance(corpus, Corpus)
    unit = {"char": "characters", "byte": "bytes"}.get(corpus.vocab.unit, "words")
    return visible(f"{', '.join(facts['sources'])}: {parts} ({unit}, vocabulary {len(corpus.vocab):,}) → {out}")


class State:
    """What the events have told so far, in the words of a person."""

    def __init__(
        self,
        settings: TrainSettings,
        heading: str,
        per_epoch: int,
        measure: Measure = PERPLEXITY,
        unit: str = "tokens",
        pause: float = 0.0,
    ) -> None:
        self.heading, self.measure, self.unit, self.pause = heading, measure, unit, pause
        self.epochs, self.per_epoch = settings.epochs, max(per_epoch, 1)
        self.epoch, self.step, self.tokens, self.seconds = 1, 0, 0, 0.0
        self.base: tuple[int, float] | None = None
        self.loss: float | None = None
        self.norm: float | None = None
        self.clipped = 0.0
        self.k: Any = None
        self.valid: float | None = None
        self.best: float | None = None
        self.checked: tuple[int, int] | None = None

    def take(self, event: Event) -> None:
        """Learn from an event."""
        self.epoch, self.step = event["epoch"], event["step"]
        self.checked = (event["validated"], event["validation"]) if "validated" in event else None
        if "loss" in event:
            self.tokens, self.seconds = event["tokens"], event["seconds"]
            self.base = self.base or (self.tokens, self.seconds)
            self.loss = event["loss"] if self.loss is None else self.loss + 0.05 * (event["loss"] - self.loss)
            self.clipped += 0.05 * (event["clipped"] - self.clipped)
            self.norm, self.k = event["grad_norm"], event.get("k")
        if event["event"] == "valid":
            self.valid = event[self.measure.name]
            self.best = min(self.valid, self.best or self.valid)

    @property
    def done(self) -> float:
        """The share of the current epoch that is behind us."""
        return min(max(self.tokens / self.per_epoch - (self.epoch - 1), 0.0), 1.0)

    @property
    def speed(self) -> float:
        """Tokens per second since this process began."""
        tokens, seconds = self.base or (0, 0.0)
        return (self.tokens - tokens) / (self.seconds - seconds) if self.seconds > seconds else 0.0

    @property
    def left(self) -> float | None:
        """Seconds of training that remain."""
        remaining = (self.epochs - self.epoch + 1 - self.done) * self.per_epoch
        return remaining / self.speed if self.speed else None

    def figures(self) -> list[str]:
        """The figure now and on validation, gradient, clipping, k: what is known of them."""
        parts = [] if self.loss is None else [f"{self.measure.name} {figure(self.measure.of(self.loss))}"]
        parts += [] if self.valid is None else [f"validation {figure(self.valid)}"]
        parts += [] if self.norm is None else [f"gradient {figure(self.norm)}", f"clipped {self.clipped:.0%}"]
        return parts + ([] if self.k is None else [f"k {self.k}"])

    def pace(self) -> list[str]:
        """Speed and time left, once they are known."""
        parts = [f"{self.speed:,.0f} {self.unit}/s"] if self.speed else []
        return parts + ([] if self.left is None else [f"{clock(self.left)} left"])


def epoch_line(state: State, event: Event, valid: Event | None) -> str:
    """One line on an epoch that is over."""
    name = state.measure.name
    known = f"{name}: training {figure(event[f'train_{name}'])}"
    if valid is not None:
        known += f", validation {figure(valid[name])}" + (" (best)" if state.best == valid[name] else "")
    parts = [f"epoch {event['epoch']}/{state.epochs}", known]
    return " · ".join([*parts, f"{event['tokens_per_second']:,.0f} {state.unit}/s", clock(event["seconds"])])


def sample_text(event: Event) -> tuple[str, str]:
    """Prefix and continuation as they may be shown."""
    text = event["text"]
    return visible(event["prefix"]), visible(text[:SAMPLE_CHARACTERS]) + ("…" if len(text) > SAMPLE_CHARACTERS else "")


class Story:
    """The lines that a run leaves behind. An epoch's own event waits until its validation is known: one line for both."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.waiting: Event | None = None
        self.held: str | None = None
        self.told = -math.inf

    def _paced(self, line: str) -> list[str]:
        """The line of an epoch, unless another was told a moment ago: then it waits for the end."""
        if time.monotonic() - self.told < self.state.pause:
            self.held = line
            return []
        self.told, self.held = time.monotonic(), None
        return [line]

    def lines(self, event: Event) -> list[str]:
        """The lines that are complete now."""
        kind, found = event["event"], []
        if kind in ("start", "resume"):
            found = [self.state.heading, *([f"going on after update {event['step']:,}"] if kind == "resume" else [])]
        if kind == "notice" and "watcher" in event:  # the others have been said before the run began
            found = [visible(f"update {event['step']:,}: {event['text']}.")]
        if kind == "valid" and self.waiting is not None:
            found, self.waiting = self._paced(epoch_line(self.state, self.waiting, event)), None
        elif kind in ("sample", "step", "end") and self.waiting is not None:
            found, self.waiting = self._paced(epoch_line(self.state, self.waiting, None)), None
        if kind == "end" and self.held is not None:
            found, self.held = [*found, self.held], None
        if kind == "epoch":
            self.waiting = event
        return found


class Lines:
    """Plain lines: one per epoch, one every ten seconds, and the samples."""

    def __init__(self, state: State) -> None:
        self.state, self.story = state, Story(state)
        self.last = time.monotonic()

    def __call__(self, event: Event) -> None:
        self.state.take(event)
        for line in self.story.lines(event):
            self.write(line)
        if event["event"] == "sample":
            prefix, text = sample_text(event)
            self.write("sample: " + "\n  ".join((prefix + text).split("\n")))
        elif "loss" in event and time.monotonic() - self.last > SECONDS_BETWEEN_LINES:
            state = self.state
            where = f"epoch {state.epoch}/{state.epochs} {state.done:.0%} · update {state.step}"
            self.write(" · ".join([where, *state.figures(), *state.pace()]))

    def write(self, line: str) -> None:
        """One line, and the clock anew."""
        print(line, file=sys.stderr, flush=True)
        self.last = time.monotonic()

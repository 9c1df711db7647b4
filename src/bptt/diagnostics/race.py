"""Short training runs of equal time, one per strategy, from the same parameters: who learns most in a minute?

Knows trainings and how to evaluate a model; must not know any strategy, nor how a race is shown.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bptt.data import Corpus, Tokens
from bptt.data.series import SeriesData
from bptt.diagnostics.cost import rotated, timed
from bptt.errors import BpttError, DivergedError, InputError
from bptt.models import LanguageModel, SeriesModel
from bptt.training.loop import Training
from bptt.training.prepare import prepare
from bptt.training.rehearsal import rehearse
from bptt.training.settings import TrainSettings
from bptt.types import Strategy

LAPS = 8  # evaluations after the first
HELD_OUT = 10_000  # tokens of the held-out part that an evaluation reads


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a race.

    points   (seconds of training, tokens read, perplexity on held-out text), before the start and after each lap
    updates  how many there were
    reason   why the run could not start, or ended early; empty if it did not
    """

    name: str
    points: tuple[tuple[float, int, float], ...]
    updates: int = 0
    reason: str = ""

    @property
    def perplexity(self) -> float:
        """At the end; NaN for a run that never started."""
        return self.points[-1][2] if self.points else math.nan


@dataclasses.dataclass(frozen=True)
class Race:
    """Training runs of equal time: how long each was, how many held-out tokens an evaluation read, and the runs."""

    seconds: float
    held_out: int
    trials: tuple[Trial, ...]


def hold_race(
    model: LanguageModel | SeriesModel,
    corpus: Corpus | SeriesData,
    strategies: Mapping[str, Strategy],
    seconds: float,
    settings: TrainSettings,
    progress: Callable[[int, int], None],
) -> Race:
    """Train a copy of `model` with each strategy for `seconds` of training time, taking turns.

    Time counts while a run trains, loading of data included and evaluation not. The learning rate is constant after its
    warm-up: in equal time the runs get through unequal amounts of text, so that no schedule over epochs would be fair.
    """
    judge = held_out(corpus)
    runners = [Runner(name, model, corpus, strategy, settings, judge) for name, strategy in strategies.items()]
    for lap in range(LAPS + 1):
        for done, number in enumerate(rotated(range(len(runners)), lap), 1):
            runners[number].run(seconds * lap / LAPS)
            progress(lap * len(runners) + done, (LAPS + 1) * len(runners))
    return Race(seconds, len(judge) - 1, tuple(runner.trial for runner in runners))


def held_out(corpus: Corpus | SeriesData) -> Tokens:
    """The text that judges a race: the beginning of the validation part; InputError without one."""
    if not isinstance(corpus, Corpus):
        todo = "Leave the race out; bptt forecast --gradient trains with another strategy"
        raise InputError("A race is judged by the perplexity of a text", "a series", todo)
    if corpus.valid is None or len(corpus.valid) < 2:
        raise InputError("A race needs held-out text to judge by", "no validation part", "Keep some, for example valid=0.1")
    return corpus.valid.head(HELD_OUT)


class Runner:
    """One training run that can be let run and stopped."""

    def __init__(
        self,
        name: str,
        model: LanguageModel | SeriesModel,
        corpus: Corpus | SeriesData,
        strategy: Strategy,
        settings: TrainSettings,
        judge: Tokens,
    ) -> None:
        self.name, self.judge = name, judge
        self.model: Any = copy.deepcopy(model)
        self.seconds, self.updates, self.reason = 0.0, 0, ""
        self.points: list[tuple[float, int, float]] = []
        plain: dict[str, Any] = {"gradient": strategy, "schedule": "constant", "tensorboard": False, "sample_prefix": ()}
        try:
            self.training = prepare(self.model, corpus, dataclasses.replace(settings, **plain))
            rehearse(self.training)
            self.going = endless(self.training)
        except BpttError as error:
            self.reason = str(error)

    def run(self, until: float) -> None:
        """Train until so many seconds of training are behind, then evaluate."""
        if self.reason:
            return
        device = self.training.device
        try:
            while self.seconds < until:
                self.seconds += timed(self.going.__next__, device)
            perplexity = self.model.evaluate(self.judge).perplexity
        except BpttError as error:
            how = "diverged" if isinstance(error, DivergedError) else "stopped"
            self.reason = f"{how} after {self.seconds:.1f} s: {error}"
            return
        self.updates = self.training.step
        self.points.append((self.seconds, self.training.tokens, perplexity))

    @property
    def trial(self) -> Trial:
        """What there is of it so far."""
        return Trial(self.name, tuple(self.points), self.updates, self.reason)


def endless(training: Training) -> Iterator[object]:
    """Every update of one epoch after the other."""
    while True:
        yield from training.epoch()
        training.end_epoch()


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """The runs that reached the end, best first."""
    return sorted((c for c in trials if not c.reason and math.isfinite(c.perplexity)), key=lambda c: c.perplexity)

"""The loop, for every strategy: estimates come, are spent if they are ready, and the carry goes on.

Knows strategies by their contract, streams by theirs, and updates; must not know models, files or people.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from bptt.data import Stream
from bptt.errors import CheckpointError
from bptt.models import Unroll
from bptt.training.health import check_estimate
from bptt.training.pack import like, move
from bptt.training.restore import check_windows
from bptt.training.update import Spent, Update
from bptt.types import Carry, Estimate, Strategy, Window


def estimates(
    strategy: Strategy, unroll: Unroll, windows: Iterable[Window], carry: Carry, consumed: int = 0
) -> Iterator[tuple[Window, int, Estimate]]:
    """Every estimate over `windows`, with its window and how many steps of that are consumed.

    consumed  steps of the first window that are behind us, when a run goes on in the middle of one
    """
    for window in windows:
        start, consumed = consumed, 0
        for estimate in strategy.gradients(unroll, window[:, start:], carry):
            carry = estimate.carry
            yield window, start + estimate.steps, estimate


@dataclasses.dataclass
class Tally:
    """Sums over an epoch: losses, in nats for a text, and how many they are."""

    nats: float = 0.0
    count: int = 0
    updates: int = 0
    clipped: int = 0

    @property
    def mean(self) -> float:
        """The mean loss so far; NaN while no stretch is finished."""
        return self.nats / self.count if self.count else math.nan

    def add(self, loss: float, count: int, spent: Spent | None) -> None:
        """One more estimate."""
        self.nats += loss
        self.count += count
        if spent is not None:
            self.updates += 1
            self.clipped += spent.clipped


COUNTERS = ("step", "tokens", "epochs", "spent_until")


class Training:
    """A training run as a value that moves: parameters, carry, place in the stream, counters.

    `epoch()` runs what is left of an epoch, one estimate at a time; between two of them `state_dict()` holds everything that
    the rest of the run depends on, apart from parameters and random states.
    """

    def __init__(self, unroll: Unroll, stream: Stream, strategy: Strategy, update: Update, device: torch.device) -> None:
        self.unroll, self.stream, self.strategy, self.update, self.device = unroll, stream, strategy, update, device
        self.ranks = unroll.ranks
        self.carry = strategy.start(unroll, stream.own_rows)
        self.before: dict[str, Any] = stream.state_dict()
        self.consumed = 0
        self.step = self.tokens = self.epochs = 0
        self.spent_until = 0.0
        self.tally = Tally()
        self.pace: Callable[[float], None] | None = None  # told how many epochs the updates have spent
        self.vocabulary: int | None = None  # how many ids there are, if inputs are ids
        self.look: Callable[[Window], None] | None = None  # called before each window, when all before it is spent

    def epoch(self) -> Iterator[tuple[Estimate, Spent | None]]:
        """Every estimate of (the rest of) the current epoch, spent if it was ready."""
        self.stream.load_state_dict(self.before)
        if self.stream.epoch == self.epochs and self.stream.handed == len(self.stream):
            return  # saved after the last window of this epoch, before `end_epoch`
        for window, consumed, estimate in estimates(self.strategy, self.unroll, self._windows(), self.carry, self.consumed):
            self._advance(window, consumed, estimate)
            estimate = self.ranks.pooled(estimate)
            yield estimate, self._spend(window, estimate, self._passed(consumed / window.steps))

    def close(self) -> tuple[Estimate, Spent | None]:
        """Spend the stretch that is still open, once, after the last window of a run; nothing open is nothing spent."""
        window = self.stream.window(0)[:, :0].to(self.device)
        estimate = self.ranks.pooled(list(self.strategy.gradients(self.unroll, window, self.carry))[-1])
        self.carry = estimate.carry
        return estimate, self._spend(window, estimate, self.stream.epoch + 1.0)

    def end_epoch(self) -> None:
        """Count the epoch, and forget its sums."""
        self.epochs += 1
        self.tally = Tally()

    def keep_pace(self) -> None:
        """Tell how far the training is: at its start, after every update, and when it goes on from a checkpoint."""
        if self.pace is not None:
            self.pace(self.spent_until)

    def _windows(self) -> Iterator[Window]:
        for window in self.stream:
            window = window.to(self.device)
            if self.look is not None and not self.consumed:  # one that is begun was looked at before the run was resumed
                self.look(window)
            yield window

    def _advance(self, window: Window, consumed: int, estimate: Estimate) -> None:
        self.carry = estimate.carry
        if consumed == window.steps:
            self.before, self.consumed = self.stream.state_dict(), 0
        else:
            self.consumed = consumed

    def _passed(self, share: float) -> float:
        """How many epochs are behind us, with the fraction of this one, after a share of the current window."""
        return self.stream.epoch + (self.stream.handed - 1 + share) / len(self.stream)

    def _spend(self, window: Window, estimate: Estimate, passed: float) -> Spent | None:
        loss = float(estimate.loss_sum)
        if estimate.ready:
            self.ranks.add_up(self.update.parameters)
        norm, clipped = self.update.clip() if estimate.ready else (None, False)
        check_estimate(self.unroll, window, estimate.carry, loss, norm, self.step + 1)
        spent = None
        if norm is not None:
            # The rate is that of the middle of what the update spends: neither end of a schedule is wasted on a rate of 0.
            spent = self.update.spend((self.spent_until + passed) / 2, norm, clipped)
            self.spent_until = passed
            self.step += 1
            self.keep_pace()
        self.tokens += estimate.count
        self.tally.add(loss, estimate.count, spent)
        return spent

    def state_dict(self) -> dict[str, Any]:
        """Place, carry, optimiser, schedule and counters, between two estimates."""
        return {
            "stream": self.before,
            "consumed": self.consumed,
            "carry": self.carry,
            "update": self.update.state_dict(),
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "tally": dataclasses.asdict(self.tally),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`, on whatever device the run is now."""
        template, carry = self.carry, self.ranks.part(state["carry"])
        check_windows(carry, self.stream.window(0), self.vocabulary)
        carry = move(carry, self.device)
        self.carry = Carry(like(template.state, carry.state), carry.memory)
        if state["consumed"] >= self.stream.steps:
            given = f"{state['consumed']} steps consumed of {self.stream.steps}"
            raise CheckpointError("The saved run stands behind its window", given, "Use another checkpoint")
        self.before, self.consumed = state["stream"], state["consumed"]
        self.stream.load_state_dict(self.before)
        self.update.load_state_dict(state["update"])
        for name in COUNTERS:
            setattr(self, name, state["counters"][name])
        self.keep_pace()
        self.tally = Tally(**state["tally"])

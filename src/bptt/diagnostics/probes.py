"""Probes: stretches of a text on which gradients are measured, each with the state that the text before it left.

Knows streams and the `Unroll` protocol; must not know what is measured.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import warnings

import torch

from bptt import nest
from bptt.data import Tokens
from bptt.data.series import SeriesPart
from bptt.data.stream import Stream
from bptt.errors import InputError
from bptt.types import State, Unroll, Window

WINDOWS = 4  # windows of training in a probe, if the text has room for them


@dataclasses.dataclass(frozen=True)
class Probe:
    """B rows of T steps, and the state before them: warmed up on the text before, so it is not zero.

    begins  the first step, and all others at which a window has to begin, because one ends before them
    """

    window: Window
    state: State
    begins: tuple[int, ...] = (0,)

    def cut(self, steps: int) -> list[Window]:
        """The probe as a loader would hand it out, in windows of `steps`, and the empty one that closes what is open."""
        pieces = itertools.pairwise([*self.begins, self.window.steps])
        starts = [start for first, end in pieces for start in range(first, end, steps)]
        ends = [*starts[1:], self.window.steps]
        return [*(self.window[:, a:b] for a, b in zip(starts, ends, strict=True)), self.window[:, :0]]


def anew(window: Window) -> list[int]:
    """Where the pieces of a window begin that no row carries a state into: its first step, and every one where all reset."""
    return sorted({0, *window.reset.all(0).nonzero().flatten().tolist()})


def training_stream(
    part: Tokens | SeriesPart, batch_size: int, steps: int, length: int, sampling: str, block: int | None, seed: int
) -> Stream:
    """A part as training is handed it; as lanes, whose windows continue each other, in windows of a probe's `length`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # they are the stream's notes as well
        if sampling == "sequential":
            return part.stream(batch_size, length, sampling, block=block, seed=seed, offset=False)
        return part.stream(batch_size, steps, sampling, block=block, seed=seed)


def probe_length(part: Tokens | SeriesPart, batch_size: int, steps: int, wanted: int | None) -> int:
    """T of the probes: as wanted, else four windows or as much as fits; InputError where there is no room for that.

    Each row needs twice T steps: the first half warms up its state.
    """
    room = (len(part) - 1) // batch_size // 2
    length = min(WINDOWS * steps, room) if wanted is None else wanted
    if not 2 <= length <= room:
        rows = (len(part) - 1) // 2 // max(length, 2)
        todo = f"Give a batch size of {rows} or less" if rows else "Give a longer one"
        raise InputError(
            "The training part is too short for a probe, whose rows need as many steps again before it",
            f"{len(part):,} steps for {batch_size} rows of 2 × {max(length, 2)} steps",
            todo + (", or shorter probes" if wanted is not None and room >= 2 else ""),
        )
    return length


@torch.no_grad()
def find_probes(unroll: Unroll, stream: Stream, *, steps: int, count: int) -> list[Probe]:
    """At most `count` probes of `steps` steps (or an epoch, if that is shorter), spread over it; none overlaps another.

    A probe begins where a window does. The state before it is that of the model after the `steps` steps before.
    """
    epoch = Epoch(stream)
    steps = min(steps, epoch.borders[-1])
    starts = epoch.starts(steps)
    found = []
    for start in (starts[number - 1] for number in spread(len(starts), count)):
        state = unroll.initial_state(stream.batch_size)
        if start:
            state = unroll.segment(like_parameters(unroll, epoch.steps(max(0, start - steps), start)), state)[1]
        window = like_parameters(unroll, epoch.steps(start, start + steps))
        found.append(Probe(window, nest.detach(state), epoch.begins(start, start + steps)))
    return found


def like_parameters(unroll: Unroll, window: Window) -> Window:
    """The window on the device of the parameters, its numbers in their type."""
    like = next(parameter for _, parameter in unroll.named_parameters())

    def number(value: torch.Tensor) -> torch.Tensor:
        return value.to(like.device, like.dtype if value.is_floating_point() else value.dtype)

    return Window(*(number(getattr(window, field.name)) for field in dataclasses.fields(window)))


class Epoch:
    """The windows of a stream's epoch, one after the other in time."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        plan = stream.layout.plan(stream.epoch)
        pieces = [min(plan.steps, plan.block - first) for first in range(0, plan.block, plan.steps)]
        self.borders = [0, *itertools.accumulate(pieces * len(plan.starts))]

    def starts(self, steps: int) -> list[int]:
        """Where probes can begin, one after the other; lanes need as many steps again before the first, to warm up."""
        free = steps if self.stream.sampling == "sequential" else 0
        found = []
        for border in self.borders:
            if free <= border <= self.borders[-1] - steps:
                found.append(border)
                free = border + steps
        return found

    def begins(self, first: int, last: int) -> tuple[int, ...]:
        """Where windows begin among these steps, counted from `first` on; lanes could be cut anywhere else as well."""
        if self.stream.sampling == "sequential":
            return (0,)
        return tuple(border - first for border in self.borders if first <= border < last)

    def steps(self, first: int, last: int) -> Window:
        """The steps from `first` up to, not including, `last`."""
        start, end = bisect.bisect_right(self.borders, first) - 1, bisect.bisect_left(self.borders, last)
        joined = Window.cat(*map(self.stream.window, range(start, end)))
        return Window.cat(joined[:, first - self.borders[start] : last - self.borders[start]])


def spread(last: int, count: int) -> list[int]:
    """At most `count` of the numbers 1 … last, evenly spread."""
    if count >= last:
        return list(range(1, last + 1))
    return [1 + (2 * n + 1) * last // (2 * count) for n in range(count)]

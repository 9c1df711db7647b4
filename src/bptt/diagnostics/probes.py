"""Probes: stretches of a text on which gradients are measured, each with the state that the text before it left.

Knows streams and the `Unroll` protocol; must not know what is measured.
"""

from __future__ import annotations

import dataclasses

import torch

from bptt import nest
from bptt.data import Tokens
from bptt.errors import InputError
from bptt.types import State, Unroll, Window

WINDOWS = 4  # windows of training in a probe, if the text has room for them


@dataclasses.dataclass(frozen=True)
class Probe:
    """B rows of T steps, and the state before them: warmed up on the text before, so it is not zero."""

    window: Window
    state: State

    def cut(self, steps: int) -> list[Window]:
        """The probe as a loader would hand it out, in windows of `steps`, and the empty one that closes what is open."""
        starts = range(0, self.window.steps, steps)
        return [*(self.window[:, start : start + steps] for start in starts), self.window[:, :0]]


def probe_length(tokens: Tokens, batch_size: int, steps: int, wanted: int | None) -> int:
    """T of the probes: as wanted, else four windows or as much as fits; InputError where a text has no room for that.

    Each row needs twice T steps: the first half warms up its state.
    """
    room = (len(tokens) - 1) // batch_size // 2
    length = min(WINDOWS * steps, room) if wanted is None else wanted
    if not 2 <= length <= room:
        rows = (len(tokens) - 1) // 2 // max(length, 2)
        todo = f"Give a batch size of {rows} or less" if rows else "Give a longer text"
        raise InputError(
            "The text is too short for a probe, whose rows need as many steps again before it",
            f"{len(tokens):,} tokens for {batch_size} rows of 2 × {max(length, 2)} steps",
            todo + (", or shorter probes" if wanted is not None and room >= 2 else ""),
        )
    return length


@torch.no_grad()
def find_probes(unroll: Unroll, tokens: Tokens, *, batch_size: int, steps: int, count: int, seed: int) -> list[Probe]:
    """At most `count` probes of `steps` steps, spread over the text; none overlaps another.

    Arguments: tokens, the text; batch_size, rows B; seed, of the dropout masks. The state before a probe is that of the
    model after the `steps` steps before it.
    """
    stream = tokens.stream(batch_size, steps, seed=seed, offset=False)
    last = (len(tokens) - 1) // batch_size // steps - 1
    device = next(parameter.device for _, parameter in unroll.named_parameters())
    found = []
    for number in spread(last, count):
        before, window = (stream.window(n).to(device) for n in (number - 1, number))
        _, state = unroll.segment(before, unroll.initial_state(batch_size))
        found.append(Probe(window, nest.detach(state)))
    return found


def spread(last: int, count: int) -> list[int]:
    """At most `count` of the numbers 1 … last, evenly spread."""
    if count >= last:
        return list(range(1, last + 1))
    return [1 + (2 * n + 1) * last // (2 * count) for n in range(count)]

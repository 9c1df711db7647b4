"""One engine for the rules with a trace per weight: what the weight did to its own unit, as that unit goes on by itself.

    e_t = own_t e_{t−1} + ∂s_t/∂θ with s_{t−1} fixed,      ∂l_t/∂θ ≈ L_t e_t,      L_t = ∂l_t/∂h_t

own_t is the part of the unit's recurrence that a rule keeps; that units drive each other is left out. The learning signal L_t
is what the loss of this step says to the units that put out h_t.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bptt import nest
from bptt.errors import InputError, did_you_mean
from bptt.gradients.online.forward import Influence, Stepwise
from bptt.gradients.online.inside import apart, driven, learned
from bptt.gradients.online.rows import trained
from bptt.gradients.pull import pulled
from bptt.gradients.settings import generator, seed_number
from bptt.types import Entry, Inside, Local, State, Unroll, Window

FEEDBACKS = ("exact", "random")


class Traces(Stepwise):
    """Base of the rules with eligibility traces. Influence: a trace [B, S, G, H, …] by parameter name, the feedback if random.

    feedback  "exact": the learning signal is the gradient of the loss at the units; "random": the error at the scores comes
              back through a fixed random matrix instead of the readout
    """

    feedback: str
    seed: int

    def __post_init__(self) -> None:
        super().__post_init__()
        seed_number(self.seed)
        if self.feedback not in FEEDBACKS:
            todo = did_you_mean(str(self.feedback), list(FEEDBACKS))
            raise InputError("There is no such feedback", f"feedback={self.feedback!r}", todo)

    @property
    def random(self) -> bool:
        """True if another seed gives another gradient: with random feedback."""
        return self.feedback == "random"

    @abc.abstractmethod
    def kept(self, layer: Local) -> Tensor:
        """The part [B, S, S, H] of each unit's own recurrence that its traces go on by."""

    def seen(self, unroll: Unroll, step: Window, state: State) -> Inside:
        """The step taken apart; InputError if this rule is not for such a model."""
        return apart(unroll, step, state, type(self).__name__)

    def take(
        self, unroll: Unroll, step: Window, state: State, influence: Influence, position: int
    ) -> tuple[Tensor, State, Influence]:
        """The readout's gradient, the learning signal, what it says to everything at lag 0, and what it says to the traces."""
        inside = self.seen(unroll, step, state)
        hidden = nest.as_leaves(inside.outputs[-1])
        scores, loss = unroll.read(step, hidden)
        scores.retain_grad()
        at_hidden, at_scores = unroll.backward(loss, start=(hidden, scores))
        moved: dict[str, Any] = {}
        if self.random:
            shared = influence.get("shared") or {"feedback": self._matrix(at_scores, at_hidden)}
            moved, at_hidden = {"shared": shared}, torch.einsum("bto,oh->bth", at_scores.flatten(2), shared["feedback"])
        signals = pulled([inside.outputs[-1]], inside.outputs, [at_hidden], keep=True)
        unroll.backward(None, end=inside.outputs[-1], adjoint=at_hidden)
        carried = self._carried(inside.layers, list(trained(unroll)), influence, step.reset[:, 0])
        told = dict(zip(map(id, inside.layers), signals, strict=True))
        for layer, entry, trace in carried:
            if entry.name in influence:
                unroll.add({entry.name: _heard(told[id(layer)][:, 0], trace).view(entry.parameter.shape)})
            moved[entry.name] = (trace + driven(entry)).contiguous()
        return loss, inside.state, moved

    def _carried(
        self, layers: Sequence[Local], names: list[str], influence: Influence, reset: Tensor
    ) -> list[tuple[Local, Entry, Tensor]]:
        """own_t e_{t−1} of every parameter that wants a gradient; zeros where the row has just started anew."""
        kept = {id(layer): self.kept(layer).masked_fill(reset[:, None, None, None], 0) for layer in layers}
        found = []
        for layer, entry in learned(layers, names):
            held = influence.get(entry.name)
            ahead = torch.zeros_like(driven(entry)) if held is None else _on(kept[id(layer)], held)
            found.append((layer, entry, ahead))
        return found

    def _matrix(self, scores: Tensor, hidden: Tensor) -> Tensor:
        """The random feedback [O, H], drawn as a readout's weights are: uniform within ±1/√H."""
        size = scores.flatten(2).shape[2], hidden.shape[2]
        draw = generator(self.seed, 0).uniform(-1, 1, size) / math.sqrt(size[1])
        return torch.from_numpy(draw).to(hidden)


def _on(kept: Tensor, trace: Tensor) -> Tensor:
    """Σ_l kept[b, k, l, h] e[b, l, g, h, …]."""
    flat = trace.unsqueeze(-1).flatten(4)
    ahead = torch.einsum("bklh,blghm->bkghm", kept.to(trace.dtype), flat)
    return ahead.reshape(trace.shape)


def _heard(signal: Tensor, trace: Tensor) -> Tensor:
    """Σ_b L[b, h] e[b, 0, g, h, …]: the learning signal of a layer's outputs [B, H], and its traces."""
    flat = trace[:, 0].unsqueeze(-1).flatten(3)
    return (signal.to(trace.dtype)[:, None, :, None] * flat).sum(0).reshape(trace.shape[2:])

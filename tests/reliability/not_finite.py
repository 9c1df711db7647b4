"""R7: no NaN reaches a saved file. R8: clipping is safe for every size of number."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import torch
from resuming import CELLS, STRATEGIES
from torch import Tensor, nn
from work import Work

import bptt
from bptt.training import loop
from bptt.training.clip import clip_gradients
from bptt.training.pack import pack
from bptt.types import Carry, Estimate

PLACES = ("weight", "gradient", "loss", "state", "memory")
BAD = (math.nan, math.inf, -math.inf)


def poisoned(work: Work) -> None:
    """A round: one number of a weight, a gradient, a loss, a state or the strategy's memory goes bad before estimate k.

    The run stops at once, names a tensor that is bad, and every checkpoint it leaves is finite.
    """
    from small_run import make_model, train
    from test_training_health import assert_all_finite

    names, remembered = list(STRATEGIES), 0
    for round in work.rounds():
        draw = round.random
        place = PLACES[round.number % len(PLACES)]
        strategy, cell, bad = names[round.number % len(names)], draw.choice(CELLS), draw.choice(BAD)
        if place == "memory":  # the others remember windows and numbers of steps
            strategy = draw.choice(["rtrl", "uoro", "synthetic gradient"])
        model, nth = make_model(cell, dropout=draw.choice([0.0, 0.2])), draw.randrange(2, 7)
        poison = Poison(place, bad, nth, model, draw.getrandbits(30))
        real, loop.estimates = loop.estimates, poison
        try:
            with work.naming((place, strategy, cell, bad, nth)):
                try:
                    train(round.folder / "run", model=model, gradient=STRATEGIES[strategy], save_every=1)
                except bptt.DivergedError as error:
                    assert poison.done and poison.named(str(error)), str(error)
                    assert poison.updates <= poison.at + 1, "went on"
                else:
                    # A strategy with no float in its memory has nothing there that could go bad.
                    assert place == "memory" and not poison.done, "nobody noticed"
                assert_all_finite(round.folder / "run")
                remembered += place == "memory" and poison.done
        finally:
            loop.estimates = real
    work.reached["stopped"] = f"{work.done} of {work.done} within one update, {remembered} of them by the strategy's memory"


@dataclasses.dataclass
class Poison:
    """In the place of `loop.estimates`: the same, one of them with a bad number."""

    place: str
    bad: float
    nth: int
    model: Any
    seed: int
    done: bool = False
    estimates: int = 0
    updates: int = 0
    at: int = 0

    def __call__(self, strategy: Any, unroll: Any, windows: Any, carry: Carry, consumed: int = 0) -> Iterator[Any]:
        for window in windows:
            start, consumed = consumed, 0
            if self.estimates >= self.nth - 1 and self.place == "weight" and not self.done:
                self.spoil([p.data for p in self.model.parameters()])
            for estimate in strategy.gradients(unroll, window[:, start:], carry):
                carry = estimate.carry
                self.estimates += 1
                self.updates += estimate.ready
                if self.estimates >= self.nth and not self.done:
                    estimate = self.spoiled(estimate, unroll)
                yield window, start + estimate.steps, estimate

    def spoiled(self, estimate: Estimate, unroll: Any) -> Estimate:
        if self.place == "gradient" and estimate.ready:
            self.spoil([p.grad for p in unroll.parameters() if p.grad is not None])
        if self.place == "loss" and estimate.ready:
            self.done, self.at = True, self.updates
            return dataclasses.replace(estimate, loss_sum=torch.tensor(self.bad))
        if self.place in ("state", "memory"):
            part = getattr(estimate.carry, self.place)
            self.spoil(list(pack(part)[0].values()))
        return estimate

    def spoil(self, tensors: list[Tensor]) -> None:
        """One entry of one tensor."""
        floats = [t for t in tensors if t.is_floating_point() and t.numel()]
        if floats:
            chosen = floats[self.seed % len(floats)]
            chosen.view(-1)[self.seed % chosen.numel()] = self.bad
            self.done, self.at = True, self.updates

    def named(self, message: str) -> bool:
        word = {"weight": "", "gradient": "the gradient of", "loss": "the loss", "state": "the state", "memory": "memory"}
        return word[self.place] in message and "not finite" in message


def clipping(work: Work) -> None:
    """A round: gradients of any size, zero, NaN, infinite or absent, against the norm and the direction in exact fractions."""
    from fractions import Fraction

    worst = 0.0
    for round in work.rounds():
        draw = round.random
        kind = draw.choice([torch.float32, torch.float64])
        least, most = (-37, 37) if kind == torch.float32 else (-300, 300)
        scale = 10.0 ** draw.randrange(least, most)
        rows = [
            None if draw.random() < 0.2 else [draw.gauss(0, 1) * scale for _ in range(draw.randrange(1, 5))] for _ in range(4)
        ]
        if draw.random() < 0.1:
            rows = [row and [0.0] * len(row) for row in rows]
        bad = draw.random() < 0.2 and rows[0]
        if bad and rows[0]:
            rows[0][0] = draw.choice(BAD)
        made = [nn.Parameter(torch.zeros(len(row or [0]), dtype=kind)) for row in rows]
        for parameter, row in zip(made, rows, strict=True):
            parameter.grad = None if row is None else torch.tensor(row, dtype=kind)
        before = [None if p.grad is None else p.grad.tolist() for p in made]
        limit = 10.0 ** draw.randrange(-3, 4)
        norm, clipped = clip_gradients(made, limit)
        with work.naming((before, limit)):
            if bad:
                assert not math.isfinite(norm)
                continue
            numbers = [Fraction(value) for row in before if row for value in row]
            square = sum(value * value for value in numbers)
            wanted = exact_root(square)
            assert math.isclose(norm, wanted, rel_tol=1e-6, abs_tol=0.0) and clipped == (norm > limit)
            factor = min(1.0, limit / (wanted + 1e-6)) if wanted else 1.0
            for parameter, row in zip(made, before, strict=True):
                assert (parameter.grad is None) == (row is None)
                for found, value in zip([] if row is None else parameter.grad.tolist(), row or [], strict=True):
                    smallest = float(torch.finfo(kind).tiny)
                    error = abs(found - value * factor)
                    assert error <= 1e-5 * abs(value * factor) + smallest, (found, value * factor)
                    worst = max(worst, error / max(abs(value * factor), smallest))
    work.reached["right"] = f"{work.done} of {work.done}, off by {worst:.0e} at most"


def exact_root(square: Any) -> float:
    """√ of a fraction of any size, right to a float's last digits."""
    if not square:
        return 0.0
    bits = square.denominator.bit_length() + 200
    root = math.isqrt((square.numerator << (2 * bits)) // square.denominator)
    return root / (1 << bits)

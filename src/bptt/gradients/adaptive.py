"""Truncation whose length follows the model: as short as a given bias allows."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from bptt.errors import InputError
from bptt.gradients.horizon import choose
from bptt.gradients.probe import credits_of_last
from bptt.gradients.references import AICHER_FOTI_FOX_2019
from bptt.gradients.settings import step_count
from bptt.gradients.stretches import Memory, Stretches
from bptt.types import Carry, Unroll, Window

FIRST = 8  # terms before anything is known


@dataclasses.dataclass(frozen=True)
class Adaptive(Stretches):
    """`Truncated(k1=K, k2=2K−1)` whose K is re-estimated in training, so that the relative bias stays below `bias`.

    δ(K) = E(K)/(max_K (‖g_K‖ − E(K))),  E(K) = Σ_{k ≥ K} ‖c(t, k)‖,  K the least with δ(K) < bias

    c(t, k), the credit at lag k of losses one step before a re-estimate, is measured up to `limit` lags; a geometric tail,
    fitted to log ‖c(t, k)‖, stands for the rest. With k2 = 2K − 1 every loss has at least the K terms of lags 0 … K − 1: plain
    stretches of K steps would not keep the bound.

    Arguments:
        bias   largest relative bias ‖E ĝ − g‖/‖g‖ that is wanted, above 0
        limit  largest K; taken, and said so, where credits do not decay or no shorter K is enough
        every  steps of the stream between two estimates; None: 100 times `limit`, so that they cost about a hundredth. The
               first ones come sooner, at doubling distances: a fresh model changes fast

    One loss per row is looked at, on `limit` steps: noisy with few rows. Progress line and metrics show K and the bias that is
    expected with it, and `blind` where a look saw no credits, or some that are not finite: then K stays as it was. Plain SGD
    wants a rate 1/(1 − bias) times smaller.

    >>> Adaptive(bias=0.1).nominal(64)
    8
    """

    bias: float
    limit: int = 128
    every: int | None = None

    exact: ClassVar[bool] = False
    unbiased: ClassVar[bool] = False
    random: ClassVar[bool] = False
    omits: ClassVar[str] = "about as much as is allowed, by estimate"
    cost: ClassVar[str] = "2 forwards and backwards, and a probe of `limit` steps now and then"
    memory: ClassVar[str] = "O(K), at most O(limit)"
    reference: ClassVar[str] = AICHER_FOTI_FOX_2019

    def __post_init__(self) -> None:
        number = isinstance(self.bias, int | float) and not isinstance(self.bias, bool)
        if not number or not 0 < self.bias < math.inf:
            raise InputError("bias must be a relative bias above 0", f"bias={self.bias!r}", "Give for example bias=0.1")
        step_count("limit", self.limit)
        if self.every is not None:
            step_count("every", self.every)

    @property
    def first_k(self) -> int:
        """K until the first estimate."""
        return min(FIRST, self.limit)

    def nominal(self, steps: int) -> int:
        """The first K: a constant of the run, so that a token weighs the same whatever K becomes."""
        return self.first_k

    def length(self, memory: Memory) -> float:
        """K."""
        return memory["k"]

    def overlap(self, memory: Memory) -> int:
        """K − 1."""
        return memory["k"] - 1

    def first(self) -> Memory:
        """K, what is known of it (bias and decay expected, whether it is only the largest allowed), and the probe.

        blind  the last look saw no credits, or some that are not finite
        """
        known = {"k": self.first_k, "expected": None, "decay": None, "capped": False, "blind": False}
        return {**known, "look": 0, "probe": None, "before": None}

    def info(self, stretch: Window, memory: Memory) -> dict[str, float]:
        """K from here on, once it is estimated the bias that is expected with it, and whether the last look was in vain."""
        facts = {"k": memory["k"], **({"blind": 1.0} if memory["blind"] else {})}
        if memory["expected"] is None:
            return facts
        return facts | {"bias": memory["expected"], "decay": memory["decay"], "capped": float(memory["capped"])}

    def learn(self, unroll: Unroll, stretch: Window, carry: Carry) -> Memory:
        """Gather the steps of a probe, and estimate K once there are enough of them."""
        memory, position = dict(carry.memory), carry.memory["position"]
        if memory["probe"] is None:
            if position < memory["look"]:
                return memory
            memory |= {"before": carry.state, "probe": memory["past"]}
        memory["probe"] = Window.cat(memory["probe"], stretch)
        last = self._last_loss(unroll, memory["probe"])
        if last < self.limit:
            return memory
        memory["probe"] = memory["probe"][:, :last]
        return {**memory, **self._estimate(unroll, memory), "probe": None, "before": None, "look": self._next(position)}

    def _estimate(self, unroll: Unroll, memory: Memory) -> Memory:
        probe, state = memory["probe"], memory["before"]
        credits, norms = credits_of_last(unroll, probe, state)
        if not math.isfinite(float(credits.sum())) or float(credits.sum()) == 0:
            return {"blind": True}
        found = choose(credits[: self.limit].numpy(), norms[: self.limit].numpy(), self.bias)
        return {"k": found.k, "expected": found.bias, "decay": found.decay, "capped": found.capped, "blind": False}

    def _last_loss(self, unroll: Unroll, probe: Window) -> int:
        """How many steps the probe has up to its last loss on any process; beyond it no gradient could be seen."""
        counts = unroll.agree(probe.mask.any(0).double()).nonzero()
        return int(counts[-1]) + 1 if len(counts) else 0

    def _next(self, position: int) -> int:
        every = self.every or 100 * self.limit
        return min(max(2 * position, self.limit), (position // every + 1) * every)

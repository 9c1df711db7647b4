"""Randomised truncation: cut at random, and let the edges that survive weigh more, so that nothing is lost on average."""

from __future__ import annotations

import bisect
import dataclasses
import math
import warnings
from typing import ClassVar

import torch
from torch import Tensor

from bptt.errors import InputError
from bptt.gradients.growth import growth_rate
from bptt.gradients.references import TALLEC_OLLIVIER_2017
from bptt.gradients.settings import generator, seed_number, step_count
from bptt.gradients.stretches import Memory, Stretches
from bptt.types import Carry, Unroll, Window

LOOKED_AT = 16  # steps whose Jacobians tell of their growth: enough to say something, few enough to cost little
FIRST_LOOK = 1024  # looks at the growth are this many steps apart, then twice as many, and so on
WILDEST = 1000  # the largest tail exponent: with more it is a constant rate, and the draws would lose their precision
MOST = 1e9  # the longest mean: beyond it the draws would lose their precision
LONGEST = 53  # log₂ of the longest stretch that is told from one without end


@dataclasses.dataclass(frozen=True)
class Randomized(Stretches):
    """Stretches of random length whose edges are weighed such that the expected gradient is the exact one.

    δ_{t−1} = q_{t−1}ᵀ + ξ_t D_tᵀ δ_t,  ξ_t = 0 with probability c_t (a cut), 1/(1 − c_t) otherwise,  so E[ξ_t] = 1

    tail=None  constant rate c = 1/mean: lengths are geometric
    tail=a     c(d) = (a − 1)/((a − 2)·mean + d), d steps after the last cut (ARTBP): P(length > l) falls like l^−(a−1), and the
               weight of a long stretch grows like a power of its length instead of exponentially

    Arguments:
        mean      expected length of a stretch in steps, above `multiple`; infinity: never cut
        tail      None, or the exponent a, above 2; 4 and 6 are usual
        multiple  cut only after multiples of so many steps: fewer different lengths (each is one compilation under
                  torch.compile) and fewer weighed edges, and no bias. Distances and mean then count in such blocks
        limit     longest stretch, in steps; None: no limit. With one, memory and variance are bounded and the gradient is
                  biased again
        seed      of the draws, which depend on the position in the stream and nothing else

    One cut for all rows: a random stretch is one forward and one backward, and goes on over the borders of windows. Unbiased
    for the unbounded sum over the whole stream, where `Full` cuts at windows. It needs a learning rate about ten times smaller.

    Without a limit, the variance at a constant rate is finite only if c < 1 − ρ², ρ the growth rate of products of Jacobians; ρ
    is estimated as training goes on, and a warning says once when it is too large. With a tail it is enough that ρ < 1.

    >>> Randomized(mean=16).nominal(35)
    16
    """

    mean: float
    tail: float | None = None
    multiple: int = 1
    limit: int | None = None
    seed: int = 0

    exact: ClassVar[bool] = False
    random: ClassVar[bool] = True
    cost: ClassVar[str] = "one forward and one backward, one cut for all rows"
    memory: ClassVar[str] = "one stretch: `mean` on average, no bound without a limit"
    reference: ClassVar[str] = TALLEC_OLLIVIER_2017

    def __post_init__(self) -> None:
        step_count("multiple", self.multiple)
        _number("mean", self.mean, self.multiple, "At that mean it would always cut, and nothing could make up for that")
        if MOST < self.mean < math.inf:
            raise InputError(f"mean is longer than {MOST:g} steps", f"mean={self.mean!r}", "To never cut, give mean=inf")
        if self.tail is not None:
            _number("tail", self.tail, 2, "Lengths have a finite mean only above 2")
            if math.isinf(self.mean):
                raise InputError("A tail needs a finite mean", f"mean={self.mean}, tail={self.tail}", "Try mean=16,tail=4")
            if self.tail > WILDEST:
                raise InputError(f"tail is above {WILDEST}", f"tail={self.tail!r}", "Leave it out: that is a constant rate")
        if self.limit is not None:
            step_count("limit", self.limit)
        seed_number(self.seed)

    @property
    def unbiased(self) -> bool:
        """True without a limit."""
        return self.limit is None

    @property
    def omits(self) -> str:
        """Only a limit leaves something out."""
        return "nothing on average" if self.limit is None else f"what lies before a stretch of {self.limit} steps"

    def nominal(self, steps: int) -> int:
        """The mean length."""
        return steps if math.isinf(self.mean) else round(self.mean)

    def rate(self, distance: int) -> float:
        """c, the probability of a cut `distance` ≥ 1 steps after the last one."""
        blocks, beside = divmod(distance, self.multiple)
        if beside:
            return 0.0
        mean = self.mean / self.multiple
        return 1 / mean if self.tail is None else (self.tail - 1) / ((self.tail - 2) * mean + blocks)

    def weight(self, steps: int) -> float:
        """The weight Π 1/(1 − c(d)) of the credit that crosses a whole stretch of `steps` steps: the largest in it."""
        return math.exp(-sum(math.log1p(-self.rate(d)) for d in range(1, steps)))

    def length(self, memory: Memory) -> float:
        """A draw that depends on the seed and the position."""
        if math.isinf(self.mean):
            return self.limit or math.inf
        draw = generator(self.seed, memory["position"]).random()
        # The least number of blocks that is not survived: doubled until it is enough, then halved in on. A stretch may be long.
        enough = next((2**n for n in range(LONGEST) if self.survival(2**n) <= draw), None)
        if enough is None:
            return self.limit or math.inf
        blocks = bisect.bisect_left(range(enough), True, lo=enough // 2, key=lambda n: self.survival(n) <= draw)
        return min(blocks * self.multiple, self.limit or math.inf)

    def survival(self, blocks: int) -> float:
        """The probability that a stretch goes on after `blocks` blocks (steps, unless `multiple` says otherwise).

        Π_{d ≤ blocks} (1 − c(d)): (1 − c)^blocks, or with a tail, x = (a − 2)·mean, a quotient of gamma functions.
        """
        mean = self.mean / self.multiple
        if self.tail is None:
            return math.exp(blocks * math.log1p(-1 / mean))
        x, a = (self.tail - 2) * mean, self.tail
        return math.exp(
            math.lgamma(x + blocks - a + 2) - math.lgamma(x - a + 2) + math.lgamma(x + 1) - math.lgamma(x + blocks + 1)
        )

    def edges(self, run: Window) -> Tensor | None:
        """1/(1 − c(d)) on the d-th edge inside the stretch; nothing flows over the edge into it."""
        weights = [1.0, *(1 / (1 - self.rate(d)) for d in range(1, run.steps))]
        return torch.tensor(weights, dtype=torch.float64, device=run.mask.device).expand(run.batch_size, -1)

    def info(self, stretch: Window, memory: Memory) -> dict[str, float]:
        """The length of the stretch, the largest weight in it, the growth rate once it is known, whether the limit cut it."""
        facts = {"k": stretch.steps, "weight": self.weight(stretch.steps)}
        facts |= {} if memory["growth"] is None else {"growth": memory["growth"]}
        return facts | ({} if self.limit is None else {"capped": float(stretch.steps == self.limit)})

    def first(self) -> Memory:
        """The growth rate ρ as it was last seen, where to look again, whether the warning was given; the steps to look at.

        probe   the steps that are gathered for a look, over as many stretches as it takes: short ones say nothing alone
        before  the state before them
        """
        return {"growth": None, "look": 0, "warned": False, "probe": None, "before": None}

    def learn(self, unroll: Unroll, stretch: Window, carry: Carry) -> Memory:
        """Look at the growth rate, rarely, and warn once if the variance has no bound."""
        memory, position = dict(carry.memory), carry.memory["position"]
        if memory["probe"] is None:
            if position < memory["look"] or math.isinf(self.mean):
                return memory
            memory["before"] = carry.state
        probe = Window.cat(memory["probe"], stretch[:, :LOOKED_AT])[:, :LOOKED_AT]
        if probe.steps < LOOKED_AT:
            return dict(memory, probe=probe)
        growth = growth_rate(unroll, probe, memory["before"], generator(self.seed + 1, position))
        memory |= {"probe": None, "before": None}
        if growth is None:
            return memory
        memory |= {"growth": growth, "look": max(FIRST_LOOK, 2 * position)}
        if memory["warned"] or self.finite(growth):
            return memory
        warnings.warn(self._too_wild(growth), UserWarning, stacklevel=2)
        return dict(memory, warned=True)

    def finite(self, growth: float) -> bool:
        """True if the variance of the gradient is finite where products of Jacobians grow by `growth` per step."""
        if self.limit is not None:
            return True  # no loss has more lags than that
        return growth < 1 if self.tail is not None else self.rate(self.multiple) < 1 - growth ** (2 * self.multiple)

    def _too_wild(self, growth: float) -> str:
        known = f"products of Jacobians change by ρ = {growth:.3g} per step"
        if growth >= 1:
            return f"Randomized: {known}, so the variance of the gradient has no bound. Give a limit, or use Truncated"
        bound = f"1 − ρ^{2 * self.multiple} = {1 - growth ** (2 * self.multiple):.3g}"
        return (
            f"Randomized: {known}, and a constant rate of {self.rate(self.multiple):.3g} is not below {bound}, so the variance "
            "of the gradient has no bound. Give a larger mean, or tail=4"
        )


def _number(name: str, value: object, above: float, why: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > above:
        raise InputError(f"{name} must be a number above {above}", f"{name}={value!r}", f"{why}: try {name}={8 * above}")

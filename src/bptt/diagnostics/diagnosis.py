"""`diagnose`: does a model's gradient reach back through time, what does truncating it cost, and what could be changed?

Knows how the measurements of this room come together; must not know files, terminals or pages.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from bptt.diagnostics.comparison import Counter, spelled, whole
from bptt.diagnostics.estimator import Measured, Reference
from bptt.diagnostics.excerpt import DROPOUT_OFF, Data, excerpt, precise
from bptt.diagnostics.findings import advice, gated, sentences, verdict
from bptt.diagnostics.jacobians import Jacobians, along
from bptt.diagnostics.lags import Lags, lags
from bptt.diagnostics.lyapunov import exponents
from bptt.diagnostics.probes import Probe, anew
from bptt.diagnostics.steps import floats, trained
from bptt.errors import InputError
from bptt.gradients import Truncated
from bptt.gradients.settings import require_strategy, step_count
from bptt.models import LanguageModel, SeriesModel, Unroll
from bptt.training.listeners import readable
from bptt.training.seeds import random_state, set_random_state
from bptt.types import Strategy

STEPS, ROWS = 256, 4
EXPONENTS = 16
DRAWS = 16
SHORTEST = 8  # the shortest plain stretch that is tried

Spell = Callable[[Strategy], str]
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Diagnosis:
    """How the gradient of a model travels back through time.

    lags        its size by lag, and the error of keeping K terms of each loss
    jacobians   spectral radii of D_t, singular values of products of them
    exponents   [m] the leading Lyapunov exponents, the mean over the rows, falling
    stretches   for each length k, the relative error of plain `Truncated(k)`
    strategy    what the run uses, if it was named, and `own`, how its gradient lies to the exact one
    setting     sizes of the measurement: steps, rows, window, unbroken (the longest piece that no reset of all rows cuts),
                state (floats per row), gated
    spell       how strategies are written in its words
    notes       what was not as one might expect
    """

    lags: Lags
    jacobians: Jacobians
    exponents: Tensor
    stretches: Mapping[int, float]
    strategy: Strategy | None
    own: Measured | None
    setting: Mapping[str, Any]
    spell: Spell = spelled
    notes: tuple[str, ...] = ()

    @property
    def k90(self) -> int:
        """The least number of terms from which on the gradient stays within 10 % of the exact one."""
        return self.lags.enough(0.1)

    @property
    def k99(self) -> int:
        """Likewise for 1 %."""
        return self.lags.enough(0.01)

    @property
    def growth(self) -> float:
        """ρ = exp(λ_1), by which products of Jacobians grow per step."""
        return math.exp(float(self.exponents[0]))

    @property
    def verdict(self) -> str:
        """vanish, hold or explode."""
        return verdict(self)

    def words(self) -> list[str]:
        """What was found, in sentences."""
        return sentences(self)

    def advice(self) -> list[str]:
        """What could be changed."""
        return advice(self)

    def __str__(self) -> str:
        notes = (f"note: {note}." for note in self.notes)
        return "\n".join([*self.words(), *(f"· {line}" for line in self.advice()), *notes])

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and words; None where there is no number."""
        return readable(
            {
                "verdict": self.verdict,
                "words": self.words(),
                "advice": self.advice(),
                "notes": list(self.notes),
                "setting": dict(self.setting),
                "k90": self.k90,
                "k99": self.k99,
                "growth": self.growth,
                "sizes": self.lags.sizes.tolist(),
                "pairs": self.lags.pairs.tolist(),
                "seen": self.lags.seen,
                "terms": self.lags.terms.tolist(),
                "errors": self.lags.errors.tolist(),
                "cosines": self.lags.cosines.tolist(),
                "stretches": [list(pair) for pair in self.stretches.items()],
                "strategy": self._own(),
                "exponents": self.exponents.tolist(),
                "radii": self.jacobians.radii.flatten().tolist(),
                "spans": self.jacobians.spans.tolist(),
                "singular": self.jacobians.mean_singular().tolist(),
                "jacobians_of": {"rows": len(self.jacobians.radii), "steps": self.jacobians.steps},
            }
        )

    def _own(self) -> dict[str, Any] | None:
        if self.own is None or self.strategy is None:
            return None
        total = self.own.total
        known = {"bias": total.bias, "resolved": total.resolved, "cosine": total.cosine, "variance": total.variance}
        blocks = {block: found.bias for block, found in self.own.blocks.items()}
        return {"name": self.spell(self.strategy), **known, "blocks": blocks, "info": self.own.info}


def diagnose(
    model: LanguageModel | SeriesModel | Unroll,
    data: Data,
    *,
    strategy: Strategy | None = None,
    window: int | None = None,
    sampling: str = "sequential",
    block: int | None = None,
    steps: int = STEPS,
    rows: int = ROWS,
    progress: Progress | None = None,
) -> Diagnosis:
    """Measure how far back the gradient of a model reaches, and what cutting it off costs.

    ‖∂l_t/∂h_{t−k}‖ by lag k;  ‖g − g_K‖/‖g‖, g_K the gradient that keeps K terms of each loss (lags 0 … K − 1);
    λ_i, the rates at which products of the Jacobians D_t = ∂h_t/∂h_{t−1} stretch

    Arguments:
        model     a `LanguageModel`, a `SeriesModel` or a `bptt.Unroll`; a copy of it in float64 is measured, nothing of it
                  changes
        data      a corpus or `SeriesData` (its validation part if it is long enough, else its training part), one part of
                  them, or windows [B, T, …] as a stream hands them out
        strategy  what the model is trained with: its gradient on these steps is held against the exact one
        window    steps of the windows that the strategy is handed; None: all steps in one
        sampling  how a text is cut into windows, as for `fit`: with "random" each begins anew, and no gradient crosses that
        block     tokens in a block of shuffled sampling, likewise
        steps     T, that are looked at; fewer if there are not so many. The state is warmed up before them
        rows      B, their number, likewise
        progress  called with (done, in all)

    What lies beyond T steps is not seen: K90 near T means that more may be needed. The errors are those of a gradient summed
    over B·T losses, as an update uses it.

    Returns a `Diagnosis`. Raises InputError for a model that looks ahead, that carries no state or that has nothing to learn,
    and for a text too short to look back on.

        found = bptt.diagnose(model, corpus, strategy=bptt.Truncated(16))
        print(found, found.k90, found.lags.sizes)

    Source: Hochreiter 1991; Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013.
    """
    for name, value in (("steps", steps), ("window", 1 if window is None else window)):
        step_count(name, value)
    whole("rows", rows, 1)
    if strategy is not None:
        require_strategy(strategy)
    before = random_state()
    try:
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what a strategy warns of is measured here
            unroll = precise(model)
            probe = excerpt(unroll, data, steps, rows, window=window, sampling=sampling, block=block)
            found = measure(unroll, probe, strategy, window or probe.window.steps, progress or (lambda done, total: None))
            return found if unroll.training else dataclasses.replace(found, notes=(DROPOUT_OFF,))
    finally:
        set_random_state(before)


def measure(unroll: Unroll, probe: Probe, strategy: Strategy | None, window: int, progress: Progress) -> Diagnosis:
    """All measurements on one probe."""
    seen = probe.window
    size = sum(leaf[0].numel() for leaf in floats(probe.state))
    if not size:
        raise InputError("The model carries no state from step to step", "no float leaf", "Give a recurrent model")
    unbroken = max(end - start for start, end in itertools.pairwise([*anew(seen), seen.steps]))
    # Where rows start anew sooner than that, stretches as long as this are the longest of use.
    lengths = [k for k in (2**i for i in range(20)) if SHORTEST <= k < unbroken] + [unbroken] * (unbroken < seen.steps)
    draws = 0 if strategy is None else DRAWS if strategy.random else 1
    count = Counter(progress, 2 * seen.steps + size + len(lengths) + draws)
    if not trained(unroll) or not (reference := Reference(unroll, [probe], lambda: None)).norm:
        raise InputError(
            "There is no gradient to look at", "it is zero", "Give windows whose losses count, and parameters to train"
        )
    own = None if strategy is None else reference.measure(strategy, window, draws, 0, count)
    stretches = {k: reference.measure(Truncated(k), seen.steps, 1, 0, count).total.bias for k in lengths}
    by_lag = lags(unroll, seen, probe.state, progress=count)
    states = unroll.states(seen, probe.state)
    jacobians = along(unroll, seen, states, count)
    rates = exponents(unroll, seen, states, EXPONENTS, count)
    sizes = {"steps": seen.steps, "rows": seen.batch_size, "window": window, "unbroken": unbroken}
    setting = {**sizes, "state": size, "gated": gated(unroll)}
    known = rates[~rates.isnan().any(1)]
    return Diagnosis(by_lag, jacobians, known.mean(0).cpu(), stretches, strategy, own, setting)

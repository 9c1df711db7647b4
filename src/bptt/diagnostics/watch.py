"""`Watch`: one look, during training, at what the run's own truncation leaves out.

Knows a moment of a run and the measurements of this room; must not know files or terminals, and changes nothing.
"""

from __future__ import annotations

import dataclasses
import math
import warnings

import torch

from bptt.diagnostics.comparison import spelled
from bptt.diagnostics.diagnosis import DRAWS, Spell
from bptt.diagnostics.estimator import Measured, Reference
from bptt.diagnostics.excerpt import DROPOUT_OFF, excerpt, precise
from bptt.diagnostics.findings import OFF
from bptt.diagnostics.lags import lags
from bptt.diagnostics.verdict import share
from bptt.errors import BpttError
from bptt.gradients import Truncated
from bptt.training.seeds import random_state, set_random_state
from bptt.training.watchers import Moment
from bptt.types import Strategy

NAMES = {0.1: " (K90)", 0.01: " (K99)"}  # what `diagnose` calls the terms for such an error


@dataclasses.dataclass(frozen=True)
class Watch:
    """Says once, during training, that the run's gradient is far off the exact one, if it is.

    ‖ĝ − g‖/‖g‖ over `steps` steps of the run's own text around window `at`, ĝ the strategy's gradient, g the exact one

    Arguments:
        at         before which window of the run to look, counted from 0 over all epochs; a shorter run is left alone
        steps      steps that are looked at, as many again warm up the state
        rows       rows of the batch that are looked at
        threshold  relative error up to which nothing is said
        spell      how a strategy is written

    A watcher for `bptt.fit`. The run is the same bit for bit with it and without. Silent on draws without bias, and on
    strategies that are still learning what suits the model. What it says depends on parameters and place alone: a resumed run
    hears the same, once.

        bptt.fit(model, corpus, gradient=bptt.Truncated(16), watchers=[bptt.diagnostics.Watch()])
    """

    at: int = 300
    steps: int = 256
    rows: int = 2
    threshold: float = OFF
    spell: Spell = spelled

    @property
    def cost(self) -> int:
        """About how many tokens of training take the time of one look, when there is something to say."""
        return self.rows * self.steps * (self.steps // 10 + 12)

    def __call__(self, moment: Moment) -> str | None:
        """The notice; None if the gradient is within the threshold, or nothing can be said of it."""
        if moment.strategy.random and moment.strategy.unbiased:
            return None
        before = random_state()
        try:
            with torch.enable_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                return self._look(moment)
        except BpttError:  # a gradient that overflows, a text that is too short: nothing a run should stop for
            return None
        finally:
            set_random_state(before)

    def _look(self, moment: Moment) -> str | None:
        # In the run's own precision: float64 would take three times as long to tell 38 % from 10 %.
        unroll = precise(moment.unroll, next(moment.unroll.parameters()).dtype)
        window = moment.stream.steps  # of a full one: the last of an epoch may be shorter
        probe = excerpt(unroll, moment.windows(-(-2 * self.steps // window)), self.steps, self.rows)
        reference = Reference(unroll, [probe], lambda: None)
        if not reference.norm:
            return None
        own = reference.measure(moment.strategy, window, DRAWS if moment.strategy.random else 1, 0, lambda: None)
        if own.learning or not own.total.resolved or not own.total.bias > self.threshold:
            return None
        terms = lags(unroll, probe.window, probe.state).enough(self.threshold)
        enough = self._enough(reference, probe.window.steps)
        said = self._notice(moment.strategy, own, window, probe.window.steps, terms, enough)
        return said if unroll.training else f"{said}. {DROPOUT_OFF}"

    def _enough(self, reference: Reference, steps: int) -> int | None:
        """The shortest plain stretches, of 2ⁿ steps, that keep within the threshold, as all longer ones do; None if none do."""
        found = None
        for k in (2**i for i in reversed(range(1, math.ceil(math.log2(steps))))):
            if reference.measure(Truncated(k), steps, 1, 0, lambda: None).total.bias > self.threshold:
                break
            found = k
        return found

    def _notice(self, strategy: Strategy, own: Measured, window: int, steps: int, terms: int, enough: int | None) -> str:
        cut = "window" if strategy.exact else "stretch"
        where = f" in windows of {window} steps" if strategy.exact else ""
        line = f"{self.spell(strategy)}{where} is {share(own.total.bias)} off the exact gradient on these {steps} steps."
        needs = f"{line} Each loss needs {terms} term{'s' * (terms > 1)}"
        asked = f"for {100 * self.threshold:.3g} %{NAMES.get(self.threshold, '')}"
        if enough is None and (strategy.exact or terms > steps // 2):
            return f"{needs} or more {asked}: consider longer {'windows' if strategy.exact else 'stretches'}"
        plain = Truncated(enough) if enough else Truncated(terms, 2 * terms - 1)
        better = f"windows of {enough} steps" if strategy.exact else self.spell(plain)
        return f"{needs} {asked}; as the first losses of a {cut} see fewer, consider {better}"

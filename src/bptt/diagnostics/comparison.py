"""`compare`: gradient strategies side by side on a user's own model and text: bias, variance, time, memory, and a race.

Knows how the measurements of this room come together; must not know files, terminals or pages.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from bptt.data import Corpus
from bptt.data.series import SeriesData
from bptt.diagnostics.cost import ROUNDS, Cost, costs
from bptt.diagnostics.estimator import Accuracy, Measured, Reference
from bptt.diagnostics.excerpt import DROPOUT_OFF
from bptt.diagnostics.probes import Probe, find_probes, probe_length, training_stream
from bptt.diagnostics.race import Race, held_out, hold_race
from bptt.diagnostics.verdict import verdict
from bptt.errors import BpttError, InputError
from bptt.gradients.settings import require_strategy
from bptt.models import LanguageModel, SeriesModel
from bptt.training.devices import find_device, precision
from bptt.training.fit import choose
from bptt.training.identity import cell_name
from bptt.training.listeners import readable
from bptt.training.prepare import check_vocabulary
from bptt.training.seeds import random_state, set_random_state
from bptt.training.settings import TrainSettings
from bptt.types import Strategy

LEAST_DRAWS = 3  # fewer say nothing of their own scatter
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Row:
    """One strategy of a comparison.

    name      as it was given
    strategy  the value
    measured  how its gradients lie to the exact ones, or None if it cannot run on this model
    cost      its time and memory, likewise
    reason    why it cannot
    """

    name: str
    strategy: Strategy
    measured: Measured | None = None
    cost: Cost | None = None
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What gradient strategies do to one model, beside the exact gradient.

    rows      one per strategy, in the order given
    exact     what the exact gradient of a whole probe costs
    norm      ‖g‖ per token or step, root mean square over the probes
    variance  of the exact gradient from probe to probe, relative to ‖g‖²: the noise of minibatches
    setting   sizes and settings of the measurement, plain values
    notes     what was not as one might expect
    race      training runs of equal time, or None
    """

    rows: tuple[Row, ...]
    exact: Cost
    norm: float
    variance: float
    setting: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    race: Race | None = None

    def words(self) -> list[str]:
        """What one sees, in a few sentences."""
        return verdict(self)

    def to_json(self) -> dict[str, Any]:
        """Plain values; None where there is no number."""
        found = {
            "setting": dict(self.setting),
            "exact": {"norm": self.norm, "data_variance": self.variance, **dataclasses.asdict(self.exact)},
            "rows": [_row_json(row) for row in self.rows],
            "race": None if self.race is None else dataclasses.asdict(self.race),
            "words": self.words(),
            "notes": list(self.notes),
        }
        return readable(found)


def _row_json(row: Row) -> dict[str, Any]:
    facts = {"gradient": row.name, "reason": row.reason}
    if row.measured is None or row.cost is None:
        return facts
    found = row.measured
    told = {"data_variance": found.data_variance, "largest_weight": found.weight, "info": found.info, "notes": found.notes}
    blocks = {block: _accuracy_json(own) for block, own in found.blocks.items()}
    return {**facts, **_accuracy_json(found.total), **told, **dataclasses.asdict(row.cost), "blocks": blocks}


def _accuracy_json(found: Accuracy) -> dict[str, Any]:
    derived = ("bias", "bias_limit", "resolved", "signal_to_noise")
    return {**{name: getattr(found, name) for name in derived}, **dataclasses.asdict(found)}


def compare(
    model: LanguageModel | SeriesModel,
    corpus: Corpus | SeriesData,
    gradient: Sequence[Strategy] | Mapping[str, Strategy],
    *,
    probes: int = 4,
    probe_steps: int | None = None,
    draws: int = 16,
    race: float | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Comparison:
    """Measure gradient strategies on a model: how far off they are, how noisy, how fast, how large.

    bias = ‖E ĝ − g‖/‖g‖,  variance = E‖ĝ − E ĝ‖²/‖g‖²,  g = the exact gradient of the B·T losses of a probe

    Arguments:
        model        a `LanguageModel` or a `SeriesModel`; nothing of it changes
        corpus       from `read_text`, or the `SeriesData` of a series; probes lie in its training part, the validation part of
                     a text is the judge of a race
        gradient     strategies, or a mapping from the names that they shall have
        probes       at how many places of the text gradients are measured
        probe_steps  T, the steps of a probe; None: four windows of `steps`, or what the text has room for
        draws        gradients per probe of a strategy that draws, at least 3
        race         seconds of training for each strategy, from the parameters of `model`; None: no race
        progress     called with (done, in all): once through for the gradients, once for a race
        settings     fields of `TrainSettings` by name, as for `fit`: batch_size, steps, seed, dtype; for a race lr, clip …

    A probe is handed out as in training, in windows of `steps`, the state carried, and closed by a window of no steps;
    parameters do not change. So `Full()` shows what is lost at its own borders, unless `steps` reaches over the probe.

    Returns a `Comparison`. A strategy that cannot run on the model is a row with its reason. Raises InputError for settings
    that cannot be and for a text that is too short.

        found = bptt.compare(model, corpus, [bptt.Full(), bptt.Truncated(16), bptt.Randomized(16)], batch_size=32, steps=64)
        print(*found.words(), found.rows[1].measured.total.bias)
    """
    check_kinds(model, corpus, gradient)
    strategies = named(gradient)
    chosen = choose(settings)
    check_numbers(probes, draws, race)
    check_vocabulary(model, corpus)
    if race is not None:
        held_out(corpus)
    tell = progress or (lambda done, total: None)
    with left_as_it_was(chosen.threads):
        found = measure(Ground.of(model, corpus, chosen, probes, probe_steps), strategies, draws, tell)
        if race is None:
            return found
        return dataclasses.replace(found, race=hold_race(model, corpus, strategies, race, chosen, tell))


@dataclasses.dataclass(frozen=True)
class Ground:
    """Where strategies are measured: a copy of the model, the settings, the probes, and what is to be said of them."""

    model: LanguageModel | SeriesModel
    settings: TrainSettings
    probes: list[Probe]
    notes: tuple[str, ...]
    source: str
    unit: str

    @classmethod
    def of(
        cls,
        model: LanguageModel | SeriesModel,
        corpus: Corpus | SeriesData,
        settings: TrainSettings,
        count: int,
        wanted: int | None,
    ) -> Ground:
        """With at most `count` probes of `wanted` steps."""
        s = settings
        length = probe_length(corpus.train, s.batch_size, s.steps, wanted)
        stream = training_stream(corpus.train, s.batch_size, s.steps, length, s.sampling, s.block, s.seed)
        dtype, _ = precision(s.dtype)
        own = copy.deepcopy(model).to(device=find_device(s.device), dtype=dtype).train()
        notes = list(stream.notes)
        if not own.unroll().repeatable:
            own.eval()
            notes.append(DROPOUT_OFF)
        probes = find_probes(own.unroll(), stream, steps=length, count=count)
        if len(probes) < count:
            room = f"{len(probes)} probe{'s' * (len(probes) > 1)} of {probes[0].window.steps} steps"
            notes.append(f"There is room for {room}, not {count}")
        return cls(
            own,
            settings,
            probes,
            tuple(notes),
            ", ".join(map(str, corpus.facts.get("sources") or [corpus.facts.get("source", "")])),
            "token" if isinstance(corpus, Corpus) else "step",
        )

    @property
    def per(self) -> int:
        """What every gradient is divided by: the losses of a probe, each counted once."""
        return self.probes[0].window.mask.numel()

    def setting(self, draws: int) -> dict[str, Any]:
        """Everything that the numbers depend on, for the record."""
        window, s = self.probes[0].window, self.settings
        sizes = {"batch_size": window.batch_size, "steps": s.steps, "probe_steps": window.steps, "probes": len(self.probes)}
        handed = {"sampling": s.sampling, **({} if s.block is None else {"block": s.block})}
        made = {"hidden_size": self.model.settings.hidden_size, "layers": self.model.settings.layers}
        return {
            **{"corpus": self.source, "cell": cell_name(self.model), **({} if self.model.own_cell else made)},
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            **{**sizes, **handed, "draws": draws, "seed": s.seed, "dtype": s.dtype, "device": str(window.mask.device)},
            **{"threads": torch.get_num_threads(), "unit": self.unit},
        }


def measure(ground: Ground, strategies: Mapping[str, Strategy], draws: int, progress: Progress) -> Comparison:
    """Bias and variance of one strategy after the other, then time and memory of all in turns."""
    steps, seed = ground.settings.steps, ground.settings.seed
    per_probe = 1 + sum(draws if strategy.random else 1 for strategy in strategies.values())
    count = Counter(progress, len(ground.probes) * per_probe + (1 + len(strategies)) * (1 + ROUNDS))
    reference = Reference(ground.model.unroll(per=ground.per), ground.probes, count)
    rows = []
    for name, strategy in strategies.items():
        try:
            rows.append(Row(name, strategy, reference.measure(strategy, steps, draws, seed, count)))
        except BpttError as error:
            rows.append(Row(name, strategy, reason=str(error)))
    running = {row.name: row.strategy for row in rows if row.measured is not None}
    # Only here in the lower precision of training, if it has one: rounding is no bias of a strategy.
    unroll = ground.model.unroll(per=ground.per, autocast=precision(ground.settings.dtype)[1])
    exact, each = costs(running, unroll, ground.probes[0], steps, count)
    priced = tuple(dataclasses.replace(row, cost=each.get(row.name)) for row in rows)
    return Comparison(priced, exact, reference.norm, reference.data_variance, ground.setting(draws), ground.notes)


class Counter:
    """Counts what is done, and tells."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.done, self.total = progress, 0, total

    def __call__(self) -> None:
        self.done += 1
        self.progress(self.done, self.total)


def named(gradient: Sequence[Strategy] | Mapping[str, Strategy]) -> dict[str, Strategy]:
    """Strategies by name; InputError for what is none, and for one given twice."""
    values = list(gradient.values()) if isinstance(gradient, Mapping) else list(gradient)
    if not values:
        raise InputError("There is no strategy to compare", repr(gradient), "Give several: [bptt.Full(), bptt.Truncated(16)]")
    for value in values:
        require_strategy(value)
    names = list(gradient) if isinstance(gradient, Mapping) else [spelled(value) for value in values]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError("A strategy is given twice", twice, "Keep one of them")
    return dict(zip(names, values, strict=True))


def spelled(strategy: Any) -> str:
    """A strategy as one writes it in Python, arguments at their defaults left out."""
    values = [(field, getattr(strategy, field.name)) for field in dataclasses.fields(strategy) if field.repr]
    given = (f"{field.name}={value!r}" for field, value in values if value != field.default)
    return f"{type(strategy).__name__}({', '.join(given)})"


def check_kinds(model: object, corpus: object, gradient: object) -> None:
    """InputError for an argument of another kind than it must be."""
    if not isinstance(model, LanguageModel | SeriesModel):
        raise InputError("This is no model", repr(model)[:80], "Give a bptt.LanguageModel, or run.model of a bptt.Run")
    if not isinstance(corpus, Corpus | SeriesData):
        raise InputError("This is no corpus", repr(corpus)[:80], "Give what bptt.read_text returns")
    if not isinstance(gradient, Iterable) or isinstance(gradient, str):
        raise InputError(
            "gradient must be several strategies", repr(gradient), "Give a list: [bptt.Full(), bptt.Truncated(16)]"
        )


def check_numbers(probes: int, draws: int, race: float | None) -> None:
    """InputError for numbers that cannot be."""
    whole("probes", probes, 1)
    whole("draws", draws, LEAST_DRAWS)
    if race is not None and not (isinstance(race, int | float) and not isinstance(race, bool) and 0 < race < math.inf):
        raise InputError("race must be a number of seconds above 0", f"race={race!r}", "Try race=20, or leave it out")


def whole(name: str, value: object, least: int) -> int:
    """`value`, if it is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}", f"{name}={value!r}", f"Try {name}=4")
    return value


@contextlib.contextmanager
def left_as_it_was(threads: int | None) -> Iterator[None]:
    """Random states and the number of threads are afterwards what they were; inside there are `threads`, unless None."""
    random, before = random_state(), torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        set_random_state(random)
        torch.set_num_threads(before)

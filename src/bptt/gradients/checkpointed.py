"""Exact back-propagation through the whole window in as much memory as it is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar, Self

from bptt import nest
from bptt.errors import InputError
from bptt.gradients.idle import idle
from bptt.gradients.measure import measure
from bptt.gradients.references import GRIEWANK_WALTHER_2000, GRUSLYS_2016
from bptt.gradients.replay import Point, Replay
from bptt.gradients.schedules import Plan, Revolve, within
from bptt.gradients.settings import require_causal, step_count
from bptt.gradients.sizes import byte_count
from bptt.types import Carry, Estimate, Unroll, Window


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpointed:
    """The gradient of `Full`, with steps run forwards again where their internals were not kept.

    ∂L/∂θ = Σ_ab ∂(L_ab + ⟨h_b, λ_b⟩)/∂θ,   λ_a = ∂(L_ab + ⟨h_b, λ_b⟩)/∂h_a        (blocks [a, b), from the last to the first)

    L_ab is the sum of a block's losses, h_a the state before it. Each block is run with its graph once, from a stored state or
    from one that is run up to again.

    Arguments, one of them:
        budget  bytes held for the backward (states, and what the steps being run backwards keep), as a number or as text such
                as "512MiB". What a step takes is measured on the model, and the schedule with the fewest forward steps taken:
                optimal for states alone, or for states and the internals of blocks.
        slots   how many states are stored at a time, the first one included: the fewest forward steps for it, a step at a time
        every   a state is stored every so many steps, and no step is run more than twice

    The budget does not count the window, the parameters and their gradients, nor what a call needs for a moment: with an LSTM
    or a GRU up to three times the bytes of the parameters. A model that draws from torch's own generator (nn.Dropout in a cell
    of yours) meets the masks of its first run again. Raises InputError for a budget that cannot hold two states and one step,
    when the first window is there to measure it on. `Estimate.info`: forwards, the forward steps run ÷ T; slots, the most
    states and graphs held at a time.

    >>> Checkpointed(budget="64MiB").nominal(1000)
    1000

    Sources: Griewank & Walther 2000; Gruslys et al. 2016.
    """

    budget: int | float | str | None = None
    slots: int | None = None
    every: int | None = None

    exact: ClassVar[bool] = True
    unbiased: ClassVar[bool] = True
    online: ClassVar[bool] = False
    per_window: ClassVar[bool] = True
    random: ClassVar[bool] = False
    omits: ClassVar[str] = "nothing within a window"
    cost: ClassVar[str] = "one backward, 1 to 2 forwards; more where the states between blocks do not fit"
    memory: ClassVar[str] = "as given"
    reference: ClassVar[str] = GRIEWANK_WALTHER_2000 + "\n\n" + GRUSLYS_2016

    def __new__(cls, *unnamed: object, **settings: object) -> Self:
        """InputError for an argument without its name: 64 may be bytes, slots or steps."""
        if unnamed:
            told = ", ".join(map(repr, unnamed))
            raise InputError("Checkpointed takes its argument by name", told, "Write budget=…, slots=… or every=…")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        if len(given) != 1:
            raise InputError(
                "Checkpointed takes one of budget, slots and every",
                ", ".join(f"{name}={value}" for name, value in given.items()) or "none of them",
                "Keep one of them" if given else "Give for example budget=64MiB, slots=8 or every=32",
            )
        if self.budget is not None:
            byte_count("budget", self.budget)
        else:
            step_count(*given.popitem())

    def nominal(self, steps: int) -> int:
        """One update spends the losses of a window."""
        return steps

    def start(self, unroll: Unroll, batch_size: int) -> Carry:
        """The initial state; no memory of its own. InputError for a model that looks ahead."""
        require_causal(unroll, "Checkpointed")
        return Carry(nest.detach(unroll.initial_state(batch_size)))

    def gradients(self, unroll: Unroll, window: Window, carry: Carry) -> Iterator[Estimate]:
        """One estimate per window."""
        if not window.steps:
            yield idle(window, carry)
            return
        point = Point.first(window, carry.state)
        done = Replay(unroll, window, self._plan(unroll, window, point)).run(point)
        info = {"forwards": done.forwards / window.steps, "slots": done.slots}
        yield Estimate(done.loss, window.count, Carry(done.state), window.steps, info=info)

    def _plan(self, unroll: Unroll, window: Window, point: Point) -> Plan:
        """How `window` is going to be run from its first point."""
        if self.slots is not None:
            return Plan(1, window.steps, Revolve(self.slots))
        if self.every is not None:
            blocks = -(-window.steps // self.every)
            return Plan(self.every, blocks, Revolve(blocks), reach=self.every)
        return within(byte_count("budget", self.budget), measure(unroll, window, point), window.steps)

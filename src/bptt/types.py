"""The values that pass between the rooms: windows, carries, estimates, and the two protocols that use them.

Knows shapes and words; must not know any loader, layer, optimiser or device. Legend of shape letters, used everywhere:

    B rows    T steps    I inputs    H hidden units    V vocabulary

Layout is [B, T, …] throughout, and axis 0 of every state leaf is the row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from bptt.errors import ShapeError
from bptt.structure import Structure

State = Any


@dataclasses.dataclass(frozen=True)
class Window:
    """T steps of B rows, as a stream hands them out.

    inputs   [B, T, …]        what the model reads
    targets  [B, T, …]        what it should say
    reset    [B, T] bool      the row starts anew at this step: its state is the initial state
    mask     [B, T] bool      which losses count; it never touches the state
    noise    [B, T] int64     the seed of every random mask of this step, so that recomputation draws the same mask
    """

    inputs: Tensor
    targets: Tensor
    reset: Tensor
    mask: Tensor
    noise: Tensor

    @classmethod
    def of(
        cls,
        inputs: Tensor,
        targets: Tensor,
        *,
        reset: Tensor | None = None,
        mask: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Window:
        """A window from inputs and targets alone; by default nothing resets, every loss counts, noise is drawn afresh."""
        shape, device = inputs.shape[:2], inputs.device
        if targets.shape[:2] != shape:
            raise ShapeError(
                "Inputs and targets disagree in rows or steps",
                f"inputs {tuple(inputs.shape)}, targets {tuple(targets.shape)}",
                "Give both as [B, T, …]",
            )
        if reset is None:
            reset = torch.zeros(shape, dtype=torch.bool, device=device)
        if mask is None:
            mask = torch.ones(shape, dtype=torch.bool, device=device)
        if noise is None:
            noise = torch.randint(-(2**63), 2**63 - 1, shape, dtype=torch.int64, device=device)
        for name, value in (("reset", reset), ("mask", mask), ("noise", noise)):
            if value.shape != shape:
                wrong = f"{name} has another shape than the inputs"
                raise ShapeError(wrong, f"{tuple(value.shape)}", f"Give it as {tuple(shape)}")
        return cls(inputs, targets, reset, mask, noise)

    @property
    def batch_size(self) -> int:
        """B, the number of rows."""
        return self.inputs.shape[0]

    @property
    def steps(self) -> int:
        """T, the number of steps."""
        return self.inputs.shape[1]

    @property
    def count(self) -> int:
        """How many losses count."""
        return int(self.mask.sum())

    def _each(self, function: Any) -> Window:
        return Window(*(function(getattr(self, field.name)) for field in dataclasses.fields(self)))

    def __getitem__(self, index: tuple[slice, slice]) -> Window:
        """`window[:, a:b]`, the steps a to b."""
        rows, steps = index
        return self._each(lambda value: value[rows, steps])

    def to(self, device: torch.device | str) -> Window:
        """The same window on another device."""
        return self._each(lambda value: value.to(device))

    def silent(self) -> Window:
        """The same steps with no loss that counts: context for later steps."""
        return dataclasses.replace(self, mask=torch.zeros_like(self.mask))

    def tail(self, start: int) -> Window | None:
        """The steps from `start` on as context for later ones, silent and a copy of their own; None if there are none."""
        return Window.cat(self[:, start:]).silent() if start < self.steps else None

    def rows(self) -> Window:
        """B·T rows of one step each: row b·T + t is step t of row b."""
        return self._each(lambda value: value.flatten(0, 1).unsqueeze(1))

    @staticmethod
    def cat(*windows: Window | None) -> Window:
        """Join windows of the same rows in time; None and empty windows are skipped.

        Always a copy: a slice of a longer window would keep all of it alive, and matrix products round differently for other
        alignments in memory, so that the same steps cut from another window would give other bits.
        """
        present = [window for window in windows if window is not None]
        parts = [window for window in present if window.steps] or present[:1]
        names = [field.name for field in dataclasses.fields(Window)]
        return Window(*(torch.cat([getattr(part, name) for part in parts], 1) for name in names))


class Carry(NamedTuple):
    """What a strategy hands from one estimate to the next: the state of the model and the strategy's own memory.

    A value: detached tensors, windows, numbers, strings and None in dicts, lists and tuples. No graph, no generator, no live
    parameter. So it can be saved, loaded and continued bit for bit.
    A tensor whose first axis is as long as the batch has rows holds something for each row, unless it stands under a key
    "shared"; everything else is the same on every process that trains. So rows can go to other processes, and take along what
    is theirs.
    """

    state: State
    memory: Any = None


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One gradient, already added into `.grad`, and where the stream stands after it.

    loss_sum  sum of the losses that this estimate counts, detached
    count     how many losses that are
    carry     continues the stream after `steps` steps of the window
    steps     how much of the window is consumed
    ready     False: an open stretch, nothing to spend yet
    info      facts for the progress line and the metrics (numbers by name)
    """

    loss_sum: Tensor
    count: int
    carry: Carry
    steps: int
    ready: bool = True
    info: Mapping[str, float] = dataclasses.field(default_factory=dict)


class Entry(NamedTuple):
    """How one parameter enters a step of a layer of H units that have G pre-activations and S numbers of state each.

    parameter  [G·H, m], or [G·H] for a bias: row g·H + i belongs to pre-activation g of unit i
    gain       [B, S, G, H]: the derivative of number s of unit i after the step by that pre-activation
    source     [B, m], what the parameter is multiplied by; None for a bias, that is ones
    name       the parameter's name in the model, "" where it has none
    """

    parameter: Tensor
    gain: Tensor
    source: Tensor | None
    name: str = ""


class Local(NamedTuple):
    """One step of a layer as its units see it: all Jacobians of the step, in parts that belong to one unit each.

        ∂s'_{k,i}/∂s_{l,j} = [i = j] own_{k,l,i} + [l = 0] Σ_g gain_{k,g,i} W_{g·H+i, j}
        ∂s'_{k,i}/∂θ_{g·H+i, j} = gain_{k,g,i} source_j

    s_{k,i} is number k of unit i: the k-th leaf [B, H] of the state; leaf 0 is the output, and the one that W reads.

    own        [B, S, S, H]: to number k from number l of the same unit, by all ways but W
    recurrent  the entry of W [G·H, H], whose source is leaf 0
    entries    of every parameter of the layer, W's among them
    """

    own: Tensor
    recurrent: Entry
    entries: tuple[Entry, ...]


class Inside(NamedTuple):
    """The recurrent part of one step, taken apart.

    layers   a `Local` per layer, from the input up
    outputs  the output [B, 1, H] of each layer, attached to the parameters and to the layers below
    state    after the step, attached
    """

    layers: tuple[Local, ...]
    outputs: tuple[Tensor, ...]
    state: State


class Unroll(Protocol):
    """All that a strategy may know of a model: `bptt.Unroll` is the implementation."""

    @property
    def causal(self) -> bool:
        """False if an output depends on later inputs."""
        ...

    @property
    def repeatable(self) -> bool:
        """False if running the same steps again may draw other random masks."""
        ...

    def segment(self, window: Window, state: State, edge: Tensor | None = None) -> tuple[Tensor, State]:
        """Run the steps of `window`: the sum of its losses, and the state after them, still attached."""
        ...

    def backward(self, loss: Tensor | None, *, start: State = None, end: State = None, adjoint: State = None) -> State:
        """Add d(loss + ⟨end, adjoint⟩)/dθ, divided by `per`, into `.grad`; return the adjoint at `start`."""
        ...

    def add(self, gradients: Mapping[str, Tensor]) -> None:
        """Add gradients by parameter name, divided by `per`, that `backward` did not make."""
        ...

    def states(self, window: Window, state: State) -> State:
        """The state before every step of `window`, leaves [B, T, …]."""
        ...

    def rows(self, window: Window, states: State) -> tuple[State, Tensor]:
        """One batched call on B·T rows, each from its own state: the states after the step, and the losses [B·T]."""
        ...

    def pure(self, params: Mapping[str, Tensor], window: Window, state: State) -> tuple[Tensor, State]:
        """`segment` as a pure function of the parameters, always on the readable path."""
        ...

    def local(self, window: Window, state: State) -> Inside | None:
        """The recurrent part of a window of one step, taken apart; None: its layers do not say what goes on inside."""
        ...

    def read(self, window: Window, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """What the readout makes of the outputs [B, T, H] of the recurrent part, and the sum of the losses."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters by the names that `add` and `pure` know."""
        ...

    def initial_state(self, batch_size: int) -> State:
        """The state of `batch_size` rows before their first step."""
        ...

    def structure(self) -> Structure:
        """Which units a step moves by what, under the names of `named_parameters`; not named: moves everything."""
        ...

    def agree(self, value: Tensor) -> Tensor:
        """The mean of `value` over all processes."""
        ...

    def draw(self, rows: int, make: Callable[[int], Tensor]) -> Tensor:
        """What is drawn by row: `make(B)` for all B rows of all processes, of which the `rows` ones here are handed out."""
        ...


@runtime_checkable
class Strategy(Protocol):
    """A way to carry a gradient through time: a frozen value with facts about itself.

    It sees an unrolled computation and windows, and nothing else. `gradients` adds into `.grad` and yields; the caller spends
    what is there and goes on. The contract is spelled out, and checked, in `bptt.testing.check_strategy`.

    exact      the gradient of a window is the exact one, the state before it held fixed
    unbiased   its expectation is the exact gradient: of a window if `per_window`, else of the whole stream
    random     it draws weights, keyed by stream position and its field `seed`: another seed, another draw
    online     its gradients run forward in time
    omits, cost, memory    what is left out, forwards and backwards, what is held, in words for a table
    reference  what to cite, as BibTeX
    """

    exact: ClassVar[bool]
    unbiased: ClassVar[bool]
    random: ClassVar[bool]
    online: ClassVar[bool]
    omits: ClassVar[str]
    cost: ClassVar[str]
    memory: ClassVar[str]
    reference: ClassVar[str]

    @property
    def per_window(self) -> bool:
        """True if what one update spends depends on where windows end; False if window borders leave no trace."""
        ...

    def nominal(self, steps: int) -> int:
        """How many steps' losses one update spends when windows have `steps` steps: a constant of the run."""
        ...

    def start(self, unroll: Unroll, batch_size: int) -> Carry:
        """The carry before the first step."""
        ...

    def gradients(self, unroll: Unroll, window: Window, carry: Carry) -> Iterator[Estimate]:
        """Consume `window`, adding gradients into `.grad` and yielding at least once.

        A window of no steps, `window[:, :0]`, closes what is still open, after the last one of a run.
        """
        ...

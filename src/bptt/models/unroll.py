"""A model unrolled over a stretch: encode → recurrent → readout → loss, and the gradient that flows back through it.

This is all that a gradient strategy sees. It knows nothing of loaders, optimisers, devices or logging; the strategy knows
nothing of layers. Gradients land in `.grad`, divided by `per`, a constant of the run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from bptt import nest
from bptt.errors import ContractError
from bptt.kernels.dispatch import observed
from bptt.linear_losses import FROM_LINEAR
from bptt.losses import cross_entropy
from bptt.models.parts import Embed, OneHot, Readout
from bptt.nn import Lookup, adapt
from bptt.nn.adapters import hooked
from bptt.ranks import ALONE, Ranks
from bptt.structure import Structure
from bptt.types import Inside, Local, State, Window

Loss = Callable[[Tensor, Tensor], Tensor]


class Unroll(nn.Module):
    """A recurrent computation over windows, for gradient strategies.

    Arguments:
        encode     module on inputs [B, T, …] → [B, T, I], or None for inputs that already are [B, T, I]
        recurrent  a layer or cell of bptt, of torch.nn, or your own (see `bptt.testing.check_cell`)
        readout    module on [B, T, H] → outputs [B, T, …], or None
        loss       function (outputs, targets) → [B, T]
        per        what a sum of losses is divided by before it reaches `.grad`: batch size × `strategy.nominal(T)`
        autocast   a lower precision such as torch.bfloat16 for the matrix products, or None

    Where several processes train one model, the attribute `ranks` is what they say to each other (see `bptt.ranks`).
    An encoder or readout whose `forward` names an argument `noise` receives the window's noise [B, T] for its dropout.

    >>> unroll = Unroll(None, torch.nn.GRU(3, 5), torch.nn.Linear(5, 7))
    >>> window = Window.of(torch.randn(2, 4, 3), torch.randint(7, (2, 4)))
    >>> loss, state = unroll.segment(window, unroll.initial_state(2))
    >>> unroll.backward(loss)
    """

    def __init__(
        self,
        encode: nn.Module | None,
        recurrent: nn.Module,
        readout: nn.Module | None,
        loss: Loss = cross_entropy,
        *,
        per: float = 1.0,
        autocast: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.encode = nn.Identity() if encode is None else encode
        self.recurrent = adapt(recurrent)
        self.readout = nn.Identity() if readout is None else readout
        self.loss, self.per, self.autocast = loss, float(per), autocast
        self.ranks: Ranks = ALONE
        self._noisy = {name for name in ("encode", "readout") if takes_noise(getattr(self, name))}

    @property
    def causal(self) -> bool:
        """False if an output depends on later inputs: such a model cannot be cut, carried or run online."""
        return self.recurrent.causal

    @property
    def repeatable(self) -> bool:
        """False if torch's own dropout is at work, whose masks do not come from the window's noise.

        A function such as torch.nn.functional.dropout inside a module's forward cannot be seen from here.
        """
        return not any(map(draws_outside, self.modules()))

    def initial_state(self, batch_size: int) -> State:
        """The state of `batch_size` rows before their first step, attached to the parameters it depends on."""
        return self.recurrent.initial_state(batch_size)

    def losses(self, window: Window, state: State, edge: Tensor | None = None) -> tuple[Tensor, State]:
        """The loss of every row and step [B, T], masked ones included, and the state after the last step."""
        direct = self._direct(window)
        if direct is None:
            outputs, state = self.outputs(window, state, edge)
            return self._loss(outputs, window), state
        hidden, state = self.recurrent(self._encoded(window), state, reset=resets(window), edge=edge, noise=window.noise)
        linear: nn.Linear = self.readout.linear  # type: ignore[assignment]
        features = self.readout.features(hidden, window.noise)  # type: ignore[operator]
        return direct(features, linear.weight, linear.bias, window.targets, window.mask), state

    def outputs(self, window: Window, state: State, edge: Tensor | None = None) -> tuple[Tensor, State]:
        """The readout of every step, and the state after the last step."""
        with self._precision(window):
            return self._run(window, state, edge, resets(window))

    def segment(self, window: Window, state: State, edge: Tensor | None = None) -> tuple[Tensor, State]:
        """The sum of the losses that count, and the state after the last step, still attached.

        Arguments: state from `initial_state` or an earlier segment; edge [B, T], the factor on the gradient that flows back
        into the state on entering each step.
        """
        losses, state = self.losses(window, state, edge)
        return masked_sum(losses, window.mask), state

    def forward(self, window: Window, state: State, edge: Tensor | None = None) -> tuple[Tensor, State]:
        """`segment` without any shortcut that looks at values, so that vmap, jvp and jacrev can pass."""
        with self._precision(window):
            outputs, state = self._run(window, state, edge, window.reset)
        return masked_sum(self._loss(outputs, window), window.mask), state

    def pure(self, params: Mapping[str, Tensor], window: Window, state: State) -> tuple[Tensor, State]:
        """`segment` as a pure function of the parameters by name, for torch.func."""
        return torch.func.functional_call(self, dict(params), (window, state))

    def backward(self, loss: Tensor | None, *, start: State = None, end: State = None, adjoint: State = None) -> State:
        """Add d(loss + ⟨end, adjoint⟩)/dθ ÷ per into `.grad`; return the adjoint at `start`, or None without `start`.

        Arguments: loss, a scalar; start, leaves from `nest.as_leaves` at which to read d(…)/dstart; end, an attached state;
        adjoint, its gradient. Adjoints are in the units of the loss sum, not divided by `per`.
        """
        roots: list[Tensor] = []
        pulls: list[Tensor | None] = []
        if loss is not None and loss.requires_grad:
            roots.append(loss / self.per)
            pulls.append(None)
        if adjoint is not None:
            for value, pull in zip(nest.leaves(end), nest.leaves(adjoint), strict=True):
                if nest.is_float(value) and value.requires_grad:
                    roots.append(value)
                    pulls.append(pull / self.per)
        if roots:
            torch.autograd.backward(roots, pulls)
        return None if start is None else nest.map(self._adjoint, start)

    def add(self, gradients: Mapping[str, Tensor]) -> None:
        """Add gradients by parameter name, in the units of the loss sum, that `backward` did not make."""
        parameters = dict(self.named_parameters())
        unknown = gradients.keys() - parameters.keys()
        if unknown:
            raise ContractError("There is no such parameter", ", ".join(sorted(unknown)), "Use the names of named_parameters()")
        for name, gradient in gradients.items():
            parameter, share = parameters[name], gradient.detach() / self.per
            parameter.grad = share if parameter.grad is None else parameter.grad + share

    @torch.no_grad()
    def states(self, window: Window, state: State) -> State:
        """The state before every step of `window`, leaves [B, T, …], detached."""
        if not window.steps:
            return nest.map(lambda leaf: leaf.unsqueeze(1)[:, :0], state)
        with self._precision(window):
            return self.recurrent.states(self._encoded(window), state, reset=resets(window), noise=window.noise)

    def rows(self, window: Window, states: State) -> tuple[State, Tensor]:
        """One batched call on B·T rows, each from its own state.

        Arguments: states, leaves [B·T, …] in the row order of `window.rows()`. Returns the states after the step, leaves
        [B·T, …], and the losses [B·T], zero where the mask is off.
        """
        single = window.rows()
        losses, after = self.losses(single, states)
        return after, torch.where(single.mask, losses, 0.0).squeeze(1)

    def local(self, window: Window, state: State) -> Inside | None:
        """The recurrent part of a window of one step, taken apart; None if its layers do not say what goes on inside."""
        with self._precision(window):
            found = self.recurrent.local(self._encoded(window), state, reset=resets(window), noise=window.noise)
        if found is None:
            return None
        names = {id(parameter): name for name, parameter in self.named_parameters()}
        outputs, layers = zip(*found[0], strict=True)
        return Inside(tuple(named(layer, names) for layer in layers), outputs, found[1])

    def read(self, window: Window, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """What the readout makes of `hidden` [B, T, H], and the sum of the losses that count."""
        with self._precision(window):
            scores = self._part("readout", hidden, window)
        return scores, masked_sum(self._loss(scores, window), window.mask)

    def structure(self) -> Structure:
        """Which units a step moves by what, as the recurrent layer says it, under the names of `named_parameters`.

        A parameter that is used in a place of which nothing is said, or in two places that say different things, is left out:
        it may move everything.
        """
        floats = [leaf for leaf in nest.leaves(self.initial_state(1)) if nest.is_float(leaf)]
        numbers = sum(leaf.numel() for leaf in floats)
        said = self.recurrent.structure()
        found = Structure.unknown(numbers) if said is None else said.under("recurrent.")
        if len(found.units) != numbers:
            wrong = "The structure of the recurrent layer does not fit its state"
            raise ContractError(wrong, f"{len(found.units)} units for {numbers} numbers", "Give one unit for each float number")
        places: dict[int, list[str]] = {}
        for name, parameter in self.named_parameters(remove_duplicate=False):
            places.setdefault(id(parameter), []).append(name)
        moves = {}
        for names in places.values():
            units = [found.moves.get(name) for name in names]
            if units[0] is not None and all(other is not None and torch.equal(units[0], other) for other in units):
                moves[names[0]] = units[0]
        return dataclasses.replace(found, moves=moves)

    def agree(self, value: Tensor) -> Tensor:
        """The mean of `value` over all processes: with one process, the value itself."""
        return self.ranks.mean(value)

    def draw(self, rows: int, make: Callable[[int], Tensor]) -> Tensor:
        """What is drawn by row, for the `rows` rows that are here: `make(B)` for all B rows of the batch, and these of it.

        So a row meets the same draws whatever process has it. With one process it is `make(rows)`.
        """
        return self.ranks.draw(rows, make)

    def _run(self, window: Window, state: State, edge: Tensor | None, reset: Tensor | None) -> tuple[Tensor, State]:
        encoded = self._encoded(window)
        hidden, state = self.recurrent(encoded, state, reset=reset, edge=edge, noise=window.noise)
        return self._part("readout", hidden, window), state

    def _encoded(self, window: Window) -> Tensor | Lookup:
        """What the recurrent layer reads: vectors, or tokens before their vectors are looked up, if both sides can do so."""
        encode = self.encode
        if (
            isinstance(encode, Embed | OneHot)
            and type(encode) in (Embed, OneHot)
            and self.recurrent.looks_up
            and not hooked(encode)
        ):
            tokens = encode.lookup(window.inputs)
            if tokens is not None:
                return tokens
        return self._part("encode", window.inputs, window)

    def _direct(self, window: Window) -> Callable[..., Tensor] | None:
        """The loss in its linear form, if it has one and nothing stands between our own readout and it."""
        direct, readout = FROM_LINEAR.get(self.loss), self.readout
        if direct is None or type(readout) is not Readout or type(readout.linear) is not nn.Linear:
            return None
        if hooked(readout, readout.linear, readout.dropout) or torch.is_autocast_enabled("cpu") or self.autocast is not None:
            return None
        return None if observed() or not window.mask.numel() else direct

    def _part(self, name: str, value: Tensor, window: Window) -> Tensor:
        module = getattr(self, name)
        return module(value, noise=window.noise) if name in self._noisy else module(value)

    def _loss(self, outputs: Tensor, window: Window) -> Tensor:
        losses = self.loss(outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs, window.targets)
        if losses.shape != window.mask.shape:
            raise ContractError(
                "The loss must give one number per row and step",
                f"shape {tuple(losses.shape)}",
                f"Return {tuple(window.mask.shape)}: no mean and no sum over rows or steps",
            )
        return losses

    def _precision(self, window: Window) -> contextlib.AbstractContextManager[object]:
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(window.inputs.device.type, dtype=self.autocast)

    def _adjoint(self, leaf: Tensor) -> Tensor:
        if not nest.is_float(leaf):
            return leaf
        return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad * self.per


def named(layer: Local, names: Mapping[int, str]) -> Local:
    """The layer with the names of its parameters; one that is computed from others, as a parametrization does, has none."""
    recurrent, *entries = (
        entry._replace(name=names.get(id(entry.parameter), "")) for entry in (layer.recurrent, *layer.entries)
    )
    return layer._replace(entries=tuple(entries), recurrent=recurrent)


def masked_sum(losses: Tensor, mask: Tensor) -> Tensor:
    """Sum of the losses [B, T] where `mask` [B, T] is true; a NaN under the mask stays out."""
    return torch.where(mask, losses, 0.0).sum()


def resets(window: Window) -> Tensor | None:
    """The window's resets, or None if no row starts anew: one pass over a small mask spares a selection per step."""
    return window.reset if window.reset.any() else None


def draws_outside(module: nn.Module) -> bool:
    """True if the module, in training, draws masks from torch's global generator."""
    if not module.training:
        return False
    if isinstance(module, nn.RNNBase):
        return module.dropout > 0 and module.num_layers > 1 and not takes_noise(module)
    return isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0


def takes_noise(module: nn.Module) -> bool:
    """True if the module's forward names an argument `noise`."""
    return "noise" in inspect.signature(module.forward).parameters

"""One wrapper per kind of recurrent module, each turning it into a recurrent layer with rows first.

Knows how torch's modules, drop-in modules and cells are called; must not know strategies or models. Every wrapper holds the
module as it is, never rebinding a parameter, and calls it as a module, so that its hooks and parametrizations keep working.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bptt import nest
from bptt.errors import ContractError
from bptt.kernels import choose
from bptt.kernels.walk import Borders, walk
from bptt.nn.layered import Layered, recur
from bptt.nn.local import Local, local
from bptt.nn.lookup import Lookup
from bptt.nn.masks import Masks
from bptt.nn.structures import of_cell, of_layers
from bptt.structure import Structure
from bptt.types import State


class Layer(nn.Module):
    """A recurrent layer: `forward(x[B, T, I], state, …) -> (y[B, T, H], state)`, row b of every leaf of the state for row b.

    reset [B, T] bool, edge [B, T] float, lengths [B], noise [B, T] int64 may each be absent; state None: the initial state.
    A layer that says `looks_up` gets tokens as a `Lookup`, the others their vectors.
    """

    causal = True
    looks_up = False

    def forward(
        self,
        x: Tensor | Lookup,
        state: State = None,
        *,
        reset: Tensor | None = None,
        edge: Tensor | None = None,
        lengths: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        if isinstance(x, Lookup) and not self.looks_up:
            x = x.dense()
        masks = Masks(reset, edge, lengths, noise).checked(x)
        return self.run(masks.silence(x), self.initial_state(x.shape[0]) if state is None else state, masks)

    def run(self, x: Any, state: State, masks: Masks) -> tuple[Tensor, State]:
        """`forward` with a state and with masks that fit."""
        raise NotImplementedError

    @torch.no_grad()
    def states(self, x: Any, state: State, *, reset: Tensor | None = None, noise: Tensor | None = None) -> State:
        """The state before every step of x [B, T, I], leaves [B, T, …], detached: what a step finds, before any reset."""
        x, before = x.dense() if isinstance(x, Lookup) else x, []
        for t in range(x.shape[1]):
            before.append(state)
            step = slice(t, t + 1)
            anew = None if reset is None or not reset[:, step].any() else reset[:, step]
            _, state = self(x[:, step], state, reset=anew, noise=None if noise is None else noise[:, step])
        return nest.map(lambda *leaves: torch.stack([leaf.to(leaves[0].dtype) for leaf in leaves], 1), *before)

    def initial_state(self, batch_size: int) -> State:
        """The state of `batch_size` rows before their first step, made anew at every call, graph attached."""
        raise NotImplementedError

    def structure(self) -> Structure | None:
        """Which units a step moves by what; None: everything by everything, as far as is known."""
        return None

    def local(self, x: Tensor, state: State, reset: Tensor | None) -> Local | None:
        """The Jacobians of one step of x [B, I] from `state` in closed form, reset [B]; None: there is no closed form."""
        return None


def rows_first(state: State) -> State:
    """torch's [layers, B, H] as [B, layers, H], or back."""
    return nest.map(lambda leaf: leaf.transpose(0, 1).contiguous(), state)


class TorchStates(Layer):
    """A multi-layer module of torch's shape: its states are [layers·directions, B, H], zero at first."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    @property
    def causal(self) -> bool:  # type: ignore[override]
        return not self.layer.bidirectional

    def initial_state(self, batch_size: int) -> State:
        layer: Any = self.layer
        weight = layer.weight_hh_l0
        count = layer.num_layers * (2 if layer.bidirectional else 1)
        h = torch.zeros(batch_size, count, layer.proj_size or layer.hidden_size, dtype=weight.dtype, device=weight.device)
        if layer.mode != "LSTM":
            return h
        return h, torch.zeros(batch_size, count, layer.hidden_size, dtype=weight.dtype, device=weight.device)

    def structure(self) -> Structure | None:
        found = of_layers(self.layer)
        return None if found is None else found.under("layer.")

    def local(self, x: Tensor, state: State, reset: Tensor | None) -> Local | None:
        layer = self.layer
        weights = {f"{name}_l0": layer._parameters.get(f"{name}_l0") for name in WEIGHTS}
        plain = layer.num_layers == 1 and self.causal and not layer.proj_size and not hooked(layer)
        if not plain or weights["weight_ih_l0"] is None or weights["weight_hh_l0"] is None:
            return None
        extra = {"nonlinearity": nonlinearity(layer)} if layer.mode.startswith("RNN") else {}
        one = nest.map(lambda leaf: leaf[:, 0], state)
        return local(KINDS[layer.mode], weights, x, one, reset, **extra).under("layer.")

    def call(self, x: Tensor, state: State, **masks: Tensor | None) -> tuple[Tensor, State]:
        """The module on x [B, T, I], whichever axis it wants first."""
        if self.layer.batch_first:
            y, state = self.layer(x, rows_first(state), **masks)
        else:
            y, state = self.layer(x.transpose(0, 1), rows_first(state), **masks)
            y = y.transpose(0, 1)
        return y, rows_first(state)


class DropIn(TorchStates):
    """bptt.nn.RNN, LSTM or GRU."""

    layer: Layered
    looks_up = True

    @torch.no_grad()
    def states(self, x: Any, state: State, *, reset: Tensor | None = None, noise: Tensor | None = None) -> State:
        masks = Masks(reset=reset, noise=noise).checked(x)
        found = None if hooked(self.layer) else self.layer.states(x, rows_first(state), masks)
        if found is None:
            return super().states(x, state, reset=reset, noise=noise)
        return nest.map(lambda *leaves: torch.stack(leaves, 2), *found)

    def run(self, x: Any, state: State, masks: Masks) -> tuple[Tensor, State]:
        if isinstance(x, Lookup):
            if hooked(self.layer):
                x = x.dense()
            else:
                y, state = self.layer.layers(x, rows_first(state), masks)
                return y, rows_first(state)
        return self.call(x, state, **masks._asdict())


class TorchLayer(TorchStates):
    """torch.nn.RNN, LSTM or GRU: run in pieces, cut wherever a reset, an edge weight or the end of a row touches the state.

    Its dropout draws from torch's global generator, so `noise` does not reach it.
    """

    def run(self, x: Tensor, state: State, masks: Masks) -> tuple[Tensor, State]:
        reset, edge, lengths, _ = masks
        if reset is None and edge is None and lengths is None:
            return self.call(x, state)
        if not self.causal:
            raise ContractError(
                "A bidirectional torch layer cannot be run in pieces",
                "reset, edge or lengths",
                "Use the bptt.nn layer of the same name, which takes the same weights",
            )
        borders = Borders.of(x.shape[1], state, reset=reset, edge=edge, lengths=lengths)
        outputs = []
        cuts = self.cuts(borders, lengths)
        for start, end in zip(cuts, [*cuts[1:], x.shape[1]], strict=True):
            before = borders.enter(start, state)
            y, after = self.call(x[:, start:end], before)
            y, state = borders.leave(start, y, before, after)
            outputs.append(y)
        return torch.cat(outputs, 1), state

    def cuts(self, borders: Borders, lengths: Tensor | None) -> list[int]:
        """Where pieces begin."""
        steps = range(1, len(borders.reset))
        ends = set() if lengths is None else set(lengths.tolist())
        return [0] + [t for t in steps if t in ends or borders.reset[t] is not None or borders.edge[t] is not None]


class TorchCell(Layer):
    """torch.nn.RNNCell, LSTMCell or GRUCell: our recurrence over the cell's own parameters, from zeros.

    So all steps are projected at once, and vmap passes, which torch's own cells refuse. The cell's hooks do not run.
    """

    kinds: ClassVar[dict[type[nn.Module], str]] = {nn.RNNCell: "elman", nn.LSTMCell: "lstm", nn.GRUCell: "gru"}

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell: Any = cell
        self.kind = next(name for kind, name in self.kinds.items() if isinstance(cell, kind))

    def initial_state(self, batch_size: int) -> State:
        weight = self.cell.weight_hh
        zeros = torch.zeros(batch_size, self.cell.hidden_size, dtype=weight.dtype, device=weight.device)
        return (zeros, zeros.clone()) if self.kind == "lstm" else zeros

    def structure(self) -> Structure:
        leaves = 2 if self.kind == "lstm" else 1
        return of_cell(self.cell, self.cell.hidden_size, self.kind != "elman", leaves=leaves).under("cell.")

    def local(self, x: Tensor, state: State, reset: Tensor | None) -> Local | None:
        weights = {name: self.cell._parameters.get(name) for name in WEIGHTS}
        if weights["weight_ih"] is None or weights["weight_hh"] is None:
            return None
        extra = {"nonlinearity": self.cell.nonlinearity} if self.kind == "elman" else {}
        return local(self.kind, weights, x, state, reset, **extra).under("cell.")

    def run(self, x: Tensor, state: State, masks: Masks) -> tuple[Tensor, State]:
        cell = self.cell
        extra = {"nonlinearity": cell.nonlinearity} if self.kind == "elman" else {}
        weights = cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh
        kernel = choose(self.kind, cell.weight_hh.device.type, cell.weight_hh.dtype)
        return recur(kernel.function, x, state, *weights, masks=masks, **extra)


class Cell(Layer):
    """A user's cell: `forward(x[B, I], state) -> (y[B, H], state)` and `initial_state(batch_size)`, step by step."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell: Any = cell

    def initial_state(self, batch_size: int) -> State:
        return self.cell.initial_state(batch_size)

    def structure(self) -> Structure | None:
        return declared(self.cell, "cell.")

    def run(self, x: Tensor, state: State, masks: Masks) -> tuple[Tensor, State]:
        reset, edge, lengths, _ = masks
        initial = None if reset is None else self.initial_state(x.shape[0])
        return walk(self.step, x.unbind(1), state, initial=initial, reset=reset, edge=edge, lengths=lengths)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        result = self.cell(x, state)
        if not isinstance(result, tuple) or len(result) != 2:
            raise ContractError(
                f"The cell {type(self.cell).__name__} does not return (y, state)",
                f"{type(result).__name__}",
                "Return the output [B, H] and the next state from its forward",
            )
        return result


class Given(Layer):
    """A module that keeps the layer contract already: it is handed those masks that its forward names."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer: Any = layer
        self.named = parameters_of(layer)

    @property
    def causal(self) -> bool:  # type: ignore[override]
        return getattr(self.layer, "causal", True)

    def initial_state(self, batch_size: int) -> State:
        return self.layer.initial_state(batch_size)

    def structure(self) -> Structure | None:
        return declared(self.layer, "layer.")

    def run(self, x: Tensor, state: State, masks: Masks) -> tuple[Tensor, State]:
        given = {name: mask for name, mask in masks._asdict().items() if name in self.named}
        if masks.lengths is not None and "lengths" not in given:
            raise ContractError(
                f"{type(self.layer).__name__} cannot run rows of unequal length",
                "lengths",
                "Give its forward an argument lengths=None, or rows of equal length",
            )
        return self.layer(x, state, **given)


WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
KINDS = {"RNN_TANH": "elman", "RNN_RELU": "elman", "LSTM": "lstm", "GRU": "gru"}


def nonlinearity(layer: nn.RNNBase) -> str:
    """What an Elman layer, ours or torch's, does to its sum."""
    return str(getattr(layer, "nonlinearity", "relu" if layer.mode == "RNN_RELU" else "tanh"))


def declared(module: nn.Module, prefix: str) -> Structure | None:
    """What a module that somebody wrote says of its structure, under `prefix`; None if it says nothing, or is watched."""
    says = getattr(module, "structure", None)
    if not callable(says) or module._forward_hooks:
        return None
    found = says()
    if found is None:
        return None
    if not isinstance(found, Structure):
        raise ContractError(
            f"The structure() of {type(module).__name__} is none", type(found).__name__, "Return a bptt.structure.Structure"
        )
    return found.under(prefix)


HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def hooked(*modules: nn.Module) -> bool:
    """Whether somebody watches the forward or backward of one of these modules, which must then be called."""
    everywhere = any(getattr(nn.modules.module, f"_global{name}") for name in HOOKS)
    return everywhere or any(getattr(module, name) for module in modules for name in HOOKS)


def parameters_of(module: nn.Module) -> set[str]:
    """The argument names of a module's forward."""
    return set(inspect.signature(module.forward).parameters)


def takes_two(module: nn.Module) -> bool:
    """Whether a module's forward can be called as forward(x, state)."""
    try:
        inspect.signature(module.forward).bind(None, None)
    except TypeError:
        return False
    return True

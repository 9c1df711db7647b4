"""One look for every recurrent module: `adapt` finds the wrapper that makes it a recurrent layer with rows first.

Knows which kinds there are and how to tell them apart; must not know how any of them runs.
"""

from __future__ import annotations

from torch import nn

from bptt.errors import ContractError
from bptt.nn.adapters import Cell, DropIn, Given, Layer, TorchCell, TorchLayer, parameters_of, takes_two
from bptt.nn.layered import Layered


def adapt(module: nn.Module) -> Layer:
    """`module` as a recurrent layer.

    module  one of ours (RNN, LSTM, GRU, Stack), torch's RNN, LSTM, GRU or their cells, a cell (`forward(x[B, I], state) ->
            (y[B, H], state)` and `initial_state(batch_size)`), or a layer whose forward names `reset` and `edge`

    Returns an object with `forward(x[B, T, I], state=None, *, reset, edge, lengths, noise) -> (y[B, T, H], state)`,
    `initial_state(batch_size)` and `causal`. It holds the module itself: the same parameters, under "layer." or "cell.".
    Raises ContractError for anything else, saying what is missing.

        layer = adapt(torch.nn.GRUCell(3, 5))
        y, state = layer(torch.randn(2, 7, 3), reset=window.reset)
    """
    if isinstance(module, Layer):
        return module
    if isinstance(module, Layered):
        return DropIn(module)
    if isinstance(module, nn.RNNBase):
        return TorchLayer(module)
    if getattr(type(module), "forward", None) in [kind.forward for kind in TorchCell.kinds]:
        return _torch_cell(module)
    if not isinstance(module, nn.Module):
        raise ContractError("A recurrent module is a torch.nn.Module", type(module).__name__, WANTED)
    return _written(module)


WANTED = (
    "Write a cell: forward(x, state) -> (y, state) and initial_state(batch_size); or a layer: the same over [B, T, I], with "
    "reset=None and edge=None"
)


def _torch_cell(cell: nn.Module) -> Layer:
    """The wrapper of one of torch's cells, whose forward is not called."""
    if cell._forward_pre_hooks or cell._forward_hooks:
        raise ContractError(
            f"{type(cell).__name__} carries forward hooks, which would not run",
            f"{len(cell._forward_pre_hooks)} before and {len(cell._forward_hooks)} after its forward",
            "Remove them (torch.nn.utils.parametrizations replaces the hook of weight_norm), or wrap it in a cell of your own",
        )
    return TorchCell(cell)


def _written(module: nn.Module) -> Layer:
    """The wrapper of a module that somebody else wrote."""
    named, name = parameters_of(module), type(module).__name__
    if not callable(getattr(module, "initial_state", None)):
        raise ContractError(f"{name} has no initial_state(batch_size)", f"forward({', '.join(sorted(named))})", WANTED)
    if {"reset", "edge"} <= named:
        return Given(module)
    if not takes_two(module):
        raise ContractError(f"{name} is neither a cell nor a layer", f"forward({', '.join(sorted(named))})", WANTED)
    return Cell(module)

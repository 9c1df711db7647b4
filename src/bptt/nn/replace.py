"""`replace`: our layers in the place of torch's inside somebody's model.

Knows which of torch's layers have a drop-in; must not know how any of them runs.
"""

from __future__ import annotations

from typing import Any, TypeVar

from torch import nn

from bptt.nn.gru import GRU
from bptt.nn.layered import Layered
from bptt.nn.lstm import LSTM
from bptt.nn.rnn import RNN

Model = TypeVar("Model", bound=nn.Module)
DROP_INS: dict[type[nn.Module], type[Layered]] = {nn.RNN: RNN, nn.LSTM: LSTM, nn.GRU: GRU}


def replace(model: Model) -> Model:
    """`model` with every torch.nn.RNN, LSTM and GRU inside it replaced by bptt's, in place.

    Parameters, buffers and hooks are the same objects as before, so an optimiser, a checkpoint and `state_dict` keep working.
    Subclasses of torch's layers (parametrized ones too) and LSTMs with projected states stay as they are. Ours are
    torch.nn.RNNBase but not torch.nn.GRU and so on: code that asks for those by isinstance (initialisers, quantisation) should
    run before. A layer that a model also holds in a plain list stays there as it was, with the same parameters.

    Returns the model, or the new layer if `model` itself is one of torch's.

        model = bptt.nn.replace(torch.nn.Sequential(torch.nn.Embedding(50, 8), torch.nn.GRU(8, 16)))
    """
    done: dict[int, nn.Module] = {}
    for module in list(model.modules()):
        for name, child in list(module._modules.items()):  # named_children names a shared module once
            if child is not None and wanted(child):
                setattr(module, name, done.setdefault(id(child), drop_in(child)))
    return drop_in(model) if wanted(model) else model  # type: ignore[return-value]


def wanted(module: nn.Module) -> bool:
    """Whether there is a drop-in that does the same."""
    return type(module) in DROP_INS and not getattr(module, "proj_size", 0)


def drop_in(module: nn.Module) -> Layered:
    """Our layer around everything that `module` holds: both have the same base class and the same attributes."""
    kind = DROP_INS[type(module)]
    layer: Any = kind.__new__(kind)
    layer.__dict__ = module.__dict__
    return layer

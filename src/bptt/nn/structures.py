"""The structure of Elman networks, LSTMs and GRUs, torch's and ours, which name and lay out their parameters alike.

Knows torch's names and the rows of its gates; must not know what a gate computes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from bptt.structure import NOTHING, Structure, rows, stacked


def of_layers(module: nn.RNNBase) -> Structure | None:
    """Of a layer of torch's shape with all its layers, states [B, layers, H]; None if what it computes is not what it names."""
    if module.bidirectional or module.proj_size or module._forward_hooks:
        return None
    leaves, leaky = (2 if module.mode == "LSTM" else 1), not module.mode.startswith("RNN")
    each = [of_cell(module, module.hidden_size, leaky, f"_l{layer}") for layer in range(module.num_layers)]
    whole = each[0] if len(each) == 1 else stacked(each)
    # One leaf holds the h of all layers, the next their c.
    return dataclasses.replace(whole, units=torch.arange(module.num_layers * module.hidden_size).repeat(leaves))


def of_cell(module: nn.Module, hidden: int, leaky: bool, suffix: str = "", leaves: int = 1) -> Structure:
    """Of one layer: every row of a gate moves its own unit, and what is pruned away moves nothing.

    leaky: whether a unit keeps something of itself that no weight decides, as a gated cell does.
    """
    moves: dict[str, Tensor] = {}
    coupling = torch.ones(hidden, hidden, dtype=torch.bool)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        held, kept, found = _parameter(module, f"{name}{suffix}")
        if found is None:
            continue
        moves[held] = rows(found, hidden)
        if kept is not None:
            moves[held] = torch.where(kept, moves[held], NOTHING)
            if name == "weight_hh":
                coupling = kept.view(-1, hidden, hidden).any(0) | (torch.eye(hidden, dtype=torch.bool) & leaky)
    return Structure(torch.arange(hidden).repeat(leaves), moves, coupling)


def _parameter(module: nn.Module, name: str) -> tuple[str, Tensor | None, Tensor | None]:
    """The name under which a weight is trained, which of its entries are kept if it is pruned, and itself.

    `torch.nn.utils.prune` trains NAME_orig and multiplies it by the buffer NAME_mask.
    """
    mask: Any = module._buffers.get(f"{name}_mask")
    if mask is None:
        return name, None, module._parameters.get(name)
    return f"{name}_orig", (mask != 0).cpu(), module._parameters.get(f"{name}_orig")

"""A step seen from inside its layers, and what is said where a model does not show it.

Knows `Unroll.local` and its parts; must not know what a rule carries.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bptt.errors import InputError
from bptt.types import Entry, Inside, Local, State, Unroll, Window


def apart(unroll: Unroll, step: Window, state: State, rule: str) -> Inside:
    """One step taken apart; InputError for a model that does not show what goes on inside it."""
    seen = getattr(unroll, "local", None)
    found = None if seen is None else seen(step, state)
    if found is None:
        raise InputError(
            f"{rule} must know how every unit's own numbers go on, and this model does not say",
            "a recurrent part without `local`",
            "Take bptt.nn's RNN, LeakyRNN, GRU or LSTM (--cell rnn, leaky-rnn, gru, lstm), give your cell a method "
            "local(x, state), or take rtrl, uoro or truncated:k1=64",
        )
    if not plain(found):
        raise InputError(
            f"{rule} learns weights as they are, and this model computes some from other parameters, or uses one twice",
            "a weight that is no parameter of its own, as under torch.nn.utils.parametrizations",
            "Take the parametrization away, or take rtrl, uoro or truncated:k1=64",
        )
    return found


def plain(inside: Inside) -> bool:
    """Whether every weight that the layers work with is a parameter of its own."""
    names = [entry.name for layer in inside.layers for entry in layer.entries]
    return all(names) and len(set(names)) == len(names)


def closed(unroll: Unroll, step: Window, state: State, units: Tensor) -> tuple[Tensor, dict[str, Tensor]] | None:
    """The Jacobians of a step of one layer in closed form; None for what does not say, or has several layers.

    Arguments: units [n], the unit of every number as the model's structure has it, which must be that of the layer's leaves.
    Returns D [B, n, n], and I of every parameter of the layer, [B, S, …]: how an entry moves each of its unit's numbers.
    """
    with torch.no_grad():
        inside = unroll.local(step, state)
    if inside is None or len(inside.layers) > 1 or not plain(inside):
        return None
    (layer,) = inside.layers
    gain, weight = layer.recurrent.gain, layer.recurrent.parameter.detach()
    rows, numbers, kinds, size = gain.shape
    if not torch.equal(units, torch.arange(size).repeat(numbers)):
        return None
    before = torch.diag_embed(layer.own).transpose(2, 3).contiguous()  # [B, S, H, S, H]
    before[:, :, :, 0] += torch.einsum("bsgu,guv->bsuv", gain, weight.view(kinds, size, size))
    before = before.view(rows, numbers * size, numbers * size).masked_fill(step.reset.view(-1, 1, 1), 0)
    return before, {entry.name: driven(entry).flatten(2, 3) for entry in layer.entries}


def only_elman(inside: Inside, rule: str) -> Local:
    """The one layer, if each of its units has one number and one pre-activation; InputError otherwise."""
    layer, *more = inside.layers
    numbers, kinds = layer.recurrent.gain.shape[1:3]
    one_gain = all(torch.equal(entry.gain, layer.recurrent.gain) for entry in layer.entries)
    if more or numbers > 1 or kinds > 1 or not one_gain:
        cell = f"{kinds} gates" + (f" and {numbers} numbers" if numbers > 1 else "") + " per unit"
        given = f"{len(inside.layers)} layers" if more else cell
        raise InputError(
            f"{rule} is for one layer whose units have one number and one weighted sum each: the Elman network, leaky or not",
            given,
            "Take --cell rnn or leaky-rnn with --layers 1, or another rule: eprop, uoro, rtrl, truncated:k1=64",
        )
    return layer


def learned(layers: Sequence[Local], trained: Sequence[str]) -> list[tuple[Local, Entry]]:
    """The parameters that want a gradient, each with its layer."""
    return [(layer, entry) for layer in layers for entry in layer.entries if entry.name in trained]


def driven(entry: Entry) -> Tensor:
    """∂s'/∂θ of one parameter with the state before held fixed, without its zeros: [B, S, G, H, m] or [B, S, G, H]."""
    if entry.source is None:
        return entry.gain
    return entry.gain.unsqueeze(-1) * entry.source.detach()[:, None, None, None]


def itself(layer: Local) -> Tensor:
    """What W gives every unit of its own: the part of ∂s'/∂s that passes through W's diagonal, [B, S, S, H]."""
    gain, weight = layer.recurrent.gain, layer.recurrent.parameter.detach()
    kinds, units = gain.shape[2:]
    loops = weight.view(kinds, units, units).diagonal(dim1=1, dim2=2)
    through = torch.zeros_like(layer.own)
    through[:, :, 0] = (gain * loops).sum(2)
    return through

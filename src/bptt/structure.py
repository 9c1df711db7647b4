"""Which zeros the Jacobians of a step always have: what a rule that runs forward in time need not store or multiply.

Knows units, and what moves what; must not know any cell, or any rule. A cell may say it, with a method `structure()`; one that
does not is taken to move everything by everything, which is never wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

OUTPUT, NOTHING = -1, -2


@dataclasses.dataclass(frozen=True, eq=False)
class Structure:
    """What may move what in one step of a recurrent module, for every input, state and value of the parameters.

    units     [n] int64: the unit of each float number of a row's state, leaf by leaf as `bptt.nest.leaves` has them, each leaf
              flattened. A unit is a group that moves as one: h_i and c_i of an LSTM, both parts of a complex number
    moves     by name of a parameter, int64 of its shape: the one unit that each entry moves *directly*, through a step with the
              state before it held fixed; OUTPUT for what moves the output alone, NOTHING for what moves nothing (a pruned
              weight). A parameter that is not named may move every unit
    coupling  [U, U] bool: whether unit j before a step may move unit i after it, at [i, j]; None: no unit moves another
    within    [U, U] bool: whether what moves unit j in a step also moves unit i in the same step, as a layer moves those above
              it; None: no

    It is read once for a model, so it may not change while one is trained. `bptt.testing.check_cell` holds it to the Jacobians.

    >>> leaky = Structure(torch.arange(3), {"decay": torch.arange(3), "weight": rows(torch.empty(3, 5), 3)})
    >>> leaky.size
    3
    """

    units: Tensor
    moves: Mapping[str, Tensor]
    coupling: Tensor | None = None
    within: Tensor | None = None

    @classmethod
    def unknown(cls, numbers: int) -> Structure:
        """Of a state of so many numbers of which nothing is known: one unit, moved by every parameter."""
        return cls(torch.zeros(numbers, dtype=torch.int64), {})

    @property
    def size(self) -> int:
        """U, the number of units."""
        for matrix in (self.coupling, self.within):
            if matrix is not None:
                return len(matrix)
        return int(self.units.max()) + 1 if len(self.units) else 0

    def under(self, prefix: str) -> Structure:
        """The same with `prefix` before every name, as a module that holds the one it is of calls them."""
        return dataclasses.replace(self, moves={f"{prefix}{name}": units for name, units in self.moves.items()})


def rows(weight: Tensor, units: int) -> Tensor:
    """The units that a weight [G·H, …] or bias [G·H] moves: row g·H + i, of gate g, moves unit i of H = `units`."""
    numbers = torch.arange(len(weight)) % units
    return numbers.view(-1, *[1] * (weight.dim() - 1)).expand(weight.shape)


def stacked(parts: Sequence[Structure]) -> Structure:
    """Layers on top of each other, each reading the whole output of the one below, states and names side by side.

    What a layer holds or is moved by may reach every unit above it in the same step. What moves a layer's output alone moves
    all units above it: it is given a unit without a number, behind all others.
    """
    sizes = [part.size for part in parts]
    starts = [sum(sizes[:depth]) for depth in range(len(parts))]
    total = sum(sizes)
    size = total + len(parts)
    coupling, within = torch.zeros(size, size, dtype=torch.bool), torch.eye(size, dtype=torch.bool)
    units, moves = [], {}
    for depth, (part, start) in enumerate(zip(parts, starts, strict=True)):
        end = start + part.size
        for whole, own in ((coupling, part.coupling), (within, part.within)):
            whole[start:end, start:end] = torch.eye(part.size, dtype=torch.bool) if own is None else own
            whole[end:total, start:end] = True
        within[end:total, total + depth] = True
        units.append(part.units + start)
        for name, moved in part.moves.items():
            above = torch.where(moved == OUTPUT, total + depth, moved)
            moves[name] = torch.where(moved >= 0, moved + start, above)
    return Structure(torch.cat(units), moves, coupling, within)

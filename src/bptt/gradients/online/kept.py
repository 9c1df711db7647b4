"""Which entries of the influence M [n, P] are kept, and how they lie in memory: read off a structure, without running anything.

Knows units and what moves what; must not know models, rows or rules. All parameter entries whose influence may live on the
same numbers of the state form a *set*: its block is small and dense. Sets of about one size lie in one tensor [S, k, w]: S sets
of at most k numbers and w entries, padded with a number and an entry that there is not.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bptt.structure import Structure


class Colours(NamedTuple):
    """Numbers of the state that may be pulled back together, as nothing is moved by two of one colour.

    of     [n] the colour of each number
    basis  [C, n] bool: the numbers of each colour
    """

    of: Tensor
    basis: Tensor


class Bucket(NamedTuple):
    """Sets of about one size.

    numbers    [S, k] the numbers of the state in each set, n where there are fewer
    entries    [S, w] the parameter entries, P where there are fewer
    transition [S, k, k] where the part of D that acts inside a set lies in D by colour, in [C·n], or C·n for a zero; None: all of
               D, as it is
    places     where the block is moved directly, in [S·k·w]; None: everywhere
    sources    where that is found in I by colour, in [C·P]; None: it is all of I, as it is
    """

    numbers: Tensor
    entries: Tensor
    transition: Tensor | None
    places: Tensor | None
    sources: Tensor | None

    def to(self, device: torch.device) -> Bucket:
        """The same on another device."""
        return Bucket(*(None if part is None else part.to(device) for part in self))  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, int, int]:
        """S, k, w."""
        return (*self.numbers.shape, self.entries.shape[1])


@dataclasses.dataclass(frozen=True, eq=False)
class Pattern:
    """What a rule keeps that looks `reach` steps ahead: an entry, if its parameter can have moved its number by then.

    structure  of the model
    kept       [U, U] bool: whether the influence of what moves unit j is kept on unit i; None: on its own unit alone
    before     how rows of D are pulled back together
    direct     how rows of I are
    """

    structure: Structure
    kept: Tensor | None
    before: Colours
    direct: Colours

    @classmethod
    def of(cls, structure: Structure, reach: float) -> Pattern:
        """Of a model with this structure, `reach` steps ahead (math.inf: however long it takes)."""
        coupling, within = structure.coupling, structure.within
        used = torch.cat([torch.zeros(0, dtype=torch.int64), *(units.flatten() for units in structure.moves.values())])
        moved = within if within is None else within[:, used[used >= 0].unique()]
        return cls(
            structure,
            _ahead(coupling, within, structure.size, reach),
            _colours(structure.units, None if coupling is None else _meet(coupling)),
            _colours(structure.units, None if moved is None else _meet(moved)),
        )

    @property
    def numbers(self) -> int:
        """n."""
        return len(self.structure.units)

    def _sets(self, moves: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The numbers and the entries of each set."""
        present = moves[moves >= 0].unique()
        if self.kept is None:
            columns, which = [torch.tensor([unit]) for unit in present.tolist()], torch.arange(len(present))
        else:
            masks, which = torch.unique(self.kept[:, present], dim=1, return_inverse=True)
            columns = [mask.nonzero().squeeze(1) for mask in masks.unbind(1)]
        owner = torch.full((self.structure.size + 2,), -1)
        owner[present] = which
        found = []
        for number, held in enumerate(_members(owner[moves], len(columns))):
            numbers = torch.isin(self.structure.units, columns[number]).nonzero().squeeze(1)
            if len(numbers):
                found.append((numbers, held))
        return found

    def everything(self, entries: int) -> Bucket:
        """The bucket of parameters of which nothing is known: one set of all numbers and all entries."""
        numbers = torch.arange(self.numbers).unsqueeze(0)
        return Bucket(numbers, torch.arange(entries).unsqueeze(0), self._transition(numbers), None, None)

    def buckets(self, moves: Tensor) -> list[Bucket]:
        """The sets of parameter entries that move these units, [P]; those of about one size are in one bucket."""
        sizes: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        for numbers, entries in self._sets(moves):
            sizes.setdefault((_class(len(numbers)), _class(len(entries))), []).append((numbers, entries))
        return [self._bucket(some, moves) for some in sizes.values()]

    def _bucket(self, sets: list[tuple[Tensor, Tensor]], moves: Tensor) -> Bucket:
        numbers = _padded([one for one, _ in sets], self.numbers)
        entries = _padded([other for _, other in sets], len(moves))
        return Bucket(numbers, entries, self._transition(numbers), *self._direct(numbers, entries, moves))

    def _transition(self, numbers: Tensor) -> Tensor | None:
        n, colours = self.numbers, len(self.before.basis)
        if colours == n and torch.equal(numbers, torch.arange(n).unsqueeze(0)):
            return None
        units = _and_none(self.structure.units, self.structure.size)[numbers]
        allowed = _allowed(self.structure.coupling, units.unsqueeze(2), units.unsqueeze(1), self.structure.size)
        found = _and_none(self.before.of, 0)[numbers].unsqueeze(2) * n + numbers.unsqueeze(1)
        return torch.where(allowed, found, colours * n)

    def _direct(self, numbers: Tensor, entries: Tensor, moves: Tensor) -> tuple[Tensor | None, Tensor]:
        units = _and_none(self.structure.units, self.structure.size)[numbers]
        moved = _and_none(moves, self.structure.size)[entries]
        allowed = _allowed(self.structure.within, units.unsqueeze(2), moved.unsqueeze(1), self.structure.size)
        colour = _and_none(self.direct.of, 0)[numbers]
        sources = (colour.unsqueeze(2) * len(moves) + entries.unsqueeze(1))[allowed]
        return (None if allowed.all() else allowed.flatten().nonzero().squeeze(1)), sources


def _ahead(coupling: Tensor | None, within: Tensor | None, size: int, reach: float) -> Tensor | None:
    """Which units what moves unit j may have moved after `reach` further steps; None: its own alone."""
    if coupling is None:
        return within
    kept = torch.eye(size, dtype=torch.bool) if within is None else within
    through, steps = coupling.float(), 0
    while steps < reach:
        further = kept | (through @ kept.float() > 0)
        if torch.equal(further, kept):
            break
        kept, steps = further, steps + 1
    return kept


def _meet(moved: Tensor) -> Tensor:
    """Which units are moved by something in common, of a pattern [U, …]."""
    values = moved.float()
    return values @ values.t() > 0


def _colours(units: Tensor, conflicts: Tensor | None) -> Colours:
    """Colours of the numbers, such that neither two of one unit nor two of units in conflict share one: greedily."""
    order = torch.argsort(units, stable=True)
    first = torch.searchsorted(units[order], units[order])
    slot = torch.empty_like(units)
    slot[order] = torch.arange(len(units)) - first
    colour = slot if conflicts is None else _greedy(conflicts)[units] * (len(units) + 1) + slot
    named, colour = torch.unique(colour, return_inverse=True)
    if len(named) == len(units):
        colour = torch.arange(len(units))
    return Colours(colour, colour == torch.arange(len(named)).unsqueeze(1))


def _greedy(conflicts: Tensor) -> Tensor:
    """A colour per unit, the first that no unit in conflict before it has."""
    if conflicts.all():
        return torch.arange(len(conflicts))
    colour = [-1] * len(conflicts)
    for unit, row in enumerate(conflicts):
        taken = {colour[other] for other in row.nonzero().squeeze(1).tolist()}
        colour[unit] = next(one for one in range(len(taken) + 1) if one not in taken)
    return torch.tensor(colour)


def _allowed(matrix: Tensor | None, to: Tensor, moved: Tensor, size: int) -> Tensor:
    """The entries of a pattern of units at [to, moved], False where one of them is none (`size`)."""
    if matrix is None:
        return (to == moved) & (to < size)
    return torch.nn.functional.pad(matrix, (0, 1, 0, 1))[to, moved]


def _and_none(values: Tensor, none: int) -> Tensor:
    """`values` with `none` behind them, for what there is not."""
    return torch.cat([values, torch.tensor([none])])


def _members(owners: Tensor, count: int) -> Sequence[Tensor]:
    """The places of every owner from 0 to `count`, in order; those with a negative owner belong to none."""
    order = torch.argsort(owners, stable=True)
    sizes = torch.bincount(owners[owners >= 0], minlength=count).tolist()
    return order[int((owners < 0).sum()) :].split(sizes)


def _class(size: int) -> int:
    """Sizes of one class differ by less than √2, so that padding stays small and buckets few."""
    return math.floor(2 * math.log2(max(size, 1)))


def _padded(rows: Sequence[Tensor], filler: int) -> Tensor:
    """Rows of unequal length in one tensor."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=filler)

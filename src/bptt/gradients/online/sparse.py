"""The influence of parameters on the state, kept where the structure of a model lets it live, and moved on step by step.

    J_t = mask ∘ (I_t + D_t J_{t−1})

Knows where entries lie (`kept`) and how Jacobians are taken (`rows`); must not know how far a rule looks. Nothing is stored or
multiplied outside the mask. With a mask that the influence never leaves, J is M.
"""

from __future__ import annotations

import abc
import math
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from bptt.errors import InputError
from bptt.gradients.online import machine
from bptt.gradients.online.forward import Influence, Online
from bptt.gradients.online.group import Group
from bptt.gradients.online.inside import closed
from bptt.gradients.online.kept import Pattern
from bptt.gradients.online.rows import jacobians, pulled, ravel, reached, trained
from bptt.structure import Structure
from bptt.types import State, Unroll, Window

GIB = 2**30


class Sparse(Online):
    """Base of the rules that carry the influence itself, in groups of parameters that the state reached at the same step.

    names   of a group's parameters
    blocks  their influence, a tensor [B, S, k, w] for each bucket of `kept.Pattern`
    """

    @property
    @abc.abstractmethod
    def reach(self) -> float:
        """How many steps after the one that moved it an entry of the influence may reach another number."""

    def credit(self, unroll: Unroll, pull: Tensor, influence: Influence) -> dict[str, Tensor]:
        """Σ_b q[b] J[b]."""
        plan, values = Plan.of(unroll, self.reach), trained(unroll)
        found: dict[str, Tensor] = {}
        for held in influence.get("groups", ()):
            found |= plan.group(held["names"], values).credit(pull, held["blocks"])
        return found

    def moved(
        self, unroll: Unroll, step: Window, state: State, after: State, influence: Influence, position: int
    ) -> dict[str, Any]:
        """mask ∘ (I + D J)."""
        plan, values, groups = Plan.of(unroll, self.reach), trained(unroll), list(influence.get("groups", ()))
        known = {name for held in groups for name in held["names"]}
        fresh = [name for name in reached(unroll, after) if name not in known]
        for names in plan.alike(fresh, values):
            groups.append({"names": names, "blocks": None})
        if fresh:
            self._require_memory(plan, groups, values, ravel(state))
        before, direct = plan.jacobians(unroll, [name for held in groups for name in held["names"]], step, state)
        moved = [plan.group(held["names"], values).moved(before, direct, held["blocks"]) for held in groups]
        return {"groups": [dict(held, blocks=blocks) for held, blocks in zip(groups, moved, strict=True)]}

    def _require_memory(self, plan: Plan, groups: list[dict[str, Any]], values: Mapping[str, Tensor], vector: Tensor) -> None:
        """InputError if the influence of these parameters, old and new beside each other, is more than the machine holds."""
        rows, states = vector.shape
        names = [name for held in groups for name in held["names"]]
        parameters, kept, size = sum(values[name].numel() for name in names), 0, 0
        for held in groups:
            entries = plan.group(held["names"], values).kept
            kept, size = kept + entries, size + rows * entries * values[held["names"][0]].element_size()
        limit = machine.memory(vector.device)
        if 2 * size > (math.inf if limit is None else limit):
            share = "" if kept == states * parameters else f", of which {kept:,} entries a row are kept"
            raise InputError(
                f"{type(self).__name__} would hold more than this machine's memory: the influence of parameters on the state",
                f"{rows} rows × {states} numbers × {parameters:,} parameters{share}: {size / GIB:,.1f} GiB, twice while a "
                f"step is taken; the machine has {(limit or 0) / GIB:,.1f} GiB",
                "Take fewer rows or a smaller model, or truncated:k1=64, whose memory is that of its stretch",
            )


class Plan:
    """What is kept of one model's influence, and how its Jacobians are taken: worked out once, and forgotten with the model."""

    def __init__(self, structure: Structure, reach: float) -> None:
        self.pattern = Pattern.of(structure, reach)
        self.groups: dict[Any, Group] = {}

    @staticmethod
    def of(unroll: Unroll, reach: float) -> Plan:
        """Of a model, and of how far a rule looks."""
        plans = _PLANS.setdefault(unroll, {})
        if reach not in plans:
            plans[reach] = Plan(unroll.structure(), reach)
        return plans[reach]

    def group(self, names: Sequence[str], values: Mapping[str, Tensor]) -> Group:
        """The group of these parameters."""
        key = (*names, values[names[0]].device)
        if key not in self.groups:
            self.groups[key] = Group.of(self.pattern, {name: values[name] for name in names})
        return self.groups[key]

    def alike(self, names: Iterable[str], values: Mapping[str, Tensor]) -> list[list[str]]:
        """Names that can be one group: of one type, and all of them known to the structure, or none."""
        found: dict[Any, list[str]] = {}
        for name in names:
            found.setdefault((name in self.pattern.structure.moves, values[name].dtype), []).append(name)
        return list(found.values())

    def jacobians(self, unroll: Unroll, names: Sequence[str], step: Window, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """D by colour [B, C, n], and I of every parameter: by colour [B, C', …] if the structure knows it, or [B, n, …]."""
        vector, moves = ravel(state), self.pattern.structure.moves
        before, direct = (colours.basis.to(vector) for colours in (self.pattern.before, self.pattern.direct))
        whole = [name for name in names if name not in moves]
        found = None if whole else closed(unroll, step, state, self.pattern.structure.units)
        if found is not None:
            return _merged(before, found[0]), found[1]
        blocks: dict[str, Tensor] = {}
        if len(whole) < len(names):
            blocks |= pulled(unroll, [name for name in names if name in moves], step, state, direct)[1]
        if whole:
            everything, rest = jacobians(unroll, whole, step, state)
            return _merged(before, everything), blocks | rest
        return pulled(unroll, [], step, state, before)[0], blocks


def _merged(basis: Tensor, before: Tensor) -> Tensor:
    """D by colour, of all of D: every number has a colour of its own, or rows of one colour add up."""
    return before if len(basis) == before.shape[1] else basis @ before


_PLANS: weakref.WeakKeyDictionary[Unroll, dict[float, Plan]] = weakref.WeakKeyDictionary()

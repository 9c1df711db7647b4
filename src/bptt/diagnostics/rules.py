"""Which strategy is what on which cell: exact, unbiased, biased or refused, found by asking each of them.

Knows small models of every kind and the contract of strategies; must not know any strategy by name, nor how a table is shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bptt import nest
from bptt import nn as layers
from bptt.errors import ContractError, InputError
from bptt.models import Unroll
from bptt.types import State, Window

INPUTS, HIDDEN, CLASSES, ROWS, STEPS = 3, 4, 5, 2, 8
ROUNDING = 1e-10  # relative, in double precision
VERDICTS = ("exact", "unbiased", "biased", "refused")


class Own(nn.Module):
    """A cell of which nothing is known: h' = tanh(W [x, h, m]), m' = ½ m + ½ h."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(INPUTS + 2 * HIDDEN, HIDDEN)

    def initial_state(self, batch_size: int) -> State:
        zeros = self.mix.weight.new_zeros(batch_size, HIDDEN)
        return {"h": zeros, "m": zeros.clone()}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h = torch.tanh(self.mix(torch.cat([x, state["h"], state["m"]], 1)))
        return h, {"h": h, "m": 0.5 * state["m"] + 0.5 * state["h"]}


# What stands before the recurrent part, and the recurrent part.
CELLS: dict[str, Callable[[], tuple[nn.Module | None, nn.Module]]] = {
    "rnn": lambda: (None, layers.RNN(INPUTS, HIDDEN)),
    "leaky-rnn": lambda: (None, layers.LeakyRNN(INPUTS, HIDDEN, leak=0.3)),
    "gru": lambda: (None, layers.GRU(INPUTS, HIDDEN)),
    "lstm": lambda: (None, layers.LSTM(INPUTS, HIDDEN)),
    "rnn behind an embedding": lambda: (nn.Embedding(7, INPUTS), layers.RNN(INPUTS, HIDDEN)),
    "two layers of gru": lambda: (None, layers.GRU(INPUTS, HIDDEN, 2)),
    "lru": lambda: (None, layers.LRU(INPUTS, HIDDEN)),
    "mingru": lambda: (None, layers.MinGRU(INPUTS, HIDDEN)),
    "own cell": lambda: (None, Own()),
}


@dataclasses.dataclass(frozen=True)
class RuleTable:
    """What strategies are on cells.

    cells     names, in the order of the rows
    verdicts  by strategy as text, one of VERDICTS for every cell
    facts     by strategy, what it omits, its cost and its memory, in its own words
    """

    cells: tuple[str, ...]
    verdicts: Mapping[str, tuple[str, ...]]
    facts: Mapping[str, tuple[str, str, str]]

    def rows(self) -> list[tuple[str, ...]]:
        """A head, and a row for every cell."""
        return [("", *self.verdicts), *zip(self.cells, *self.verdicts.values(), strict=True)]

    def markdown(self) -> str:
        """Both tables, for a page."""
        facts = [("", "leaves out", "time", "memory"), *((name, *said) for name, said in self.facts.items())]
        return f"{_markdown(self.rows())}\n\n{_markdown(facts)}"

    def to_json(self) -> dict[str, Any]:
        """The same by names."""
        return {
            name: {
                "cells": dict(zip(self.cells, self.verdicts[name], strict=True)),
                **dict(zip(("omits", "cost", "memory"), self.facts[name], strict=True)),
            }
            for name in self.verdicts
        }


def rule_table(strategies: Mapping[str, Any], progress: Callable[[int, int], None] | None = None) -> RuleTable:
    """Ask every strategy, by its name as text, on every cell. It takes seconds."""
    verdicts: dict[str, tuple[str, ...]] = {}
    for number, (name, strategy) in enumerate(strategies.items()):
        verdicts[name] = tuple(verdict(strategy, cell) for cell in CELLS)
        if progress is not None:
            progress(number + 1, len(strategies))
    facts = {name: (one.omits, one.cost, one.memory) for name, one in strategies.items()}
    return RuleTable(tuple(CELLS), verdicts, facts)


def verdict(strategy: Any, cell: str) -> str:
    """One of VERDICTS: refused if it raises, exact if it gives the gradient of backpropagation, else what it says of itself."""
    unroll, window, state = problem(cell)
    parameters = list(unroll.parameters())
    wanted = torch.autograd.grad(unroll.segment(window, state)[0], parameters)
    try:
        carry = strategy.start(unroll, ROWS)._replace(state=state)
        for part in (window, window[:, :0]):
            for estimate in strategy.gradients(unroll, part, carry):
                carry = estimate.carry
    except (InputError, ContractError):
        return "refused"
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    off = max(float((a - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True))
    return "exact" if off <= ROUNDING else "unbiased" if strategy.unbiased else "biased"


def problem(cell: str) -> tuple[Unroll, Window, State]:
    """A model around the cell, a window of it, and a state to start from that is not zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encode, recurrent = CELLS[cell]()
        unroll = Unroll(encode, recurrent, nn.Linear(HIDDEN, CLASSES)).double()
        x = torch.randint(7, (ROWS, STEPS)) if encode is not None else torch.randn(ROWS, STEPS, INPUTS).double()
        window = Window.of(x, torch.randint(CLASSES, (ROWS, STEPS)))
        state = nest.map(torch.randn_like, nest.detach(unroll.initial_state(ROWS)))
    return unroll, window, state


def _markdown(table: Sequence[tuple[str, ...]]) -> str:
    head, *body = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([head, "|" + "---|" * len(table[0]), *body])

"""The contract checks catch strategies and cells that are wrong in one way each."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from bptt import Carry, ContractError, Estimate, Full, Truncated, nest
from bptt.testing import check_cell, check_strategy
from bptt.testing.examples import RECURRENT


@dataclasses.dataclass(frozen=True)
class Attached(Full):
    """Leaves the graph in its carry."""

    def gradients(self, unroll, window, carry):
        loss, state = unroll.segment(window, nest.detach(carry.state))
        unroll.backward(loss)
        yield Estimate(loss.detach(), window.count, Carry(state), window.steps)


@dataclasses.dataclass(frozen=True)
class CutsAtBorders(Truncated):
    """Closes the open stretch wherever a window ends."""

    def gradients(self, unroll, window, carry):
        for estimate in super().gradients(unroll, window, carry):
            if estimate.ready or not window.steps:
                yield estimate
            else:
                for closed in super().gradients(unroll, window[:, :0], estimate.carry):
                    yield dataclasses.replace(closed, steps=window.steps)


@dataclasses.dataclass(frozen=True)
class CountsTwice(Full):
    """Says that it counted more losses than it did."""

    def gradients(self, unroll, window, carry):
        for estimate in super().gradients(unroll, window, carry):
            yield dataclasses.replace(estimate, count=2 * estimate.count)


@dataclasses.dataclass(frozen=True)
class NotExact(Truncated):
    """Calls itself exact."""

    exact = True


@dataclasses.dataclass(frozen=True)
class RemembersOutside(Truncated):
    """Keeps a memory that is not in the carry."""

    calls: list = dataclasses.field(default_factory=list, compare=False)

    def length(self, memory):
        self.calls.append(1)
        return self.k1 + len(self.calls) % 2


@dataclasses.dataclass(frozen=True)
class Steps(Full):
    """Spends the gradient itself."""

    def gradients(self, unroll, window, carry):
        for estimate in super().gradients(unroll, window, carry):
            with torch.no_grad():
                for parameter in unroll.parameters():
                    parameter -= 0.1
            yield estimate


@dataclasses.dataclass(frozen=True)
class Dead(Full):
    """Makes no gradient."""

    def gradients(self, unroll, window, carry):
        for estimate in super().gradients(unroll, window, carry):
            unroll.zero_grad()
            yield estimate


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        (Attached(), "attached"),
        (CutsAtBorders(4), "(?i)borders|continue"),
        (CountsTwice(), "counted once"),
        (NotExact(4), "exact"),
        (RemembersOutside(4), "(?i)borders|continue"),
        (Steps(), "changes parameters"),
        (Dead(), "dead"),
    ],
    ids=lambda value: type(value).__name__ if dataclasses.is_dataclass(value) else "",
)
def test_a_broken_strategy_is_caught(strategy, says):
    with pytest.raises(ContractError, match=says):
        check_strategy(strategy, recurrent=["rnn"])


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.first = nn.Parameter(torch.randn(4))

    def initial_state(self, batch_size):
        return self.first.expand(batch_size, 4)

    def forward(self, x, state):
        h = torch.tanh(x + self.linear(state))
        return h, h


class RowsMix(Cell):
    def forward(self, x, state):
        h = torch.tanh(x + self.linear(state - state.mean(0)))
        return h, h


class Detaches(Cell):
    def forward(self, x, state):
        h = torch.tanh(x + self.linear(state.detach()))
        return h, h


class Hidden(Cell):
    calls = 0

    def forward(self, x, state):
        self.calls += 1
        h = torch.tanh(x + self.linear(state)) + 0.01 * self.calls
        return h, h


class Shrinks(Cell):
    def forward(self, x, state):
        h = torch.tanh(x + self.linear(state))
        return h, h[:, None]


class ColumnsFirst(Cell):
    def initial_state(self, batch_size):
        return torch.zeros(1, batch_size, 4, dtype=self.first.dtype)

    def forward(self, x, state):
        h = torch.tanh(x + self.linear(state[0]))
        return h, h[None]


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (RowsMix(), "Rows influence"),
        (Detaches(), "gradient|edge"),
        (Hidden(), "two results"),
        (Shrinks(), "state"),
        (ColumnsFirst(), "Axis 0"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_broken_cell_is_caught(cell, says):
    with pytest.raises(ContractError, match=says):
        check_cell(cell, inputs=4)


@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_good_cells_pass(name):
    check_cell(RECURRENT[name](), inputs=4)


def test_a_cell_with_a_learned_initial_state_passes():
    check_cell(Cell(), inputs=4)

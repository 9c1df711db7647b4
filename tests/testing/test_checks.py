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
class Forgets(Truncated):
    """Starts every stretch from a state of zeros."""

    def spend(self, unroll, stretch, carry):
        return super().spend(unroll, stretch, carry._replace(state=nest.map(torch.zeros_like, carry.state)))


@dataclasses.dataclass(frozen=True)
class CarriesHAlone(Truncated):
    """Carries the h of an LSTM and not its c."""

    def spend(self, unroll, stretch, carry):
        loss, carry = super().spend(unroll, stretch, carry)
        h, c = carry.state
        return loss, carry._replace(state=(h, torch.zeros_like(c)))


@dataclasses.dataclass(frozen=True)
class SumsThrice(Truncated):
    """Reports three times the loss."""

    def spend(self, unroll, stretch, carry):
        loss, carry = super().spend(unroll, stretch, carry)
        return 3 * loss, carry


@dataclasses.dataclass(frozen=True)
class Doubles(Truncated):
    """Adds twice the gradient."""

    def spend(self, unroll, stretch, carry):
        super().spend(unroll, stretch, carry)
        return super().spend(unroll, stretch, carry)


@dataclasses.dataclass(frozen=True)
class DividesByItsLength(Truncated):
    """Makes a mean of every stretch, the short last one included."""

    def spend(self, unroll, stretch, carry):
        before = {name: p.grad for name, p in unroll.named_parameters()}
        unroll.zero_grad(set_to_none=True)
        spent = super().spend(unroll, stretch, carry)
        for name, p in unroll.named_parameters():
            p.grad = p.grad * self.k1 / stretch.steps + (0 if before[name] is None else before[name])
        return spent


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
        (Forgets(7), "do not add up"),
        (Forgets(3, 7), "do not add up"),
        (CarriesHAlone(7), "do not add up"),
        (SumsThrice(7), "do not add up"),
        (Doubles(3, 7), "readout"),
        (DividesByItsLength(7), "readout"),
    ],
    ids=lambda value: type(value).__name__ if dataclasses.is_dataclass(value) else "",
)
def test_a_broken_strategy_is_caught(strategy, says):
    with pytest.raises(ContractError, match=says):
        check_strategy(strategy, recurrent=["lstm"])


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


class Layered(Cell):
    """A layer that minds its masks only up to a step."""

    edge_until, reset_until = 99, 99

    def forward(self, x, state, *, reset=None, edge=None):
        outputs = []
        for t in range(x.shape[1]):
            if edge is not None and t < self.edge_until:
                state = nest.weigh(state, edge[:, t])
            if reset is not None and t < self.reset_until:
                state = nest.where(reset[:, t], self.initial_state(len(x)), state)
            y, state = super().forward(x[:, t], state)
            outputs.append(y)
        return torch.stack(outputs, 1), state


class EdgeAtFirstOnly(Layered):
    edge_until = 1


class ResetAtFirstOnly(Layered):
    reset_until = 3


class ResetThenEdge(Layered):
    """Weighs the gradient to a learned initial state as well: reset does not win."""

    def forward(self, x, state, *, reset=None, edge=None):
        outputs = []
        for t in range(x.shape[1]):
            if reset is not None:
                state = nest.where(reset[:, t], self.initial_state(len(x)), state)
            if edge is not None:
                state = nest.weigh(state, edge[:, t])
            y, state = Cell.forward(self, x[:, t], state)
            outputs.append(y)
        return torch.stack(outputs, 1), state


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
        (EdgeAtFirstOnly(), "another gradient"),
        (ResetAtFirstOnly(), "another output"),
        (ResetThenEdge(), "another gradient"),
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
    check_cell(Layered(), inputs=4)

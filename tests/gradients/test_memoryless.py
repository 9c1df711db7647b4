"""Every strategy on the layers whose memory is not a hidden state: a window of the past, and the previous output.

They keep the contract as on a GRU; and since a time-delay network forgets for certain, what a truncation loses is known.
"""

from __future__ import annotations

import pytest
import torch
from test_contract import LOCAL, OURS
from torch import Tensor, nn

import bptt
from bptt import nest
from bptt.gradients import STRATEGIES
from bptt.gradients.online.forward import Stepwise
from bptt.nn import TDNN, OutputToHidden
from bptt.testing import check_strategy
from bptt.testing.examples import HIDDEN, INPUTS, RECURRENT, Problem, distance, exact, gradients
from bptt.types import Window


class Scheduled(nn.Module):
    """An output-to-hidden layer under scheduled sampling: the previous outputs are read off the inputs by fixed weights."""

    def __init__(self, feedback: str) -> None:
        super().__init__()
        size = INPUTS - 1 + HIDDEN
        self.spread = nn.Linear(INPUTS, size)
        self.layer = OutputToHidden(INPUTS - 1, 7, HIDDEN, teacher=True, forcing=0.5, feedback=feedback, dropout=0.2)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.layer.initial_state(batch_size)

    def forward(self, x, state=None, *, reset=None, edge=None, noise=None):
        return self.layer(self.spread(x), state, reset=reset, edge=edge, noise=noise)


@pytest.fixture(autouse=True)
def more_kinds(monkeypatch):
    for feedback in ("identity", "softmax", "sample"):
        monkeypatch.setitem(RECURRENT, f"scheduled-{feedback}", lambda feedback=feedback: Scheduled(feedback))


FEW = {type(strategy): strategy for strategy in reversed(OURS)}  # the first of each


@pytest.mark.filterwarnings("ignore:Randomized")
@pytest.mark.parametrize("strategy", [strategy for strategy in FEW.values() if not isinstance(strategy, Stepwise)], ids=str)
def test_every_strategy_keeps_the_contract(strategy):
    check_strategy(strategy, recurrent=["scheduled-softmax", "scheduled-sample"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Randomized")
@pytest.mark.parametrize("strategy", OURS, ids=str)
@pytest.mark.parametrize("kind", ["tdnn", "output-to-hidden", "scheduled-identity", "scheduled-softmax", "scheduled-sample"])
def test_and_so_do_all_their_settings(strategy, kind):
    check_strategy(strategy, recurrent=[kind])


def test_every_strategy_was_tried():
    inside = {type(strategy) for strategy, _ in LOCAL}  # no cell of these shows them what they look at
    assert set(FEW) == set(STRATEGIES.values()) - inside


def of_a_run(strategy, setting) -> dict[str, Tensor]:
    """The gradient over the window as the strategy adds it up, ÷ per."""
    carry = strategy.start(setting.unroll, setting.window.batch_size)._replace(state=setting.state)
    for part in (setting.window, setting.window[:, :0]):
        for estimate in strategy.gradients(setting.unroll, part, carry):
            carry = estimate.carry
    return gradients(setting.unroll)


def forgetting() -> Problem:
    """A time-delay network that reads 7 steps, over vectors that are learned, from a past that is not zero."""
    torch.manual_seed(0)
    unroll = bptt.Unroll(nn.Embedding(6, 3), TDNN(3, 5, 2, 3, (1, 2)), nn.Linear(5, 6), per=7.0).double()
    window = Window.of(torch.randint(6, (3, 29)), torch.randint(6, (3, 29)))
    assert unroll.recurrent.reach == 7
    return Problem(unroll, window, nest.map(torch.randn_like, unroll.initial_state(3)))


@pytest.mark.parametrize("strategy", [bptt.Truncated(k1=5, k2=11), bptt.PerOutput(6), bptt.Truncated(k1=1, k2=7)], ids=str)
def test_what_reaches_back_as_far_as_a_tdnn_reads_is_exact(strategy):
    """A loss depends on reach − 1 = 6 steps before its own; a truncation that keeps so many loses nothing."""
    setting = forgetting()
    assert distance(of_a_run(strategy, setting), exact(setting)) <= 1e-12


@pytest.mark.parametrize("strategy", [bptt.Truncated(k1=5, k2=10), bptt.PerOutput(5)], ids=str)
def test_one_step_less_is_not(strategy):
    setting = forgetting()
    assert distance(of_a_run(strategy, setting), exact(setting)) > 1e-6


@pytest.mark.parametrize("strategy", [bptt.Truncated(1), bptt.PerOutput(0), bptt.Randomized(3)], ids=str)
def test_teacher_forcing_leaves_nothing_to_carry_back(strategy):
    """Where every step is forced, the shortest truncation is exact, and so is a random one: no credit has a lag."""
    torch.manual_seed(0)
    layer = OutputToHidden(2, 7, 3, teacher=True, forcing=1.0)
    unroll = bptt.Unroll(None, layer, None, per=7.0).double()
    window = Window.of(torch.randn(3, 29, 5, dtype=torch.float64), torch.randint(3, (3, 29)))
    state = nest.map(torch.randn_like, unroll.initial_state(3))
    setting = Problem(unroll, window, state)
    assert distance(of_a_run(strategy, setting), exact(setting)) <= 1e-12
    layer.forcing = 0.0
    unroll.zero_grad()
    assert distance(of_a_run(strategy, setting), exact(setting)) > 1e-3

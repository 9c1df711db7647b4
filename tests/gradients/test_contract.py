"""Our strategies keep the contract that `check_strategy` holds anybody to."""

from __future__ import annotations

import pytest

from bptt import RTRL, UORO, Adaptive, Checkpointed, Full, PerOutput, Randomized, SnAp, Telescoping, Truncated
from bptt.gradients import STRATEGIES
from bptt.testing import check_strategy
from bptt.testing.examples import RECURRENT

OURS = [
    Full(),
    Truncated(7),
    Truncated(k1=4, k2=9),
    Truncated(k1=1, k2=3),
    Truncated(k1=5, update="window"),
    Truncated(k1=5, k2=12, update="window"),
    Truncated(k1=100),
    PerOutput(0),
    PerOutput(5),
    PerOutput(60),
    Randomized(mean=4),
    Randomized(mean=4, tail=4),
    Randomized(mean=3, limit=5, seed=1),
    Randomized(mean=5, multiple=2),
    Randomized(mean=float("inf")),
    Telescoping(k=7),
    Telescoping(k=7, estimator="single", seed=2),
    Adaptive(bias=0.3, limit=10, every=10),
    Adaptive(bias=0.01, limit=6, every=5),
    Checkpointed(slots=3),
    Checkpointed(every=6),
    Checkpointed(budget="8KiB"),
    Checkpointed(budget="1MiB"),
    RTRL(every=15),
    UORO(every=15),
    SnAp(n=1, every=15),
]


@pytest.mark.filterwarnings("ignore:Randomized")
@pytest.mark.parametrize("strategy", OURS, ids=str)
def test_every_strategy_keeps_the_contract(strategy):
    check_strategy(strategy)


@pytest.mark.filterwarnings("ignore:Randomized")
@pytest.mark.parametrize(
    "strategy",
    [
        Full(),
        Truncated(k1=4, k2=9),
        PerOutput(5),
        Randomized(mean=4),
        Adaptive(bias=0.1, limit=9),
        Checkpointed(budget="12KiB"),
    ],
    ids=str,
)
def test_on_every_kind_of_recurrent_module(strategy):
    check_strategy(strategy, recurrent=sorted(RECURRENT))


def test_the_table_of_names_holds_every_strategy():
    assert {type(strategy) for strategy in OURS} == set(STRATEGIES.values())
    assert all(name == strategy.__name__.lower() for name, strategy in STRATEGIES.items())

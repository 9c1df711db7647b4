"""Our strategies keep the contract that `check_strategy` holds anybody to."""

from __future__ import annotations

import pytest

from bptt import (
    KFRTRL,
    RFLO,
    RTRL,
    UORO,
    Adaptive,
    Checkpointed,
    EProp,
    Full,
    PerOutput,
    Randomized,
    SnAp,
    SyntheticGradient,
    Telescoping,
    Truncated,
)
from bptt.gradients import STRATEGIES
from bptt.gradients.online.forward import Stepwise
from bptt.testing import check_strategy
from bptt.testing.examples import RECURRENT
from bptt.testing.strategies import CELLS

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
    SyntheticGradient(5),
]
# Each on cells that it takes.
LOCAL = [
    (KFRTRL(every=15), ["rnn", "leaky"]),
    (RFLO(every=15), ["leaky"]),
    (RFLO(every=15, feedback="random"), ["leaky"]),
    (EProp(every=15), ["lstm", "gru-deep-dropout"]),
    (EProp(every=15, loops=True, feedback="random"), ["gru"]),
]

# What the quick tests try the rules on that take a Jacobian at every step.
QUICK = ["nested"]


@pytest.mark.filterwarnings("ignore:Randomized")
@pytest.mark.parametrize("strategy", OURS, ids=str)
def test_every_strategy_keeps_the_contract(strategy):
    check_strategy(strategy, **({"recurrent": QUICK} if isinstance(strategy, Stepwise) else {}))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [strategy for strategy in OURS if isinstance(strategy, Stepwise)], ids=str)
def test_those_that_take_long_keep_it_on_the_other_cells(strategy):
    check_strategy(strategy, recurrent=sorted(set(CELLS) - set(QUICK)))


@pytest.mark.parametrize(("strategy", "recurrent"), LOCAL, ids=str)
def test_rules_that_look_inside_keep_it_on_cells_that_they_take(strategy, recurrent):
    check_strategy(strategy, recurrent=recurrent)


@pytest.mark.filterwarnings("ignore:Randomized")
@pytest.mark.parametrize(
    "strategy",
    [
        Full(),
        Truncated(k1=4, k2=9),
        PerOutput(5),
        Randomized(mean=4),
        pytest.param(Adaptive(bias=0.1, limit=9), marks=pytest.mark.slow),
        Checkpointed(budget="12KiB"),
    ],
    ids=str,
)
def test_on_every_kind_of_recurrent_module(strategy):
    check_strategy(strategy, recurrent=sorted(RECURRENT))


def test_the_table_of_names_holds_every_strategy():
    assert {type(strategy) for strategy in [*OURS, *(strategy for strategy, _ in LOCAL)]} == set(STRATEGIES.values())
    assert all(name == strategy.__name__.lower() for name, strategy in STRATEGIES.items())

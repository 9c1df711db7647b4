"""RTRL of linear recurrences: exact, and one number (complex: two) per parameter, since no unit moves another."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_nets import run
from torch import nn

from bptt import RTRL, SnAp, Unroll, Window, nest
from bptt.gradients.online.sparse import Plan
from bptt.nn import LRU, MinGRU
from bptt.testing.examples import Problem, distance, exact, problem

ROWS, STEPS, INPUTS, HIDDEN = 3, 21, 4, 5
ONE = {"lru": lambda: LRU(INPUTS, HIDDEN, 1, 3, "tanh"), "mingru": lambda: MinGRU(INPUTS, HIDDEN)}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", ["lru", "mingru"])
def test_with_structure_without_and_full_are_one_gradient(name, layers, monkeypatch):
    def given() -> Problem:
        torch.manual_seed(0)
        return problem(ONE[name]() if layers == 1 else name, steps=STEPS)

    wanted = exact(given())
    assert min(float(block.norm()) for block in wanted.values()) >= 1e-6
    setting = given()
    structured = run(RTRL(), setting.unroll, setting.window, setting.state, 5)
    assert distance(structured, wanted) <= 1e-12
    monkeypatch.setattr(type(setting.unroll.recurrent), "structure", lambda self: None)
    blind = given()
    dense = run(RTRL(), blind.unroll, blind.window, blind.state, 5)
    assert distance(dense, structured) <= 1e-12
    groups = [list(Plan.of(each.unroll, math.inf).groups.values()) for each in (setting, blind)]
    assert not any(group.whole for group in groups[0]) and all(group.whole for group in groups[1])
    assert sum(group.kept for group in groups[0]) < sum(group.kept for group in groups[1])


@pytest.mark.parametrize(("name", "numbers"), [("lru", 2), ("mingru", 1)])
@pytest.mark.parametrize("hidden", [5, 40])
def test_one_layer_keeps_as_many_numbers_as_parameters(name, numbers, hidden):
    """Of the carry itself: what is held grows with P, not with n P; and neither does any Jacobian."""
    torch.manual_seed(0)
    layer = LRU(3, 6, 1, hidden) if name == "lru" else MinGRU(3, hidden)
    unroll = Unroll(None, layer, nn.Linear(6 if name == "lru" else hidden, 2)).double()
    window = Window.of(torch.randn(ROWS, 4, 3).double(), torch.randint(2, (ROWS, 4)))
    carry = RTRL().start(unroll, ROWS)
    for estimate in RTRL().gradients(unroll, window, carry):
        carry = estimate.carry
    held = sum(block.numel() for group in carry.memory["influence"]["groups"] for block in group["blocks"])
    moving = sum(p.numel() for name, p in layer.named_parameters() if not name.endswith(("output", "skip")))
    assert held == ROWS * numbers * moving
    pattern = Plan.of(unroll, math.inf).pattern
    assert len(pattern.before.basis) == len(pattern.direct.basis) == numbers


@pytest.mark.parametrize("name", ONE)
def test_one_step_ahead_is_all_there_is(name):
    setting = problem(ONE[name](), steps=STEPS)
    wanted = run(RTRL(), setting.unroll, setting.window, setting.state)
    setting.unroll.zero_grad()
    assert distance(run(SnAp(1), setting.unroll, setting.window, setting.state), wanted) <= 1e-13
    assert len(nest.leaves(setting.state)) == 1

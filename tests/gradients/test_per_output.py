"""Per-output truncation: exactly the lags 0 … k of every loss, in k + 1 products for all of them together."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny_nets import credits, run, scalar
from torch import nn

from bptt import InputError, PerOutput, Truncated
from bptt.testing.examples import RECURRENT, distance, exact, norm, problem


@pytest.mark.parametrize("cut", [None, 5, 1])
@pytest.mark.parametrize("k", [0, 1, 3, 12, 40])
def test_keeps_exactly_the_lags_up_to_k(k, cut):
    ones = torch.ones(13, 13, dtype=torch.float64)
    assert torch.equal(credits(PerOutput(k), 13, cut), ones.tril() - ones.tril(-k - 1))


@pytest.mark.parametrize("cut", [None, 7])
@pytest.mark.parametrize("k", [0, 2, 9])
@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_equals_one_pass_per_loss(name, k, cut):
    setting = problem(name)
    if name == "torch-lstm":
        setting.unroll.eval()
    found = run(PerOutput(k), copy.deepcopy(setting.unroll), setting.window, setting.state, cut)
    wanted = run(Truncated(1, k + 1), setting.unroll, setting.window, setting.state)
    assert norm(wanted) >= 1e-8
    assert distance(found, wanted) <= 1e-12


@pytest.mark.parametrize("k", [28, 100])
@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_with_every_lag_it_is_exact(name, k):
    setting = problem(name)
    assert distance(run(PerOutput(k), setting.unroll, setting.window, setting.state), exact(problem(name))) <= 1e-12


def test_every_k_gives_another_gradient():
    found = [run(PerOutput(k), *parts("lstm")) for k in (0, 1, 5, 11)]
    for i, a in enumerate(found):
        for b in found[i + 1 :]:
            assert norm({key: a[key] - b[key] for key in a}) >= 1e-6 * norm(a)


def parts(name):
    setting = problem(name)
    return setting.unroll, setting.window, setting.state


@pytest.mark.parametrize("terms", [1, 2, 5, 12])
def test_scalar_closed_form_of_the_error(terms):
    w, steps = 0.7, 12
    mask = torch.zeros(1, steps, dtype=torch.bool)
    mask[0, -1] = True
    cut = run(PerOutput(terms - 1), *scalar(w, steps, 0.3, mask))["recurrent.cell.b"].item()
    full = (1 - w**steps) / (1 - w)
    assert (full - cut) / full == pytest.approx((w**terms - w**steps) / (1 - w**steps), abs=1e-12)


def test_all_losses_share_one_batched_call(monkeypatch):
    setting, calls = problem("gru"), []
    rows = setting.unroll.rows
    monkeypatch.setattr(setting.unroll, "rows", lambda *a: calls.append("rows") or rows(*a))
    monkeypatch.setattr(setting.unroll, "segment", lambda *a: pytest.fail("a pass of its own"))
    list(PerOutput(6).gradients(setting.unroll, setting.window, PerOutput(6).start(setting.unroll, 3)))
    assert calls == ["rows"]


@pytest.mark.parametrize("k", [-1, 1.5, True, None])
def test_a_wrong_k_is_named(k):
    with pytest.raises(InputError, match="largest lag"):
        PerOutput(k)


def test_models_that_it_cannot_take_are_refused():
    class OwnDropout(nn.GRU):
        pass

    ahead = problem("gru")
    ahead.unroll.recurrent.layer.bidirectional = True
    with pytest.raises(InputError, match="looks ahead"):
        PerOutput(3).start(ahead.unroll, 2)
    dropping = problem(OwnDropout(4, 5, num_layers=2, dropout=0.5))
    with pytest.raises(InputError, match="another mask"):
        PerOutput(3).start(dropping.unroll, 2)

"""UORO: all signs enumerated give the exact gradient; what it carries, and how its signs are drawn."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from test_influence import BEST, FIRST, learn
from tiny_nets import all_signs, run
from torch import nn

from bptt import UORO, InputError, Unroll, Window, nest
from bptt.nn import GRU, RNN
from bptt.testing.examples import RECURRENT, Problem, distance, exact, norm, problem
from bptt.testing.strategies import check_borders, check_restart, check_strategy
from bptt.training.pack import pack


@dataclasses.dataclass(frozen=True)
class Forced(UORO):
    """UORO with the signs of every position given, [T, B, n]."""

    given: tuple = ()

    def signs(self, position, rows, states):
        return torch.tensor(self.given).view(-1, rows, states)[position]


class Pair(nn.Module):
    """Two states of different kinds, a learned initial state."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.first = nn.Linear(3, 1), nn.Parameter(torch.tensor([0.4]))

    def initial_state(self, batch_size):
        return {
            "h": self.first.expand(batch_size, 1),
            "count": torch.zeros(batch_size, dtype=torch.int64),
            "m": self.first.expand(batch_size, 1) * 2,
        }

    def forward(self, x, state):
        h, m = state["h"], state["m"]
        new = torch.tanh(self.mix(torch.cat([x, h, m], 1)))
        return new, {"h": new, "count": state["count"] + 1, "m": 0.7 * m + 0.5 * new * h}


CELLS = {"rnn": lambda: RNN(2, 2), "gru": lambda: GRU(2, 2), "pair": Pair, "two layers": lambda: RNN(1, 1, num_layers=2)}


def tiny(name, count, reset=None, copies=1):
    """A net with a state of two numbers, read from and into one table of vectors; two rows, or as many copies of them."""
    torch.manual_seed(1)
    recurrent = CELLS[name]()
    width = 1 if name in ("pair", "two layers") else 2
    encode, readout = nn.Embedding(3, width), nn.Linear(width, 3)
    readout.weight = encode.weight
    unroll = Unroll(encode, recurrent, readout, per=2.0 * copies).double()
    ids = torch.randint(3, (2, 2, count)).repeat(1, copies, 1)
    state = nest.detach(unroll.initial_state(2))
    state = nest.map(lambda leaf: torch.randn_like(leaf) if nest.is_float(leaf) else leaf, state)
    window = Window.of(*ids, reset=None if reset is None else reset.repeat(copies, 1))
    return unroll, window, nest.map(lambda leaf: leaf.repeat(copies, *(1,) * (leaf.dim() - 1)), state)


@pytest.mark.parametrize("reset", [None, torch.tensor([[0, 0, 0, 0], [0, 0, 1, 0]]).bool()], ids=["no reset", "a reset"])
@pytest.mark.parametrize("name", CELLS)
def test_all_signs_together_give_the_exact_gradient(name, reset):
    """Rows are independent: each draw is a pair of rows of one batch, and their mean is that over the draws."""
    wanted, draws = exact(Problem(*tiny(name, 4, reset))), all_signs(4)
    live = [key for key in wanted if reset is not None or not key.endswith("first")]  # first: where a row starts anew
    assert min(float(wanted[key].norm()) for key in live) >= 1e-4
    given = draws.repeat_interleave(2, 0).transpose(0, 1)
    found = run(Forced(given=tuple(given.flatten().tolist())), *tiny(name, 4, reset, len(draws)))
    assert distance(found, wanted) <= 1e-12
    one = run(UORO(), *tiny(name, 4, reset))
    assert norm({key: one[key] - wanted[key] for key in wanted}) >= 1e-3 * norm(wanted)


def test_the_mean_needs_every_draw():
    wanted, draws = exact(Problem(*tiny("rnn", 4))), all_signs(4)[:-1]
    given = draws.repeat_interleave(2, 0).transpose(0, 1)
    found = run(Forced(given=tuple(given.flatten().tolist())), *tiny("rnn", 4, None, len(draws)))
    assert distance(found, wanted) >= 1e-4


def test_after_a_reset_nothing_is_left_of_what_was():
    unroll, window, state = tiny("pair", 4, torch.tensor([[False, False, False, True]] * 2))
    found = []
    for start in (0, 3):
        carry = UORO(4 - start).start(unroll, 2)._replace(state=state)
        carry.memory["position"] = start
        (estimate,) = list(UORO(4 - start).gradients(unroll, window[:, start:], carry))
        influence = estimate.carry.memory["influence"]
        found.append({"state": influence["state"], **influence["blocks"]})
    assert distance(*found) <= 1e-12 and norm(found[0]) >= 1e-3


@pytest.mark.parametrize("name", ["nested", "lstm", "stack"])
def test_turning_all_signs_round_changes_not_a_bit(name):
    found = []
    for sign in (1, -1):
        setting = problem(name, steps=6)
        states = {"nested": 10, "lstm": 10, "stack": 20}[name]
        generator = torch.Generator().manual_seed(0)
        signs = sign * (torch.randint(0, 2, (6, 3, states), generator=generator) * 2 - 1)
        found.append(run(Forced(given=tuple(signs.flatten().tolist())), setting.unroll, setting.window, setting.state))
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_against_a_plain_loop():
    """One row after the other, the Jacobians of one step at a time by autograd, the formulas as they stand in the paper."""
    setting = problem("rnn", steps=5)
    unroll, window, state = (
        setting.unroll,
        dataclasses.replace(setting.window, reset=torch.zeros(3, 5, dtype=torch.bool)),
        setting.state,
    )
    names = [name for name, _ in unroll.named_parameters()]
    live = list(unroll.parameters())
    total = {name: torch.zeros_like(p) for name, p in zip(names, live, strict=True)}
    for b in range(3):
        h = state[b : b + 1]
        s, theta = torch.zeros(5, dtype=torch.float64), [torch.zeros_like(p) for p in live]
        for t in range(5):
            h = h.detach().requires_grad_()
            loss, after = unroll.segment(window[b : b + 1, t : t + 1], h)
            *direct, pull = torch.autograd.grad(loss, [*live, h], retain_graph=True, allow_unused=True)
            along = 0.0 if pull is None else float((pull.flatten() * s).sum())
            for name, g, block in zip(names, direct, theta, strict=True):
                total[name] += (0 if g is None else g) + along * block
            nu = UORO(seed=5).signs(t, 3, 5)[b].double()
            rows = [torch.autograd.grad(unit, [*live, h], retain_graph=True, allow_unused=True) for unit in after.flatten()]
            d = torch.stack([row[-1].flatten() for row in rows])
            fresh = [
                sum(nu[j] * row[i] for j, row in enumerate(rows)) if rows[0][i] is not None else None for i in range(len(live))
            ]
            fresh = [torch.zeros_like(p) if g is None else g for g, p in zip(fresh, live, strict=True)]
            ds = d @ s
            size = [torch.cat([block.flatten() for block in blocks]).norm() for blocks in (theta, fresh)]
            rho0 = torch.sqrt((size[0] + 1e-7) / (ds.norm() + 1e-7))
            rho1 = torch.sqrt((size[1] + 1e-7) / (nu.norm() + 1e-7))
            s = rho0 * ds + rho1 * nu
            theta = [block / rho0 + g / rho1 for block, g in zip(theta, fresh, strict=True)]
            h = after
    total = {name: block / unroll.per for name, block in total.items()}
    assert distance(run(UORO(seed=5), unroll, window, state), total) <= 1e-12


def test_signs_depend_on_seed_and_position_alone():
    drawn = [UORO(seed=seed).signs(position, 2, 60) for seed, position in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert torch.equal(drawn[0], drawn[3]) and set(drawn[0].flatten().tolist()) == {-1, 1}
    assert not torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0][0], drawn[0][1])


def test_borders_leave_no_trace_and_both_vectors_are_saved_with_the_carry():
    setting = problem("lstm", steps=29)
    check_borders(UORO(2), setting)
    check_restart(UORO(9), setting)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_the_contract_with_an_update_at_every_step(name):
    check_strategy(UORO(), recurrent=[name])


def test_what_it_carries_is_a_pair_of_vectors_per_row():
    setting = problem("gru", steps=11)
    unroll, carry, sizes = setting.unroll, UORO().start(setting.unroll, 3)._replace(state=setting.state), []
    for _ in range(3):
        for estimate in UORO().gradients(unroll, setting.window, carry):
            carry = estimate.carry
        sizes.append(sum(tensor.nbytes for tensor in pack(carry)[0].values()))
    reached = sum(p.numel() for name, p in unroll.named_parameters() if name.startswith("recurrent."))
    assert sizes == [8 * 3 * (5 + 5 + reached)] * 3


def test_the_readout_s_gradient_is_exact():
    setting = problem("gru", steps=9)
    found, wanted = run(UORO(), setting.unroll, setting.window, setting.state), exact(setting)
    behind = [key for key in wanted if key.startswith("readout.")]
    assert len(behind) == 2 and distance({k: found[k] for k in behind}, {k: wanted[k] for k in behind}) <= 1e-12
    assert distance(found, wanted) >= 1e-3


@pytest.mark.slow
def test_influence_balancing_it_goes_where_truncation_runs_away_from():
    """The mean over 16 rows: the exact gradient would shrink the distance to exp(−36 · 3·10⁻⁵ · 2000) = 0.12, noise adds."""
    theta, _ = learn(UORO(), 3e-5, 2000, per=16, rows=16)[-1]
    assert abs(theta - BEST) < 0.25 * abs(FIRST - BEST)


@pytest.mark.parametrize("arguments", [{"every": 0}, {"every": 2.0}, {"seed": -1}, {"seed": "a"}], ids=str)
def test_wrong_arguments(arguments):
    with pytest.raises(InputError, match=next(iter(arguments))):
        UORO(**arguments)

"""KF-RTRL: all signs enumerated give the exact gradient; against a plain loop; what it carries, and what it refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tiny_nets import all_signs, run
from torch import nn

from bptt import KFRTRL, UORO, InputError, LanguageModel, Unroll, Window
from bptt.nn import RNN, LeakyRNN, Stack
from bptt.testing.examples import HIDDEN, INPUTS, Problem, distance, exact, norm, problem
from bptt.testing.strategies import check_borders, check_restart, check_strategy
from bptt.training.pack import pack


@dataclasses.dataclass(frozen=True)
class Forced(KFRTRL):
    """KF-RTRL with the signs of every position given, [T, B, 2]."""

    given: tuple = ()

    def signs(self, position, rows):
        return torch.tensor(self.given).view(-1, rows, 2)[position]


CELLS = {
    "rnn": lambda: RNN(2, 3),
    "relu": lambda: RNN(2, 3, nonlinearity="relu"),
    "leaky": lambda: LeakyRNN(2, 3, leak=0.4),
    "no bias": lambda: RNN(2, 3, bias=False),
    "torch's": lambda: nn.RNN(2, 3),
    "torch's cell": lambda: nn.RNNCell(2, 3),
}
RESET = torch.tensor([[0, 0, 0, 0], [0, 0, 1, 0]]).bool()


def tiny(name, count, reset=None, copies=1):
    """Two rows, or as many copies of them, of `count` steps from a state that is not zero."""
    torch.manual_seed(2)
    unroll = Unroll(None, CELLS[name](), nn.Linear(3, 4), per=2.0 * copies).double()
    x, y = torch.randn(2, count, 2).double(), torch.randint(4, (2, count))
    state = torch.randn_like(unroll.initial_state(2))
    window = Window.of(x.repeat(copies, 1, 1), y.repeat(copies, 1), reset=None if reset is None else reset.repeat(copies, 1))
    return unroll, window, state.repeat(copies, *(1,) * (state.dim() - 1))


@pytest.mark.parametrize("reset", [None, RESET], ids=["no reset", "a reset"])
@pytest.mark.parametrize("name", CELLS)
def test_all_signs_together_give_the_exact_gradient(name, reset):
    """Rows are independent: each draw is a pair of rows of one batch, and their mean is that over the draws. Windows of 3."""
    wanted, draws = exact(Problem(*tiny(name, 4, reset))), all_signs(4)
    assert min(float(block.norm()) for block in wanted.values()) >= 1e-3
    given = draws.repeat_interleave(2, 0).transpose(0, 1)
    found = run(Forced(given=tuple(given.flatten().tolist())), *tiny(name, 4, reset, len(draws)), cut=3)
    assert distance(found, wanted) <= 1e-12
    one = run(KFRTRL(), *tiny(name, 4, reset))
    assert norm({key: one[key] - wanted[key] for key in wanted}) >= 1e-3 * norm(wanted)


def test_the_mean_needs_every_draw():
    wanted, draws = exact(Problem(*tiny("rnn", 4))), all_signs(4)[:-1]
    given = draws.repeat_interleave(2, 0).transpose(0, 1)
    found = run(Forced(given=tuple(given.flatten().tolist())), *tiny("rnn", 4, None, len(draws)))
    assert distance(found, wanted) >= 1e-4


def test_against_a_plain_loop():
    """One row after the other in NumPy, A and B as the paper has them, tanh and its slope written out."""
    unroll, window, state = tiny("leaky", 6)
    layer, out = unroll.recurrent.layer, unroll.readout
    w_ih, w_hh, b_ih, b_hh, v, c = (
        p.detach().numpy()
        for p in (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0, out.weight, out.bias)
    )
    total = np.zeros((3, 2 + 3 + 2))
    for b in range(2):
        h, kron_a, kron_b = state[b, 0].numpy(), np.zeros(7), np.zeros((3, 3))
        for t in range(6):
            source = np.concatenate([window.inputs[b, t].numpy(), h, [1.0, 1.0]])
            new = np.tanh(w_ih @ source[:2] + w_hh @ h + b_ih + b_hh)
            slope, d = 0.4 * (1 - new**2), 0.6 * np.eye(3) + 0.4 * (1 - new**2)[:, None] * w_hh
            h = 0.6 * h + 0.4 * new
            scores = v @ h + c
            p = np.exp(scores - scores.max())
            q = (p / p.sum() - np.eye(4)[window.targets[b, t]]) @ v
            total += np.outer(q * slope, source) + np.outer(q @ d @ kron_b, kron_a)
            nu = KFRTRL(seed=4).signs(t, 2)[b].numpy()
            ahead = d @ kron_b
            p0 = np.sqrt(np.linalg.norm(ahead) / np.linalg.norm(kron_a)) if t else 1.0
            p1 = np.sqrt(np.linalg.norm(slope) / np.linalg.norm(source))
            kron_a = nu[0] * p0 * kron_a + nu[1] * p1 * source
            kron_b = nu[0] / p0 * ahead + nu[1] / p1 * np.diag(slope)
    found = run(KFRTRL(seed=4), unroll, window, state)
    parts = [found[f"recurrent.layer.{name}_l0"] for name in ("weight_ih", "weight_hh")]
    parts += [found[f"recurrent.layer.{name}_l0"][:, None] for name in ("bias_ih", "bias_hh")]
    np.testing.assert_allclose(torch.cat(parts, 1).numpy(), total / unroll.per, rtol=1e-12, atol=1e-14)


def test_it_is_less_noisy_than_uoro():
    """The mean square of the error over 25 draws of two rows."""
    wanted = exact(Problem(*tiny("rnn", 8)))
    spread = {}
    for rule in (KFRTRL, UORO):
        found = [run(rule(seed=seed), *tiny("rnn", 8)) for seed in range(25)]
        spread[rule] = sum(norm({key: one[key] - wanted[key] for key in wanted}) ** 2 for one in found)
    assert spread[KFRTRL] < 0.8 * spread[UORO]


def test_after_a_reset_nothing_is_left_of_what_was():
    found = []
    for start in (0, 3):
        unroll, window, state = tiny("rnn", 4, torch.tensor([[False, False, False, True]] * 2))
        rule = KFRTRL(4 - start)
        carry = rule.start(unroll, 2)._replace(state=state)
        carry.memory["position"] = start
        (estimate,) = list(rule.gradients(unroll, window[:, start:], carry))
        influence = estimate.carry.memory["influence"]
        found.append({"units": influence["units"], **influence["sources"]})
    assert distance(*found) <= 1e-12 and norm(found[0]) >= 1e-3


def test_units_that_are_dead_leave_nothing_behind():
    unroll, window, state = tiny("relu", 4)
    with torch.no_grad():
        unroll.recurrent.layer.bias_hh_l0.fill_(-100)
    found = run(KFRTRL(), unroll, window, state)
    assert all(block.isfinite().all() for block in found.values())
    assert found["recurrent.layer.weight_hh_l0"].norm() == 0 and found["readout.bias"].norm() > 0.01


def test_turning_the_signs_of_what_is_added_round_changes_not_a_bit():
    """Both factors change their sign, and their product does not."""
    signs = torch.randint(0, 2, (6, 3, 2), generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = []
    for sign in (1, -1):
        setting = problem("rnn", steps=6)
        given = tuple((signs * torch.tensor([1, sign])).flatten().tolist())
        found.append(run(Forced(given=given), setting.unroll, setting.window, setting.state))
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_signs_depend_on_seed_and_position_alone():
    drawn = [KFRTRL(seed=seed).signs(position, 60) for seed, position in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert torch.equal(drawn[0], drawn[3]) and set(drawn[0].flatten().tolist()) == {-1, 1}
    assert not torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0][:, 0], drawn[0][:, 1])


def test_borders_leave_no_trace_and_both_factors_are_saved_with_the_carry():
    setting = problem("leaky", steps=29)
    check_borders(KFRTRL(2), setting)
    check_restart(KFRTRL(9), setting)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rnn", "rnn-relu", "rnn-identity", "leaky"])
def test_the_contract_with_an_update_at_every_step(name):
    check_strategy(KFRTRL(), recurrent=[name])


def test_what_it_carries_is_two_factors_per_row():
    setting = problem("rnn", steps=11)
    unroll, carry, sizes = setting.unroll, KFRTRL().start(setting.unroll, 3)._replace(state=setting.state), []
    for _ in range(3):
        for estimate in KFRTRL().gradients(unroll, setting.window, carry):
            carry = estimate.carry
        sizes.append(sum(tensor.nbytes for tensor in pack(carry)[0].values()))
    assert sizes == [8 * 3 * (HIDDEN + HIDDEN**2 + INPUTS + HIDDEN + 2)] * 3


def test_the_readout_s_gradient_is_exact_and_frozen_weights_are_left_alone():
    setting = problem("rnn", steps=9)
    setting.unroll.recurrent.layer.weight_ih_l0.requires_grad_(False)
    found = run(KFRTRL(), setting.unroll, setting.window, setting.state)
    assert setting.unroll.recurrent.layer.weight_ih_l0.grad is None
    setting.unroll.requires_grad_(True)
    wanted = exact(setting)
    behind = [key for key in wanted if key.startswith("readout.")]
    assert len(behind) == 2 and distance({k: found[k] for k in behind}, {k: wanted[k] for k in behind}) <= 1e-12
    assert norm({k: found[k] - wanted[k] for k in wanted}) >= 1e-3


def test_a_model_as_it_is_trained_on_one_hot_characters():
    model = LanguageModel("rnn", vocab=7, hidden_size=5, embedding_size=0).double()
    window = Window.of(torch.randint(7, (3, 8)), torch.randint(7, (3, 8)))
    unroll = model.unroll(per=3.0)
    found = run(KFRTRL(2), unroll, window, unroll.initial_state(3))
    assert min(float(block.norm()) for block in found.values()) >= 1e-4


class First(nn.Module):
    """A user's Elman cell with a learned initial state, which is no weight of the recurrence."""

    def __init__(self):
        super().__init__()
        self.inner, self.first = RNN(INPUTS, HIDDEN), nn.Parameter(torch.ones(HIDDEN))

    def initial_state(self, batch_size):
        return self.first.expand(batch_size, -1)

    def forward(self, x, h):
        y = self.inner(x.unsqueeze(0), h.unsqueeze(0))[0][0]
        return y, y

    def local(self, x, h):
        return self.inner.local(x.unsqueeze(1), h.unsqueeze(0), None)[0][0][1]


def refused(recurrent, encode=None):
    unroll = Unroll(encode, recurrent, nn.Linear(HIDDEN, 6)).double()
    x = torch.randn(3, 4, INPUTS).double() if encode is None else torch.randint(5, (3, 4))
    window = Window.of(x, torch.randint(6, (3, 4)), reset=torch.tensor([[False, False, True, False]] * 3))
    with pytest.raises(InputError) as caught:
        list(KFRTRL().gradients(unroll, window, KFRTRL().start(unroll, 3)))
    return str(caught.value)


def test_what_it_cannot_learn_is_refused_with_what_to_take_instead():
    assert "3 gates" in refused(nn.GRUCell(INPUTS, HIDDEN)) and "2 numbers" in refused(nn.LSTM(INPUTS, HIDDEN))
    assert "2 layers" in refused(RNN(INPUTS, HIDDEN, 2)) and "2 layers" in refused(Stack(RNN(INPUTS, 4), RNN(4, HIDDEN)))
    assert "without `local`" in refused(nn.RNN(INPUTS, HIDDEN, 2))
    assert "encode.weight. Feed" in refused(RNN(INPUTS, HIDDEN), nn.Embedding(5, INPUTS))
    assert "first" in refused(First())
    weighed = nn.utils.parametrizations.weight_norm(RNN(INPUTS, HIDDEN), "weight_hh_l0")
    assert "parametrizations" in refused(weighed)


@pytest.mark.parametrize("arguments", [{"every": 0}, {"every": 2.0}, {"seed": -1}, {"seed": "a"}], ids=str)
def test_wrong_arguments(arguments):
    with pytest.raises(InputError, match=next(iter(arguments))):
        KFRTRL(**arguments)

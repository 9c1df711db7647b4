"""e-prop and RFLO against a slow reference in NumPy, over windows longer than any lag they keep; what they equal and refuse."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from tiny_nets import run
from torch import nn

from bptt import RFLO, EProp, InputError, LanguageModel, Truncated, Unroll, Window, nest
from bptt.nn import GRU, LSTM, RNN, TDNN, LeakyRNN, OutputToHidden, Stack
from bptt.testing import check_cell
from bptt.testing.examples import HIDDEN, INPUTS, Problem, distance, exact, norm, problem
from bptt.testing.strategies import check_borders, check_restart, check_strategy
from bptt.training.pack import pack

IN, H, C, T = 3, 4, 5, 7
LEAK = 0.3
CELLS = {
    "rnn": lambda: RNN(IN, H),
    "relu": lambda: RNN(IN, H, nonlinearity="relu"),
    "leaky": lambda: LeakyRNN(IN, H, leak=LEAK),
    "gru": lambda: GRU(IN, H),
    "lstm": lambda: LSTM(IN, H),
    "lstm without bias": lambda: LSTM(IN, H, bias=False),
    "torch's gru": lambda: nn.GRU(IN, H),
    "torch's lstm cell": lambda: nn.LSTMCell(IN, H),
}
NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
RULES = [
    EProp(),
    EProp(loops=True),
    EProp(feedback="random", seed=3),
    RFLO(),
    RFLO(feedback="random", seed=3),
]


def parts(name, steps=T):
    """Two rows from a state that is not zero, one of them starting anew on the way, some losses masked."""
    torch.manual_seed(3)
    unroll = Unroll(None, CELLS[name](), nn.Linear(H, C), per=3.0).double()
    reset = torch.zeros(2, steps, dtype=torch.bool)
    reset[1, 3] = True
    mask = torch.ones(2, steps, dtype=torch.bool)
    mask[0, 2] = False
    window = Window.of(torch.randn(2, steps, IN).double(), torch.randint(C, (2, steps)), reset=reset, mask=mask)
    return unroll, window, nest.map(torch.randn_like, unroll.initial_state(2))


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def unit(kind, numbers, x, h, w):
    """The numbers of one unit after a step, from its own before it, the inputs, and the h of all units that its weights read.

    Everything may be complex. w: the unit's rows of the four parameters, one per gate.
    """
    read, back = w[0] @ x + w[2], w[1] @ h + w[3]
    if kind == "lstm":
        i, f, g, o = read + back
        c = sigmoid(f) * numbers[1] + sigmoid(i) * np.tanh(g)
        return np.array([sigmoid(o) * np.tanh(c), c])
    if kind == "gru":
        r, z = sigmoid(read[0] + back[0]), sigmoid(read[1] + back[1])
        return np.array([(1 - z) * np.tanh(read[2] + r * back[2]) + z * numbers[0]])
    (a,) = read + back
    if kind == "relu":
        return np.array([a * (a.real > 0)])
    share = LEAK if kind == "leaky" else 1.0
    return np.array([(1 - share) * numbers[0] + share * np.tanh(a)])


TINY = 1e-30


def slopes(function, point):
    """The derivatives of a function of an array at every entry of it, by complex steps: exact to rounding."""
    found = []
    for index in np.ndindex(point.shape):
        moved = point.astype(complex)
        moved[index] += 1j * TINY
        found.append(function(moved).imag / TINY)
    return np.stack(found, -1).reshape(len(found[0]), *point.shape)


def by_hand(rule, kind, unroll, window, state):
    """Traces unit by unit and row by row."""
    held = dict(unroll.recurrent.named_parameters())
    w = [next((p.detach().numpy() for n, p in held.items() if name in n), None) for name in NAMES]
    w = [np.zeros(len(w[0])) if one is None else one for one in w]
    v, bias = unroll.readout.weight.detach().numpy(), unroll.readout.bias.detach().numpy()
    gates = len(w[0]) // H
    split = [[one.reshape(gates, H, *one.shape[1:])[:, i] for one in w] for i in range(H)]
    feedback = v
    if rule.feedback == "random":
        feedback = np.random.Generator(np.random.Philox(key=[rule.seed, 0])).uniform(-1, 1, v.shape) / np.sqrt(H)
    totals = [[np.zeros_like(one) for one in rows] for rows in split]
    for b in range(2):
        s = np.stack([leaf[b].reshape(H).numpy() for leaf in nest.leaves(state)], 1)  # [H, S]
        traces = [[np.zeros((s.shape[1], *one.shape)) for one in rows] for rows in split]
        for t in range(window.steps):
            if window.reset[b, t]:
                s = np.zeros_like(s)
                traces = [[np.zeros_like(one) for one in rows] for rows in traces]
            x, h, new = window.inputs[b, t].numpy(), s[:, 0].copy(), []
            for i in range(H):

                def alone(numbers, i=i, h=h, x=x):
                    seen = h.astype(complex)
                    if getattr(rule, "loops", False):
                        seen[i] = numbers[0]
                    return unit(kind, numbers, x, seen, split[i])

                own = slopes(alone, s[i])
                for k in range(4):

                    def as_it_learns(one, i=i, k=k, h=h, x=x, s=s):
                        return unit(kind, s[i], x, h, [*split[i][:k], one, *split[i][k + 1 :]])

                    traces[i][k] = np.tensordot(own, traces[i][k], 1) + slopes(as_it_learns, split[i][k])
                new.append(unit(kind, s[i], x, h, split[i]).real)
            s = np.stack(new)
            scores = v @ s[:, 0] + bias
            p = np.exp(scores - scores.max())
            error = (p / p.sum() - np.eye(C)[window.targets[b, t]]) * bool(window.mask[b, t])
            signal = error @ feedback
            for i in range(H):
                for k in range(4):
                    totals[i][k] += signal[i] * traces[i][k][0]
    whole = [np.stack([totals[i][k] for i in range(H)], 1).reshape(w[k].shape) / unroll.per for k in range(4)]
    return {f"recurrent.{n}": torch.from_numpy(whole[k]) for n in held for k in range(4) if NAMES[k] in n}


def kind_of(name):
    return next((kind for kind in ("relu", "leaky", "gru", "lstm") if kind in name), "rnn")


TAKEN = [(name, rule) for name in CELLS for rule in RULES if isinstance(rule, EProp) or kind_of(name) not in ("gru", "lstm")]


@pytest.mark.parametrize(("name", "rule"), TAKEN, ids=str)
def test_against_a_slow_reference(name, rule):
    kind = kind_of(name)
    wanted = by_hand(rule, kind, *parts(name))
    found = run(rule, *parts(name), cut=3)
    assert distance(found, wanted) <= 1e-12
    whole = exact(Problem(*parts(name)))
    assert norm({key: found[key] - whole[key] for key in wanted}) >= 1e-3 * norm(whole)
    behind = [key for key in whole if key.startswith("readout.")]
    assert len(behind) == 2 and distance({k: found[k] for k in behind}, {k: whole[k] for k in behind}) <= 1e-12
    at_once = run(Truncated(1), *parts(name))
    only_present = kind in ("rnn", "relu") and not getattr(rule, "loops", False) and rule.feedback == "exact"
    assert (distance(found, at_once) <= 1e-12) == only_present


def test_without_loops_on_a_leaky_layer_they_are_one():
    assert distance(run(EProp(), *parts("leaky")), run(RFLO(), *parts("leaky"))) == 0


def test_what_one_unit_does_to_itself_is_all_there_is_for_a_layer_of_one():
    """Exact with loops: nothing is left out; not without."""
    for layer in (RNN(IN, 1), LeakyRNN(IN, 1), GRU(IN, 1), LSTM(IN, 1)):
        torch.manual_seed(0)
        unroll = Unroll(None, layer, nn.Linear(1, C)).double()
        window = Window.of(torch.randn(3, 9, IN).double(), torch.randint(C, (3, 9)))
        state = nest.map(torch.randn_like, unroll.initial_state(3))
        wanted = exact(Problem(unroll, window, state))
        assert distance(run(EProp(loops=True), unroll, window, state), wanted) <= 1e-12
        unroll.zero_grad()
        assert distance(run(EProp(), unroll, window, state), wanted) >= 1e-3


class Cut(nn.Module):
    """GRUs whose gates read the state without gradient, so that it goes back through the update gate alone; by autograd."""

    def __init__(self, cells, learned):
        super().__init__()
        self.cells, self.learned = nn.ModuleList(cells), learned

    def initial_state(self, batch_size):
        return [torch.zeros(batch_size, cell.hidden_size, dtype=torch.float64) for cell in self.cells]

    def forward(self, x, state):
        after = []
        for number, (cell, h) in enumerate(zip(self.cells, state, strict=True)):
            r, z, n = nn.functional.linear(x, cell.weight_ih, cell.bias_ih).chunk(3, 1)
            back_r, back_z, back_n = nn.functional.linear(h.detach(), cell.weight_hh, cell.bias_hh).chunk(3, 1)
            z = torch.sigmoid(z + back_z)
            n = torch.tanh(n + torch.sigmoid(r + back_r) * back_n)
            x = (1 - z) * n + z * (h if number == self.learned else h.detach())
            after.append(x)
        return x, after


def test_in_a_stack_every_layer_learns_from_what_comes_down_within_the_step():
    """Layer by layer, the past of all others cut off."""
    torch.manual_seed(0)
    cells = [nn.GRUCell(IN, 6), nn.GRUCell(6, H)]
    window = Window.of(torch.randn(2, 8, IN).double(), torch.randint(C, (2, 8)), reset=torch.rand(2, 8) < 0.2)
    readout = nn.Linear(H, C)
    found = learn(Stack(*cells), readout, window)
    for learned in (0, 1):
        unroll, state = start(Cut(copy.deepcopy(cells), learned), copy.deepcopy(readout))
        wanted = exact(Problem(unroll, window, list(state)))
        for name in NAMES:
            one, two = found[f"recurrent.layers.{learned}.cell.{name}"], wanted[f"recurrent.cell.cells.{learned}.{name}"]
            assert float((one - two).norm() / two.norm()) <= 1e-12, name
    unroll, state = start(Stack(*cells), readout)
    unroll.zero_grad()
    whole = exact(Problem(unroll, window, state))
    assert norm({key: found[key] - whole[key] for key in whole}) >= 1e-2 * norm(whole)


def start(recurrent, readout):
    """The model, and a state that is not zero: every layer's h is a ramp."""
    unroll = Unroll(None, recurrent, readout).double()
    return unroll, nest.map(lambda h: torch.linspace(-1, 1, h.shape[-1]).double().expand(h.shape), unroll.initial_state(2))


def learn(recurrent, readout, window):
    unroll, state = start(copy.deepcopy(recurrent), copy.deepcopy(readout))
    return run(EProp(), unroll, window, state)


def test_two_layers_in_one_module_are_a_stack():
    torch.manual_seed(0)
    whole = GRU(IN, H, 2)
    single = [GRU(IN, H), GRU(H, H)]
    for layer in (0, 1):
        for name in NAMES:
            setattr(single[layer], f"{name}_l0", getattr(whole, f"{name}_l{layer}"))
    window = Window.of(torch.randn(2, 8, IN).double(), torch.randint(C, (2, 8)))
    readout = nn.Linear(H, C)
    one = learn(whole, readout, window)
    two = learn(Stack(*single), readout, window)
    for layer in (0, 1):
        for name in NAMES:
            ours, theirs = one[f"recurrent.layer.{name}_l{layer}"], two[f"recurrent.layers.{layer}.layer.{name}_l0"]
            assert float((ours - theirs).norm()) <= 1e-13 and float(ours.norm()) > 1e-3


@pytest.mark.parametrize("rule", [EProp(), RFLO()], ids=str)
def test_what_lies_before_the_layer_learns_from_each_step_by_itself(rule):
    torch.manual_seed(0)
    model = LanguageModel("leaky-rnn", vocab=7, hidden_size=5, leak=0.2).double()
    window = Window.of(torch.randint(7, (3, 8)), torch.randint(7, (3, 8)))
    unroll = model.unroll(per=3.0)
    found = run(rule, unroll, window, unroll.initial_state(3))
    unroll.zero_grad()
    at_once = run(Truncated(1), unroll, window, unroll.initial_state(3))
    assert float((found["encode.table.weight"] - at_once["encode.table.weight"]).norm()) <= 1e-14
    assert norm({key: found[key] - at_once[key] for key in found}) >= 1e-3


@pytest.mark.parametrize("rule", [EProp(2), EProp(2, loops=True, feedback="random"), RFLO(2, feedback="random")], ids=str)
def test_borders_leave_no_trace_and_traces_are_saved_with_the_carry(rule):
    setting = problem("leaky", steps=29)
    check_borders(rule, setting)
    check_restart(dataclasses.replace(rule, every=9), setting)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rnn", "leaky", "gru", "lstm", "gru-deep-dropout", "torch-lstm", "torch-cell"])
def test_the_contract_with_an_update_at_every_step(name):
    check_strategy(EProp(), recurrent=[name])
    check_strategy(EProp(loops=True, feedback="random"), recurrent=[name])
    if name in ("rnn", "leaky"):
        check_strategy(RFLO(), recurrent=[name])


@pytest.mark.parametrize(("name", "numbers"), [("leaky", 1), ("gru", 1), ("lstm", 2)])
def test_what_it_carries_is_a_trace_per_weight_and_number(name, numbers):
    setting = problem(name, steps=11)
    unroll, carry, sizes = setting.unroll, EProp().start(setting.unroll, 3)._replace(state=setting.state), []
    for _ in range(3):
        for estimate in EProp().gradients(unroll, setting.window, carry):
            carry = estimate.carry
        sizes.append(sum(tensor.nbytes for tensor in pack(carry)[0].values()))
    weights = sum(p.numel() for key, p in unroll.named_parameters() if key.startswith("recurrent."))
    assert sizes == [8 * 3 * numbers * (HIDDEN + weights)] * 3


def test_the_feedback_is_drawn_from_the_seed_and_stays():
    carries = []
    for seed in (0, 0, 1):
        setting = problem("leaky", steps=4)
        rule = RFLO(feedback="random", seed=seed)
        carry, seen = rule.start(setting.unroll, 3), []
        for estimate in rule.gradients(setting.unroll, setting.window, carry):
            seen.append(estimate.carry.memory["influence"]["shared"]["feedback"])
        assert all(torch.equal(seen[0], one) for one in seen)
        carries.append(seen[0])
    assert torch.equal(carries[0], carries[1]) and not torch.equal(carries[0], carries[2])
    assert RFLO(feedback="random").random and not RFLO().random


def test_frozen_weights_are_left_alone():
    unroll, window, state = parts("lstm")
    free = run(EProp(), unroll, window, state)
    unroll.zero_grad()
    unroll.recurrent.layer.weight_ih_l0.requires_grad_(False)
    found = run(EProp(), unroll, window, state)
    assert unroll.recurrent.layer.weight_ih_l0.grad is None
    assert all(torch.equal(found[key], free[key]) for key in free if "weight_ih" not in key)


class Leaky(nn.Module):
    """A user's cell that says what its units do, or says something else."""

    def __init__(self, wrong=""):
        super().__init__()
        self.inner, self.wrong = LeakyRNN(INPUTS, HIDDEN, leak=LEAK), wrong

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, HIDDEN, dtype=self.inner.weight_hh_l0.dtype)

    def forward(self, x, h):
        y = self.inner(x.unsqueeze(0), h.unsqueeze(0))[0][0]
        return (2 * y if self.wrong == "output" else y), y

    def local(self, x, h):
        found = self.inner.local(x.unsqueeze(1), h.unsqueeze(0), None)[0][0][1]
        if self.wrong == "own":
            return found._replace(own=found.own * 1.1)
        if self.wrong == "gain":
            return found._replace(entries=tuple(entry._replace(gain=entry.gain * 2) for entry in found.entries))
        if self.wrong == "entry":
            return found._replace(entries=found.entries[:1])
        return found


def test_a_user_s_cell_that_says_what_its_units_do():
    check_cell(Leaky(), inputs=INPUTS)
    setting = problem(Leaky())
    twin = Unroll(setting.unroll.encode, setting.unroll.recurrent.cell.inner, setting.unroll.readout, per=setting.unroll.per)
    found = run(EProp(), setting.unroll, setting.window, setting.state)
    twin.zero_grad()
    other = run(EProp(), twin, setting.window, setting.state.unsqueeze(1))
    assert distance(found, exact(setting)) > 1e-3
    for name in ("weight_hh_l0", "bias_ih_l0"):
        ours, theirs = found[f"recurrent.cell.inner.{name}"], other[f"recurrent.layer.{name}"]
        assert float((ours - theirs).norm() / theirs.norm()) <= 1e-12


@pytest.mark.parametrize(
    ("wrong", "said"), [("output", "leaf 0"), ("own", "recurrence"), ("gain", "gain or source"), ("entry", "no entry")]
)
def test_a_cell_that_says_something_else_is_told_so(wrong, said):
    with pytest.raises(TypeError, match=said):
        check_cell(Leaky(wrong), inputs=INPUTS)


def refused(rule, recurrent):
    unroll = Unroll(None, recurrent, nn.Linear(HIDDEN, 6)).double()
    window = Window.of(torch.randn(3, 4, INPUTS).double(), torch.randint(6, (3, 4)))
    with pytest.raises(InputError) as caught:
        list(rule.gradients(unroll, window, rule.start(unroll, 3)))
    return str(caught.value)


def test_models_that_do_not_say_are_refused_with_what_to_take_instead():
    for rule in (EProp(), RFLO()):
        assert "rtrl, uoro" in refused(rule, TDNN(INPUTS, HIDDEN)) and "looks ahead" in refused(
            rule, LSTM(INPUTS, 2, bidirectional=True)
        )
        assert "without `local`" in refused(rule, OutputToHidden(INPUTS, 7, HIDDEN))
    assert "3 gates" in refused(RFLO(), GRU(INPUTS, HIDDEN)) and "2 layers" in refused(RFLO(), RNN(INPUTS, HIDDEN, 2))


@pytest.mark.parametrize(
    "arguments", [{"every": 0}, {"seed": -1}, {"feedback": "exat"}, {"loops": 1}, {"loops": "yes"}], ids=str
)
def test_wrong_arguments(arguments):
    with pytest.raises(InputError, match=next(iter(arguments))):
        EProp(**arguments)

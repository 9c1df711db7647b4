"""SnAp: the influence kept where a parameter can reach, against dense masks by hand; where it is RTRL; what it costs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from online_cells import Ring, Spiral
from tiny_nets import run
from torch import nn
from torch.nn.utils import prune

from bptt import RTRL, EProp, InputError, SnAp, Unroll, Window, nest
from bptt.gradients.online import machine
from bptt.gradients.online.sparse import Plan
from bptt.nn import GRU, LSTM, RNN, Stack
from bptt.testing.examples import RECURRENT, NestedCell, Problem, distance, exact, gradients, norm, problem
from bptt.testing.strategies import check_borders, check_restart, check_strategy

ROWS, STEPS, UNITS = 3, 17, 7


def half_square(outputs, targets):
    return 0.5 * (outputs - targets).square().sum(2)


def setting(recurrent, width, *, inputs=2, steps=STEPS, seed=0):
    """An unrolled model, a window with resets and masked losses, and a state that is not zero."""
    torch.manual_seed(seed)
    unroll = Unroll(None, recurrent, nn.Linear(width, 2), half_square, per=5.0).double()
    reset = torch.zeros(ROWS, steps, dtype=torch.bool)
    reset[0, steps // 3] = reset[1, -3:-2] = True
    x, y = torch.randn(ROWS, steps, inputs).double(), torch.randn(ROWS, steps, 2).double()
    window = Window.of(x, y, reset=reset, mask=torch.rand(ROWS, steps) < 0.8)
    first = nest.detach(unroll.initial_state(ROWS))
    return unroll, window, nest.map(lambda leaf: leaf + 0.7 * torch.randn_like(leaf) if nest.is_float(leaf) else leaf, first)


def by_numpy(unroll, window, state, n):
    """SnAp-n of a ring in plain loops: dense Jacobians, masks from powers of the coupling."""
    w, v, b, c, d = (p.detach().numpy() for p in unroll.parameters())
    keep = unroll.recurrent.cell.keep.numpy()
    units, inputs = v.shape
    size = units * units + units * inputs + units
    owner = np.concatenate([np.repeat(np.arange(units), units), np.repeat(np.arange(units), inputs), np.arange(units)])
    reach = np.linalg.matrix_power(np.eye(units) + (keep != 0), n - 1) > 0
    mask = reach[:, owner]
    total = [np.zeros_like(c), np.zeros_like(d), np.zeros(size)]
    for row in range(window.batch_size):
        h, influence = state[row].numpy(), np.zeros((units, size))
        for t in range(window.steps):
            x, y = window.inputs[row, t].numpy(), window.targets[row, t].numpy()
            if window.reset[row, t]:
                h, influence = np.zeros(units), np.zeros_like(influence)
            after = np.tanh((w * keep) @ h + v @ x + b)
            slope = 1 - after**2
            direct = np.zeros((units, size))
            for i in range(units):
                direct[i, i * units : (i + 1) * units] = slope[i] * h * keep[i]
                direct[i, units * units + i * inputs : units * units + (i + 1) * inputs] = slope[i] * x
                direct[i, units * (units + inputs) + i] = slope[i]
            moved = direct + (slope[:, None] * w * keep) @ influence
            error = (c @ after + d - y) * float(window.mask[row, t])
            total[0] += np.outer(error, after)
            total[1] += error
            # The influence of this step's loss is exact within the step, and masked from there on.
            total[2] += (error @ c) @ moved
            h, influence = after, mask * moved
    flat = total[2]
    parts = flat[: w.size].reshape(w.shape), flat[w.size : w.size + v.size].reshape(v.shape), flat[w.size + v.size :]
    return [part / unroll.per for part in (*parts, *total[:2])]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("cut", [None, 4, 1])
def test_against_plain_loops_with_dense_masks(n, cut):
    unroll, window, state = setting(Ring(2, UNITS), UNITS)
    wanted = by_numpy(unroll, window, state, n)
    found = list(run(SnAp(n), unroll, window, state, cut).values())
    for ours, theirs in zip(found, wanted, strict=True):
        assert np.linalg.norm(theirs) >= 1e-3
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-12, atol=1e-13)


def test_it_is_exact_from_the_diameter_plus_one_on_and_not_before():
    """A ring of 7: from a unit to the one before it takes 6 steps."""
    unroll, window, state = setting(Ring(2, UNITS), UNITS)
    exact = run(RTRL(), unroll, window, state)
    found = {}
    for n in range(1, UNITS + 2):
        unroll.zero_grad()
        found[n] = run(SnAp(n), unroll, window, state)
        off = distance(found[n], exact)
        assert off <= 1e-12 if n >= UNITS else off >= 1e-6, n
        assert n == 1 or n > UNITS or distance(found[n], found[n - 1]) >= 1e-6


def kept_by_hand(unroll, window, state, keeps, *, paper=False):
    """SnAp by autograd of one number of one row at a time; keeps: a mask [n, …] of every parameter that the state reaches.

    paper: the mask lies on a loss's own step too, ∂l_t/∂h_t J_t; for layers that put out the first leaf of their state.
    """
    named = dict(unroll.named_parameters())
    total = {name: torch.zeros_like(p) for name, p in named.items()}
    for row in range(window.batch_size):
        one = nest.map(lambda leaf, row=row: leaf[row : row + 1], state)
        held = {name: torch.zeros(mask.shape, dtype=torch.float64) for name, mask in keeps.items()}
        for t in range(window.steps):
            start = nest.as_leaves(one)
            before = nest.leaves(start)
            loss, after = unroll.segment(Window(*(part[row : row + 1] for part in vars(window[:, t : t + 1]).values())), start)
            numbers = torch.cat([leaf.flatten() for leaf in nest.leaves(after)])
            slopes = torch.autograd.grad(loss, [*named.values(), *before], retain_graph=True, allow_unused=True)
            slopes = [torch.zeros((), dtype=torch.float64) if s is None else s for s in slopes]
            pull = torch.cat(
                [(torch.zeros_like(leaf) + s).flatten() for s, leaf in zip(slopes[len(named) :], before, strict=True)]
            )
            for (name, _), slope in zip(named.items(), slopes, strict=False):
                if not (paper and name in held):
                    total[name] += slope + (torch.tensordot(pull, held[name], 1) if name in held else 0)
            moved = {name: [] for name in held}
            for number in numbers:
                ends = [*before, *(named[name] for name in held)]
                found = torch.autograd.grad(number, ends, retain_graph=True, allow_unused=True)
                back = [torch.zeros_like(leaf) if s is None else s for s, leaf in zip(found, before, strict=False)]
                back = torch.cat([s.flatten() for s in back])
                for name, slope in zip(held, found[len(before) :], strict=True):
                    moved[name].append((0 if slope is None else slope) + torch.tensordot(back, held[name], 1))
            held = {name: keeps[name] * torch.stack(blocks) for name, blocks in moved.items()}
            one = nest.detach(after)
            if paper:
                put_out = nest.leaves(one)[0].clone().requires_grad_()
                loss = half_square(unroll.readout(put_out.view(1, 1, -1)), window.targets[row : row + 1, t : t + 1])
                signal = torch.autograd.grad((loss * window.mask[row, t]).sum(), put_out)[0].flatten()
                for name, block in held.items():
                    total[name] += torch.tensordot(signal, block[: len(signal)], 1)
    return {name: block / unroll.per for name, block in total.items()}


def own_unit(unroll, hidden, layers=1, leaves=1):
    """Masks of SnAp-1 by hand: of a layer's rows on their own unit, and on all units of the layers above."""
    unit = torch.arange(hidden).repeat(layers * leaves)
    layer = torch.arange(layers).repeat_interleave(hidden).repeat(leaves)
    masks = {}
    for name, parameter in unroll.named_parameters():
        if name.startswith("recurrent"):
            mine, row = int(name.split("_l")[1][0]), torch.arange(len(parameter)) % hidden
            allowed = ((unit[:, None] == row) & (layer[:, None] == mine)) | (layer[:, None] > mine)
            masks[name] = allowed.view(*allowed.shape, *[1] * (parameter.dim() - 1)).expand(-1, *parameter.shape).double()
    return masks


@pytest.mark.parametrize(
    ("layer", "layers", "leaves"), [(LSTM, 1, 2), (GRU, 1, 1), (RNN, 2, 1), (LSTM, 2, 2), (nn.GRU, 2, 1)], ids=str
)
def test_one_step_of_gated_layers_and_stacks_of_them(layer, layers, leaves):
    unroll, window, state = setting(layer(2, 3, layers), 3, steps=9)
    wanted = kept_by_hand(unroll, window, state, own_unit(unroll, 3, layers, leaves))
    assert min(float(block.norm()) for block in wanted.values()) >= 1e-6
    assert distance(run(SnAp(1), unroll, window, state, 2), wanted) <= 1e-12
    unroll.zero_grad()
    assert distance(run(RTRL(), unroll, window, state), wanted) >= 1e-6


@pytest.mark.parametrize(("layer", "leaves"), [(RNN, 1), (GRU, 1), (LSTM, 2)], ids=str)
def test_the_form_of_the_paper_is_eprop_with_loops(layer, leaves):
    """There the mask lies on the last step too; here the loss sees that step whole: another gradient, and a nearer one."""
    unroll, window, state = setting(layer(2, 3), 3, steps=9)
    wanted = kept_by_hand(unroll, window, state, own_unit(unroll, 3, leaves=leaves), paper=True)
    assert min(float(block.norm()) for block in wanted.values()) >= 1e-6
    found = {}
    for rule in (EProp(loops=True), SnAp(1), RTRL()):
        found[type(rule)] = run(rule, unroll, window, state, 2)
        unroll.zero_grad()
    assert distance(found[EProp], wanted) <= 1e-12
    assert distance(found[SnAp], wanted) >= 1e-3
    assert distance(found[SnAp], found[RTRL]) < distance(found[EProp], found[RTRL])


@pytest.mark.parametrize("layer", [RNN, GRU])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_pruned_layers_keep_what_their_weights_let_through(layer, n):
    torch.manual_seed(3)
    pruned = layer(2, 6).double()
    prune.random_unstructured(pruned, "weight_hh_l0", amount=0.85)
    unroll, window, state = setting(pruned, 6, steps=9)
    coupled = (pruned.weight_hh_l0_mask != 0).view(-1, 6, 6).any(0) | (torch.eye(6, dtype=torch.bool) & (layer is GRU))
    reach = torch.linalg.matrix_power(torch.eye(6) + coupled, n - 1) > 0
    row = lambda p: torch.arange(len(p)) % 6  # noqa: E731
    keeps = {}
    for name, p in unroll.named_parameters():
        if name.startswith("recurrent"):
            mask = reach[:, row(p)]
            keeps[name] = mask.view(*mask.shape, *[1] * (p.dim() - 1)).expand(-1, *p.shape).double()
    wanted = kept_by_hand(unroll, window, state, keeps)
    assert distance(run(SnAp(n), unroll, window, state), wanted) <= 1e-12
    plan, size = Plan.of(unroll, n - 1), sum(p.numel() for name, p in unroll.named_parameters() if name.startswith("recurrent"))
    kept = sum(group.kept for group in plan.groups.values())
    assert 0 < kept < 6 * size - 6 * int((pruned.weight_hh_l0_mask == 0).sum())  # what is pruned away takes no memory


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "torch-lstm", "torch-cell"])
def test_a_dense_layer_is_exact_from_two_on(name):
    setting = problem(name, steps=9)
    wanted = run(RTRL(), setting.unroll, setting.window, setting.state)
    for n in (1, 2, 5):
        setting.unroll.zero_grad()
        off = distance(run(SnAp(n), setting.unroll, setting.window, setting.state), wanted)
        assert off >= 1e-6 if n == 1 else off <= 1e-12


def test_a_cell_that_says_nothing_keeps_everything():
    setting = problem("nested", steps=9)
    wanted = run(RTRL(), setting.unroll, setting.window, setting.state)
    setting.unroll.zero_grad()
    assert distance(run(SnAp(1), setting.unroll, setting.window, setting.state), wanted) == 0


@pytest.mark.parametrize(
    ("recurrent", "width", "share"),
    [(Spiral(2, 5), 10, 0.2), (Stack(Spiral(2, 4), Spiral(8, 3)), 6, 0.5), (Stack(Spiral(2, 3), NestedCell(6, 4)), 4, 0.9)],
    ids=["one", "two", "under a cell that says nothing"],
)
def test_where_units_stand_alone_rtrl_is_exact_and_keeps_little(recurrent, width, share):
    unroll, window, state = setting(recurrent, width)
    wanted = exact(Problem(unroll, window, state))
    assert min(float(block.norm()) for block in wanted.values()) >= 1e-6
    assert distance(run(RTRL(), unroll, window, state, 5), wanted) <= 1e-12
    plan = Plan.of(unroll, math.inf)
    known = [group for group in plan.groups.values() if not group.whole]
    entries = sum(shape.numel() for group in known for shape in group.shapes.values())
    assert entries and sum(group.kept for group in known) <= share * plan.pattern.numbers * entries


def test_one_step_is_all_there_is_where_units_stand_alone():
    unroll, window, state = setting(Spiral(2, 5), 10)
    wanted = run(RTRL(), unroll, window, state)
    unroll.zero_grad()
    assert distance(run(SnAp(1), unroll, window, state), wanted) == 0
    pattern = Plan.of(unroll, math.inf).pattern
    assert len(pattern.before.basis) == len(pattern.direct.basis) == 2  # not 10: no n² anywhere


@pytest.mark.parametrize(("name", "colours"), [("rnn", 1), ("gru", 1), ("lstm", 2), ("torch-cell", 1)])
def test_the_direct_term_of_a_layer_is_taken_for_all_units_at_once(name, colours):
    setting = problem(name, steps=3)
    run(RTRL(), setting.unroll, setting.window, setting.state)
    plan = Plan.of(setting.unroll, math.inf)
    assert len(plan.pattern.direct.basis) == colours and not any(group.whole for group in plan.groups.values())


def test_borders_leave_no_trace_and_the_influence_is_saved_with_the_carry():
    check_borders(SnAp(1, every=2), problem("lstm"))
    check_restart(SnAp(1, every=9), problem("lstm"))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RECURRENT))
@pytest.mark.parametrize("n", [1, 2])
def test_the_contract_on_every_kind_of_module(name, n):
    check_strategy(SnAp(n), recurrent=[name])


def test_it_learns_what_one_step_of_truncation_cannot():
    setting = problem("lstm", steps=9)
    exact = run(RTRL(), setting.unroll, setting.window, setting.state)
    setting.unroll.zero_grad()
    found = run(SnAp(1), setting.unroll, setting.window, setting.state)
    assert norm({name: found[name] - exact[name] for name in exact}) <= 0.5 * norm(exact)
    assert gradients(setting.unroll).keys() == exact.keys()


def test_an_influence_larger_than_the_machine_is_refused_with_the_figure(monkeypatch):
    unroll, window, state = setting(RNN(2, 5), 5, steps=2)
    size = 5 * 2 + 5 * 5 + 5 + 5
    carry = SnAp(1).start(unroll, ROWS)._replace(state=state)
    monkeypatch.setattr(machine, "memory", lambda device: 2 * 8 * ROWS * size)
    assert list(SnAp(1).gradients(unroll, window, carry))
    monkeypatch.setattr(machine, "memory", lambda device: 2 * 8 * ROWS * size - 1)
    with pytest.raises(InputError, match=f"SnAp would hold .* 3 rows × 5 numbers × {size} parameters, of which {size} entries"):
        list(SnAp(1).gradients(unroll, window, carry))


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": 1.5}, {"n": True}, {"n": "2"}, {"n": math.inf}, {"every": 0}])
def test_settings_are_numbers_of_steps(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        SnAp(**wrong)

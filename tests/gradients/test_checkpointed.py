"""Checkpointed back-propagation: the gradient of `Full`, the forward steps it promises, the memory it is given, its masks."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

from bptt import Carry, Checkpointed, Full, InputError, Unroll, Window, nest
from bptt.config import format_strategy, parse_strategy
from bptt.gradients import randomness
from bptt.gradients.measure import measure
from bptt.gradients.replay import Point, Replay
from bptt.gradients.schedules import Mixed, Plan, Revolve
from bptt.gradients.sizes import byte_count
from bptt.testing.examples import HIDDEN, INPUTS, RECURRENT, NestedCell, distance, gradients, norm, problem
from bptt.testing.ledger import Ledger

KINDS = [
    Checkpointed(slots=1),
    Checkpointed(slots=2),
    Checkpointed(slots=5),
    Checkpointed(slots=64),
    Checkpointed(every=1),
    Checkpointed(every=8),
    Checkpointed(every=64),
    Checkpointed(budget="6KiB"),
    Checkpointed(budget="20KiB"),
    Checkpointed(budget="1MiB"),
]


@pytest.fixture(autouse=True)
def one_thread():
    """Thousands of tiny products: a second thread only waits for the first."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def estimate(strategy, setting):
    """The one estimate of a window, from the setting's state."""
    (found,) = strategy.gradients(setting.unroll, setting.window, Carry(setting.state))
    return found


def both(strategy, name, *, steps=29):
    """The same window through `Full` and through `strategy`: estimates and gradients."""
    settings = [problem(name, steps=steps) for _ in range(2)]
    found = [estimate(kind, setting) for kind, setting in zip((Full(), strategy), settings, strict=True)]
    return found, [gradients(setting.unroll) for setting in settings]


def peak(strategy, setting):
    """The most bytes held during a window, what is held after it, and the estimate."""
    with Ledger(setting.unroll, setting.window).watch() as ledger:
        found = next(strategy.gradients(setting.unroll, setting.window, Carry(setting.state)))
    return ledger.peak, ledger.live, found


def smallest(setting):
    """The smallest budget that the refusal of a smaller one names."""
    with pytest.raises(InputError, match="cannot hold two states") as error:
        estimate(Checkpointed(budget=1), setting)
    return int(error.value.todo.split("budget=")[1].split("KiB")[0]) * 1024


@pytest.mark.parametrize("strategy", KINDS, ids=str)
@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_is_the_gradient_of_full_in_every_block_with_resets_masks_and_dropout(name, strategy):
    setting = problem(name)
    assert setting.window.reset.any() and not setting.window.mask.all()
    if strategy.budget == "6KiB":  # or what two states take, where the state is as large as a TDNN's past
        strategy = Checkpointed(budget=max(6 * 1024, smallest(setting)))
    (full, ours), (wanted, found) = both(strategy, name)
    assert norm(wanted) >= 1e-8 and distance(found, wanted) <= 1e-12
    assert float(ours.loss_sum) == pytest.approx(float(full.loss_sum), rel=1e-12)
    assert (ours.count, ours.steps, ours.ready) == (full.count, full.steps, True)
    for a, b in zip(nest.leaves(ours.carry.state), nest.leaves(full.carry.state), strict=True):
        assert not a.requires_grad
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("strategy", KINDS, ids=str)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_windows_of_few_steps(steps, strategy):
    _, (wanted, found) = both(strategy, "lstm", steps=steps)
    assert norm(wanted) >= 1e-8 and distance(found, wanted) <= 1e-12


def test_a_window_of_no_steps_has_nothing_to_spend():
    setting = problem("rnn")
    (found,) = Checkpointed(slots=2).gradients(setting.unroll, setting.window[:, :0], Carry(setting.state))
    assert not found.ready and found.count == 0 and norm(gradients(setting.unroll)) == 0


@pytest.mark.parametrize("strategy", [Checkpointed(slots=3), Checkpointed(every=5), Checkpointed(budget="9KiB")], ids=str)
def test_the_state_is_carried_on_but_not_the_gradient(strategy):
    ours, full = problem("lstm"), problem("lstm")
    for setting, kind in ((ours, strategy), (full, Full())):
        carry = Carry(setting.state)
        for window in (setting.window[:, :13], setting.window[:, 13:]):
            (found,) = kind.gradients(setting.unroll, window, carry)
            carry = found.carry
    assert distance(gradients(ours.unroll), gradients(full.unroll)) <= 1e-12


@pytest.mark.parametrize("strategy", KINDS, ids=str)
def test_bit_equal_from_run_to_run(strategy):
    first, second = (both(strategy, "gru-deep-dropout")[1][1] for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


class Count(nn.Module):
    """h' = w h + x, one number."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.9))

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, 1)

    def forward(self, x, h):
        h = self.w * h + x
        return h, h


def counted(strategy, steps):
    """Steps that the model really ran: with a graph, and without."""
    unroll = Unroll(None, Count(), None, lambda outputs, targets: outputs.squeeze(2))
    window, ran, segment = Window.of(torch.ones(1, steps, 1), torch.ones(1, steps)), {True: 0, False: 0}, unroll.segment

    def counting(part, state, edge=None):
        ran[torch.is_grad_enabled()] += part.steps
        return segment(part, state, edge)

    unroll.segment = counting
    (found,) = strategy.gradients(unroll, window, Carry(unroll.initial_state(1)))
    assert found.info["forwards"] == sum(ran.values()) / steps
    return ran[True], ran[False], found.info["slots"]


@pytest.mark.parametrize(
    ("steps", "slots", "count"),
    [(10, 2, 20), (10, 3, 15), (16, 3, 33), (32, 4, 75), (64, 4, 200), (100, 5, 316), (128, 8, 329), (1000, 10, 3636)],
)
def test_the_steps_that_run_are_those_of_the_optimal_schedule(steps, slots, count):
    """The published counts leave out the one run of each step that has a graph."""
    assert counted(Checkpointed(slots=slots), steps) == (steps, count, slots)


@pytest.mark.parametrize(
    ("steps", "every", "without"), [(40, 40, 0), (40, 100, 0), (40, 10, 30), (41, 10, 40), (1200, 1, 1199)]
)
def test_every_runs_no_step_more_than_twice(steps, every, without):
    assert counted(Checkpointed(every=every), steps) == (steps, without, -(-steps // every))


@pytest.mark.parametrize("name", ["lstm", "gru-deep-dropout", "nested"])
@pytest.mark.parametrize("reach", [1, 3, 7])
def test_a_block_may_take_several_calls(name, reach):
    """What a graph holds until its backward is given by the budget, what a call needs for a moment is not: calls are short."""
    full, ours = problem(name), problem(name)
    estimate(Full(), full)
    for schedule in (Revolve(2), Revolve(4), Mixed(4, 3, 2)):
        ours.unroll.zero_grad()
        plan = Plan(8, 4, schedule, reach)
        found = Replay(ours.unroll, ours.window, plan).run(Point.first(ours.window, ours.state))
        wanted = gradients(full.unroll)
        assert norm(wanted) >= 1e-8 and distance(gradients(ours.unroll), wanted) <= 1e-12
        assert plan.forwards - 8 * 2 <= found.forwards <= plan.forwards


def test_what_fits_runs_once_and_is_full_bit_for_bit():
    (_, ours), (wanted, found) = both(Checkpointed(budget="1GiB"), "gru")
    assert ours.info == {"forwards": 1.0, "slots": 1}
    assert all(torch.equal(found[name], wanted[name]) for name in found)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru-deep-dropout", "torch-lstm", "stack", "nested"])
def test_the_peak_stays_within_the_budget(name):
    setting = problem(name, steps=120)
    everything, _, _ = peak(Full(), setting)
    forwards = []
    for budget in (2 * smallest(setting), everything // 6, everything // 3, everything * 3 // 4):
        most, left, found = peak(Checkpointed(budget=budget), setting)
        assert most <= 1.1 * budget
        # Nothing is left of the graphs: what is held is the state that is carried on.
        assert left == sum(leaf.nbytes for leaf in nest.leaves(found.carry.state))
        forwards.append(found.info["forwards"])
    assert forwards == sorted(forwards, reverse=True) and forwards[1] <= 2 and forwards[-1] <= 1.5


def test_slots_bound_the_states_that_are_held():
    # A state takes 4,000 bytes and the graph of a step little beside it: what is held is a number of states.
    torch.manual_seed(0)
    unroll = Unroll(None, nn.RNNCell(3, 1000), nn.Linear(1000, 2))
    setting = dataclasses.replace(
        problem("rnn"),
        unroll=unroll,
        window=Window.of(torch.randn(1, 60, 3), torch.randint(2, (1, 60))),
        state=unroll.initial_state(1),
    )
    few, many = (peak(Checkpointed(slots=slots), setting)[0] for slots in (4, 14))
    assert 9 * 4000 <= many - few <= 11 * 4000


class View(nn.Module):
    """A layer whose state is a view of all its outputs."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(INPUTS, HIDDEN)

    def initial_state(self, batch_size):
        return self.linear.weight.new_zeros(batch_size, HIDDEN)

    def forward(self, x, state, reset=None, edge=None):
        y = self.linear(x).cumsum(1) + state.unsqueeze(1)
        return y, y[:, -1]


def test_a_state_that_is_a_view_does_not_keep_what_it_is_a_view_of():
    setting = problem(View(), steps=200)
    _, left, found = peak(Checkpointed(every=50), setting)
    assert left == found.carry.state.nbytes == 3 * HIDDEN * 8


def test_the_smallest_budget_is_named_and_will_do():
    setting = problem("gru")
    budget = smallest(setting)
    most, _, found = peak(Checkpointed(budget=f"{budget // 1024}KiB"), setting)
    assert most <= 1.1 * budget and found.info["forwards"] > 2
    with pytest.raises(InputError, match="fewer rows"):
        estimate(Checkpointed(budget=budget - 1024), setting)


@pytest.mark.parametrize("name", ["rnn", "torch-lstm", "nested"])
def test_windows_of_one_shape_cost_the_same(name):
    """The cost is measured anew in each window: if it depended on the contents, so would the schedule and the rounding."""
    setting = problem(name)

    def cost(*resets):
        window = dataclasses.replace(setting.window, reset=torch.zeros_like(setting.window.reset))
        window.reset[0, list(resets)] = True
        return measure(setting.unroll, window, Point.first(window, setting.state))

    assert cost(0) == cost(20) == cost(1, 2, 5, 28)
    assert cost(20).step >= cost().step


class OwnDropout(NestedCell):
    """A cell whose dropout reads torch's global generator, as a module or as a function."""

    def __init__(self, seen):
        super().__init__()
        self.dropout = nn.Dropout(0.4) if seen else None

    def forward(self, x, state):
        x = self.dropout(x) if self.dropout is not None else functional.dropout(x, 0.4)
        return super().forward(x, state)


# torch's random state goes with every stored state, so a few kilobytes are not enough.
@pytest.mark.parametrize("strategy", [kind for kind in KINDS if kind.budget != "6KiB"], ids=str)
@pytest.mark.parametrize("seen", [True, False], ids=["module", "function"])
def test_dropout_of_torch_meets_the_same_masks_again(strategy, seen):
    # One generator, read step after step: a second run that drew afresh would meet another mask at every step.
    setting, left = problem(OwnDropout(seen)), []
    settings = [copy.deepcopy(setting) for _ in range(3)]
    for setting, kind, seed in zip(settings, (Full(), strategy, Full()), (3, 3, 4), strict=True):
        torch.manual_seed(seed)
        estimate(kind, setting)
        left.append(torch.get_rng_state())
    wanted, found, other = (gradients(setting.unroll) for setting in settings)
    assert norm(wanted) >= 1e-8 and distance(found, wanted) <= 1e-12
    assert torch.equal(left[0], left[1]), "the random state is not the one that a single pass leaves"
    assert distance(other, wanted) >= 1e-3


@pytest.mark.parametrize("strategy", [Checkpointed(slots=3), Checkpointed(every=3), Checkpointed(budget="40KiB")], ids=str)
def test_dropout_of_torch_around_the_cell_meets_the_same_masks_again(strategy):
    """Its masks are drawn for a whole call: the oracle makes the same calls, once, with everything kept."""
    setting = problem("lstm")
    unroll = Unroll(nn.Dropout(0.4), nn.LSTM(4, 5), nn.Linear(5, 6)).double()
    torch.manual_seed(3)
    plan = strategy._plan(unroll, setting.window, Point.first(setting.window, unroll.initial_state(3)))
    state, losses = unroll.initial_state(3), []
    for start in range(0, 29, plan.length):
        for a in range(start, min(start + plan.length, 29), plan.reach):
            loss, state = unroll.segment(setting.window[:, a : min(a + plan.reach, start + plan.length)], state)
            losses.append(loss)
    sum(losses).backward()
    wanted = gradients(unroll)
    unroll.zero_grad()
    torch.manual_seed(3)
    list(strategy.gradients(unroll, setting.window, strategy.start(unroll, 3)))
    assert norm(wanted) >= 1e-8 and distance(gradients(unroll), wanted) <= 1e-12


def test_on_a_cuda_device_its_generator_is_read_and_put_back_too(monkeypatch):
    device, held = torch.device("cuda", 1), {1: torch.tensor([7], dtype=torch.uint8)}
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: held[device.index].clone())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: held.update({device.index: state}))
    before = randomness.read(device)
    assert randomness.since(device, before) is before
    held[1] = torch.tensor([8], dtype=torch.uint8)
    assert randomness.since(device, before)[1] == 8
    randomness.write(device, before)
    assert held[1] == 7


def test_a_refusal_leaves_the_random_state():
    setting = problem(OwnDropout(False))
    before = torch.get_rng_state()
    smallest(setting)
    assert torch.equal(torch.get_rng_state(), before)


def test_random_states_are_held_only_for_a_model_that_draws():
    quiet, loud = problem("nested"), problem(OwnDropout(False))
    assert smallest(loud) - smallest(quiet) > 2 * torch.get_rng_state().nbytes


def test_a_model_that_looks_ahead_is_refused():
    with pytest.raises(InputError, match="looks ahead"):
        Checkpointed(slots=4).start(Unroll(None, nn.GRU(3, 4, bidirectional=True), None), 2)


def test_no_estimate_is_handed_out_without_gradients_at_work():
    setting = problem("rnn")
    for _ in Checkpointed(slots=2).gradients(setting.unroll, setting.window, Carry(setting.state)):
        assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("written", "strategy"),
    [
        ("checkpointed:slots=8", Checkpointed(slots=8)),
        ("checkpointed:every=32", Checkpointed(every=32)),
        ("checkpointed:budget=64MiB", Checkpointed(budget="64MiB")),
        ("checkpointed:budget=4096", Checkpointed(budget=4096)),
    ],
)
def test_is_written_as_text(written, strategy):
    assert parse_strategy(written) == strategy
    assert format_strategy(strategy) == written
    assert strategy.nominal(35) == 35 and strategy.per_window


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("checkpointed", "none of them.*budget=64MiB, slots=8 or every=32"),
        ("checkpointed:slots=8,every=4", "slots=8, every=4.*Keep one"),
        ("checkpointed:slots=0", "slots"),
        ("checkpointed:slots=2.5", "slots"),
        ("checkpointed:every=many", "every"),
        ("checkpointed:budget=64MB x", "unit.*'64MB x'.*KiB"),
        ("checkpointed:budget=much", "amount of memory.*'much'"),
        ("checkpointed:budget=0", "amount of memory.*0"),
        ("checkpointed:budget=-5MiB", "amount of memory"),
        ("checkpointed:budget=inf", "amount of memory"),
        ("checkpointed:budget=nan", "amount of memory"),
        ("checkpointed:budget=true", "amount of memory"),
        ("checkpointed:64MiB", "checkpointed:budget=64MiB"),
    ],
)
def test_bad_settings_are_named(written, names):
    with pytest.raises(InputError, match=names):
        parse_strategy(written)


def test_a_number_without_its_name_is_refused():
    with pytest.raises(InputError, match=r"by name\. 64\. Write budget"):
        Checkpointed(64)
    strategy = Checkpointed(slots=4)
    assert dataclasses.replace(strategy, slots=5).slots == 5 and copy.deepcopy(strategy) == strategy


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("64MiB", 64 * 2**20),
        ("1.5 GiB", 3 * 2**29),
        ("512kb", 512_000),
        ("2GB", 2 * 10**9),
        ("3KiB", 3072),
        (" 7 B ", 7),
        ("7", 7),
        (7, 7),
        (64e6, 64_000_000),
        (".5MB", 500_000),
    ],
)
def test_amounts_of_memory(written, size):
    assert byte_count("budget", written) == size

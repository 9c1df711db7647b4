"""Schedules: the published counts, two searches that share nothing with them, and a walk that watches the memory."""

from __future__ import annotations

import functools
import heapq

import pytest

from bptt import InputError
from bptt.gradients.schedules import Cost, Mixed, Revolve, within

# (steps, slots) and the steps run forwards without a graph; each step runs once more with one.
TABLE = [
    (10, 2, 20),
    (10, 3, 15),
    (16, 3, 33),
    (32, 4, 75),
    (64, 4, 200),
    (100, 5, 316),
    (128, 8, 329),
    (1000, 10, 3636),
    (1000, 50, 1948),
]


def walk(schedule, blocks):
    """Follow a schedule: how many blocks it runs forwards. All are run backwards once, last first, in the memory there is."""
    forwards, backwards, ahead = 0, [], [(0, blocks, schedule.free, 0)]
    while ahead:
        task = ahead.pop()
        if len(task) == 2:
            backwards += reversed(range(*task))
            continue
        at, count, free, used = task
        go, run = schedule.move(count, free)
        assert free >= 0 and go >= 0 and run >= 0 and 0 < go + run <= count and (run or go < count)
        assert used + free == schedule.free and (run <= 1 or schedule.price(run - 1) <= free)
        if go:
            ahead.append((at, go, free, used))
        if run:
            ahead.append((at + go, at + go + run))
        forwards += go + run
        if go + run < count:
            price = schedule.price(run)
            ahead.append((at + go + run, count - go - run, free - price, used + price))
    assert backwards == list(reversed(range(blocks)))
    return forwards


@functools.cache
def recursion(steps, slots):
    """The fewest forward steps by plain recursion over where the next state is stored."""
    if steps <= 1:
        return 0
    if slots == 1:
        return steps * (steps - 1) // 2
    return min(j + recursion(j, slots) + recursion(steps - j, slots - 1) for j in range(1, steps))


def search(blocks, units, internals):
    """The fewest forward blocks over all ways to run, store, drop and go back, by shortest path.

    A node says how many blocks are left, which states and graphs are stored, and where the run stands; a graph holds the state
    at its end. The first state costs no unit, nor does the graph of the block that is run backwards next.
    """
    first = (blocks, frozenset({("state", 0)}), 0)
    queue, best, count = [(0, 0, first)], {first: 0}, 0
    while queue:
        cost, _, node = heapq.heappop(queue)
        if cost > best[node]:
            continue
        left, stored, at = node
        if left == 0:
            return cost
        nodes = []
        if at is not None and at < left:
            nodes.append((1, (left, stored, at + 1)))
            if at == left - 1:
                nodes.append((1, (left - 1, stored, None)))
            else:
                nodes.append((1, (left, stored | {("graph", at)}, at + 1)))
            nodes.append((0, (left, stored | {("state", at)}, at)))
        if ("graph", left - 1) in stored:
            nodes.append((0, (left - 1, stored - {("graph", left - 1)}, at)))
        nodes += [(0, (left, stored, place + (kind == "graph"))) for kind, place in stored]
        nodes += [(0, (left, stored - {item}, at)) for item in stored if item != ("state", 0)]
        for more, found in nodes:
            kinds = [kind for kind, _ in found[1]]
            if kinds.count("state") - 1 + internals * kinds.count("graph") > units:
                continue
            if cost + more < best.get(found, 10**9):
                best[found] = cost + more
                count += 1
                heapq.heappush(queue, (cost + more, count, found))
    raise AssertionError("no way back")


@pytest.mark.parametrize(("steps", "slots", "count"), TABLE)
def test_states_alone_take_the_published_counts(steps, slots, count):
    assert Revolve(slots).forwards(steps) - steps == count
    assert walk(Revolve(slots), steps) - steps == count


@pytest.mark.parametrize("slots", [1, 2, 3, 5, 9])
def test_states_alone_are_optimal_at_every_length(slots):
    for steps in range(1, 70):
        assert walk(Revolve(slots), steps) == Revolve(slots).forwards(steps) == steps + recursion(steps, slots), steps


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 2, 4, 7])
def test_no_other_way_of_storing_states_is_better(steps, slots):
    assert search(steps, slots - 1, 99) == Revolve(slots).forwards(steps)


@pytest.mark.parametrize(("steps", "slots"), [(100_000, 2), (100_000, 30), (100_000, 1000), (12_345, 7)])
def test_long_runs_need_no_table(steps, slots):
    if slots > 2:
        assert walk(Revolve(slots), steps) == Revolve(slots).forwards(steps)
    assert Revolve(slots).move(steps, slots - 1).go < steps


@pytest.mark.parametrize(
    ("share", "internals", "forwards", "whole"),
    [(0.05, 1, 1949, 1.316), (0.025, 1, 2597, 1.53), (0.025, 2, 2321, 1.44), (0.025, 5, 1982, 1.33)],
)
def test_the_mixed_policy_takes_the_published_counts(share, internals, forwards, whole):
    # The units beyond the first state are this share of what all internals of 1,000 steps take. A backward is two forwards.
    schedule = Mixed(1000, round(share * 1000) * internals, internals)
    assert schedule.forwards(1000) == forwards
    assert walk(schedule, 1000) == forwards
    assert (forwards / 1000 + 2) / 3 == pytest.approx(whole, abs=0.005 if whole > 1.32 else 0.0005)


@pytest.mark.parametrize(("units", "internals"), [(0, 1), (1, 1), (2, 1), (1, 2), (2, 2), (3, 2), (3, 3)])
@pytest.mark.parametrize("blocks", [1, 3, 6])
def test_no_other_way_of_storing_states_and_internals_is_better(blocks, units, internals):
    assert Mixed(blocks, units, internals).forwards(blocks) == search(blocks, units, internals)


@pytest.mark.parametrize("internals", [1, 2, 7])
@pytest.mark.parametrize("units", [0, 1, 6, 20])
def test_the_mixed_policy_does_what_it_promises(units, internals):
    for blocks in range(1, 50):
        assert walk(Mixed(60, units, internals), blocks) == Mixed(60, units, internals).forwards(blocks)


def test_where_internals_never_fit_both_policies_are_one():
    for blocks in (1, 2, 9, 30):
        assert Mixed(30, 4, 100).forwards(blocks) == Revolve(5).forwards(blocks)


COST = Cost(state=1024, call=4000, step=9344)


def test_a_budget_for_everything_runs_once():
    everything = 2 * COST.state + COST.call + 500 * COST.step
    assert within(everything, COST, 500).forwards == 500
    assert within(everything - 1, COST, 500).forwards > 500


@pytest.mark.parametrize("steps", [1000, 100_000])
@pytest.mark.parametrize("share", [0.9, 0.7, 0.5, 0.3, 0.1, 0.05])
def test_a_budget_gives_nearly_the_least_recomputation(share, steps):
    """Steps whose internals fit run once, the others twice, and what is kept for that is little."""
    plan = within(int(share * COST.step * steps), COST, steps)
    assert plan.length * plan.blocks >= steps
    assert 2 - share <= plan.forwards / steps <= 2.06 - share


def most_bytes(plan, cost, steps):
    """The most bytes held on the way: states that wait, graphs call by call, and the last state, which is carried on."""

    def graph(block):
        length = min(plan.length, steps - block * plan.length)
        return -(-length // plan.reach) * cost.call + length * cost.step

    most, ahead = 0, [(0, plan.blocks, plan.schedule.free)]
    while ahead:
        task = ahead.pop()
        if len(task) == 2:
            continue
        at, count, free = task
        go, run = plan.schedule.move(count, free)
        if go:
            ahead.append((at, go, free))
        ahead += [(block, "graph") for block in range(at + go, at + go + run)]
        if go + run < count:
            ahead.append((at + go + run, count - go - run, free - plan.schedule.price(run)))
        held = [graph(task[0]) if len(task) == 2 else cost.state for task in ahead]
        most = max(most, sum(held) + (0 if go else cost.state) + cost.state)
    return most


@pytest.mark.parametrize(
    ("steps", "budget", "kind"),
    [
        (1000, 30_000, Mixed),
        (1000, 50_000, Mixed),
        (1000, 100_000, Mixed),
        (1000, 1_000_000, Revolve),
        (1000, 3_000_000, Mixed),
        (997, 5_000_000, Mixed),
        (20_000, 30_000, Revolve),
        (20_000, 300_000, Revolve),
        (20_000, 23_360_151, Mixed),
        (100_000, 23_360_151, Revolve),
        (100_000, 200_000_000, Mixed),
    ],
)
def test_a_budget_is_kept_in_bytes(steps, budget, kind):
    plan = within(budget, COST, steps)
    assert isinstance(plan.schedule, kind), "so that both policies are looked at"
    assert walk(plan.schedule, plan.blocks) == plan.schedule.forwards(plan.blocks)
    assert 0.75 * budget <= most_bytes(plan, COST, steps) <= budget


def test_a_budget_that_is_too_small_names_the_smallest_that_will_do():
    with pytest.raises(InputError, match="budget=16KiB") as error:
        within(2000, COST, 100)
    assert "cannot hold two states" in error.value.wrong and "2000 bytes" in error.value.given
    assert within(16 * 1024, COST, 100).forwards == 100 * 101 // 2
    with pytest.raises(InputError):
        within(15 * 1024, COST, 100)

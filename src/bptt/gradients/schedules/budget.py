"""From bytes to a schedule.

Knows what a state and a step cost in bytes; must not know how that was measured.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

from bptt.errors import InputError
from bptt.gradients.schedules.mixed import Mixed
from bptt.gradients.schedules.move import Schedule
from bptt.gradients.schedules.revolve import Revolve

# The table of the mixed policy has a row per block and a column per unit, and takes blocks² × units additions.
BLOCKS, UNITS = 1000, 250
# Steps that run in one call: enough to spread what a call costs in time, few enough to need little working memory; and so many
# that what a call costs in bytes is at most a fiftieth of what its steps do.
REACH, SHARE = 128, 50


class Cost(NamedTuple):
    """Bytes of tensors that are held: by a stored state, by a call of the model with a graph, and by each of its steps."""

    state: int
    call: int
    step: int


class Plan(NamedTuple):
    """A window as `blocks` blocks of `length` steps, the last one shorter perhaps, and a schedule for them.

    reach  how many steps run in one call of the model
    """

    length: int
    blocks: int
    schedule: Schedule
    reach: int = REACH

    @property
    def forwards(self) -> int:
        """Steps run forwards, counting the last block as a whole one."""
        return self.schedule.forwards(self.blocks) * self.length


@functools.lru_cache(maxsize=64)
def within(budget: int, cost: Cost, steps: int) -> Plan:
    """The plan for `steps` steps with the fewest forward steps that holds no more than `budget` bytes at a time.

    Two states are always held, the first and the last. Beside them, either everything fits; or states are stored between long
    blocks; or blocks are short and the mixed policy says which keep their internals. Raises InputError for a budget that
    cannot hold two states and one step.
    """
    room = budget - 2 * cost.state - cost.call
    if room < cost.step:
        smallest = -(-(budget - room + cost.step) // 1024)
        raise InputError(
            "The budget cannot hold two states and what one step keeps for its backward",
            f"{budget} bytes; a state takes {cost.state}, a step {cost.call + cost.step}",
            f"Give at least budget={smallest}KiB, or fewer rows",
        )
    if room >= cost.step * steps:
        return Plan(steps, 1, Revolve(1), reach=steps)
    reach = max(REACH, SHARE * cost.call // cost.step)
    cost = cost._replace(step=cost.step + -(-cost.call // reach))
    longest = max(1, room // cost.step)
    plans = [_states(room, cost, steps, length) for length in _lengths(longest)]
    plans += _mixed(budget - 2 * cost.state, cost, steps)
    return min(plans, key=lambda plan: (plan.forwards, plan.blocks))._replace(reach=min(reach, longest))


def _states(room: int, cost: Cost, steps: int, length: int) -> Plan:
    """Blocks of about `length` steps, all of one length, and as many stored states as there is room for."""
    blocks = -(-steps // length)
    length = -(-steps // blocks)
    return Plan(length, blocks, Revolve(1 + max(0, room - cost.step * length) // cost.state))


def _lengths(longest: int) -> list[int]:
    """Lengths up to `longest`, each about a twentieth shorter than the one before."""
    lengths = [longest]
    while lengths[-1] > 1:
        lengths.append(min(lengths[-1] - 1, lengths[-1] * 19 // 20))
    return lengths


def _mixed(free: int, cost: Cost, steps: int) -> Iterator[Plan]:
    """The mixed policy on blocks as short as its table allows, and on longer ones, as far as the internals of one fit."""
    smallest = max(cost.state, -(-free // UNITS))
    length = -(-steps // BLOCKS)
    while (held := cost.call + cost.step * length) <= free:
        internals = max(1, held // smallest)
        unit = max(smallest, -(-held // internals))
        blocks = -(-steps // length)
        if free // unit >= internals:
            yield Plan(length, blocks, Mixed(blocks, free // unit - internals, internals))
        length *= 2

"""In which order the blocks of a window are run, so that they can be run backwards in little memory.

Knows counts of blocks and units of memory; must not know tensors, models or what a block computes.
"""

from bptt.gradients.schedules.budget import Cost, Plan, within
from bptt.gradients.schedules.mixed import Mixed
from bptt.gradients.schedules.move import Move, Schedule
from bptt.gradients.schedules.revolve import Revolve

__all__ = ["Cost", "Mixed", "Move", "Plan", "Revolve", "Schedule", "within"]

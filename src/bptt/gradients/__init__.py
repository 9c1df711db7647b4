"""Ways to carry a gradient through time, one strategy per file; they see an `Unroll` and windows, and nothing else."""

from bptt.gradients.full import Full
from bptt.gradients.references import citation
from bptt.gradients.stretches import Stretches
from bptt.gradients.truncated import Truncated

STRATEGIES = {strategy.__name__.lower(): strategy for strategy in (Full, Truncated)}

__all__ = ["STRATEGIES", "Full", "Stretches", "Truncated", "citation"]

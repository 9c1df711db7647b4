"""Ways to carry a gradient through time, one strategy per file; they see an `Unroll` and windows, and nothing else."""

from bptt.gradients.adaptive import Adaptive
from bptt.gradients.checkpointed import Checkpointed
from bptt.gradients.full import Full
from bptt.gradients.lags import Lags
from bptt.gradients.online import RTRL, UORO, SnAp
from bptt.gradients.per_output import PerOutput
from bptt.gradients.randomized import Randomized
from bptt.gradients.references import citation
from bptt.gradients.stretches import Stretches
from bptt.gradients.telescoping import Telescoping
from bptt.gradients.truncated import Truncated

OURS = (Full, Truncated, PerOutput, Randomized, Telescoping, Adaptive, Checkpointed, RTRL, UORO, SnAp)
STRATEGIES = {strategy.__name__.lower(): strategy for strategy in OURS}

__all__ = [
    "RTRL",
    "STRATEGIES",
    "UORO",
    "Adaptive",
    "Checkpointed",
    "Full",
    "Lags",
    "PerOutput",
    "Randomized",
    "SnAp",
    "Stretches",
    "Telescoping",
    "Truncated",
    "citation",
]

"""Ways to carry a gradient through time, one strategy per file; they see an `Unroll` and windows, and nothing else."""

from bptt.gradients.adaptive import Adaptive
from bptt.gradients.checkpointed import Checkpointed
from bptt.gradients.full import Full
from bptt.gradients.lags import Lags
from bptt.gradients.online import KFRTRL, RFLO, RTRL, UORO, EProp, SnAp
from bptt.gradients.per_output import PerOutput
from bptt.gradients.randomized import Randomized
from bptt.gradients.references import citation
from bptt.gradients.stretches import Stretches
from bptt.gradients.synthetic_gradient import SyntheticGradient
from bptt.gradients.telescoping import Telescoping
from bptt.gradients.truncated import Truncated

ONLINE = (RTRL, UORO, SnAp, KFRTRL, RFLO, EProp, SyntheticGradient)
OURS = (Full, Truncated, PerOutput, Randomized, Telescoping, Adaptive, Checkpointed, *ONLINE)
STRATEGIES = {strategy.__name__.lower(): strategy for strategy in OURS}

__all__ = [
    "KFRTRL",
    "RFLO",
    "RTRL",
    "STRATEGIES",
    "UORO",
    "Adaptive",
    "Checkpointed",
    "EProp",
    "Full",
    "Lags",
    "PerOutput",
    "Randomized",
    "SnAp",
    "Stretches",
    "SyntheticGradient",
    "Telescoping",
    "Truncated",
    "citation",
]

"""Teacher forcing: at which steps the true previous output is read, and how the probability of that falls while one trains.

Knows noise and shares of a training; must not know layers. Whether a step is forced is a pure function of its noise, as dropout
masks are, so that steps that are run again are forced again.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from bptt.errors import InputError, did_you_mean
from bptt.nn.dropout import BITS, GOLDEN, kept, mix, shifted, signed
from bptt.nn.lookup import units

# Places of the hash that no gap between layers, nor the dropout of a model's ends, uses.
FORCED, DRAWN = -3, -4

# From 1 at the start of a training to 0 at its end.
CURVES: dict[str, Callable[[float], float]] = {
    "linear": lambda share: 1 - share,
    "exponential": lambda share: (math.exp(-5 * share) - math.exp(-5)) / (1 - math.exp(-5)),
    "sigmoid": lambda share: (math.tanh(5 * (0.5 - share)) / math.tanh(2.5) + 1) / 2,
}


def scheduled(share: float, start: float, end: float, curve: str = "linear") -> float:
    """The probability of teacher forcing after a share s of the training: end + (start − end) c(s).

        linear       c(s) = 1 − s
        exponential  c(s) = (e^{−5s} − e^{−5}) / (1 − e^{−5})
        sigmoid      c(s) = ½ + tanh(5 (½ − s)) / (2 tanh(2.5)), the inverse sigmoid

    share  in [0, 1]; values outside are taken as the nearest end

    Returns a probability. Raises InputError for another curve.

    >>> [scheduled(share, 1.0, 0.5) for share in (0, 0.5, 1)]
    [1.0, 0.75, 0.5]

    Source: Bengio, Vinyals, Jaitly, Shazeer 2015, Scheduled sampling for sequence prediction with recurrent neural networks,
    section 2.4; there the curves run over updates, here over the share of a training, from `start` to `end` exactly.
    """
    if curve not in CURVES:
        raise InputError("There is no such schedule of teacher forcing", repr(curve), did_you_mean(str(curve), list(CURVES)))
    return end + (start - end) * CURVES[curve](min(max(share, 0.0), 1.0))


def forced(noise: Tensor, probability: float) -> Tensor:
    """Which steps read the true previous output: [...] bool for `noise` [...] int64, each with `probability`."""
    return ~kept(noise, 1, probability, FORCED).squeeze(-1)


def drawn(scores: Tensor, noise: Tensor) -> Tensor:
    """One of V outcomes, drawn from softmax(scores) as a one-hot vector [..., V], for `noise` [...] int64; without gradient.

        v = argmax_v (o_v − log(−log u_v)),   u_v = (h(noise, v) + ½) / 2⁵³ uniform

    with the hash h of `kept`: the Gumbel-max trick.
    """
    key = mix(noise + signed((DRAWN + 1) * GOLDEN)).unsqueeze(-1)
    counter = torch.arange(1, scores.shape[-1] + 1, dtype=torch.int64, device=noise.device) * signed(GOLDEN)
    uniform = (shifted(mix(key + counter), 64 - BITS).double() + 0.5) / 2**BITS
    best = (scores.detach().double() - torch.log(-torch.log(uniform))).argmax(-1)
    return units(best, scores.shape[-1], scores.dtype)

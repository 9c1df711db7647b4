"""First values of parameters that differ from torch's own.

Knows parameters by their shape alone; must not know which module holds them.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from bptt.errors import InputError


@torch.no_grad()
def from_scratch_(module: nn.Module, std: float = 0.01) -> nn.Module:
    """Draw every weight of `module` from N(0, std²) and set every bias to zero, in place: the from-scratch recipe.

    module  any module; a parameter of one axis counts as a bias
    std     standard deviation, finite and not negative

    Returns the module. Raises InputError for another `std`.

        from_scratch_(bptt.nn.RNN(28, 512))
    """
    if not (math.isfinite(std) and std >= 0):
        raise InputError("The standard deviation of the weights is not a finite number from 0 up", f"std={std}", "Give 0.01")
    for parameter in module.parameters():
        if parameter.dim() > 1:
            parameter.normal_(0, std)
        else:
            parameter.zero_()
    return module

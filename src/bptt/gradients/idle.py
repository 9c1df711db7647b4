"""The estimate of a window in which nothing was closed: no loss, nothing to spend."""

from __future__ import annotations

import torch

from bptt.types import Carry, Estimate, Window


def idle(window: Window, carry: Carry) -> Estimate:
    """All steps of `window` consumed, nothing to spend yet."""
    return Estimate(torch.zeros((), device=window.mask.device), 0, carry, window.steps, ready=False)

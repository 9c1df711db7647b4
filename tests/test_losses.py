"""Losses against their equations, number by number."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bptt import ShapeError
from bptt.losses import cross_entropy, squared_error


def test_cross_entropy_is_minus_the_log_of_the_softmax():
    generator = torch.Generator().manual_seed(0)
    outputs = 3 * torch.randn(2, 5, 7, dtype=torch.float64, generator=generator)
    targets = torch.randint(7, (2, 5), generator=generator)
    o, y = outputs.numpy(), targets.numpy()
    wanted = np.log(np.exp(o).sum(2)) - np.take_along_axis(o, y[..., None], 2)[..., 0]
    assert np.allclose(cross_entropy(outputs, targets).numpy(), wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 3), (2, 5, 3, 4)])
def test_squared_error_sums_what_stands_behind_the_steps(shape):
    generator = torch.Generator().manual_seed(0)
    outputs, targets = (torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(2))
    difference = (outputs.numpy() - targets.numpy()) ** 2
    wanted = difference.reshape(2, 5, -1).sum(2)
    found = squared_error(outputs, targets)
    assert found.shape == (2, 5) and np.allclose(found.numpy(), wanted, rtol=1e-12, atol=0)


def test_squared_error_does_not_broadcast():
    with pytest.raises(ShapeError, match="differ in shape"):
        squared_error(torch.zeros(2, 5, 1), torch.zeros(2, 5))

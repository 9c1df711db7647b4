"""Cross-entropy and its gradient row by row, on every instruction set, at sizes around the width of a vector."""

from __future__ import annotations

import pytest
import torch

from bptt.kernels import library

pytestmark = pytest.mark.skipif(isinstance(library.load(), str), reason="no compiled kernels")


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [1, 2, 7, 8, 9, 15, 16, 17, 33, 1000])
def test_against_torch(isa, dtype, columns):
    compiled = library.loaded()
    before = compiled.isa
    if not compiled.use(isa):
        pytest.skip(f"this machine has no {isa}")
    torch.manual_seed(columns)
    scores, targets, weights = (
        torch.randn(5, columns, dtype=dtype) * 20,
        torch.randint(columns, (5,)),
        torch.rand(5, dtype=dtype),
    )
    weights[2] = 0
    leaf = scores.clone().requires_grad_()
    losses = torch.nn.functional.cross_entropy(leaf, targets, reduction="none")
    (grad,) = torch.autograd.grad(losses, leaf, weights)
    only = compiled.softmax(scores.clone(), targets, None)
    found = compiled.softmax(scores, targets, weights)
    compiled.use(before)
    bound = {"rtol": 1e-12, "atol": 1e-12} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(found, losses.detach(), **bound)
    torch.testing.assert_close(scores, grad, **bound)
    assert torch.equal(only, found) and not scores[2].any()


def test_a_row_that_does_not_count_passes_no_nan():
    scores = torch.tensor([[float("nan"), 1.0, 2.0], [0.0, 1.0, 2.0]])
    library.loaded().softmax(scores, torch.tensor([1, 1]), torch.tensor([0.0, 1.0]))
    assert not scores[0].any() and scores[1].isfinite().all()

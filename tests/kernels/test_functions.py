"""tanh and the logistic function of the compiled kernels: within 3 units in the last place, everywhere."""

from __future__ import annotations

import mpmath
import pytest
import torch
from torch import Tensor

from bptt.kernels import library

pytestmark = pytest.mark.skipif(isinstance(library.load(), str), reason="no compiled kernels")
FUNCTIONS = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "exp": torch.exp}
EXACT = {"tanh": mpmath.tanh, "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)), "exp": mpmath.exp}
PIECE = 2**24


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def compiled(request):
    """The library on every instruction set that this machine has."""
    found = library.loaded()
    before = found.isa
    if not found.use(request.param):
        pytest.skip(f"this machine has no {request.param}")
    yield found
    found.use(before)


def floats(start: int, stop: int, step: int = 1) -> Tensor:
    """The single-precision numbers whose bits are the integers of a range."""
    return torch.arange(start, stop, step, dtype=torch.int64).to(torch.int32).view(torch.float32)


def ulps(found: Tensor, exact: Tensor) -> float:
    """The largest distance in units of the last place of the exact value, in float32, down to the smallest number there is."""
    _, exponent = torch.frexp(exact)
    unit = torch.ldexp(torch.ones_like(exact), (exponent - 24).clamp(min=-149))
    return float(((found.double() - exact).abs() / unit).max())


def places(x: Tensor) -> Tensor:
    """Where single-precision numbers stand in the order of all of them: neighbours are 1 apart, both zeros are 0."""
    bits = x.view(torch.int32)
    return torch.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def check(compiled, name, x):
    x = x[~(x > 0)] if name == "exp" else x
    found, exact = compiled.map(name, x), FUNCTIONS[name](x.double())
    assert torch.equal(found.isnan(), x.isnan())
    # Two places from the rounded value is at most 2½ units from the exact one: only what is farther is measured.
    far = ((places(found) - places(exact.float())).abs() > 2) & ~x.isnan()
    assert not far.any() or ulps(found[far], exact[far]) <= 3


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_sample_of_all_single_numbers(compiled, name):
    check(compiled, name, floats(-(2**31), 2**31, 4099))


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_all_single_numbers(name):
    """2³² of them, in the instruction set that this machine would choose."""
    for start in range(-(2**31), 2**31, PIECE):
        check(library.loaded(), name, floats(start, start + PIECE))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_double_numbers_against_many_digits(compiled, name):
    torch.manual_seed(0)
    scales = torch.tensor([1e-310, 1e-300, 1e-9, 0.1, 1, 5, 30, 300], dtype=torch.float64)
    x = (torch.randn(700, 1, dtype=torch.float64) * scales).flatten()
    x = torch.cat([x, torch.tensor([0.0, -0.0, 19.06, -745.1, 709.8, 1e308, -1e308], dtype=torch.float64)])
    x = -x.abs() if name == "exp" else x
    found = compiled.map(name, x)
    with mpmath.workdps(40):
        for value, result in zip(x.tolist(), found.tolist(), strict=True):
            exact = EXACT[name](mpmath.mpf(value))
            exponent = int(mpmath.floor(mpmath.log(abs(exact), 2))) - 52 if exact else -1074
            assert abs(result - exact) <= 3 * mpmath.mpf(2) ** max(exponent, -1074), (value, result)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_numbers_end(compiled, name, dtype):
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([inf, -inf, nan, 0.0], dtype=dtype)
    limits = [1.0, -1.0, nan, 0.0] if name == "tanh" else [1.0, 0.0, nan, 0.5]
    torch.testing.assert_close(compiled.map(name, x), torch.tensor(limits, dtype=dtype), equal_nan=True, rtol=0, atol=0)

"""The parallel scan against the recurrence in NumPy, one number after another, and against autograd through the step loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bptt import kernels
from bptt.kernels.scan import parallel, scan
from bptt.kernels.scan.reference import sequential

B, H = 3, 5
# Around one, two and several chunks, and two levels of them.
STEPS = [1, 2, 16, 31, 32, 33, 50, 523]


class Operations(TorchDispatchMode):
    """The names of the operations that torch is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def problem(steps: int, pairs: bool = False, constant: bool = False, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """a, b and h_0, |a| below 1 and often near it, h_0 not zero."""
    generator = torch.Generator().manual_seed(steps)
    shape = (1, 1) if constant else (B, steps)
    size = 1 - torch.rand(*shape, H, generator=generator, dtype=torch.float64) ** 3
    a = size * torch.where(torch.rand(*shape, H, generator=generator) < 0.3, -1, 1)
    if pairs:
        angle = 6 * torch.rand(*shape, H, generator=generator, dtype=torch.float64)
        a = torch.stack([size * angle.cos(), size * angle.sin()], -1)
    units = a.shape[2:]
    b = torch.randn(B, steps, *units, generator=generator, dtype=torch.float64)
    state = torch.randn(B, *units, generator=generator, dtype=torch.float64)
    return [each.to(dtype).requires_grad_() for each in (a, b, state)]


def masks(steps: int, names: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    reset = torch.rand(B, steps, generator=generator) < 0.08
    reset[1, 0] = True
    edge = torch.rand(B, steps, generator=generator, dtype=torch.float64) * 2
    every = {"reset": reset, "edge": edge, "lengths": torch.tensor([steps, steps // 2, 0])}
    return {name: every[name] for name in names.split()}


def pulled(run, problem: list[Tensor], pairs: bool, **given) -> list[Tensor]:
    """Outputs, last state and all gradients for a pull on both."""
    h, end = run(*problem, pairs=pairs, **given)
    generator = torch.Generator().manual_seed(1)
    value = sum((each * torch.randn(each.shape, generator=generator, dtype=torch.float64)).sum() for each in (h, end))
    return [h, end, *torch.autograd.grad(value, problem)]


def by_hand(a: np.ndarray, b: np.ndarray, h: np.ndarray) -> np.ndarray:
    """h_t = a_t h_{t−1} + b_t, complex numbers as NumPy has them."""
    found = np.empty_like(b)
    for t in range(b.shape[1]):
        h = a[:, min(t, a.shape[1] - 1)] * h + b[:, t]
        found[:, t] = h
    return found


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("run", [scan, sequential])
def test_is_the_recurrence(run, pairs, constant):
    for steps in STEPS:
        given = problem(steps, pairs, constant)
        plain = [each.detach().numpy() for each in given]
        if pairs:
            plain = [each[..., 0] + 1j * each[..., 1] for each in plain]
        h, end = (each.detach() for each in run(*given, pairs=pairs))
        expected = by_hand(*plain)
        found = torch.view_as_complex(h.contiguous()).numpy() if pairs else h.numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
        assert torch.equal(end, h[:, -1]) and np.abs(expected).max() > 1


@pytest.mark.parametrize("names", ["", "reset", "edge", "lengths", "reset edge", "reset edge lengths"])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("pairs", [False, True])
def test_gradients_are_those_of_the_step_loop(pairs, constant, names):
    for steps in STEPS:
        given = problem(steps, pairs, constant)
        found = pulled(scan, given, pairs, **masks(steps, names))
        expected = pulled(sequential, given, pairs, **masks(steps, names))
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
            assert b.abs().max() > 1e-3


@pytest.mark.parametrize("which", [0, 1])
def test_a_pull_on_one_of_the_two_results_alone(which):
    given = problem(70)
    ways = [torch.autograd.grad(run(*given)[which].square().sum(), given) for run in (scan, sequential)]
    for a, b in zip(*ways, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert min(each.abs().max() for each in ways[1][:2]) > 1e-3


@pytest.mark.parametrize(("pairs", "constant"), [(False, False), (True, True)])
def test_a_hundred_thousand_steps(pairs, constant):
    """Values, and gradients by the same recurrence in NumPy from the last step to the first; relative to the largest."""
    steps = 100_000
    given = problem(steps, pairs, constant)
    pull = torch.randn(B, steps, *given[0].shape[2:], generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    a, b, state, q = (complexes(each.detach().double(), pairs) for each in (*given, pull))
    a = np.broadcast_to(a, b.shape)
    expected = [by_hand(a, b, state)]
    links = np.concatenate([a[:, 1:], np.ones_like(a[:, :1])], 1).conj()
    g = by_hand(links[:, ::-1], q[:, ::-1], np.zeros_like(state))[:, ::-1]
    before = np.concatenate([state[:, None], expected[0][:, :-1]], 1)
    along = g * before.conj()
    expected += [along.sum((0, 1), keepdims=True) if constant else along, g, a[:, 0].conj() * g[:, 0]]
    for dtype, close in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        given = problem(steps, pairs, constant, dtype)
        h, _ = scan(*given, pairs=pairs)
        found = [h, *torch.autograd.grad((h * pull.to(dtype)).sum(), given)]
        for each, meant in zip(found, expected, strict=True):
            off = np.abs(complexes(each.detach().double(), pairs) - meant).max() / np.abs(meant).max()
            assert off <= close and np.abs(meant).max() > 0.1


def complexes(values: Tensor, pairs: bool) -> np.ndarray:
    return torch.view_as_complex(values.contiguous()).numpy() if pairs else values.numpy()


@pytest.mark.parametrize("pairs", [False, True])
def test_first_and_second_derivatives_by_finite_differences(pairs):
    given = [each.detach()[:1].requires_grad_() for each in problem(35, pairs)]
    assert torch.autograd.gradcheck(lambda *each: scan(*each, pairs=pairs), given, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda *each: scan(*each, pairs=pairs), given, fast_mode=True)


@pytest.mark.parametrize("pairs", [False, True])
def test_second_derivatives_are_those_of_the_step_loop(pairs):
    """With resets and edge weights, which weigh the second derivative as well."""
    given, extra = problem(50, pairs), masks(50, "reset edge lengths")
    ways = []
    for run in (scan, sequential):
        h, end = run(*given, pairs=pairs, **extra)
        first = torch.autograd.grad(h.pow(3).sum() + end.pow(2).sum(), given, create_graph=True)
        ways.append(torch.autograd.grad(sum(each.pow(2).sum() for each in first), given))
    for a, b in zip(*ways, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)
        assert b.abs().max() > 1e-3


def test_a_batch_of_gradients_at_once():
    given = problem(40)
    h, _ = scan(*given)
    pulls = torch.randn(4, *h.shape, dtype=torch.float64)
    found = torch.autograd.grad(h, given, pulls, is_grads_batched=True, retain_graph=True)
    for k, pull in enumerate(pulls):
        for a, b in zip(found, torch.autograd.grad(h, given, pull, retain_graph=True), strict=True):
            torch.testing.assert_close(a[k], b, rtol=1e-12, atol=1e-12)


def test_transforms_and_whoever_asks_get_plain_operations(monkeypatch):
    given = [each.detach() for each in problem(40)]
    expected = scan(*given)[0]
    monkeypatch.setattr("bptt.kernels.scan.recurrence.parallel", None)
    torch.testing.assert_close(torch.func.vmap(lambda b: scan(given[0], b, given[2])[0])(given[1][None])[0], expected)
    with kernels.readable():
        torch.testing.assert_close(scan(*given)[0], expected, rtol=1e-12, atol=1e-12)


def test_any_cut_gives_the_same():
    a, b, state = (each.detach() for each in problem(200))
    whole, last = scan(a, b, state)
    parts = []
    for at, to in [(0, 1), (1, 1), (1, 48), (48, 130), (130, 200)]:
        h, state = scan(a[:, at:to], b[:, at:to], state)
        parts.append(h)
    torch.testing.assert_close((torch.cat(parts, 1), state), (whole, last), rtol=1e-12, atol=1e-12)


def test_the_last_state_is_no_view_of_all_of_them():
    _, end = scan(*problem(100))
    assert end.untyped_storage().nbytes() == end.numel() * end.element_size()


def test_the_gradient_of_what_is_not_wanted_is_not_made():
    a, b, state = problem(100)
    h, _ = parallel.parallel(a.detach(), b, state.detach())
    with Operations() as seen:
        h.sum().backward()
    assert "addcmul" in seen.names and "cat" not in seen.names and b.grad.abs().max() > 1


def test_steps_lie_in_memory_as_they_did():
    """Whichever axis is outermost, the scan keeps to it, and takes as few operations."""
    a, b, state = (each.detach() for each in problem(100))
    turned = b.transpose(0, 1).contiguous().transpose(0, 1)
    h, _ = scan(a, turned, state)
    assert h.stride() == turned.stride()
    torch.testing.assert_close(h, scan(a, b, state)[0], rtol=1e-13, atol=1e-13)


def test_far_fewer_operations_than_steps():
    """Three per step of a chunk and level: what makes it a parallel scan."""
    a, b, state = (each.detach() for each in problem(100_000))
    with Operations() as seen:
        parallel.solve(a, b, state, torch.empty_like(b))
    assert 0 < sum(name in ("addcmul", "mul_") for name in seen.names) < 300

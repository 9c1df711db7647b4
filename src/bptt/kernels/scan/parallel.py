"""The diagonal linear recurrence for all steps at once: a scan in few large operations, forward and backward.

Knows the algebra of h_t = a_t h_{t−1} + b_t; must not know resets, lengths or layers. Two steps are one of the same form,

    h_{t+1} = (a_{t+1} a_t) h_{t−1} + (a_{t+1} b_t + b_{t+1})

So the T steps are cut into chunks of C. All chunks are first reduced side by side to one step each, by 2 C operations on T/C
chunks; these T/C steps are a scan of their own, log_C T levels deep, and say where every chunk begins; then all chunks are run
side by side from there. That is three multiplications per step where the step loop has one, in 3 C log_C T operations of torch
where it has T.

The gradient is the same recurrence the other way: with q_t = ∂L/∂h_t as it comes in from above and ξ_t the edge weights,

    g_t = q_t + ξ_{t+1} ā_{t+1} g_{t+1},    ∂L/∂b_t = g_t,    ∂L/∂a_t = g_t h̄_{t−1},    ∂L/∂h_0 = ξ_1 ā_1 g_1

Source: Blelloch 1990, Prefix sums and their applications, section 1.4; its gradient: Martin, Cundy 2018, Parallelizing linear
recurrent neural nets over sequence length, section 2.2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bptt.kernels.observers import differentiated_again
from bptt.kernels.scan.reference import sequential

CHUNK = 16  # steps; 8 to 64 measure alike, see docs/log.md


def parallel(a: Tensor, b: Tensor, state: Tensor, edge: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """h_t = a_t h_{t−1} + b_t for every step: [B, T, …] and the last one.

    a [B or 1, T or 1, …], b [B, T, …] with T ≥ 1, state h_0 [B, …], all real or all complex; edge [B, T, 1…] real: the factor
    on the gradient that flows through step t into h_{t−1}. Products of C coefficients are formed, so where one is infinite the
    result is not that of the step loop.

        h, end = parallel(torch.rand(2, 70, 3), torch.randn(2, 70, 3), torch.zeros(2, 3))
    """
    return _Scan.apply(a, b, state, edge)


class _Scan(torch.autograd.Function):
    """`parallel` with its gradient, and the gradient of that."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, state: Tensor, edge: Tensor | None) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        h = solve(a, b, state, torch.empty_like(b))
        ctx.save_for_backward(a, h, state, edge)
        return h, h[:, -1].clone()

    @staticmethod
    def backward(ctx: Any, pull: Tensor | None, last: Tensor | None) -> tuple[Tensor | None, ...]:
        a, h, state, edge = ctx.saved_tensors
        if pull is None:
            pull = torch.zeros_like(h)
        if last is None:
            last = torch.zeros_like(state)
        links = a.conj() if edge is None else a.conj() * edge
        if differentiated_again((pull, last)):
            found = _recorded(links, pull, last)
        else:
            found = _returned(links.resolve_conj(), pull, last)
        along = None
        if ctx.needs_input_grad[0]:
            before = torch.cat([state.unsqueeze(1), h[:, :-1]], 1)
            if edge is not None and torch.is_grad_enabled():
                before = torch.lerp(before.detach(), before, edge.to(before.dtype))
            along = (found * before.conj()).sum_to_size(a.shape)
        return along, found, links[:, 0] * found[:, 0], None


def _returned(links: Tensor, pull: Tensor, last: Tensor) -> Tensor:
    """g of all steps, by the scan from the last step to the first."""
    found = torch.empty_like(pull)
    torch.add(pull[:, -1], last, out=found[:, -1])
    if pull.shape[1] > 1:
        solve(_after(links), pull[:, :-1], found[:, -1], found[:, :-1], back=True)
    return found


def _recorded(links: Tensor, pull: Tensor, last: Tensor) -> Tensor:
    """The same in operations that autograd records, or that see a batch of gradients."""
    steps = pull.shape[1]
    ahead = links.expand(-1, steps, *links.shape[2:])
    ahead = torch.cat([ahead[:, 1:], torch.ones_like(ahead[:, :1])], 1).flip(1)
    batched = any(torch._C._functorch.is_legacy_batchedtensor(each) for each in (pull, last))
    run = sequential if batched or torch._C._functorch.peek_interpreter_stack() is not None else parallel
    return run(ahead, pull.flip(1), last)[0].flip(1)


def _after(a: Tensor) -> Tensor:
    """The coefficients from the second step on."""
    return a if a.shape[1] == 1 else a[:, 1:]


def solve(a: Tensor, b: Tensor, state: Tensor, out: Tensor, back: bool = False) -> Tensor:
    """Fill `out` [B, T, …] with the recurrence over a and b from `state`, from the last step to the first if `back`.

    a [B or 1, T or 1, …]; nothing is recorded. Returns `out`.
    """
    steps = b.shape[1]
    count = steps // CHUNK
    if count < 2:
        run(columns(a, steps, back), columns(b, steps, back), state, columns(out, steps, back))
        return out
    whole = slice(steps - count * CHUNK, None) if back else slice(count * CHUNK)
    factors, added, filled = (chunks(each, whole, back) for each in (a, b, out))
    ends = solve(*reduced(factors, added), state, torch.empty_like(filled[0]), back)
    starts = torch.empty_like(ends)
    starts[:, -1 if back else 0] = state
    if back:
        starts[:, :-1] = ends[:, 1:]
    else:
        starts[:, 1:] = ends[:, :-1]
    run(factors, added, starts, filled)
    if steps > count * CHUNK:
        rest = slice(steps - count * CHUNK) if back else slice(count * CHUNK, None)
        solve(a if a.shape[1] == 1 else a[:, rest], b[:, rest], ends[:, 0 if back else -1], out[:, rest], back)
    return out


def run(factors: list[Tensor], added: list[Tensor], h: Tensor, filled: list[Tensor]) -> None:
    """h ← a h + b in turn, every h written where it belongs."""
    for a, b, place in zip(factors, added, filled, strict=True):
        h = torch.addcmul(b, a, h, out=place)


def reduced(factors: list[Tensor], added: list[Tensor]) -> tuple[Tensor, Tensor]:
    """All steps of every chunk as one step of the same form: its coefficient and what it adds."""
    total, h = factors[0].clone(), added[0].clone(memory_format=torch.contiguous_format)
    for a, b in zip(factors[1:], added[1:], strict=True):
        torch.addcmul(b, a, h, out=h)
        total.mul_(a)
    return total, h


def columns(values: Tensor, steps: int, back: bool) -> list[Tensor]:
    """`values` [B, T or 1, …] step by step in the order in which they are run."""
    each = [values[:, 0]] * steps if values.shape[1] == 1 else list(values.unbind(1))
    return each[::-1] if back else each


def chunks(values: Tensor, whole: slice, back: bool) -> list[Tensor]:
    """The j-th step of every chunk side by side, [B, T/C or 1, …], for j in the order in which they are run."""
    if values.shape[1] == 1:
        return [values] * CHUNK
    each = list(values[:, whole].unflatten(1, (-1, CHUNK)).unbind(2))
    return each[::-1] if back else each

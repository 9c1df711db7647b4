"""The readable recurrences against their equations, and what reset, edge and lengths do to outputs and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bptt.errors import InputError
from bptt.kernels import choose
from bptt.kernels.readable import READABLE

B, T, H = 3, 7, 5


def scalar(y: Tensor, leaves: list[Tensor]) -> Tensor:
    """A random weighting of everything that a kernel returns, the same at every call."""
    generator = torch.Generator().manual_seed(7)
    return sum((v * torch.randn(v.shape, dtype=v.dtype, generator=generator)).sum() for v in [y, *leaves])


def gradients(case, y, leaves):
    return torch.autograd.grad(scalar(y, leaves), case.inputs())


def close(a, b, tolerance=1e-12):
    for u, v in zip(a, b, strict=True):
        torch.testing.assert_close(u, v, rtol=tolerance, atol=tolerance)


def by_hand(case, projected, leaves):
    """One step of each recurrence, unit by unit as its equation reads."""
    weight, bias = case.weights[0], case.weights[1] if len(case.weights) > 1 else 0
    u = leaves[0] @ weight.T + bias
    if "nonlinearity" in case.extra:
        a = projected + u
        return [{"tanh": torch.tanh(a), "relu": a.clamp(min=0), "identity": a}[case.extra["nonlinearity"]]]
    if len(leaves) == 2:
        i, f, g, o = (projected + u).chunk(4, 1)
        c = torch.sigmoid(f) * leaves[1] + torch.sigmoid(i) * torch.tanh(g)
        return [torch.sigmoid(o) * torch.tanh(c), c]
    (pr, pz, pn), (ur, uz, un) = projected.chunk(3, 1), u.chunk(3, 1)
    r, z = torch.sigmoid(pr + ur), torch.sigmoid(pz + uz)
    return [(1 - z) * torch.tanh(pn + r * un) + z * leaves[0]]


def test_equations(case):
    leaves, outputs = case.leaves, []
    for t in range(T):
        leaves = by_hand(case, case.projected[:, t], leaves)
        outputs.append(leaves[0])
    expected = torch.stack(outputs, 1), leaves
    found = case(case.projected, case.leaves)
    close([found[0], *found[1]], [expected[0], *expected[1]])
    close(gradients(case, *found), gradients(case, *expected))


def test_pieces_continue(case):
    whole = case(case.projected, case.leaves)
    y1, middle = case(case.projected[:, :3], case.leaves)
    y2, end = case(case.projected[:, 3:], middle)
    pieces = torch.cat([y1, y2], 1), end
    close(gradients(case, *whole), gradients(case, *pieces))


def test_edge_of_ones_and_no_reset_change_nothing(case):
    plain = case(case.projected, case.leaves)
    ones = torch.ones(B, T, dtype=torch.float64)
    masked = case(
        case.projected, case.leaves, edge=ones, reset=torch.zeros(B, T, dtype=torch.bool), lengths=torch.full((B,), T)
    )
    assert torch.equal(plain[0], masked[0])
    close(gradients(case, *plain), gradients(case, *masked))


def test_edge_follows_the_recursion(case):
    """δ_{t-1} = q_{t-1}ᵀ + ξ_t D_tᵀ δ_t, every step differentiated on its own and the sum over time done here."""
    edge = torch.randn(B, T, dtype=torch.float64) * 2
    edge[0, 2], edge[1, 0], edge[2, 4] = 0, 0, 1
    y, end = case(case.projected, case.leaves, edge=edge)
    assert torch.equal(y, case(case.projected, case.leaves)[0])
    states = [[leaf.detach() for leaf in case.leaves]]
    for t in range(T):
        states.append([leaf.detach() for leaf in case(case.projected[:, t : t + 1], states[-1])[1]])
    generator = torch.Generator().manual_seed(7)
    q = torch.randn(y.shape, dtype=y.dtype, generator=generator)
    delta = [torch.randn(leaf.shape, dtype=leaf.dtype, generator=generator) for leaf in end]
    weights, projected = [torch.zeros_like(w) for w in case.weights], torch.zeros_like(case.projected)
    for t in reversed(range(T)):
        before = [leaf.clone().requires_grad_() for leaf in states[t]]
        piece = case.projected[:, t : t + 1].detach().requires_grad_()
        out, after = case(piece, before)
        value = (out[:, 0] * q[:, t]).sum() + sum((a * d).sum() for a, d in zip(after, delta, strict=True))
        grads = torch.autograd.grad(value, [piece, *before, *case.weights])
        projected[:, t] = grads[0][:, 0]
        delta = [edge[:, t, None] * g for g in grads[1 : 1 + len(before)]]
        weights = [w + g for w, g in zip(weights, grads[1 + len(before) :], strict=True)]
    close(gradients(case, y, end), [projected, *delta, *weights], 1e-11)


def test_zero_edge_is_a_detached_state(case):
    edge = torch.ones(B, T, dtype=torch.float64)
    edge[:, 3] = 0
    y1, middle = case(case.projected[:, :3], case.leaves)
    y2, end = case(case.projected[:, 3:], [leaf.detach() for leaf in middle])
    close(gradients(case, *case(case.projected, case.leaves, edge=edge)), gradients(case, torch.cat([y1, y2], 1), end))


def test_reset_takes_the_initial_state_and_wins_over_the_edge(case):
    """Row 0 starts anew at steps 0 and 4, row 2 at step 2, row 1 never; each piece is run on its own."""
    initial = [torch.randn(B, H, dtype=torch.float64, requires_grad=True) for _ in case.leaves]
    reset = torch.zeros(B, T, dtype=torch.bool)
    reset[0, 0] = reset[0, 4] = reset[2, 2] = True
    edge = torch.where(reset, torch.full((B, T), 5.0), torch.ones(B, T)).double()
    pieces = {0: [(0, 4, True), (4, T, True)], 1: [(0, T, False)], 2: [(0, 2, False), (2, T, True)]}
    outputs, ends = [], []
    for row, cuts in pieces.items():
        state, parts = [leaf[row : row + 1] for leaf in case.leaves], []
        for start, stop, anew in cuts:
            state = [leaf[row : row + 1] for leaf in initial] if anew else state
            y, state = case(case.projected[row : row + 1, start:stop], state)
            parts.append(y)
        outputs.append(torch.cat(parts, 1))
        ends.append(state)
    expected = torch.cat(outputs), [torch.cat(leaves) for leaves in zip(*ends, strict=True)]
    found = case(case.projected, case.leaves, reset=reset, edge=edge, initial=case.state(initial))
    close([found[0], *found[1]], [expected[0], *expected[1]])
    inputs = [*case.inputs(), *initial]
    close(torch.autograd.grad(scalar(*found), inputs), torch.autograd.grad(scalar(*expected), inputs))


def test_reset_without_initial_takes_zeros(case):
    reset = torch.zeros(B, T, dtype=torch.bool)
    reset[:, 0] = True
    found = case(case.projected, case.leaves, reset=reset)
    expected = case(case.projected, [torch.zeros_like(leaf) for leaf in case.leaves])
    close([found[0], *found[1]], [expected[0], *expected[1]])


def test_rows_that_ended_keep_their_state(case):
    """Marks after the end of a row must not touch it either, and NaN gradients must not appear."""
    lengths, edge = torch.tensor([T, 2, 0]), torch.full((B, T), 0.5, dtype=torch.float64)
    reset = torch.zeros(B, T, dtype=torch.bool)
    reset[1, 4] = reset[2, 0] = True
    y, end = case(case.projected, case.leaves, lengths=lengths, edge=edge, reset=reset)
    assert not y[1, 2:].any() and not y[2].any()
    outputs, ends = torch.zeros_like(y), [leaf.clone() for leaf in case.leaves]
    for row in (0, 1):
        n = int(lengths[row])
        part, state = case(
            case.projected[row : row + 1, :n], [v[row : row + 1] for v in case.leaves], edge=edge[row : row + 1, :n]
        )
        outputs = torch.index_put(outputs, (torch.full((n,), row), torch.arange(n)), part[0])
        ends = [torch.index_put(e, (torch.tensor([row]),), s) for e, s in zip(ends, state, strict=True)]
    close([y, *end], [outputs, *ends])
    close(gradients(case, y, end), gradients(case, outputs, ends))


def test_edge_in_another_precision_keeps_the_type_of_the_state():
    y, h = READABLE["gru"](
        torch.randn(2, 3, 9), torch.randn(2, 3), torch.randn(9, 3), edge=torch.rand(2, 3, dtype=torch.float64)
    )
    assert y.dtype == h.dtype == torch.float32


@pytest.mark.parametrize("rows, steps", [(0, 4), (2, 0), (1, 1)])
def test_empty_and_single(case, rows, steps):
    y, end = case(case.projected[:rows, :steps], [leaf[:rows] for leaf in case.leaves])
    assert y.shape == (rows, steps, H) and all(leaf.shape == (rows, H) for leaf in end)


def test_no_graph_without_gradients(case):
    with torch.no_grad():
        y, end = case(case.projected, case.leaves)
    assert not y.requires_grad and not any(leaf.requires_grad for leaf in end)


def test_absent_masks_cost_nothing(case):
    """An idle mask must add nothing to the graph of a step, an absent one nothing at all."""

    def nodes(y):
        seen, todo = set(), [y.grad_fn]
        while todo:
            node = todo.pop()
            if node is not None and node not in seen:
                seen.add(node)
                todo += [parent for parent, _ in node.next_functions]
        return len(seen)

    plain = nodes(case(case.projected, case.leaves)[0])
    idle = nodes(case(case.projected, case.leaves, reset=torch.zeros(B, T, dtype=torch.bool))[0])
    busy = nodes(case(case.projected, case.leaves, reset=torch.ones(B, T, dtype=torch.bool))[0])
    assert plain == idle < busy


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="'gru'"):
        choose("grru")
    with pytest.raises(InputError, match="'tanh'"):
        READABLE["elman"](torch.zeros(1, 1, 2), torch.zeros(1, 2), torch.zeros(2, 2), nonlinearity="tahn")

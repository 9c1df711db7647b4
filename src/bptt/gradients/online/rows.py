"""The Jacobians of one step, row by row: D = ∂h_t/∂h_{t−1} [n, n] and I = ∂h_t/∂θ [n, …] with h_{t−1} fixed.

Knows states as one vector of n numbers per row, and `Unroll.pure`; must not know what a rule does with Jacobians. Rows do not
influence each other, so each is a computation of its own under vmap: nothing of size B² is made, and what two rows share is not
added up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import jvp, vjp, vmap

from bptt import nest
from bptt.errors import ContractError
from bptt.types import State, Unroll, Window

Blocks = Mapping[str, Tensor]


def ravel(state: State) -> Tensor:
    """The float leaves of a state as one vector per row, [B, n]."""
    return torch.cat([leaf.flatten(1) for leaf in nest.leaves(state) if nest.is_float(leaf)], 1)


def unravel(vector: Tensor, like: State) -> State:
    """The state whose float leaves `vector` [B, n] holds; the other leaves are those of `like`."""
    at = 0

    def leaf(old: Tensor) -> Tensor:
        nonlocal at
        if not nest.is_float(old):
            return old
        start, at = at, at + old[0].numel()
        return vector[:, start:at].reshape(old.shape).to(old.dtype)

    return nest.map(leaf, like)


def reached(unroll: Unroll, after: State) -> list[str]:
    """The names of the parameters that the state after a step depends on, read off its graph: zeros count as well.

    The graph may have been gone through already: what it led to is still known.
    """
    found = _graph_leaves(after)
    return [name for name, parameter in unroll.named_parameters() if id(parameter) in found]


def _graph_leaves(state: State) -> set[int]:
    """The ids of the tensors that an attached state depends on."""
    ends = [leaf for leaf in nest.leaves(state) if nest.is_float(leaf)]
    waiting, found = [leaf.grad_fn for leaf in ends], {id(leaf) for leaf in ends}
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        fresh = {later for later, _ in getattr(node, "next_functions", ())} - seen
        seen |= fresh
        waiting += fresh
    return found


def norms(blocks: Iterable[Tensor], like: Tensor) -> Tensor:
    """The norm of each row over all blocks [B, …] together, [B], in the type of `like`."""
    squares = [block.unsqueeze(-1).flatten(1).square().sum(1).to(like) for block in blocks]
    return torch.stack([like.new_zeros(len(like)), *squares]).sum(0).sqrt()


def per_row(factor: Tensor, block: Tensor) -> Tensor:
    """A block [B, …] times a factor per row [B]."""
    return nest.align(factor.to(block.dtype), block) * block


def trained(unroll: Unroll) -> dict[str, Tensor]:
    """The parameters that want a gradient, detached."""
    return {name: value.detach() for name, value in unroll.named_parameters() if value.requires_grad}


def jacobians(unroll: Unroll, names: Iterable[str], step: Window, state: State) -> tuple[Tensor, dict[str, Tensor]]:
    """D [B, n, n], and I of every named parameter, [B, n, …]."""
    vector = ravel(state)
    return pulled(unroll, names, step, state, torch.eye(vector.shape[1], dtype=vector.dtype, device=vector.device))


def pulled(
    unroll: Unroll, names: Iterable[str], step: Window, state: State, directions: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """`directions` D [B, C, n], and `directions` I of every named parameter, [B, C, …]; directions is [C, n]."""
    values = trained(unroll)

    def row(step: Sequence[Tensor], state: State, params: Blocks, directions: Tensor, vector: Tensor) -> Any:
        # All parameters are handed over, so that none of them is reached as it lives in the model, with a graph.
        after = _after(unroll, step, state)
        pull: Any = vjp(lambda params, vector: after({**values, **params}, vector), params, vector)[1]
        return vmap(pull)(directions)

    wanted = {name: values[name] for name in names}
    blocks, before = by_row(row, step, state, wanted, directions, ravel(state), shared=2)
    return before, blocks


def products(
    unroll: Unroll, names: Iterable[str], step: Window, state: State, along: Tensor, against: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """D `along` [B, n], and `against`ᵀ I of every named parameter, [B, …]; along and against are [B, n]."""
    values = trained(unroll)

    def row(step: Sequence[Tensor], state: State, params: Blocks, vector: Tensor, along: Tensor, against: Tensor) -> Any:
        after = _after(unroll, step, state)
        ahead = jvp(lambda vector: after(values, vector), (vector,), (along,))[1]
        pull: Any = vjp(lambda params: after({**values, **params}, vector), params)[1]
        return ahead, pull(against)[0]

    return by_row(row, step, state, {name: values[name] for name in names}, ravel(state), along, against, shared=1)


def by_row(row: Callable[..., Any], step: Window, state: State, *others: Any, shared: int = 0) -> Any:
    """`row(step, state, *others)` for every row, the first `shared` of the others being the same for all of them.

    ContractError for a model that torch.func.vmap cannot look into.
    """
    parts = tuple(getattr(step, field.name) for field in dataclasses.fields(step))
    dims = (0, 0, *(None if number < shared else 0 for number in range(len(others))))
    # Leaves in a list: vmap looks into dicts, lists and tuples alone, and a state may be any nest.
    flat = nest.leaves(state)

    def one(parts: Sequence[Tensor], leaves: list[Tensor], *others: Any) -> Any:
        given = iter(leaves)
        return row(parts, nest.map(lambda _: next(given), state), *others)

    try:
        return vmap(one, in_dims=dims, randomness="error")(parts, flat, *others)
    except RuntimeError as error:
        if "vmap" not in str(error) and "functorch" not in str(error):
            raise
        raise ContractError(
            "The Jacobians of this model cannot be taken row by row",
            f"torch.func.vmap says: {str(error).splitlines()[0]}",
            "Write the cell without .item(), branches on values and random draws, or use Truncated",
        ) from error


def _after(unroll: Unroll, step: Sequence[Tensor], state: State) -> Callable[[Blocks, Tensor], Tensor]:
    """The state after a step of one row as a function of the parameters and the state before it, [n] → [n]."""
    window = Window(*(part.unsqueeze(0) for part in step))
    alone = nest.map(lambda leaf: leaf.unsqueeze(0), state)

    def after(params: Blocks, vector: Tensor) -> Tensor:
        return ravel(unroll.pure(params, window, unravel(vector.unsqueeze(0), alone))[1]).squeeze(0)

    return after

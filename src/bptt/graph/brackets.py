"""x[1:3, 0, ..., ::2]: brackets behind a node, as operations.

Knows Python's slices; must not know what they are used for.
"""

from __future__ import annotations

from typing import Any

from bptt.graph.node import OPERATORS, Node
from bptt.graph.operation import unfit
from bptt.graph.operations import part, reshape

WHAT = "an index in brackets"


def item(x: Node, where: Any) -> Node:
    """x[where], for whole numbers, slices and … in their places."""
    places = list(where) if isinstance(where, tuple) else [where]
    if places.count(Ellipsis) == 1:
        at = places.index(Ellipsis)
        places[at : at + 1] = [slice(None)] * (x.ndim - len(places) + 1)
    if len(places) > x.ndim or not all(isinstance(one, int | slice) and not isinstance(one, bool) for one in places):
        raise unfit(WHAT, (x,), "whole numbers and slices, no more than axes; else use take", {"at": where})
    slices: list[tuple[int, int | None, int]] = []
    shape: list[int] = []
    for axis, (n, one) in enumerate(zip(x.shape, [*places, *[slice(None)] * (x.ndim - len(places))], strict=True)):
        if isinstance(one, int):
            if not -n <= one < n:
                raise unfit(WHAT, (x,), f"from {-n} to {n - 1} on axis {axis}", {"at": where})
            slices.append((one % n, one % n + 1, 1))
            continue
        if one.step == 0:
            raise unfit(WHAT, (x,), "a step that is not 0", {"at": where})
        start, stop, step = one.indices(n)
        slices.append((start, stop if stop >= 0 else None, step))
        shape.append(len(range(start, stop, step)))
    if not all(shape):
        raise unfit(WHAT, (x,), "at least one number", {"at": where})
    return reshape(part(x, tuple(slices)), tuple(shape))


OPERATORS["item"] = item

"""One row of the table: a size checked, then timed.

Knows which figures are wanted and how they follow from times; must not know how they are shown.
"""

from __future__ import annotations

from typing import Any

from correctness import Wrong, check, kernel
from jax_client import Jax
from memory import stored
from peers import MODES, Peer, here
from problem import Problem
from sizes import Size
from timing import Products, medians, ratio, rounds

Row = dict[str, Any]


def measure(name: str, size: Size, count: int, *, jax: Jax | None = None, compiled: bool = False) -> Row:
    """All figures of one size; or, with the reason under "wrong", none.

    ms        by peer, median of the rounds
    versus    the better of torch.nn and JAX
    ratio     by memory mode, how many times faster than that
    share     by memory mode, of the rate of torch's products in the same rounds; what a rebuild computes counts as work
    floats    by peer, stored per hidden unit, step and row
    errors    by peer, against torch.nn
    """
    row: Row = {"name": name, **size._asdict(), "rounds": count}
    problem = Problem(size)
    local = here(problem, compiled)
    peers: dict[str, Peer] = {**local}
    if jax:
        peers["jax"] = jax.peer(problem)
    try:
        row["kernel"] = kernel(size.cell)
        row["errors"] = check(size.cell, peers)
    except Wrong as wrong:
        return row | {"wrong": str(wrong)}
    products = Products(size)
    found = rounds({**peers, "products": products}, count)
    seconds = medians(found)
    row["ms"] = {peer: 1e3 * seconds[peer] for peer in peers}
    row["versus"] = min((peer for peer in ("torch", "jax") if peer in peers), key=seconds.__getitem__)
    row["gflops"] = products.rate / 1e9
    row["ratio"] = {mode: ratio(found, row["versus"], mode) for mode in MODES[size.cell]}
    # Forward is one product over everything, backward two; a rebuild repeats the first.
    work = {"gates": 3 * size.product, "lean": 4 * size.product}
    row["share"] = {mode: work[mode] / seconds[mode] / products.rate for mode in MODES[size.cell]}
    row["floats"] = {peer: stored(problem, local[peer].layer) for peer in (*MODES[size.cell], "torch")}
    return row

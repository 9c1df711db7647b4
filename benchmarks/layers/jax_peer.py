"""The recurrences in JAX: `lax.scan` under jit, forward and backward in one compiled function, served to another process.

Runs in an environment of its own with nothing but JAX. Says what it is in one JSON line; then reads one request a line and
answers each in one line:

    {"load": "gru", "tensors": "in.npz", "results": "out.npz"}  compile for these tensors, run once, write outputs and gradients
    {"repeats": 3}                                              {"seconds": mean seconds of that many runs}
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from typing import Any

THREADS = int(sys.argv[1])
# The size of XLA's pool of threads is the number of processors the process may use.
if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > THREADS:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402


def rnn(h: Any, z: Any, u: Any, bias: Any) -> Any:
    """h ← tanh(z + h Uᵀ), all biases being in z already."""
    h = jnp.tanh(z + h @ u.T)
    return h, h


def gru(h: Any, z: Any, u: Any, bias: Any) -> Any:
    """torch's GRU: the reset gate stands before the recurrent part of the candidate, bias included."""
    zr, zz, zn = jnp.split(z, 3, -1)
    ur, uz, un = jnp.split(h @ u.T, 3, -1)
    r, gate = jax.nn.sigmoid(zr + ur), jax.nn.sigmoid(zz + uz)
    n = jnp.tanh(zn + r * (un + bias))
    h = (1 - gate) * n + gate * h
    return h, h


def lstm(state: Any, z: Any, u: Any, bias: Any) -> Any:
    """torch's LSTM, gates in the order i, f, g, o."""
    h, c = state
    i, f, g, o = jnp.split(z + h @ u.T, 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def layer(cell: str, x: Any, *rest: Any) -> Any:
    """x [T, B, I], leaves of the first state [1, B, H], four parameters → outputs and the leaves of the last state."""
    *leaves, w, u, bias_x, bias_h = rest
    units = u.shape[1]
    inner = None
    if cell == "gru":
        inner = bias_h[2 * units :]
        bias_h = bias_h.at[2 * units :].set(0)
    projected = x @ w.T + (bias_x + bias_h)  # of all steps at once
    state = tuple(leaf[0] for leaf in leaves) if cell == "lstm" else leaves[0][0]
    step = {"rnn": rnn, "gru": gru, "lstm": lstm}[cell]
    last, y = jax.lax.scan(lambda state, z: step(state, z, u, inner), state, projected)
    return (y, *(leaf[None] for leaf in (last if cell == "lstm" else (last,))))


@functools.partial(jax.jit, static_argnums=0)
def derive(cell: str, inputs: Any, weights: Any) -> Any:
    """Outputs, and the gradients of all inputs."""
    ends, pull = jax.vjp(functools.partial(layer, cell), *inputs)
    return ends, pull(weights)


def load(cell: str, tensors: str, results: str) -> Any:
    """A function that runs forward and backward on what the file holds, run once."""
    with np.load(tensors) as file:
        arrays = {name: jnp.asarray(file[name]) for name in file.files}
    counts = {kind: sum(name.startswith(kind) for name in arrays) for kind in ("in", "out")}
    given = [tuple(arrays[f"{kind}{i}"] for i in range(count)) for kind, count in counts.items()]
    ends, gradients = jax.block_until_ready(derive(cell, *given))
    found = {f"end{i}": end for i, end in enumerate(ends)} | {f"gradient{i}": g for i, g in enumerate(gradients)}
    np.savez(results, **{name: np.asarray(array) for name, array in found.items()})
    return lambda: jax.block_until_ready(derive(cell, *given))


def main() -> None:
    """Serve until the other side closes the pipe."""
    print(json.dumps({"jax": jax.__version__, "threads": THREADS}), flush=True)
    run: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        if "load" in request:
            jax.clear_caches()
            run = load(request["load"], request["tensors"], request["results"])
            answer = {"loaded": request["load"]}
        else:
            started = time.perf_counter()
            for _ in range(request["repeats"]):
                run()
            answer = {"seconds": (time.perf_counter() - started) / request["repeats"]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

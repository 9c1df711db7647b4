"""The compiled layers against the readable ones, in outputs and all gradients, and what may happen around them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from layers import GATES, Plan, distance, tensors

from bptt.kernels import choose, library, operators, readable

needed = pytest.mark.skipif(isinstance(library.load(), str), reason=f"no compiled kernels: {library.load()}")
pytestmark = needed
ISAS = ["baseline", "avx2", "avx512"]


@pytest.fixture(params=ISAS)
def isa(request):
    compiled = library.loaded()
    before = compiled.isa
    if not compiled.use(request.param):
        pytest.skip(f"this machine has no {request.param}")
    yield request.param
    compiled.use(before)


@pytest.fixture
def poisoned():
    """Memory that nobody has written to yet holds NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("block", range(4))
def test_equals_the_readable_layer(isa, block):
    for seed in range(block * 20, block * 20 + 20):
        Plan.drawn(seed).compare()


@pytest.mark.slow
@pytest.mark.usefixtures("poisoned")
def test_equals_the_readable_layer_at_every_edge(isa):
    for seed in range(100, 1100):
        Plan.drawn(seed).compare()
    for cell in GATES:
        for units in (1, 7, 8, 9, 16, 17, 33, 129):
            for rows in (1, 2, 5, 6, 7, 13, 129):
                Plan(cell, steps=3, rows=rows, units=units).compare()
        Plan(cell, steps=257, rows=2, units=9).compare()


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_equals_the_readable_layer_chunk_by_chunk(chunk, monkeypatch):
    """Long layers go through their steps, and rebuild their gates, a chunk at a time: here chunks are short instead."""
    monkeypatch.setattr(operators, "chunk_of", lambda layer: chunk)
    for seed in range(200, 240):
        Plan.drawn(seed).compare()


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("rows, steps", [(0, 4), (3, 0), (0, 0)])
def test_no_rows_and_no_steps(cell, rows, steps):
    Plan(cell, steps, rows).compare()
    Plan(cell, steps, rows, memory="lean", initial=True).compare()


@pytest.mark.parametrize("cell", ["tanh", "lstm", "gru"])
def test_more_steps_than_sixteen_bits_count(cell):
    """A long stretch equals two shorter ones, bit for bit."""
    plan = Plan(cell, steps=70_001, rows=1, units=3, inputs=1, masks=False)
    (x, state, *weights), named = plan.arguments()
    function = choose(plan.kind, "cpu", torch.float64).function
    whole, end = function(x, state, *weights, **named)
    first, middle = function(x[:, :1000], state, *weights, **named)
    second, last = function(x[:, 1000:], middle, *weights, **named)
    assert torch.equal(whole, torch.cat([first, second], 1))
    assert all(torch.equal(a, b) for a, b in zip(tensors([end]), tensors([last]), strict=True))


@pytest.mark.parametrize("cell", GATES)
def test_expanded_and_strided_arguments(cell):
    """What autograd hands over is not always laid out as it was allocated."""
    plan = Plan(cell, steps=5, rows=4, units=9, inputs=6)
    arguments, named = plan.arguments()
    x = torch.randn(6, 8, 5, dtype=torch.float64).permute(2, 1, 0)[:, ::2].transpose(0, 1).requires_grad_()
    assert not x.is_contiguous()
    arguments[0] = x
    wide = torch.randn(2 * arguments[3].shape[0], 9, dtype=torch.float64) * 0.3
    arguments[3] = wide[::2].requires_grad_()
    grads = []
    for context in (readable(), None):
        if context:
            context.__enter__()
        y, _ = choose(plan.kind, "cpu", torch.float64).function(*arguments, **named)
        y.sum().backward()  # its gradient is one number, expanded
        if context:
            context.__exit__(None, None, None)
        grads.append([t.grad.clone() for t in tensors(arguments) if t.grad is not None])
        for t in tensors(arguments):
            t.grad = None
    assert len(grads[0]) >= 5
    for a, b in zip(*grads, strict=True):
        assert distance(b, a) <= 1e-12


@pytest.mark.parametrize("cell", GATES)
def test_the_same_bits_whatever_the_rows_threads_and_instructions(cell):
    """An element is summed in one order, so only the fused multiply-add of an instruction set can change it."""
    plan = Plan(cell, steps=6, rows=13, units=37, dtype=torch.float32)
    compiled, before = library.loaded(), torch.get_num_threads()
    arguments, named = plan.arguments()
    function = choose(plan.kind).function
    seen = []
    for threads, split in ((1, -1), (2, 0), (2, 1), (3, 1), (2, 1)):
        torch.set_num_threads(threads)
        compiled.split = split
        y, state = function(*arguments, **named)
        grads = torch.autograd.grad(y.sum(), tensors([arguments[1]]))
        seen.append([y, *tensors(state), *grads])
    compiled.split = -1
    x, state, *weights = arguments
    row = function(x[4:5], state[4:5] if torch.is_tensor(state) else tuple(s[4:5] for s in state), *weights,
                   **{k: v[4:5] if torch.is_tensor(v) else v for k, v in named.items()})  # fmt: skip
    torch.set_num_threads(before)
    for other in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], other, strict=True))
    assert torch.equal(row[0], seen[0][0][4:5])


def test_integers_pass_a_relu_network_unrounded():
    torch.manual_seed(0)
    x, h = torch.randint(-3, 4, (5, 4, 6)).float(), torch.randint(0, 3, (5, 19)).float()
    wi, wh = torch.randint(-2, 3, (19, 6)).float(), torch.randint(-2, 3, (19, 19)).float()
    y, _ = choose("elman").function(x, h, wi, wh, nonlinearity="relu")
    for t in range(4):
        h = (x[:, t] @ wi.T + h @ wh.T).clamp(min=0)
        assert torch.equal(y[:, t], h)


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("memory", ["gates", "lean"])
def test_a_graph_may_be_used_twice(cell, memory):
    """The first backward pass spends the gates; the second must not read what it left."""
    plan = Plan(cell, memory=memory)
    arguments, named = plan.arguments()
    y, _ = choose(plan.kind, "cpu", torch.float64).function(*arguments, memory=memory, **named)
    wanted = [t for t in tensors(arguments) if t.requires_grad]
    first = torch.autograd.grad(y.square().sum(), wanted, retain_graph=True)
    second = torch.autograd.grad(y.square().sum(), wanted)
    assert max(distance(a, b) for a, b in zip(first, second, strict=True)) <= 1e-12


@pytest.mark.parametrize("cell", GATES)
def test_second_derivatives(cell):
    plan = Plan(cell, initial=True)
    arguments, named = plan.arguments()
    wanted = [t for t in tensors([arguments, named]) if t.requires_grad]

    def twice():
        y, _ = choose(plan.kind, "cpu", torch.float64).function(*arguments, **named)
        first = torch.autograd.grad(y.square().sum(), wanted, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), wanted, allow_unused=True, materialize_grads=True)

    found = twice()
    with readable():
        expected = twice()
    assert max(float(g.abs().max()) for g in expected) > 1e-8
    assert max(distance(a, b) for a, b in zip(found, expected, strict=True)) <= 1e-11


def test_outputs_changed_in_place_are_noticed():
    arguments, _ = Plan("gru").arguments()
    y, _ = choose("gru", "cpu", torch.float64).function(*arguments)
    with pytest.raises(RuntimeError, match="modified inplace"):
        y.mul_(2)
        y.sum().backward()


@pytest.mark.parametrize("cell, memory, floats", [
    ("tanh", "gates", 1), ("gru", "lean", 1), ("lstm", "lean", 2), ("gru", "gates", 5), ("lstm", "gates", 6),
])  # fmt: skip
def test_floats_kept_per_unit_and_step(cell, memory, floats):
    plan = Plan(cell, steps=50, rows=4, units=32, masks=False)
    arguments, named = plan.arguments()
    given = {t.untyped_storage().data_ptr() for t in tensors(arguments)} | {0}
    kept = {}

    def look(t):
        kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    arguments[0] = arguments[0].transpose(0, 1).contiguous().transpose(0, 1).detach().requires_grad_()
    given.add(arguments[0].untyped_storage().data_ptr())
    with torch.autograd.graph.saved_tensors_hooks(look, lambda t: t):
        choose(plan.kind, "cpu", torch.float64).function(*arguments, memory=memory, **named)
    total = sum(size for place, size in kept.items() if place not in given)
    assert total / 8 / (50 * 4 * 32) == pytest.approx(floats, abs=0.05 * floats + 0.05)


def test_nothing_is_kept_without_gradients():
    arguments, named = Plan("lstm").arguments()
    with torch.no_grad():
        y, state = choose("lstm", "cpu", torch.float64).function(*arguments, **named)
    assert y.grad_fn is None and all(t.grad_fn is None for t in tensors(state))


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("memory", ["gates", "lean"])
def test_the_registered_operator(cell, memory):
    """torch's own examination of schema, fake tensors, autograd and captured graphs."""
    plan = Plan(cell)
    (x, state, *weights), named = plan.arguments()
    h, c = state if cell == "lstm" else (state, None)
    turn = (x.transpose(0, 1).detach().contiguous().requires_grad_(), h, c, *weights, None, None)
    masks = named["reset"].t().contiguous(), named["edge"].t().contiguous(), named["lengths"]
    torch.library.opcheck(torch.ops.bptt.recurrence.default, (cell, *turn, *masks, memory == "gates"))


def test_the_operator_refuses_vmap():
    from bptt.errors import ContractError

    x, h, w = torch.randn(2, 4, 3, 5), torch.zeros(3, 5), torch.randn(5, 5)
    rest = (None,) * 7
    with pytest.raises(ContractError, match="vmap"):
        torch.vmap(lambda x: torch.ops.bptt.recurrence("tanh", x, h, None, w, w, *rest, True)[0])(x)


def test_transforms_look_into_plain_operations():
    seen = []

    def look(x):
        seen.append(choose("gru").name)
        return x.sum()

    torch.func.grad(look)(torch.ones(2))
    torch.vmap(look)(torch.ones(2, 2))
    with torch.autograd.forward_ad.dual_level():
        look(torch.ones(2))
    look(torch.ones(2))
    assert seen == ["readable", "readable", "readable", "fused"]


def run(code: str, **environment: str) -> str:
    """A fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_environment_chooses_the_kernel():
    code = "from bptt.kernels import choose; print(choose('gru').name, choose('gru').reason)"
    assert run(code, BPTT_KERNEL="baseline").startswith("fused compiled for baseline, float32; keeps 5")
    assert "readable" in run(code, BPTT_KERNEL="readable")
    assert run(code, BPTT_KERNEL="abacus").startswith("readable") and "abacus" in run(code, BPTT_KERNEL="abacus")


def test_a_forked_child_goes_on():
    """After a parallel region the pool of the parent is gone in the child: it must not wait for it.

    The recurrence alone: torch's own products hang in a child once they have run on several threads.
    """
    code = """
import os, torch
from bptt.kernels.fused import Layer, work
from bptt.kernels.library import Work, loaded
torch.set_num_threads(2)
h, w = torch.randn(4, 256), torch.randn(256, 256) / 16
layer = Layer("tanh", torch.zeros(30, 4, 1), h, None, torch.zeros(256, 1), w)
def states():
    out = torch.full((31, 4, 256), 0.5)
    work(loaded(), layer, Work.FORWARD, 0, 30, states=out, cells=None, gates=None, inner=None, carry=h)
    return out
loaded().split = 1
first = states()
child = os.fork()
if not child:
    assert loaded().forked and loaded().count() == 1
    os._exit(0 if torch.equal(states(), first) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(code) == "0"

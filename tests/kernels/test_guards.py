"""What the compiled code takes for granted is made sure of before: nothing is read as something that it is not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bptt
from bptt.errors import InputError, ShapeError
from bptt.kernels import choose, library, readable
from bptt.types import Window

pytestmark = pytest.mark.skipif(isinstance(library.load(), str), reason="no compiled kernels")


def both(call):
    """The result of a call on the compiled path and on the readable one."""
    with readable():
        expected = call()
    return call(), expected


def window(rows, dtype=torch.int64):
    torch.manual_seed(3)
    return Window.of(torch.randint(7, (rows, 6)).to(dtype), torch.randint(7, (rows, 6)).to(dtype))


@pytest.mark.parametrize("rows", [2, 6])
@pytest.mark.parametrize("build", [
    lambda: bptt.LanguageModel("gru", vocab=7, hidden_size=4).unroll(),
    lambda: bptt.Unroll(nn.Embedding(7, 3), nn.GRUCell(3, 4), nn.Linear(4, 7)),
    lambda: bptt.Unroll(nn.Embedding(7, 3), nn.LSTMCell(3, 4), nn.Linear(4, 7)),
])  # fmt: skip
def test_a_state_of_another_batch_is_refused(build, rows):
    unroll = build()
    with pytest.raises(RuntimeError):
        unroll.segment(window(4), unroll.initial_state(rows))
    with pytest.raises((RuntimeError, ShapeError)):
        unroll.states(window(4), unroll.initial_state(rows))


def test_tokens_of_32_bits():
    unroll = bptt.LanguageModel("gru", vocab=7, hidden_size=4).unroll()
    losses = [unroll.segment(window(4, dtype), unroll.initial_state(4))[0] for dtype in (torch.int32, torch.int64)]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("bias", [lambda b: b.repeat_interleave(2)[::2], lambda b: b[:1].expand(15)])
@pytest.mark.parametrize("steps", [1, 4])
def test_strided_biases(bias, steps):
    layer, x = bptt.nn.GRU(3, 5), torch.randn(steps, 2, 3)
    given = dict(layer.named_parameters()) | {f"bias_{n}_l0": bias(torch.randn(15)) for n in ("ih", "hh")}
    torch.testing.assert_close(*both(lambda: torch.func.functional_call(layer, given, (x,))[0]))


def test_a_bias_of_another_type_is_not_read_as_ours():
    layer, x = bptt.nn.GRU(3, 5), torch.randn(4, 2, 3)
    given = dict(layer.named_parameters()) | {"bias_hh_l0": torch.randn(15, dtype=torch.float64)}
    with pytest.raises(RuntimeError, match="dtype"):
        torch.func.functional_call(layer, given, (x,))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float64])
def test_edges_of_any_type(dtype):
    layer = bptt.nn.GRU(3, 5)
    x, hx, edge = torch.randn(4, 2, 3), torch.randn(1, 2, 5, requires_grad=True), (torch.rand(2, 4) < 0.7).to(dtype)
    torch.testing.assert_close(*both(lambda: torch.autograd.grad(layer(x, hx, edge=edge)[0].sum(), hx)[0]))


def test_a_state_of_another_type_is_refused_as_torch_refuses_it():
    with pytest.raises((RuntimeError, ValueError)):
        bptt.nn.GRU(3, 5)(torch.randn(4, 2, 3), torch.randn(1, 2, 5, dtype=torch.float64))


def test_jit_trace_records_operations():
    layer = bptt.nn.GRU(3, 5).requires_grad_(False)
    traced = torch.jit.trace(layer, (torch.randn(4, 2, 3),), check_trace=False)
    x = torch.randn(4, 2, 3)
    torch.testing.assert_close(traced(x)[0], layer(x)[0])


@pytest.mark.parametrize("steps", [1, 4])
def test_another_default_device_changes_nothing(steps):
    layer, x, hx = bptt.nn.GRU(3, 5), torch.randn(steps, 2, 3), torch.randn(1, 2, 5)
    expected = layer(x, hx)[0]
    lengths = torch.full((2,), steps)
    with torch.device("meta"), torch.no_grad():
        assert torch.equal(layer(x, hx)[0], expected) or torch.allclose(layer(x, hx)[0], expected)
        torch.testing.assert_close(layer(x, hx, lengths=lengths)[0], expected)


@pytest.mark.parametrize("layer", [bptt.nn.RNN, bptt.nn.GRU])
def test_one_step_of_no_rows(layer):
    with torch.no_grad():
        assert layer(3, 5)(torch.randn(1, 0, 3), torch.zeros(1, 0, 5))[0].shape == (1, 0, 5)


def test_weights_elsewhere_are_not_read():
    with torch.no_grad(), pytest.raises((RuntimeError, NotImplementedError)):
        bptt.nn.GRU(3, 5, device="meta")(torch.randn(1, 1, 3), torch.zeros(1, 1, 5)).cpu()


def test_somebody_elses_readout_is_called():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.features = nn.Linear(4, 7), nn.Identity()

        def forward(self, hidden):
            return self.linear(self.features(hidden)) * 100

    unroll = bptt.Unroll(nn.Embedding(7, 3), nn.GRU(3, 4, batch_first=True), Scaled())
    made = window(4)
    outputs, _ = unroll.outputs(made, unroll.initial_state(4))
    loss, _ = unroll.segment(made, unroll.initial_state(4))
    torch.testing.assert_close(loss, bptt.losses.cross_entropy(outputs, made.targets).sum())


@pytest.mark.parametrize("register", ["register_forward_hook", "register_full_backward_hook", "register_forward_pre_hook"])
def test_every_hook_fires(register):
    model, seen = bptt.LanguageModel("gru", vocab=7, hidden_size=4), []
    unroll = model.unroll()
    for name, module in unroll.named_modules():
        if name:
            getattr(module, register)(lambda *_, name=name: seen.append(name))
    loss, _ = unroll.segment(window(4), unroll.initial_state(4))
    unroll.backward(loss)
    parts = {"encode", "encode.table", "recurrent", "recurrent.layer", "readout", "readout.linear"}
    assert parts <= set(seen)


def test_a_pruned_table_trains_on():
    from torch.nn.utils import prune

    unroll = bptt.LanguageModel("gru", vocab=7, hidden_size=4).unroll()
    prune.random_unstructured(unroll.encode.table, "weight", 0.5)
    for _ in range(2):
        loss, _ = unroll.segment(window(4), unroll.initial_state(4))
        unroll.backward(loss)


def test_batched_gradients():
    layer, x = bptt.nn.GRU(3, 5).double(), torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    pulls = torch.randn(3, 4, 2, 5, dtype=torch.float64)
    (found,) = torch.autograd.grad(layer(x)[0], x, pulls, is_grads_batched=True)
    each = [torch.autograd.grad(layer(x)[0], x, pull)[0] for pull in pulls]
    torch.testing.assert_close(found, torch.stack(each), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_under_autocast(bias):
    """The recurrence keeps the precision of its weights, whatever comes in, also for a backward pass inside."""
    layer, x = bptt.nn.LSTM(3, 5, bias=bias), torch.randn(4, 2, 3)
    exact = torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = layer(x)
        grads = torch.autograd.grad(y.sum(), list(layer.parameters()))
        assert y.dtype == torch.float32 and layer(x.bfloat16())[0].dtype == torch.float32
        unroll = bptt.LanguageModel("gru", vocab=7, hidden_size=4).unroll()
        unroll.segment(window(4), unroll.initial_state(4))[0].backward()
    torch.testing.assert_close(grads, exact)


def test_one_bias_alone():
    x, h, w = torch.randn(2, 4, 3), torch.randn(2, 5), torch.randn(15, 5, requires_grad=True)
    wi, b = torch.randn(15, 3), torch.randn(15, requires_grad=True)
    grads = both(lambda: torch.autograd.grad(choose("gru").function(x, h, wi, w, None, b)[0].sum(), [w, b]))
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


def test_an_unknown_memory_mode():
    layer = bptt.nn.GRU(3, 5)
    layer.memory = "lena"
    with pytest.raises(InputError, match="'lean'"):
        layer(torch.randn(4, 2, 3))

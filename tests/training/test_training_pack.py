"""A nest taken apart and put together is the same nest, bit for bit; what cannot come back is refused when it is saved."""

from __future__ import annotations

import collections
import json
import math
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_run import digest
from torch import nn

from bptt.errors import CheckpointError, ContractError
from bptt.training.pack import like, move, pack, unpack
from bptt.types import Carry, Window

KINDS = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool]


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    kind = draw(st.sampled_from(KINDS))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    value = (torch.randn(shape, generator=generator, dtype=torch.float64) * 50).to(kind)
    if kind.is_floating_point and value.numel():
        value.view(-1)[0] = draw(st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 1.0]))
    return value


@st.composite
def windows(draw: st.DrawFn) -> Window:
    rows, steps = draw(st.integers(1, 3)), draw(st.integers(0, 4))
    noise = torch.full((rows, steps), draw(st.integers(-(2**63), 2**63 - 1)), dtype=torch.int64)
    ids = torch.arange(rows * steps).view(rows, steps)
    return Window(ids, ids + 1, ids % 2 == 0, ids % 3 == 0, noise)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
keys = st.text() | st.integers()


def nests() -> st.SearchStrategy[Any]:
    def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(inner, max_size=3)
        named = st.dictionaries(keys, inner, max_size=3)
        return several | several.map(tuple) | named | st.builds(Carry, inner, inner)

    return st.recursive(scalars | tensors() | windows(), grown, max_leaves=8)


def same(a: Any, b: Any) -> bool:
    """Equal in type and value, tensors bit for bit, NaN equal to NaN, and -0.0 not equal to 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return digest(a) == digest(b)
    if isinstance(a, Window):
        return all(same(getattr(a, name), getattr(b, name)) for name in ("inputs", "targets", "reset", "mask", "noise"))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return bool(a == b)


@settings(max_examples=100, deadline=None)
@given(nests())
@example([math.nan, math.inf, -math.inf, -0.0, 5e-324, 2**70, True, None])
@example({"open": None, 3: (1, [2.5], ()), "3": Carry((), {})})
def test_what_is_packed_comes_back(value: Any) -> None:
    from safetensors.torch import load, save

    taken, skeleton = pack(value)
    written = json.dumps(skeleton, allow_nan=False)
    read = load(save({name: tensor.clone() for name, tensor in taken.items()}))
    assert same(unpack(read, json.loads(written)), value)


@settings(max_examples=20, deadline=None)
@given(nests())
def test_moving_keeps_every_value(value: Any) -> None:
    assert same(move(value, "cpu"), value)


REFUSED = [
    {1, 2},
    b"bytes",
    1j,
    object(),
    print,
    nn.Linear(1, 1),
    torch.Generator(),
    (step for step in range(3)),
    {1.5: 0},
    {None: 0},
    {True: 0},
    {(1, 2): 0},
]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
def test_what_could_not_come_back_is_refused(value: Any) -> None:
    with pytest.raises(ContractError):
        pack({"deep": [value]})


def test_an_attached_tensor_is_refused() -> None:
    with pytest.raises(ContractError, match="attached to a graph"):
        pack(torch.ones(2, requires_grad=True) * 2)


def test_a_parameter_comes_without_its_gradient() -> None:
    (taken,) = pack(nn.Parameter(torch.ones(2)))[0].values()
    assert not taken.requires_grad


def test_named_tuples_come_back_by_their_template() -> None:
    pair = collections.namedtuple("pair", "h c")
    state = {"layer": [pair(torch.ones(1), torch.zeros(1))], "none": None}
    back = like(state, unpack(*pack(state)))
    assert isinstance(back["layer"][0], pair)
    assert torch.equal(back["layer"][0].h, torch.ones(1))


@pytest.mark.parametrize("other", [{"x": 1}, [1, 2], None], ids=str)
def test_a_state_of_another_shape_is_refused(other: Any) -> None:
    with pytest.raises(CheckpointError, match="another model"):
        like({"h": (torch.ones(1), torch.ones(1))}, other)


@pytest.mark.parametrize(
    "skeleton", [{}, {"$": "unknown", "parts": []}, {"$": "tensor"}, {"$": "dict", "items": [1]}, {"$": {}}]
)
def test_a_damaged_skeleton_is_refused(skeleton: Any) -> None:
    with pytest.raises(CheckpointError):
        unpack({}, skeleton)

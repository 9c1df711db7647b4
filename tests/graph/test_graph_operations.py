"""Every operation: its value, its gradients by finite differences, with broadcasting; random graphs against torch; refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bptt import graph
from bptt.errors import InputError, ShapeError
from bptt.graph.operation import OPERATIONS

WIDTH = 1e-5


def a(*shape, low=-2.0, high=2.0, seed=0):
    """An array without special numbers; the shape seeds it too, so that no two inputs of a test are alike."""
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape)


def positive(*shape):
    return a(*shape, low=0.3, high=3.0)


AT = np.array([2, 0, 2])  # an index that comes twice
# Of every operation: how it is called, what with, and the same in NumPy.
CASES = {
    "add": (lambda x, y: x + y, [a(3, 2), a(3, 2, seed=1)], np.add),
    "add, broadcast": (lambda x, y: x + y, [a(4, 1, 2), a(3, 1)], np.add),
    "add, number": (lambda x: 3 + x + 1.5, [a(2)], lambda x: x + 4.5),
    "subtract": (lambda x, y: x - y, [a(3), a(2, 3)], np.subtract),
    "subtract, array first": (lambda x: a(2, 3, seed=5) - x, [a(3)], lambda x: a(2, 3, seed=5) - x),
    "multiply": (lambda x, y: x * y, [a(3, 1), a(4)], np.multiply),
    "multiply by itself": (lambda x: x * x, [a(3)], np.square),
    "divide": (lambda x, y: x / y, [a(2, 3), positive(3)], np.divide),
    "divide, number first": (lambda x: 2 / x, [positive(3)], lambda x: 2 / x),
    "negate": (lambda x: -x, [a(2, 2)], np.negative),
    "power": (lambda x: x**2.5, [positive(3)], lambda x: x**2.5),
    "power 2": (lambda x: x**2, [a(3)], np.square),
    "power 1": (lambda x: x**1, [a(3)], lambda x: x),
    "power -1": (lambda x: x**-1, [positive(3)], lambda x: 1 / x),
    "exp": (graph.exp, [a(2, 3)], np.exp),
    "log": (graph.log, [positive(2, 3)], np.log),
    "tanh": (graph.tanh, [a(2, 3)], np.tanh),
    "sigmoid": (graph.sigmoid, [a(2, 3)], lambda x: 1 / (1 + np.exp(-x))),
    "relu": (graph.relu, [a(5)], lambda x: np.where(x > 0, x, 0)),
    "matmul, matrices": (lambda x, y: x @ y, [a(2, 3), a(3, 4)], np.matmul),
    "matmul, matrix and vector": (lambda x, y: x @ y, [a(2, 3), a(3)], np.matmul),
    "matmul, vector and matrix": (lambda x, y: x @ y, [a(3), a(3, 4)], np.matmul),
    "matmul, vectors": (lambda x, y: x @ y, [a(3), a(3, seed=1)], np.matmul),
    "matmul, stacks": (lambda x, y: x @ y, [a(5, 1, 2, 3), a(2, 3, 4)], np.matmul),
    "matmul, array first": (lambda x: a(2, 3, seed=5) @ x, [a(3)], lambda x: a(2, 3, seed=5) @ x),
    "outer": (graph.outer, [a(3), a(2)], np.outer),
    "transpose": (lambda x: graph.transpose(x, (2, 0, 1)), [a(2, 3, 4)], lambda x: x.transpose(2, 0, 1)),
    "T": (lambda x: x.T, [a(2, 3, 4)], np.transpose),
    "T of a vector": (lambda x: x.T * x, [a(3)], np.square),
    "reshape": (lambda x: graph.reshape(x, (3, 2)), [a(2, 3)], lambda x: x.reshape(3, 2)),
    "broadcast": (lambda x: graph.broadcast(x, (4, 3, 2)), [a(3, 1)], lambda x: np.broadcast_to(x, (4, 3, 2))),
    "sum_to": (lambda x: graph.sum_to(x, (3, 1)), [a(4, 3, 2)], lambda x: x.sum((0, 2)).reshape(3, 1)),
    "sum": (graph.sum, [a(2, 3)], np.sum),
    "sum, axis": (lambda x: graph.sum(x, 1), [a(2, 3, 4)], lambda x: x.sum(1)),
    "sum, last axis kept": (lambda x: graph.sum(x, -1, keepdims=True), [a(2, 3)], lambda x: x.sum(-1, keepdims=True)),
    "sum, all kept": (lambda x: graph.sum(x, keepdims=True), [a(2, 3)], lambda x: x.sum(keepdims=True)),
    "part": (lambda x: x[1:, ::2], [a(3, 5)], lambda x: x[1:, ::2]),
    "part, backwards": (lambda x: x[::-2], [a(5)], lambda x: x[::-2]),
    "part, one": (lambda x: x[..., -1], [a(3, 5)], lambda x: x[..., -1]),
    "pad": (lambda x: graph.pad(x, (5,), ((3, None, -2),)), [a(2)], lambda x: np.array([0, x[1], 0, x[0], 0])),
    "concatenate": (
        lambda x, y, z: graph.concatenate(x, y, z, axis=1),
        [a(2, 3), a(2, 1), a(2, 2)],
        lambda *parts: np.concatenate(parts, 1),
    ),
    "take": (lambda x: graph.take(x, graph.constant(AT, below=3), 1), [a(2, 4)], lambda x: x[:, AT]),
    "take, one": (lambda x: graph.take(x, graph.constant(1, below=3), 0), [a(3, 2)], lambda x: x[1]),
    "put": (
        lambda x: graph.put(x, graph.constant(AT, below=3), 1, 4),
        [a(2, 3)],
        lambda x: np.stack([x[:, 1], 0 * x[:, 0], x[:, 0] + x[:, 2], 0 * x[:, 0]], 1),
    ),
    "softmax": (graph.softmax, [a(2, 3)], lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    "cross_entropy": (
        lambda x: graph.cross_entropy(x, graph.constant(AT, below=4)),
        [a(3, 4)],
        lambda x: np.log(np.exp(x).sum(-1)) - x[range(3), AT],
    ),
}
FLAT = {"positive", "one_hot", "stop_gradient", "edge_weight"}  # below: their gradient is none, or not the slope of the value


def test_every_operation_is_among_the_cases():
    seen = set()
    for call, arrays, _ in CASES.values():
        variables = [graph.variable(f"v{n}", array.shape) for n, array in enumerate(arrays)]
        seen |= {node.op for node in graph.subgraph([call(*variables)])}
    assert OPERATIONS.keys() - FLAT == seen - {"variable", "constant"}


def scalar(call, arrays):
    """A number that depends on every number of the result, each with another weight; the variables; their values."""
    variables = [graph.variable(f"v{n}", array.shape) for n, array in enumerate(arrays)]
    y = call(*variables)
    return y, graph.sum(y * a(*y.shape, seed=9) + 0.1 * y * y), variables, dict(zip(variables, arrays, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    call, arrays, numpy = CASES[name]
    y, _, _, values = scalar(call, arrays)
    found = graph.evaluate(y, values)
    assert found.shape == y.shape and np.abs(found).max() > 1e-3
    np.testing.assert_allclose(found, numpy(*arrays), rtol=1e-14, atol=1e-15)


def slopes(z, values):
    """∂z at every number of every variable, by central differences."""
    found = []
    for variable, array in values.items():
        slope = np.empty_like(array)
        for at in np.ndindex(array.shape):
            sides = []
            for shift in (WIDTH, -WIDTH):
                moved = array.copy()
                moved[at] += shift
                sides.append(graph.evaluate(z, {**values, variable: moved}))
            slope[at] = (sides[0] - sides[1]) / (2 * WIDTH)
        found.append(slope)
    return found


@pytest.mark.parametrize("name", CASES)
def test_first_and_second_derivatives_by_finite_differences(name):
    call, arrays, _ = CASES[name]
    _, z, variables, values = scalar(call, arrays)
    first = graph.gradients(z, variables)
    for node, found, wanted in zip(variables, graph.evaluate(first, values), slopes(z, values), strict=True):
        assert found.shape == node.shape and np.abs(wanted).max() > 1e-3
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)
    along = graph.sum(first[0] * a(*first[0].shape, seed=3))
    for node in first[1:]:
        along = along + graph.sum(node * a(*node.shape, seed=4))
    second = graph.gradients(along, variables)
    for found, wanted in zip(graph.evaluate(second, values), slopes(along, values), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)
    assert max(np.abs(found).max() for found in graph.evaluate(second, values)) > 1e-3, "all of this is zero"


def test_what_lets_no_gradient_through():
    x, w = graph.variable("x", (3,)), graph.variable("w")
    values = {x: [1.0, -2.0, 3.0], w: 2.5}
    assert graph.evaluate(graph.positive(x), values).tolist() == [1, 0, 1]
    assert graph.evaluate(graph.one_hot(graph.constant(AT, below=3), 4), {}).tolist() == np.eye(4)[AT].tolist()
    for node in (graph.stop_gradient(x), graph.positive(x)):
        z = graph.sum(x * node)
        (slope,) = graph.gradients(z, [x])
        assert np.array_equal(*graph.evaluate([slope, node], values)), "only the other factor counts"
        (nothing,) = graph.gradients(graph.sum(node), [x])
        assert graph.evaluate(nothing, values).tolist() == [0, 0, 0]


def test_an_edge_weight_changes_the_gradient_and_not_the_value():
    x, w = graph.variable("x", (3,)), graph.variable("w")
    values = {x: [1.0, -2.0, 3.0], w: 2.5}
    y = graph.edge_weight(x, w)
    slope, by_weight = graph.gradients(graph.sum(y * y), [x, w])
    found = graph.evaluate([y, slope, by_weight], values)
    assert found[0].tolist() == [1, -2, 3] and found[1].tolist() == [5, -10, 15] and found[2] == 0
    (again,) = graph.gradients(graph.sum(slope), [w])
    assert graph.evaluate(again, values) == pytest.approx(2 * (1 - 2 + 3)), "the gradient itself depends on the weight"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("name", ["matmul, stacks", "power", "sigmoid", "cross_entropy", "take", "pad", "concatenate"])
def test_any_float_type(name, dtype):
    call, arrays, numpy = CASES[name]
    y, z, variables, values = scalar(call, arrays)
    nodes = [y, z, *graph.gradients(z, variables)]
    seen = []
    found = graph.evaluate(nodes, values, dtype=dtype, observe=lambda node, value: seen.append((node, value)))
    assert {value.dtype for node, value in seen if node.below is None} == {np.dtype(dtype)}
    tolerance = 40 * max(np.finfo(dtype).eps, np.finfo(float).eps)
    np.testing.assert_allclose(found[0].astype(float), numpy(*arrays), rtol=tolerance, atol=tolerance)


def test_large_numbers_do_not_overflow():
    o = graph.variable("o", (3,))
    values = {o: [1e4, -1e4, 0.0]}
    target = graph.constant(1, below=3)
    found = graph.evaluate([graph.softmax(o), graph.cross_entropy(o, target), graph.sigmoid(o)], values)
    assert found[0].tolist() == [1, 0, 0] and found[1] == 2e4 and found[2].tolist() == [1, 0, 0.5]


BINARY = {
    "add": (graph.add, torch.add),
    "subtract": (graph.subtract, torch.sub),
    "multiply": (graph.multiply, torch.mul),
    "divide": (lambda x, y: x / (1 + y * y), lambda x, y: x / (1 + y * y)),
    "matmul": (lambda x, y: x.T @ y, lambda x, y: x.T @ y),
    "concatenate": (lambda x, y: graph.concatenate(x, y, axis=0)[1:4], lambda x, y: torch.cat([x, y])[1:4]),
}
UNARY = {
    "tanh": (graph.tanh, torch.tanh),
    "sigmoid": (graph.sigmoid, torch.sigmoid),
    "exp": (lambda x: graph.exp(graph.tanh(x)), lambda x: torch.exp(torch.tanh(x))),
    "log": (lambda x: graph.log(2 + x * x), lambda x: torch.log(2 + x * x)),
    "relu": (lambda x: graph.relu(x) ** 2, lambda x: torch.relu(x) ** 2),
    "power": (lambda x: (1 + x * x) ** 0.5, lambda x: (1 + x * x) ** 0.5),
    "softmax": (graph.softmax, lambda x: torch.softmax(x, -1)),
    "transpose": (lambda x: x.T, lambda x: x.T),
    "mean": (lambda x: graph.sum(x, 0, keepdims=True) / 3 + x[:1], lambda x: x.mean(0, keepdim=True) + x[:1]),
    "rows": (lambda x: graph.broadcast(x[-1], (3, 3)), lambda x: x[-1].expand(3, 3)),
    "take": (lambda x: graph.take(x, graph.constant(AT, below=3), 0), lambda x: x[torch.tensor(AT)]),
    "reshape": (lambda x: graph.reshape(x[:, ::-1], x.shape), lambda x: x.flip(1).reshape(x.shape)),
    "stop": (graph.stop_gradient, torch.detach),
}


@st.composite
def programs(draw):
    """Random operations on random earlier results: shared nodes, dead ends, deep and wide."""
    count = draw(st.integers(2, 12))
    names = st.sampled_from([*BINARY, *UNARY])
    return [(draw(names), draw(st.integers(0, n + 2)), draw(st.integers(0, n + 2))) for n in range(count)]


def follow(program, start, number):
    """Run a program in one of the two libraries; some nodes are used often, some never."""
    nodes = list(start)
    for name, first, second in program:
        call = (BINARY if name in BINARY else UNARY)[name][number]
        x = call(nodes[first], nodes[second]) if name in BINARY else call(nodes[first])
        nodes.append(x + 0 * nodes[0])  # back to three rows and columns
    kept = nodes[-1] * nodes[-1] + nodes[len(nodes) // 2]
    return kept.sum() if number else graph.sum(kept)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(program=programs(), seed=st.integers(0, 2**32 - 1))
def test_random_graphs_agree_with_torch(program, seed):
    arrays = [np.random.default_rng([seed, n]).normal(size=(3, 3)) for n in range(3)]
    variables = [graph.variable(f"v{n}", (3, 3)) for n in range(3)]
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    values = dict(zip(variables, arrays, strict=True))
    z, wanted = follow(program, variables, 0), follow(program, tensors, 1)
    slopes = graph.gradients(z, variables, independent="zero")
    expected = torch.autograd.grad(wanted, tensors, create_graph=True, allow_unused=True)
    expected = [torch.zeros(3, 3, dtype=torch.float64) if one is None else one for one in expected]
    compare([z, *slopes], [wanted, *expected], values)

    square, along = sum((graph.sum(one * one) for one in slopes), graph.constant(0.0)), sum((one**2).sum() for one in expected)
    second = graph.gradients(square, variables, independent="zero")
    if along.requires_grad:
        twice = torch.autograd.grad(along, tensors, allow_unused=True)
        compare(second, [torch.zeros(3, 3) if one is None else one for one in twice], values)


def compare(nodes, tensors, values):
    for found, wanted in zip(graph.evaluate(nodes, values), tensors, strict=True):
        wanted = wanted.detach().numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10 * max(1, np.abs(wanted).max()))


x, y, W, i = graph.variable("x", (3,)), graph.variable("y", (4,)), graph.variable("W", (2, 4)), graph.index("i", 5)
WRONG = {
    "lengths that differ": (lambda: x + y, "add", "x: variable [3]", "y: variable [4]"),
    "columns and rows": (lambda: W @ x, "matmul", "W: variable [2, 4]", "x: variable [3]"),
    "a number as a matrix": (lambda: W @ 3.0, "matmul", "multiplied by *"),
    "a stack by a vector": (lambda: graph.variable("A", (2, 3, 4)) @ y, "matmul", "A: variable [2, 3, 4]"),
    "reshape": (lambda: graph.reshape(W, (3, 3)), "reshape", "[2, 4]", "shape=(3, 3)"),
    "broadcast": (lambda: graph.broadcast(x, (4,)), "broadcast", "shape=(4,)"),
    "sum_to": (lambda: graph.sum_to(W, (3,)), "sum_to", "W: variable [2, 4]"),
    "transpose": (lambda: graph.transpose(W, (0, 0)), "transpose", "axes=(0, 0)"),
    "axis": (lambda: graph.sum(W, 2), "sum", "W: variable [2, 4]", "axis=2"),
    "concatenate": (lambda: graph.concatenate(x, W, axis=0), "concatenate", "x: variable [3]"),
    "concatenate, axis": (lambda: graph.concatenate(x, y, axis=1), "concatenate", "axis=1"),
    "an item too far": (lambda: x[3], "in brackets", "x: variable [3]", "from -3 to 2"),
    "an item of nothing": (lambda: x[2:2], "in brackets", "at least one"),
    "too many brackets": (lambda: x[0, 0], "in brackets", "x: variable [3]"),
    "real numbers choose": (lambda: graph.take(W, x, 0), "take", "index(name, below=2)"),
    "indices too large": (lambda: graph.take(W, i, 1), "take", "i: index below 5, []", "below=4"),
    "an index in a sum": (lambda: x + i, "add", "i: index below 5"),
    "a target too large": (lambda: graph.cross_entropy(y, i), "cross_entropy", "y: variable [4]"),
    "a target for each row": (lambda: graph.cross_entropy(W, graph.index("t", 4, (3,))), "cross_entropy", "t: index"),
    "classes": (lambda: graph.one_hot(i, 4), "one_hot", "classes=4"),
    "softmax of a number": (lambda: graph.softmax(graph.variable("s")), "softmax", "s: variable []"),
    "weights of an edge": (lambda: graph.edge_weight(x, y), "edge_weight", "one number"),
    "a node as exponent": (lambda: x**y, "power", "exp(b * log(a))"),
    "no name at all": (lambda: graph.variable(""), "needs a name"),
    "an empty shape": (lambda: graph.variable("z", (0,)), "shape of z", "(0,)"),
    "no class": (lambda: graph.index("z", 0), "z", "below=0"),
    "a constant of words": (lambda: graph.constant("abc"), "constant", "abc"),
    "negative indices": (lambda: graph.constant([-1], below=2), "from 0", "-1"),
    "a sum of three": (lambda: graph.add(x, x, x), "add is called", "Call add(a, b)"),
    "a sum of one": (lambda: graph.add(x), "add is called", "Call add(a, b)"),
    "an axis of softmax": (lambda: graph.softmax(W, 0), "softmax is called", "Call softmax(o)"),
    "an axis of tanh": (lambda: graph.tanh(x, axis=0), "tanh is called", "axis"),
    "no axis": (lambda: graph.concatenate(x, y), "concatenate is called", "Call concatenate(*parts, axis)"),
    "nothing to join": (lambda: graph.concatenate(axis=0), "concatenate is called"),
    "two axes": (lambda: graph.sum(W, (0, 1)), "sum", "one axis", "axis=(0, 1)"),
    "negative lengths": (lambda: graph.reshape(W, (-2, -4)), "reshape", "at least 1"),
    "fractions of lengths": (lambda: graph.reshape(W, (4.0, 2.0)), "reshape", "whole numbers"),
    "a length alone": (lambda: graph.reshape(W, 8), "reshape", "shape=8"),
    "a copy of nothing": (lambda: graph.broadcast(x[:1], (0,)), "broadcast", "at least 1"),
    "steps of 0": (lambda: x[::0], "in brackets", "not 0"),
    "half a class": (lambda: graph.one_hot(i, 5.5), "one_hot", "classes=5.5"),
    "a number as shape": (lambda: graph.variable("z", 3), "shape of z", "3"),
    "a constant of unequal rows": (lambda: graph.constant([[1], [1, 2]]), "constant", "[1, 2]"),
    "two names": (lambda: x.named("z"), "one name", "called x"),
}


# What is wrong here is no shape.
PLAIN = {"no name at all", "no class", "a constant of words", "a constant of unequal rows", "negative indices", "two names"}
PLAIN |= {"a sum of three", "a sum of one", "an axis of softmax", "an axis of tanh", "no axis", "nothing to join"}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_said_with_names_and_shapes(name):
    call, *said = WRONG[name]
    with pytest.raises(InputError) as caught:
        call()
    assert all(part in str(caught.value) for part in said), str(caught.value)
    assert caught.value.wrong and caught.value.todo
    assert isinstance(caught.value, ShapeError) or name in PLAIN


def test_unnamed_nodes_are_told_by_what_they_read():
    with pytest.raises(ShapeError, match=r"tanh\(x\) \[3\]; y: variable \[4\]"):
        graph.tanh(x) * y


def test_a_node_is_no_truth_and_no_list():
    for wrong in (lambda: bool(x), lambda: list(x)):
        with pytest.raises(TypeError, match="x: variable"):
            wrong()

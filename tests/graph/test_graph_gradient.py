"""The algorithm: gradients are nodes of the graph, each made once; deep graphs; memory; what is refused."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter

import numpy as np
import pytest

from bptt import graph
from bptt.errors import InputError, ShapeError
from bptt.graph import networks


def chain(steps, size=3):
    """h_t = tanh(w h_{t−1} + u), and a loss at every step."""
    w, u, h = graph.variable("w"), graph.variable("u", (size,)), graph.variable("h_0", (size,))
    start, losses = h, []
    for _ in range(steps):
        h = graph.tanh(w * h + u)
        losses.append(graph.sum(h * h))
    while len(losses) > 1:
        losses = [a + b for a, b in zip(losses[::2], [*losses[1::2], 0.0], strict=False)]
    return losses[0], w, u, start


def by_hand(steps, w, u, h_0):
    """∂L/∂w, ∂L/∂u, ∂L/∂h_0 of the chain, in a loop over arrays."""
    h = [np.asarray(h_0)]
    for _ in range(steps):
        h.append(np.tanh(w * h[-1] + u))
    dw, du, dh = 0.0, np.zeros_like(h[0]), np.zeros_like(h[0])
    for t in range(steps, 0, -1):
        da = (dh + 2 * h[t]) * (1 - h[t] ** 2)
        dw, du, dh = dw + (da * h[t - 1]).sum(), du + da, w * da
    return [dw, du, dh]


def counted(nodes, values):
    """The values, and how often each node was evaluated."""
    seen = Counter()
    return graph.evaluate(nodes, values, observe=lambda node, _: seen.update([node])), seen


def test_a_gradient_is_new_nodes_of_the_graph():
    x, w = graph.variable("x", (3,)), graph.variable("w", (3,))
    z = graph.sum(graph.tanh(w * x))
    before = set(graph.subgraph([z]))
    (slope,) = graph.gradients(z, [w])
    inserted = set(graph.subgraph([slope])) - before
    assert inserted and z in before and slope not in before
    assert {node for one in inserted for node in one.inputs} & before, "they read what was there: the value of tanh, and x"
    again = graph.gradients(z, [w])
    assert again == [slope], "asking again adds nothing"


def test_the_table_has_every_node_between_and_the_terms_of_its_consumers():
    w, x = graph.variable("w"), graph.variable("x")
    a = (w * x).named("a")
    b, c = graph.tanh(a), graph.exp(a)
    z = b * c
    table = graph.differentiate(z, [w])
    assert table.gradients.keys() == {z, a, b, c, w}, "x was not asked for"
    assert table.terms.keys() == {(z, b), (z, c), (b, a), (c, a), (a, w)}
    values = {w: 0.7, x: -0.4}
    found = graph.evaluate([table.gradients[a], table.terms[b, a], table.terms[c, a]], values)
    assert found[0] == pytest.approx(found[1] + found[2], rel=1e-15) and found[1] != 0 != found[2]
    slope = np.exp(-0.28) * (1 - np.tanh(-0.28) ** 2 + np.tanh(-0.28))
    assert found[0] == pytest.approx(slope, rel=1e-12)


def test_nothing_is_made_where_nothing_comes_back():
    """What acts on z through a cut edge alone is not differentiated, not even into zeros."""
    w, x = graph.variable("w"), graph.variable("x")
    inner = graph.tanh(w)
    z = graph.exp(graph.stop_gradient(graph.exp(inner))) * w + x
    table = graph.differentiate(z, [w])
    assert inner not in table.gradients and (inner, w) not in table.terms
    assert graph.evaluate(table.gradients[w], {w: 0.3, x: 1.0}) == pytest.approx(np.exp(np.exp(np.tanh(0.3))))


def test_a_consumer_that_reads_a_node_twice_counts_twice():
    x = graph.variable("x")
    (slope,) = graph.gradients(x * x, [x])
    assert graph.evaluate(slope, {x: 3.0}) == 6


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_by_hand(steps):
    z, *variables = chain(steps)
    values = [0.9, np.array([0.3, -0.5, 0.1]), np.array([0.2, 0.4, -0.6])]
    found = graph.evaluate(graph.gradients(z, variables), dict(zip(variables, values, strict=True)))
    for a, b in zip(found, by_hand(steps, *values), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def work(network, steps):
    """How many nodes the loss and its gradients take, each evaluated once; how many of them are the same computation."""
    net = network.unroll(steps)
    wanted = [*net.parameters.values()]
    _, seen = counted([net.loss, *graph.gradients(net.loss, wanted)], net.example())
    assert set(seen.values()) == {1}
    same = Counter((node.op, node.inputs, *sorted(node.attributes.items())) for node in seen if node.inputs)
    assert set(same.values()) == {1}, "no subtree is repeated"
    return len(seen)


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_the_number_of_evaluated_nodes_is_linear_in_time(name):
    network = networks.NETWORKS[name]()
    few, some, many = (work(network, steps) for steps in (10, 20, 50))
    assert 3 * (some - few) == many - some and (some - few) % 10 == 0
    if name == "rnn":
        assert work(network, 1000) - many == 95 * (some - few)
        assert (some - few) // 10 < 40, "a few operations per step, forward and backward"


def test_second_derivatives_are_linear_in_time_too():
    def count(steps):
        z, *variables = chain(steps)
        vectors = [np.ones(node.shape) for node in variables]
        return len(graph.subgraph(graph.hessian_vector_product(z, variables, vectors)))

    few, some, many = (count(steps) for steps in (16, 32, 128))
    assert many - some == pytest.approx(6 * (some - few), rel=0.02)


def test_ten_thousand_steps_are_no_deeper_than_one():
    """h_t = w h_{t−1}, so z = Σ w^T h_0: forward, backward, and taking apart."""
    steps, w, h_0 = 10_000, graph.variable("w"), graph.variable("h_0", (3,))
    h = h_0
    for _ in range(steps):
        h = w * h
    z = graph.sum(h)
    slopes = graph.gradients(z, [w, h_0])
    start = np.array([0.2, 0.4, -0.7])
    found = graph.evaluate([z, *slopes], {w: 1.0001, h_0: start})
    power = 1.0001**steps
    for value, wanted in zip(found, [power * start.sum(), steps * power / 1.0001 * start.sum(), power], strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-11)
    repr(z), repr(slopes[0])
    del z, h, slopes
    gc.collect()  # taking a long chain apart does not recur either


@pytest.mark.slow
def test_ten_thousand_steps_with_a_loss_at_each():
    z, *variables = chain(10_000)
    values = [0.9, np.array([0.3, -0.5, 0.1]), np.array([0.2, 0.4, -0.6])]
    slopes = graph.gradients(z, variables)
    found = graph.evaluate(slopes, dict(zip(variables, values, strict=True)))
    for a, b in zip(found, by_hand(10_000, *values), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


@pytest.mark.slow
def test_a_network_over_ten_thousand_steps():
    net = networks.rnn(classes=True).unroll(10_000)
    slopes = graph.gradients(net.loss, list(net.parameters.values()))
    assert all(np.abs(value).max() > 1e-3 for value in graph.evaluate(slopes, net.example()))


def test_only_what_the_result_depends_on_is_visited():
    w, other = graph.variable("w"), graph.variable("other")
    used = w * 2
    aside = graph.exp(other)
    _, seen = counted([used], {w: 1.0})
    assert aside not in seen and other not in seen and len(seen) == 3


def test_a_table_keeps_values_and_goes_on_from_them():
    z, *variables = chain(4)
    values = dict(zip(variables, [0.9, np.ones(3), np.zeros(3)], strict=True))
    table = {}
    first = graph.evaluate(z, values, table=table)
    assert set(table) == set(graph.subgraph([z]))
    slopes, seen = graph.gradients(z, variables), Counter()
    found = graph.evaluate(slopes, values, table=table, observe=lambda node, _: seen.update([node]))
    assert seen and not set(seen) & set(graph.subgraph([z])), "what is in the table is not computed again"
    assert table[z] == first
    for a, b in zip(found, graph.evaluate(slopes, values), strict=True):
        assert np.array_equal(a, b)


def test_without_a_table_values_are_let_go_after_their_last_use():
    z, *variables = chain(100, size=10_000)
    values = dict(zip(variables, [0.9, np.ones(10_000), np.zeros(10_000)], strict=True))

    def peak(nodes, table):
        gc.collect()
        tracemalloc.start()
        graph.evaluate(nodes, values, table=table)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found / 80_000  # in vectors

    assert peak([z], None) < 12
    assert peak([z], {}) > 300
    slopes = graph.gradients(z, variables)
    assert 100 < peak(slopes, None) < 240, "the gradient needs the states again, and little else"


def test_a_result_that_is_also_an_input_of_another_is_kept():
    x = graph.variable("x", (2,))
    y = x * 2
    z = graph.sum(y)
    found = graph.evaluate([y, z, y, x], {x: [1.0, 2.0]})
    assert [value.tolist() for value in found] == [[2, 4], 6, [2, 4], [1, 2]]


def test_seeds():
    x, v = graph.variable("x", (3,)), graph.variable("v", (3,))
    y = graph.tanh(x)
    given = {x: [0.1, 0.2, 0.3], v: [1.0, 0.0, 2.0]}
    (product,) = graph.gradients(y, [x], seed=v)
    assert graph.evaluate(product, given) == pytest.approx([1 - np.tanh(0.1) ** 2, 0, 2 * (1 - np.tanh(0.3) ** 2)])
    (column,) = graph.gradients(y, [x], seed=[0.0, 1.0, 0.0])
    assert graph.evaluate(column, given)[1] == pytest.approx(1 - np.tanh(0.2) ** 2)
    assert graph.evaluate(graph.gradients(y, [y], seed=v)[0], given).tolist() == [1, 0, 2]


def test_the_hessian_of_a_quadratic_form():
    A = np.array([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 1.5]])
    x, b = graph.variable("x", (3,)), graph.variable("b", (3,))
    z = x @ (A @ x) + b @ x
    found = graph.hessian_vector_product(z, [x], [np.array([1.0, -2.0, 0.5])])
    assert graph.evaluate(found[0], {x: [1.0, 2.0, 3.0], b: np.ones(3)}) == pytest.approx(2 * A @ [1.0, -2.0, 0.5])
    straight = graph.hessian_vector_product(b @ x, [b], [np.ones(3)])
    assert graph.evaluate(straight[0], {x: np.ones(3), b: np.ones(3)}).tolist() == [0, 0, 0]


def test_no_cycle_can_be_made():
    """A node's inputs are there before it, and cannot be exchanged."""
    x = graph.variable("x")
    y = graph.tanh(x)
    with pytest.raises(TypeError):
        y.inputs[0] = y
    with pytest.raises(AttributeError):
        y.inputs = (y,)
    with pytest.raises(AttributeError):
        y.op = "exp"
    order = graph.subgraph([graph.gradients(y * y, [x])[0]])
    place = {node: n for n, node in enumerate(order)}
    assert all(place[one] < place[node] for node in order for one in node.inputs)


def test_what_cannot_be_asked_for():
    x, y, i = graph.variable("x", (2,)), graph.variable("y", (3,)), graph.index("i", 2)
    z, W = graph.sum(x[0] * graph.take(x, i, 0)).named("z"), graph.variable("W", (2, 2))
    wrong = {
        "z does not depend on y": lambda: graph.gradients(z, [x, y]),
        "no gradient with respect to i": lambda: graph.gradients(z, [i]),
        "not one number": lambda: graph.gradients(graph.tanh(x), [x]),
        "seed does not have the shape": lambda: graph.gradients(graph.tanh(x), [x], seed=[1.0]),
        "Only nodes are differentiated": lambda: graph.gradients(z, ["x"]),
        "refused, or is zero": lambda: graph.gradients(z, [y], independent="zeros"),
        "vector in its shape": lambda: graph.hessian_vector_product(z, [x], [[1.0]]),
        "has a vector": lambda: graph.hessian_vector_product(z, [x], []),
        "at least one node": lambda: graph.norm([]),
        "rows of W are not equally long": lambda: graph.evaluate(W, {W: [[1.0], [1.0, 2.0]]}),
        "y has no value": lambda: graph.evaluate(y * 2, {}),
        "value of y has another shape": lambda: graph.evaluate(y, {y: [1.0]}),
        "value of y is not made of real": lambda: graph.evaluate(y, {y: ["a", "b", "c"]}),
        "value of i is no index": lambda: graph.evaluate(z, {x: [1.0, 2.0], i: 2}),
        "Only variables are given": lambda: graph.evaluate(z, {z: 1.0}),
        "in a float type": lambda: graph.evaluate(z, {}, dtype=int),
    }
    for said, call in wrong.items():
        with pytest.raises(InputError) as caught:
            call()
        message = str(caught.value)
        assert said in message and caught.value.given and caught.value.todo
        assert isinstance(caught.value, ShapeError) == any(one in said for one in ("shape", "not one number", "vector", "long"))
    with pytest.raises(InputError, match=r"z: multiply \[\]; y: variable \[3\]"):
        graph.gradients(z, [y])
    with pytest.raises(InputError, match=r"y: variable \[3\], needed for multiply\(y, broadcast\)"):
        graph.evaluate(y * 2, {x: [1.0, 2.0]})
    for value in (-1, 2, 0.0, [0]):
        with pytest.raises(InputError, match="i: index below 2"):
            graph.evaluate(z, {x: [1.0, 2.0], i: value})


def test_zeros_for_what_the_result_does_not_depend_on():
    x, y = graph.variable("x"), graph.variable("y", (3,))
    found = graph.gradients(x * x, [y, x], independent="zero")
    assert [value.tolist() for value in graph.evaluate(found, {x: 3.0})] == [[0, 0, 0], 6]


def test_the_norm_of_several():
    x, y = graph.variable("x", (2,)), graph.variable("y", (2, 2))
    values = {x: [3.0, 0.0], y: [[0.0, 4.0], [12.0, 0.0]]}
    size = graph.norm([x, y])
    assert graph.evaluate(size, values) == 13
    (slope,) = graph.gradients(size, [y])
    assert graph.evaluate(slope, values) == pytest.approx(np.array([[0, 4], [12, 0]]) / 13)

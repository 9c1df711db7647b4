"""Networks as graphs against torch, against the library's own strategies and against closed forms, to 1e-12."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

import bptt
from bptt import graph, reference
from bptt.errors import InputError
from bptt.graph import flow as flows
from bptt.graph import networks
from bptt.losses import cross_entropy

SIZES = INPUTS, H, Q = 3, 5, 4  # inputs, hidden units, outputs
STEPS = [1, 2, 7, 50]


def problem(network, steps, seed=0):
    """The unrolled network and values for its variables, by name: gradients neither die nor blow up."""
    net = network.unroll(steps)
    random = np.random.default_rng([seed, steps])
    values = {}
    for node in net.variables:
        if node.below is not None:
            values[node.name] = random.integers(node.below, size=node.shape)
        else:
            values[node.name] = random.normal(size=node.shape) * (0.6 if node.ndim == 2 else 1)
    return net, values


def tensors(net, values):
    """The same as tensors of torch, parameters and states as leaves."""
    found = {name: torch.as_tensor(value) for name, value in values.items()}
    for name, value in found.items():
        if net[name] in wanted_of(net):
            value.requires_grad_()
    return found


def wanted_of(net):
    """The parameters, and the states to start from."""
    started = [net.nodes[f"{name}_0"] for name in net.network.carried if net.nodes[f"{name}_0"].below is None]
    return [*net.parameters.values(), *started]


def stack(found, base, steps):
    return torch.stack([found[f"{base}_{t}"] for t in range(1, steps + 1)])


def same(found, wanted, tolerance=1e-12):
    """Equal to the tolerance, relative to the largest number of each, which is not zero."""
    for a, b in zip(found, wanted, strict=True):
        b = b.detach().numpy() if isinstance(b, torch.Tensor) else np.asarray(b)
        assert a.shape == b.shape and np.abs(b).max() > 1e-8
        assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())


def scored(found, h, steps):
    """The loss of the states h [T, H]."""
    scores = h @ found["W_qh"].T + found["b_q"]
    return functional.cross_entropy(scores, stack(found, "y", steps).long(), reduction="sum")


def torch_rnn(found, steps):
    x = stack(found, "x", steps)
    x = functional.one_hot(x, INPUTS).double() if not x.is_floating_point() else x
    zero = torch.zeros(H, dtype=torch.float64)
    h = torch.rnn_tanh(
        x[:, None],
        found["h_0"].view(1, 1, H),
        [found["W_hx"], found["W_hh"], found["b_h"], zero],
        True,
        1,
        0.0,
        False,
        False,
        False,
    )[0]
    return scored(found, h[:, 0], steps)


def torch_lstm(found, steps):
    start = [found[name].view(1, 1, H) for name in ("h_0", "c_0")]
    weights = [found["W_hx"], found["W_hh"], found["b_h"], torch.zeros(4 * H, dtype=torch.float64)]
    h = torch.lstm(stack(found, "x", steps)[:, None], start, weights, True, 1, 0.0, False, False, False)[0]
    return scored(found, h[:, 0], steps)


def torch_gru(found, steps):
    weights = [found["W_hx"], found["W_hh"], found["b_x"], found["b_h"]]
    start = found["h_0"].view(1, 1, H)
    h = torch.gru(stack(found, "x", steps)[:, None], start, weights, True, 1, 0.0, False, False, False)[0]
    return scored(found, h[:, 0], steps)


def torch_tdnn(found, steps):
    kernel = torch.stack([found["W_2"], found["W_1"], found["W_0"]], -1)  # the last tap is the present
    padded = functional.pad(stack(found, "x", steps).T[None], (2, 0))
    return scored(found, torch.tanh(functional.conv1d(padded, kernel, found["b_h"]))[0].T, steps)


def torch_output_to_hidden(found, steps):
    o, states = found["o_0"], []
    for t in range(1, steps + 1):
        states.append(torch.tanh(found["W_hx"] @ found[f"x_{t}"] + found["W_ho"] @ o + found["b_h"]))
        o = found["W_qh"] @ states[-1] + found["b_q"]
    return scored(found, torch.stack(states), steps)


def torch_teacher(found, steps):
    before = torch.stack([found[f"y_{t}"] for t in range(steps)])
    fed = functional.one_hot(before, Q).double()
    return scored(found, torch.tanh(stack(found, "x", steps) @ found["W_hx"].T + fed @ found["W_ho"].T + found["b_h"]), steps)


def torch_linear(found, steps):
    h, losses = found["h_0"], []
    for t in range(1, steps + 1):
        h = found["W_hx"] @ found[f"x_{t}"] + found["W_hh"] @ h
        losses.append(((found["W_qh"] @ h - found[f"y_{t}"]) ** 2).sum())
    return sum(losses) / steps


ORACLES = {
    "rnn": (networks.rnn(*SIZES), torch_rnn),
    "rnn, one-hot": (networks.rnn(*SIZES, classes=True), torch_rnn),
    "linear": (networks.linear(*SIZES), torch_linear),
    "output to hidden": (networks.output_to_hidden(*SIZES), torch_output_to_hidden),
    "teacher forcing": (networks.output_to_hidden(*SIZES, teacher=True), torch_teacher),
    "tdnn": (networks.tdnn(*SIZES), torch_tdnn),
    "lstm": (networks.lstm(*SIZES), torch_lstm),
    "gru": (networks.gru(*SIZES), torch_gru),
}


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("name", ORACLES)
def test_loss_and_gradients_are_those_of_torch(name, steps):
    network, oracle = ORACLES[name]
    net, values = problem(network, steps)
    found = tensors(net, values)
    loss = oracle(found, steps)
    wanted = wanted_of(net)
    if name == "tdnn" and steps < 3:  # the taps that reach before the first input are not used
        wanted = [node for node in wanted if node.name not in ("W_1", "W_2")[steps - 1 :]]
    expected = torch.autograd.grad(loss, [found[node.name] for node in wanted])
    same(graph.evaluate([net.loss, *graph.gradients(net.loss, wanted)], net.given(values)), [loss, *expected])


@pytest.mark.parametrize("name", ORACLES)
def test_second_derivatives_are_those_of_torchs_double_backward(name):
    network, oracle = ORACLES[name]
    steps = 6
    net, values = problem(network, steps)
    found, wanted = tensors(net, values), wanted_of(net)
    leaves = [found[node.name] for node in wanted]
    vectors = [np.random.default_rng(n).normal(size=node.shape) for n, node in enumerate(wanted)]

    first = torch.autograd.grad(oracle(found, steps), leaves, create_graph=True)
    along = sum((g * torch.as_tensor(v)).sum() for g, v in zip(first, vectors, strict=True))
    expected = torch.autograd.grad(along, leaves, retain_graph=True)
    same(graph.evaluate(graph.hessian_vector_product(net.loss, wanted, vectors), net.given(values)), expected)

    size = sum((g**2).sum() for g in first) ** 0.5
    expected = torch.autograd.grad(size, leaves)
    norm = graph.norm(graph.gradients(net.loss, wanted))
    same(graph.evaluate([norm, *graph.gradients(norm, wanted)], net.given(values)), [size, *expected])


def closed(values, steps):
    weights = reference.linear.Weights(*(values[name] for name in ("W_hx", "W_hh", "W_qh")))
    x, y = (np.stack([values[f"{base}_{t}"] for t in range(1, steps + 1)]) for base in "xy")
    run = reference.linear.forward(weights, x, values["h_0"])
    return weights, x, run, *reference.linear.squared_error(run.o, y)


@pytest.mark.parametrize("steps", STEPS)
def test_the_closed_forms_of_the_linear_network(steps):
    """Both the recursion over ∂L/∂h_t and its powers, and the gradients made of them."""
    net, values = problem(networks.linear(*SIZES), steps)
    weights, x, run, loss, dL_do = closed(values, steps)
    states = [net[f"h_{t}"] for t in range(steps + 1)]
    table = graph.differentiate(net.loss, [*net.parameters.values(), *states])
    found = graph.evaluate([table.gradients[h] for h in states], net.given(values))
    same(found, reference.linear.adjoints(weights, dL_do))
    same(found, reference.linear.adjoints_by_powers(weights, dL_do))
    wanted = [net[name] for name in ("W_hx", "W_hh", "W_qh", "h_0")]
    expected = reference.linear.gradients(weights, x, run.h, dL_do)
    same(graph.evaluate([net.loss, *(table.gradients[node] for node in wanted)], net.given(values)), [loss, *expected])


@pytest.mark.parametrize("one_hot", [True, False])
def test_the_closed_form_of_the_tanh_network(one_hot):
    steps = 13
    net, values = problem(networks.rnn(*SIZES, classes=one_hot), steps)
    weights = reference.tanh_softmax.Weights(*(values[name] for name in ("W_hx", "W_hh", "W_qh", "b_h", "b_q")))
    x, y = (np.stack([values[f"{base}_{t}"] for t in range(1, steps + 1)]) for base in "xy")
    expected = reference.tanh_softmax.gradients(weights, x, y, values["h_0"])
    wanted = [net[name] for name in ("W_hx", "W_hh", "W_qh", "b_h", "b_q", "h_0")]
    same(graph.evaluate(graph.gradients(net.loss, wanted), net.given(values)), expected)


class Library:
    """The library's own model with the values of a graph, and the gradients that a strategy gives for it."""

    def __init__(self, kind, net, values):
        self.steps = net.steps
        made = {
            "rnn": lambda: bptt.nn.RNN(INPUTS, H),
            "lstm": lambda: bptt.nn.LSTM(INPUTS, H),
            "gru": lambda: bptt.nn.GRU(INPUTS, H),
            "tdnn": lambda: bptt.nn.TDNN(INPUTS, H, kernel_size=3),
            "output-to-hidden": lambda: bptt.nn.OutputToHidden(INPUTS, H, Q),
        }
        recurrent = made[kind]()
        readout = torch.nn.Identity() if kind == "output-to-hidden" else torch.nn.Linear(H, Q)
        self.unroll = bptt.Unroll(None, recurrent, readout, cross_entropy, per=1.0).double()
        self.homes = homes_of(kind, recurrent, readout)
        with torch.no_grad():
            for parameter in recurrent.parameters():
                parameter.zero_()
            for name, (home, at) in self.homes.items():
                home[at] = torch.as_tensor(values[name])
        x = torch.stack([torch.as_tensor(values[f"x_{t}"]) for t in range(1, net.steps + 1)])
        y = torch.as_tensor([int(values[f"y_{t}"]) for t in range(1, net.steps + 1)])
        self.window = bptt.Window.of(x[None], y[None])
        start = tuple(torch.as_tensor(values[f"{name}_0"]).view(1, 1, H) for name in net.network.carried if name != "o")
        self.state = start if kind == "lstm" else start[0] if start else None
        if kind == "output-to-hidden":
            self.state = torch.as_tensor(values["o_0"]).view(1, Q)

    def gradients(self, strategy):
        carry = strategy.start(self.unroll, 1)
        carry = carry if self.state is None else carry._replace(state=self.state)
        for part in (self.window, self.window[:, :0]):
            for estimate in strategy.gradients(self.unroll, part, carry):
                carry = estimate.carry
        return {name: home.grad[at].numpy() for name, (home, at) in self.homes.items()}


def homes_of(kind, recurrent, readout):
    """Where the library keeps each parameter of a graph: a tensor, and the part of it."""
    if kind == "tdnn":  # the last column of the kernel reads the present
        kernel = recurrent.layers[0]
        found = {f"W_{j}": (kernel.weight, (..., 2 - j)) for j in range(3)} | {"b_h": (kernel.bias, ...)}
    elif kind == "output-to-hidden":
        found = {"W_hx": (recurrent.inputs.weight, ...), "W_ho": (recurrent.recurrence.weight, ...)}
        found |= {"b_h": (recurrent.recurrence.bias, ...)}
        readout = recurrent.output
    else:
        found = {"W_hx": (recurrent.weight_ih_l0, ...), "W_hh": (recurrent.weight_hh_l0, ...)}
        found |= {"b_x" if kind == "gru" else "b_h": (recurrent.bias_ih_l0, ...)}
        found |= {"b_h": (recurrent.bias_hh_l0, ...)} if kind == "gru" else {}
    return found | {"W_qh": (readout.weight, ...), "b_q": (readout.bias, ...)}


STRATEGIES = {
    "full": (bptt.Full(), flows.full),
    "truncated": (bptt.Truncated(4), lambda T: flows.truncated(T, 4)),
    "truncated, overlapping": (bptt.Truncated(3, 7), lambda T: flows.truncated(T, 3, 7)),
    "true truncation": (bptt.Truncated(1, 4), lambda T: flows.truncated(T, 1, 4)),
    "truncated, one update": (bptt.Truncated(3, update="window"), lambda T: flows.truncated(T, 3)),
    "per output": (bptt.PerOutput(3), lambda T: flows.per_output(T, 3)),
    "no lag at all": (bptt.PerOutput(0), lambda T: flows.per_output(T, 0)),
    "randomised": (bptt.Randomized(4, seed=3), None),
    "randomised, heavy tail": (bptt.Randomized(3, tail=4, seed=1), None),
    "telescoping": (bptt.Telescoping(6, seed=1), None),
    "telescoping, single": (bptt.Telescoping(6, estimator="single", seed=4), None),
    "adaptive": (bptt.Adaptive(0.5), None),
    "checkpointed": (bptt.Checkpointed(slots=3), flows.full),
}


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_has_its_literal_graph(name, kind):
    """The graph with this flow has the very gradients of the strategy, and the loss of the network that is not cut."""
    strategy, flow = STRATEGIES[name]
    steps = 13
    network = {"rnn": networks.rnn, "lstm": networks.lstm, "gru": networks.gru}[kind](*SIZES)
    whole, values = problem(network, steps)
    measured = flows.of_credit(bptt.credit(strategy, steps, draws=1).weights.numpy())
    if flow is not None:
        assert measured == flow(steps)
    expected = Library(kind, whole, values).gradients(strategy)
    exact = graph.evaluate(graph.gradients(whole.loss, [whole["W_hh"]]), whole.given(values))[0]
    if name not in ("full", "checkpointed"):
        assert np.abs(expected["W_hh"] - exact).max() > 1e-6, "the strategy does something"
    net = network.unroll(steps, measured)
    wanted = [net[one] for one in expected]
    found = graph.evaluate([net.loss, *graph.gradients(net.loss, wanted)], net.given(values))
    same(found[1:], expected.values())
    assert found[0] == pytest.approx(graph.evaluate(whole.loss, whole.given(values)), rel=1e-12)


WHOLE = {"rnn": networks.rnn, "lstm": networks.lstm, "gru": networks.gru, "tdnn": networks.tdnn}
WHOLE |= {"output-to-hidden": networks.output_to_hidden}


@pytest.mark.parametrize("kind", WHOLE)
def test_over_fifty_steps_the_library_has_these_gradients(kind):
    net, values = problem(WHOLE[kind](*SIZES), 50)
    expected = Library(kind, net, values).gradients(bptt.Full())
    assert expected.keys() == net.parameters.keys()
    same(
        graph.evaluate(graph.gradients(net.loss, list(net.parameters.values())), net.given(values)),
        [expected[one] for one in net.parameters],
    )


@pytest.mark.parametrize("name", ["truncated", "true truncation", "per output", "randomised", "telescoping, single"])
def test_strategies_where_only_the_output_is_handed_on(name):
    strategy, steps = STRATEGIES[name][0], 13
    whole, values = problem(networks.output_to_hidden(*SIZES), steps)
    expected = Library("output-to-hidden", whole, values).gradients(strategy)
    net = whole.network.unroll(steps, flows.of_credit(bptt.credit(strategy, steps, draws=1).weights.numpy()))
    exact = graph.evaluate(graph.gradients(whole.loss, [whole["W_ho"]]), whole.given(values))[0]
    assert np.abs(expected["W_ho"] - exact).max() > 1e-6, "the strategy does something"
    same(graph.evaluate(graph.gradients(net.loss, [net[one] for one in expected]), net.given(values)), expected.values())


def test_random_edges_are_unbiased_over_all_patterns():
    """One graph whose edge weights are variables, evaluated for all 2^(T−1) patterns."""
    steps, rate = 5, 0.3
    W, U = graph.variable("W", (2, 2)), graph.variable("U", (2,))
    h, losses, edges = graph.constant([0.3, -0.8]), [], []
    for t in range(1, steps + 1):
        if t > 1:
            edges.append(graph.variable(f"xi_{t}"))
            h = graph.edge_weight(h, edges[-1])
        h = graph.tanh(W @ h + U)
        losses.append(graph.sum(h * [1.0, 2.0 * t]))
    slopes = graph.gradients(sum(losses[1:], losses[0]), [W, U])
    values = {W: [[0.9, -0.4], [0.5, 0.7]], U: [0.1, -0.2]}
    mean = [0.0, 0.0]
    for pattern in np.ndindex(*[2] * len(edges)):
        weight = np.prod([1 - rate if kept else rate for kept in pattern])
        drawn = {edge: kept / (1 - rate) for edge, kept in zip(edges, pattern, strict=True)}
        mean = [m + weight * v for m, v in zip(mean, graph.evaluate(slopes, {**values, **drawn}), strict=True)]
    same(graph.evaluate(slopes, {**values, **dict.fromkeys(edges, 1.0)}), mean)


def test_a_flow_of_credits():
    assert flows.of_credit(np.tril(np.ones((4, 4)))) == flows.full(4)
    rng = np.random.default_rng(0)
    xi = {2: 3.0, 3: 0.0, 4: 0.5, 5: 2.0}
    w = np.zeros((5, 5))
    for t in range(1, 6):
        for k in range(t):
            w[t - 1, k] = np.prod([xi[s] for s in range(t - k + 1, t + 1)])
    (way,) = flows.of_credit(w)
    assert way.edges == xi and way.uses == {} and flows.chained([way])
    skipping = w.copy()
    skipping[4, :3] = [0, 0, 2]  # the last loss counts at lag 2 alone
    assert flows.of_credit(skipping)[-1].uses == {3: 2.0, 4: 0.0, 5: 0.0}
    for wrong in (rng.normal(size=3), np.ones((2, 3)), [[np.nan]]):
        with pytest.raises(InputError, match=r"\[T, T\]"):
            flows.of_credit(wrong)


def test_what_is_no_flow():
    wrong = {
        "k1=0": lambda: flows.truncated(6, 0),
        "k2 is a whole number, at least 4": lambda: flows.truncated(6, 4, 2),
        "k=-1": lambda: flows.per_output(6, -1),
        "k=1.5": lambda: flows.per_output(6, 1.5),
        "steps=0": lambda: flows.full(0),
        "ξ_9": lambda: flows.weighted({9: 0.0}, 3),
        "nan": lambda: flows.weighted({2: float("nan")}, 3),
    }
    for said, call in wrong.items():
        with pytest.raises(InputError, match=said):
            call()


def test_what_cannot_be_unrolled():
    network = networks.rnn()
    wrong = {
        "steps=0": lambda: network.unroll(0),
        "steps=2.0": lambda: network.unroll(2.0),
        "every loss once": lambda: network.unroll(3, flows.full(4)),
        "'h_3'": lambda: network.unroll(3)["h_33"],
        "a row for every step": lambda: network.unroll(3).given({"x": [[1, 2]]}),
    }
    for said, call in wrong.items():
        with pytest.raises(InputError, match=said.replace("[", r"\[")):
            call()
    net = network.unroll(2)
    with pytest.raises(InputError, match="W_qh has no value"):
        graph.evaluate(net.loss, net.given({"W_hx": np.ones((3, 2)), "x": np.ones((2, 2)), "h_0": np.ones(3)}))


def test_names_and_places():
    net = networks.lstm().unroll(2)
    assert net["c_1"].inputs and net["h_0"].op == "variable" and net["x_2"].shape == (2,)
    assert net.places[net["F_2"]].kind == "hidden" and net.places[net["F_2"]].time == 2 and net.places[net["L"]].time is None
    one = networks.rnn().unroll(1)
    assert one.loss is one["l_1"] and "L" not in one.nodes
    copies = networks.rnn().unroll(3, flows.per_output(3, 1))
    assert {"h_2^1", "h_2^2", "h_3^2", "l_3^2"} <= copies.nodes.keys() and "o_2^2" not in copies.nodes

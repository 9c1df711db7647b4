"""docs/derivation.md and docs/graph are true: numbers are read and computed again, code runs, pictures are made again."""

from __future__ import annotations

import doctest
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from bptt import graph, reference
from bptt.cli import main
from bptt.graph import flow as flows
from bptt.graph import networks

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "derivation.md").read_text(encoding="utf-8")
GALLERY = (DOCS / "graph" / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (bptt explain .*)$", GALLERY, re.M)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
GIVEN = {"W_hx": [[0.5]], "W_hh": [[0.8]], "b_h": [0.1], "W_qh": [[1], [-1]], "b_q": [0, 0.2], "h_0": [0.5]}
X, Y = [[1], [-2], [0.5]], [1, 1, 0]


def table(*headings):
    """The columns of the one table that begins with these headings."""
    for block in re.findall(r"(?:^\|.*\|\n)+", PAGE, re.M):
        head, _, *rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines()]
        if head[: len(headings)] == list(headings):
            return dict(zip(head, zip(*rows, strict=True), strict=True))
    raise AssertionError(headings)


def holds(cells, values):
    """The numbers in the cells are the values, rounded to the digits that are shown."""
    assert len(cells) == len(values)
    for cell, value in zip(cells, values, strict=True):
        written = NUMBER.findall(cell.replace("−", "-"))
        assert len(written) == np.size(value), cell
        for text, number in zip(written, np.ravel(value), strict=True):
            digits = len(text.partition(".")[2])
            assert abs(float(text) - number) <= 0.5001 * 10.0**-digits * (digits > 0) + 1e-12, (cell, number)


def unrolled(flow=None):
    net = networks.rnn(1, 1, 2).unroll(3, flow)
    return net, net.given({**GIVEN, "x": X, "y": Y})


def slope(flow):
    """∂L/∂W_hh of the example under a flow."""
    net, values = unrolled(flow)
    return graph.evaluate(graph.gradients(net.loss, [net["W_hh"]])[0], values).item()


def test_the_steps_of_the_example():
    net, values = unrolled()
    at = range(1, 4)
    states = [net[f"h_{t}"] for t in range(4)]
    outputs = [net[f"o_{t}"] for t in at]
    tabled = graph.differentiate(net.loss, [*net.parameters.values(), states[0]]).gradients
    h = np.array(graph.evaluate(states, values)).ravel()
    dh = np.array(graph.evaluate([tabled[state] for state in states], values)).ravel()
    epsilon = dh[1:] * (1 - h[1:] ** 2)
    columns = table("t", "x_t", "y_t", "h_t")
    for heading, found in {
        "t": at,
        "x_t": X,
        "y_t": Y,
        "h_t": h[1:],
        "o_t": graph.evaluate(outputs, values),
        "ŷ_t": graph.evaluate([graph.softmax(o) for o in outputs], values),
        "l_t": graph.evaluate([net[f"l_{t}"] for t in at], values),
        "∂L/∂o_t": graph.evaluate([tabled[o] for o in outputs], values),
        "∂L/∂h_t": dh[1:],
        "ε_t": epsilon,
        "ε_t h_{t−1}": epsilon * h[:-1],
    }.items():
        holds(columns.pop(heading), found)
    assert not columns
    assert "2 · 0.3174 + 0.8 · (−0.9621)" in PAGE and dh[2] == pytest.approx(2 * 0.3174 - 0.8 * 0.9621, abs=1e-4)


def test_the_gradients_of_the_example():
    """By the graph and by the loops of `bptt.reference`."""
    net, values = unrolled()
    names = ["W_hx", "W_hh", "b_h", "W_qh", "b_q", "h_0"]
    found = graph.evaluate([net.loss, *graph.gradients(net.loss, [net[name] for name in names])], values)
    columns = table("L", "∂L/∂W_hx")
    for heading, value in zip(["L", *(f"∂L/∂{name}" for name in names)], found, strict=True):
        holds(columns.pop(heading), [value])
    assert not columns
    weights = reference.tanh_softmax.Weights(*(GIVEN[name] for name in ("W_hx", "W_hh", "W_qh", "b_h", "b_q")))
    wanted = reference.tanh_softmax.gradients(weights, X, Y, GIVEN["h_0"])
    for value, name in zip(found[1:], ("U", "W", "b", "V", "c", "h_0"), strict=True):
        np.testing.assert_allclose(value, getattr(wanted, name), rtol=1e-12)


def test_the_number_of_nodes():
    """Counted for 10 and 100; a straight line leads on to 1000, as test_graph_gradient.py counts."""
    columns = table("T", "nodes of L")
    assert columns["T"] == ("10", "100", "1000")
    rows = [*zip(*columns.values(), strict=True)]
    for counts in list(columns.values())[1:]:
        few, some, many = map(int, counts)
        assert many - some == 10 * (some - few)
    for cell, forward, both in rows[:2]:
        net = networks.rnn().unroll(int(cell))
        slopes = graph.gradients(net.loss, list(net.parameters.values()))
        assert [len(graph.subgraph([net.loss])), len(graph.subgraph([net.loss, *slopes]))] == [int(forward), int(both)]


def test_truncation_in_numbers():
    columns = table("exact", "cut every 2 steps")
    cuts = [flows.full(3), flows.truncated(3, 2), flows.truncated(3, 1), flows.per_output(3, 1)]
    holds([cells[0] for cells in columns.values()], [slope(flow) for flow in cuts])
    columns = table("ξ_2", "ξ_3")
    drawn = [slope(flows.weighted({2: float(a), 3: float(b)}, 3)) for a, b in zip(columns["ξ_2"], columns["ξ_3"], strict=True)]
    holds(columns["∂L/∂W_hh"], drawn)
    assert len(drawn) == 4 and np.mean(drawn) == pytest.approx(slope(None), rel=1e-12)
    holds(["0.4885"], [np.mean(drawn)])
    assert "Their mean is 0.4885." in PAGE


def test_the_code_of_the_derivation_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "derivation.md", None, 0)
    assert len(blocks) == 2 and len(test.examples) >= 9
    assert doctest.DocTestRunner().run(test).failed == 0


def test_every_picture_is_shown_and_made_by_a_command():
    shown = set(re.findall(r"!\[[^\]]*\]\((\S+\.svg)\)", GALLERY))
    assert shown == {path.name for path in (DOCS / "graph").glob("*.svg")}
    assert {f"graph/{name}" for name in shown} >= set(re.findall(r"!\[[^\]]*\]\((\S+)\)", PAGE)) != set()
    assert shown == {shlex.split(command)[-1] for command in COMMANDS} | {"operations.svg"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_pictures_are_made_again(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[1:]
    assert main(words) == 0
    same(words[-1])


def test_the_picture_of_operations_is_made_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", GALLERY, re.S)
    exec(compile(program, "gallery", "exec"), {})  # noqa: S102 - our own page
    same("operations.svg")


def same(name):
    """The picture is the one in docs; BPTT_REDRAW=1 puts it there."""
    if os.environ.get("BPTT_REDRAW"):
        (DOCS / "graph" / name).write_bytes(Path(name).read_bytes())
    assert Path(name).read_bytes() == (DOCS / "graph" / name).read_bytes(), f"{name} has changed: see CONTRIBUTING.md"


@pytest.mark.parametrize(("cell", "value"), [("0.7131", 0.7130), ("(2, 3)", [2, 4]), ("−1", 1), ("1", 1.001), ("none", 1)])
def test_a_wrong_number_is_seen(cell, value):
    with pytest.raises(AssertionError):
        holds([cell], [value])

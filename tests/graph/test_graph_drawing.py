"""Pictures: what they show is what the graph says, everything is in its place, and a browser finds nothing to complain of."""

from __future__ import annotations

import itertools
import math
import re
import shutil
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest

from bptt import graph
from bptt.errors import InputError
from bptt.graph import flow as flows
from bptt.graph import networks
from bptt.graph.drawing import grid, layered, scene_of
from bptt.graph.drawing.scene import between, short
from bptt.graph.unroll import Place

SVG = "{http://www.w3.org/2000/svg}"
ALL = list(networks.NETWORKS)


def depends(scene, key):
    return {link.source for link in scene.links if link.target == key}


def test_the_dependencies_of_h_3():
    """As the textbook has them: on the parameters, the state before, the input."""
    scene = scene_of(networks.linear().unroll(3))
    assert depends(scene, "h_3") == {"W_hx", "W_hh", "h_2", "x_3"}
    assert depends(scene, "o_2") == {"W_qh", "h_2"} and depends(scene, "L") == {"l_1", "l_2", "l_3"}
    assert depends(scene_of(networks.rnn().unroll(3)), "h_1") == {"W_hx", "W_hh", "b_h", "h_0", "x_1"}


def test_the_links_are_those_of_each_network():
    wanted = {
        "output-to-hidden": {"W_hx", "W_ho", "b_h", "o_2", "x_3"},
        "output-to-hidden-teacher": {"W_hx", "W_ho", "b_h", "y_2", "x_3"},
        "tdnn": {"W_0", "W_1", "W_2", "b_h", "x_1", "x_2", "x_3"},
        "lstm": {"O_3", "c_3"},
        "gru": {"Z_3", "N_3", "h_2"},
    }
    for name, sources in wanted.items():
        assert depends(scene_of(networks.NETWORKS[name]().unroll(4)), "h_3") == sources
    lstm = scene_of(networks.lstm().unroll(4))
    assert depends(lstm, "a_3") == {"W_hx", "W_hh", "b_h", "x_3", "h_2"} and depends(lstm, "c_3") == {
        "F_3",
        "I_3",
        "G_3",
        "c_2",
    }
    gru = scene_of(networks.gru().unroll(4))
    assert depends(gru, "N_3") == {"R_3", "a_3", "u_3"} and depends(gru, "u_3") == {"W_hh", "b_h", "h_2"}


def test_folded():
    def folded(name):
        return {(link.source, link.target, link.lag) for link in scene_of(networks.NETWORKS[name]()).links if link.lag}

    assert folded("rnn") == folded("linear") == {("h", "h", 1)}
    assert folded("output-to-hidden") == {("o", "h", 1)} and folded("output-to-hidden-teacher") == {("y", "h", 1)}
    assert folded("tdnn") == {("x", "h", 1), ("x", "h", 2)}
    assert folded("lstm") == {("h", "a", 1), ("c", "c", 1)} and folded("gru") == {("h", "u", 1), ("h", "h", 1)}
    assert set(scene_of(networks.rnn()).items) == {"W_hx", "W_hh", "b_h", "W_qh", "b_q", "x", "h", "o", "l", "y"}


def test_gradients_flow_where_the_table_has_terms():
    scene = scene_of(networks.rnn().unroll(3))
    flowing = {(link.source, link.target) for link in scene.links if link.gradient}
    assert ("h_1", "h_2") in flowing and ("W_hh", "h_1") in flowing and ("l_2", "L") in flowing
    assert not {source for source, _ in flowing} & {"x_1", "x_2", "x_3", "y_1", "h_0"}, "nobody asked for these gradients"
    assert not any(link.gradient for link in scene_of(networks.tdnn().unroll(3)).links if link.source.startswith("x"))
    teacher = scene_of(networks.output_to_hidden(teacher=True).unroll(3))
    assert not any(link.gradient for link in teacher.links if link.source.startswith("y"))


def test_what_lies_between_two_names():
    """A gradient needs every operation on the way; a link is cut if all its ways are."""
    x, y = graph.variable("x"), graph.variable("y")
    a = graph.tanh(graph.stop_gradient(graph.exp(x)) + graph.stop_gradient(y) * y).named("a")
    places = {node: Place("hidden", node.name) for node in (x, y, a)}
    links = {link.source: link for link in between(places, graph.subgraph([a]), graph.differentiate(a, [x, y]))}
    assert (links["x"].cut, links["x"].gradient) == (True, False) and (links["y"].cut, links["y"].gradient) == (False, True)


def test_each_strategy_has_its_literal_picture():
    def between_states(flow, steps=6):
        scene = scene_of(networks.rnn().unroll(steps, flow))
        return {(a.source, a.target): (a.cut, a.weight) for a in scene.links if a.source[0] == "h" == a.target[0]}

    full = between_states(None)
    assert set(full.values()) == {(False, 1.0)} and len(full) == 6
    cut = between_states(flows.truncated(6, 2))
    assert [pair for pair, (gone, _) in cut.items() if gone] == [("h_2", "h_3"), ("h_4", "h_5")]
    drawn = between_states(flows.weighted({2: 1.5, 3: 0.0, 4: 1.5}, 6))
    assert [weight for _, weight in drawn.values()] == [1, 1.5, 1, 1.5, 1, 1] and drawn["h_2", "h_3"][0]
    each = between_states(flows.per_output(6, 1))
    assert [pair for pair, (gone, _) in each.items() if gone] == [(f"h_{t}^{t}", f"h_{t + 1}^{t + 1}") for t in range(1, 5)]
    overlap = scene_of(networks.rnn().unroll(6, flows.truncated(6, 2, 3)))
    assert overlap.ways == ("losses 1 to 2", "losses 3 to 4", "losses 5 to 6")
    assert {"x_2^1", "x_2^2"} <= overlap.items.keys() and "W_hx" not in overlap.items
    weights = np.tril(np.ones((4, 4))) * 2
    telescoping = scene_of(networks.gru().unroll(4, flows.of_credit(weights)))
    assert telescoping.items["h_2^2"].gradient == "θ × 2"
    lstm = scene_of(networks.lstm().unroll(4, flows.truncated(4, 2)))
    assert {(a.source, a.target) for a in lstm.links if a.cut} == {("h_2", "a_3"), ("c_2", "c_3")}, "of every state"


def sheets():
    for name in ALL:
        network = networks.NETWORKS[name]()
        yield f"{name} folded", grid.layout(scene_of(network))
        for steps in (1, 3, 8):
            net = network.unroll(steps)
            yield f"{name} {steps}", grid.layout(scene_of(net), gradients=True)
        values = {"values": net.example(), "numbers": True, "norms": True}
        yield f"{name} with numbers", grid.layout(scene_of(net, **values), gradients=True)
    for name, flow in {
        "cut": flows.truncated(8, 2),
        "each": flows.per_output(8, 2),
        "overlap": flows.truncated(8, 2, 4),
    }.items():
        yield name, grid.layout(scene_of(networks.rnn().unroll(8, flow)), gradients=True)
    net = networks.lstm().unroll(2)
    slopes = graph.gradients(net.loss, list(net.parameters.values()))
    yield "operations", layered.layout(scene_of([net.loss, *slopes], original=[net.loss]), "grid")


SHEETS = dict(sheets())


@pytest.mark.parametrize("name", SHEETS)
def test_everything_is_in_its_place(name):
    sheet = SHEETS[name]
    for shape in sheet.shapes:
        assert shape.width / 2 <= shape.x <= sheet.width - shape.width / 2, shape.key
        assert shape.height / 2 <= shape.y <= sheet.height - shape.height / 2, shape.key
    for n, a in enumerate(sheet.shapes):
        for b in sheet.shapes[:n]:
            apart = abs(a.x - b.x) - (a.width + b.width) / 2, abs(a.y - b.y) - (a.height + b.height) / 2
            assert max(apart) >= 2, f"{a.key} and {b.key} are too near"
    for line in sheet.lines:
        assert all(0 <= x <= sheet.width and 0 <= y <= sheet.height and math.isfinite(x + y) for x, y in line.points)
        if line.head and not line.lane:
            (x, y) = line.points[-1]
            assert min(math.hypot(x - s.x, y - s.y) - max(s.width, s.height) / 2 for s in sheet.shapes) < 8, (
                "it arrives somewhere"
            )
    assert all(0 < one.x < sheet.width and 0 < one.y < sheet.height for one in sheet.words)


@pytest.mark.parametrize("name", ALL)
def test_time_runs_to_the_right_and_layers_upwards(name):
    network = networks.NETWORKS[name]()
    sheet = grid.layout(scene := scene_of(network.unroll(4)))
    at = {shape.key: shape for shape in sheet.shapes}
    for key, item in scene.items.items():
        later = f"{item.base}_{(item.time or 0) + 1}"
        if item.time is not None and later in at:
            assert at[later].x - at[key].x > 100 and at[later].y == pytest.approx(at[key].y)
    for link in scene.links:
        a, b = scene.items[link.source], scene.items[link.target]
        if a.time == b.time and "y" not in (a.base, b.base):
            assert at[b.key].y <= at[a.key].y, f"{a.key} below {b.key}"
    assert all(at[name].x < min(at[f"x_{t}"].x for t in range(1, 5)) for name in network.parameters)
    assert Counter(shape.text for shape in sheet.shapes).most_common(1)[0][1] == 1, "everything once"


def test_a_lane_is_drawn_once_and_reaches_every_step():
    sheet = grid.layout(scene_of(networks.rnn().unroll(5)))
    lane = [line for line in sheet.lines if line.lane == "W_hh"]
    assert len(lane) == 5 and all(a.points[1] == b.points[0] for a, b in itertools.pairwise(lane))
    to_total = [line for line in sheet.lines if line.lane.startswith("L")]
    assert len(to_total) == 5 and sum(line.head for line in to_total) == 1


def read(svg):
    """The picture as XML, its texts with their subscripts, and its shapes."""
    root = ElementTree.fromstring(svg)
    texts = ["".join(one.itertext()).replace("\u200b", "") for one in root.iter(f"{SVG}text")]
    return root, texts


def test_highlighted():
    sheet = grid.layout(scene_of(networks.linear().unroll(3)), highlight="h_3")
    assert {shape.key for shape in sheet.shapes if shape.state == "lit"} == {"h_3", "W_hx", "W_hh", "h_2", "x_3"}
    assert sum(line.state == "lit" for line in sheet.lines) == 4 and {line.state for line in sheet.lines} == {"lit", "faint"}
    picture = graph.draw(networks.linear().unroll(3), highlight="h_3")
    assert picture.count("#2563c9") > 8 and "#2563c9" not in graph.draw(networks.linear().unroll(3))


def test_values_and_norms_are_those_of_the_graph():
    net = networks.rnn(2, 2, 2).unroll(2)
    values = net.example(3)
    table = graph.differentiate(net.loss, net.parameters.values())
    h, slope, loss = graph.evaluate([net["h_2"], table.gradients[net["h_2"]], net.loss], values)
    _, texts = read(graph.draw(net, values=values, numbers=True, norms=True))
    assert f"({h[0]:.2g}, {h[1]:.2g})".replace("-", "−") in texts and short(loss) in texts
    assert f"‖∂‖ {short(np.linalg.norm(slope))}" in texts and any("norm of the gradient" in text for text in texts)
    without = read(graph.draw(net, values=values, numbers=True))[1]
    assert not any("∂" in text for text in without)


@pytest.mark.parametrize("name", ALL)
def test_the_file_is_sound(name):
    network = networks.NETWORKS[name]()
    for what in (network, network.unroll(3)):
        svg = graph.draw(what, gradients=isinstance(what, graph.networks.Network) is False)
        root, texts = read(svg)
        assert svg == graph.draw(what, gradients=isinstance(what, graph.networks.Network) is False), "the same bytes again"
        assert root.tag == f"{SVG}svg" and root.get("viewBox") and root.find(f"{SVG}title").text in texts
        assert "depends on" in root.find(f"{SVG}desc").text
        assert not re.findall(r"(?:href|src|url\(|@import|<script)", svg), "nothing is fetched or run"
        assert not re.search(r"nan|inf\b", svg)


def test_marks_are_explained_where_they_are():
    plain = read(graph.draw(networks.rnn().unroll(3)))[1]
    assert not any("∥" in text or "■" in text for text in plain)
    cut = graph.draw(networks.rnn().unroll(4, flows.truncated(4, 2)))
    assert any(text.startswith("∥  cut") for text in read(cut)[1]) and cut.count('stroke="#b3261e"') == 2
    weighted = read(graph.draw(networks.rnn().unroll(4, flows.weighted({3: 1.25}, 4))))[1]
    assert "×1.25" in weighted and any(text.startswith("×  the gradient") for text in weighted)
    assert (
        any("■" in text for text in read(graph.draw(networks.tdnn()))[1]) and "2 steps" in read(graph.draw(networks.tdnn()))[1]
    )


def test_any_graph_with_its_gradients():
    x, w = graph.variable("x"), graph.variable("w<_1>")
    z = (graph.tanh(w * x) ** 2).named("z")
    (slope,) = graph.gradients(z, [w])
    svg = graph.draw([z, slope], original=[z], labels={slope: "∂z/∂w"}, layout="grid")
    _, texts = read(svg)
    assert {"x", "w<1>", "z", "∂z/∂w", "tanh", "2"} <= set(texts) and svg.count("#fdeadf") > 3
    assert "#fdeadf" not in graph.draw(z, layout="grid")
    numbers = read(graph.draw(z, values={x: 0.5, w: 2.0}, numbers=True, layout="grid"))[1]
    assert short(np.tanh(1) ** 2) in numbers
    sheet = layered.layout(scene_of([z, slope]), "grid")
    at = {shape.key: shape.y for shape in sheet.shapes}
    assert all(at[link.target] < at[link.source] for link in scene_of([z, slope]).links), "what is read lies below"


def test_dot():
    text = graph.dot(networks.rnn().unroll(3, flows.truncated(3, 2)), highlight="h_3", gradients=True)
    assert (
        text.startswith('digraph "hidden-to-hidden RNN') and text.rstrip().endswith("}") and text.count("{") == text.count("}")
    )
    assert '"W_hh" -> "h_3" [color=blue, penwidth=2];' in text
    assert '"h_2" -> "h_3" [label="cut", style=dashed, color=blue, penwidth=2];' in text
    assert '"h_2" -> "h_1" [color=orangered, constraint=false];' in text and '"h_3" -> "h_2"' not in text
    assert '"h" -> "h" [label="1 step"];' in graph.dot(networks.rnn())
    assert r'label="a\"b\\"' in graph.dot(graph.variable('a"b\\') * 2)


FAKE = """#!/usr/bin/env python3
import re, sys
text = sys.stdin.buffer.read().decode()
keys = re.findall(r'^  "([^"]+)" \\[label', text, re.M)
print("graph 1 9 9")
for n, key in enumerate(keys):
    print(f'node {key} {n}.5 {n} 0.5 0.5 "a label" solid circle black white')
for a, b in re.findall(r'"([^"]+)" -> "([^"]+)"', text):
    print(f"edge {a} {b} 7 1 1 2 2 3 3 4 4 5 5 6 6 7 7 solid black")
print("stop")
"""


def test_graphviz_lays_out_if_it_is_asked_to(tmp_path, monkeypatch):
    program = tmp_path / "dot"
    program.write_text(FAKE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    scene = scene_of(graph.tanh(graph.variable("x") * 3))
    sheet = layered.layout(scene, "auto")
    a, b = sheet.shapes[:2]
    assert (b.x - a.x, b.y - a.y) == (72, -72) and all(len(line.points) == 7 and line.curved for line in sheet.lines)
    program.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(InputError, match="did not lay out"):
        layered.layout(scene, "graphviz")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(InputError, match="not installed"):
        graph.draw(networks.rnn().unroll(3), layout="graphviz")
    assert graph.draw(graph.variable("x") * 3).startswith("<svg"), "our own layout takes its place"


def test_a_node_of_any_graph_is_highlighted_by_its_name():
    x, w = graph.variable("x"), graph.variable("w")
    z = (w * x + w).named("z")
    sheet = layered.layout(scene_of(z), "grid", highlight="z")
    assert sum(line.state == "lit" for line in sheet.lines) == 2
    twins = scene_of(graph.variable("x") * graph.variable("x"))
    assert len(twins.items) == 3, "two nodes of one name are two"


def test_graphviz_has_gradients_weights_and_norms_too(tmp_path, monkeypatch):
    program = tmp_path / "dot"
    program.write_text(FAKE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    net = networks.rnn().unroll(4, flows.weighted({3: 1.5, 4: 0.0}, 4))
    scene = scene_of(net, net.example(), norms=True)
    plain, sheet = layered.layout(scene, "graphviz"), layered.layout(scene, "graphviz", gradients=True)
    assert any(line.label == "×1.5" for line in plain.lines) and any("∂" in shape.gradient for shape in plain.shapes)
    back = [line for line in sheet.lines if line.kind == "gradient"]
    assert len(back) == sum(link.gradient and not link.cut for link in scene.links) == len(sheet.lines) - len(plain.lines) > 9
    folded = layered.layout(scene_of(networks.tdnn()), "graphviz")
    assert {line.delay for line in folded.lines} == {0, 1, 2}


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_the_real_graphviz():
    _, texts = read(graph.draw(networks.lstm().unroll(3), layout="graphviz", highlight="h_3"))
    assert {"h3", "W_hx".replace("_", "")} <= set(texts)


def test_what_cannot_be_drawn():
    net = networks.rnn().unroll(3)
    wrong = {
        "'h_3'": lambda: graph.draw(net, highlight="h_33"),
        "no h_9 in this picture": lambda: graph.dot(net, highlight="h_9"),
        "need values": lambda: graph.draw(net, numbers=True),
        "a folded network": lambda: graph.draw(net.network, norms=True, values=net.example()),
        "beside an unrolled": lambda: graph.draw(net.network, gradients=True),
        "a graph of nodes": lambda: graph.draw(net.loss, gradients=True),
        "drawn in a network": lambda: graph.draw(net.loss, norms=True, values=net.example()),
        "no such layout": lambda: graph.draw(net, layout="gird"),
        "Give networks": lambda: graph.draw([]),
        "or at least one node": lambda: graph.draw("rnn"),
        "W_qh has no value": lambda: graph.draw(net, norms=True, values={}),
    }
    for said, call in wrong.items():
        with pytest.raises(InputError, match=said):
            call()


@pytest.mark.browser
def test_in_a_browser_every_word_fits(tmp_path):
    """No word is wider than its circle, none leaves the picture, and the browser asks for nothing else."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium on the PATH")
    net = networks.lstm().unroll(8)
    pictures = {
        "numbers": graph.draw(net, values=net.example(), numbers=True, norms=True, gradients=True),
        "folded": graph.draw(networks.gru()),
        "each": graph.draw(networks.rnn().unroll(8, flows.per_output(8, 2)), gradients=True),
        "operations": graph.draw(networks.rnn().unroll(2).loss, layout="grid"),
    }
    script = """() => [...document.querySelectorAll("text")].map(one => {
        const box = one.getBBox(), shape = one.previousElementSibling.getBBox();
        return [one.textContent, one.getAttribute("class"), box.x, box.y, box.width, box.height, shape.width];
    })"""
    with playwright.sync_playwright() as driver:
        window = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, svg in pictures.items():
            (tmp_path / f"{name}.svg").write_text(svg, encoding="utf-8")
            tab, asked = window.new_page(), []
            tab.on("request", lambda request, asked=asked: asked.append(request.url))
            tab.goto((tmp_path / f"{name}.svg").as_uri())
            width, height = (float(re.search(rf'{side}="(\d+)"', svg)[1]) for side in ("width", "height"))
            words = tab.evaluate(script)
            assert len(words) > 8 and len(asked) == 1
            for text, kind, x, y, wide, high, shape in words:
                assert x >= 0 and y >= 0 and x + wide <= width and y + high <= height, f"{text} leaves the picture {name}"
                if kind.startswith("in"):
                    assert wide <= shape, f"{text} is wider than its shape in {name}"
            tab.close()
        window.close()

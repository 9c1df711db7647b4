"""The page docs/gradients/by-hand.md is true: its tables are read and computed again, its code runs."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

from bptt.reference import linear, per_output, powers, randomized, tanh_softmax

PAGE = (Path(__file__).parents[2] / "docs" / "gradients" / "by-hand.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def tables():
    """Every table as its columns of cells, by their headings."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", PAGE, re.M):
        head, _, *rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines()]
        found.append(dict(zip(head, zip(*rows, strict=True), strict=True)))
    return found


def table(*headings):
    """The one table that has these headings."""
    (found,) = (columns for columns in tables() if set(headings) <= columns.keys())
    return found


def holds(cells, values):
    """The numbers written in the cells are the values, rounded to the digits that are shown; empty cells say nothing."""
    values = [np.ravel(value) for value in values]
    assert len(cells) == len(values)
    for cell, value in zip(cells, values, strict=True):
        written = NUMBER.findall(cell.replace("−", "-"))
        if not written:
            assert cell == ""
            continue
        assert len(written) == len(value), cell
        for text, number in zip(written, value, strict=True):
            digits = len(text.partition(".")[2])
            assert abs(float(text) - number) <= 0.5 * 10.0**-digits * (1 + 1e-9) * (digits > 0) + 1e-12, (cell, number)


def test_the_linear_network():
    weights = linear.Weights([[1], [2]], [[1, 1], [0, 1]], [[1, -1]])
    x, y = [[1], [-1], [2]], [[-4], [0], [5]]
    run = linear.forward(weights, x, [0, 1])
    _, dL_do = linear.squared_error(run.o, y)
    columns = table("∂L/∂h_t")
    holds(columns["t"], range(4))
    holds(columns["h_t"], run.h)
    holds(columns["∂L/∂h_t"], linear.adjoints(weights, dL_do))
    for heading, values in {"x_t": x, "o_t": run.o, "y_t": y, "∂L/∂o_t": dL_do}.items():
        assert columns[heading][0] == "" and all(columns[heading][1:])
        holds(columns[heading][1:], values)


WEIGHTS = tanh_softmax.Weights([[0.5, -1]], [[0.8]], [[1], [-1]], [0.1], [0, 0.2])
X, Y, H_0 = [0, 1, 1], [1, 1, 0], [0.5]


def test_the_tanh_network():
    run = tanh_softmax.forward(WEIGHTS, X, Y, H_0)
    dL_do = tanh_softmax.output_errors(run.y_hat, Y)
    a = [0.8 * run.h[t - 1] + WEIGHTS.U[0][X[t - 1]] + 0.1 for t in (1, 2, 3)]
    wanted = {"t": [1, 2, 3], "x_t": X, "y_t": Y, "a_t": a, "h_t": run.h[1:], "ŷ_t": run.y_hat, "l_t": run.losses}
    wanted |= {"∂L/∂o_t": dL_do, "ε_t": tanh_softmax.hidden_errors(WEIGHTS, run.h, dL_do)}
    columns = table("ε_t")
    assert columns.keys() == wanted.keys() and all(all(cells) for cells in columns.values())
    for heading, values in wanted.items():
        holds(columns[heading], values)


def truncated(k, steps=3):
    """The gradients of the first `steps` losses; k = −1 and no steps: none at all."""
    if k < 0 or not steps:
        return np.zeros(3)
    found = per_output.gradients(WEIGHTS, X[:steps], Y[:steps], H_0, k)
    return np.concatenate([found.W.ravel(), found.b, found.h_0])


def test_what_each_loss_owes_at_each_lag():
    columns = table("loss", "lag 0")
    for lag in range(3):
        owed = [
            truncated(lag, t) - truncated(lag - 1, t) - truncated(lag, t - 1) + truncated(lag - 1, t - 1) for t in (1, 2, 3)
        ]
        assert [bool(cell) for cell in columns[f"lag {lag}"]] == [t > lag for t in (1, 2, 3)]
        holds(columns[f"lag {lag}"], [value[0] for value in owed])


def test_what_truncation_leaves():
    columns = table("k", "∇W")
    for number, heading in enumerate(("∇W", "∇b", "∂L/∂h_0")):
        holds(columns[heading], [truncated(int(k))[number] for k in columns["k"]])
    exact = tanh_softmax.gradients(WEIGHTS, X, Y, H_0)
    assert truncated(int(columns["k"][-1])) == pytest.approx([exact.W.item(), exact.b.item(), exact.h_0.item()], rel=1e-12)


def test_the_four_patterns():
    columns = table("probability")
    found = list(randomized.patterns([1, 0.5, 0.25], 3))
    draws = np.array([randomized.draw([1, 2, 1], [5, 2, 3], xi) for _, xi in found])
    holds(columns["probability"], [p for p, _ in found])
    for t in (1, 2, 3):
        holds(columns[f"z_{t}"], draws[:, t - 1])
        if t > 1:
            holds(columns[f"ξ_{t}"], [xi[t - 1] for _, xi in found])
    assert np.array([p for p, _ in found]) @ draws == pytest.approx([1, 4, 13], abs=1e-12)


def test_the_powers():
    columns = table("k", "‖Aᵏ‖")
    matrices = {"A": [[0.5, 2], [0, 0.5]], "R": [[0.8, 0.6], [-0.6, 0.8]], "D": [[1.1, 0], [0, 0.2]]}
    for name, matrix in matrices.items():
        norms = powers.norms(matrix, 16)
        holds(columns[f"‖{name}ᵏ‖"], [norms[int(k)] for k in columns["k"]])
        radius = float(re.search(rf"{name} = \[\[.*?ρ = (\d+(?:\.\d+)?)", PAGE)[1])
        assert powers.spectral_radius(matrix) == pytest.approx(radius, rel=1e-12)
        assert f"{name} = {matrix}".replace("-", "−") in PAGE


def test_the_code_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "by-hand.md", None, 0)
    assert len(blocks) >= 6 and len(test.examples) >= 15
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize(
    ("cell", "value"), [("0.7131", 0.7130), ("(2, 3)", [2, 4]), ("(2, 3)", [3, 2]), ("−1", 1), ("1", 1.001), ("none", 1)]
)
def test_a_wrong_number_is_seen(cell, value):
    with pytest.raises(AssertionError):
        holds([cell], [value])

"""A diagnosis on the page of a run and as a picture: whole, strange, hostile or missing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_run import events, write_run
from matplotlib.figure import Figure

from bptt import Truncated, diagnose
from bptt.report import write_report
from bptt.report.diagnosis import view
from bptt.report.plots import draw_diagnosis
from bptt.report.plots.diagnosis import draw_exponents
from bptt.testing.examples import problem


@pytest.fixture(scope="module")
def found() -> Any:
    made = problem("gru")
    return diagnose(made.unroll, made.window, strategy=Truncated(4), window=8, steps=20)


def test_what_was_left_out_is_a_note(found, tmp_path):
    told = dataclasses.replace(found, notes=("Dropout was off",)).to_json()
    assert view(told)["notes"] == ["Dropout was off"] and "<li>Dropout was off.</li>" in page_with(tmp_path / "run", told)


def test_it_says_how_few_steps_jacobians_were_taken_of(found):
    rows, steps = len(found.jacobians.radii), found.jacobians.steps
    facts = dict(view(found.to_json())["facts"])
    for name in ("Largest singular value of products", "Spectral radius of D"):
        assert facts[name].endswith(f"(rows: {rows}, the last {steps} steps)")


def page_with(folder: Path, told: Any) -> str:
    run = write_run(folder, list(events(3)))
    (run / "diagnose.json").write_text(told if isinstance(told, str) else json.dumps(told), encoding="utf-8")
    return write_report(run).read_text(encoding="utf-8")


def test_the_section_says_and_draws_what_was_found(found, tmp_path):
    told = {"checkpoint": "best", "part": "validation", **found.to_json()}
    shown = view(told)
    assert shown["words"] == found.words() and shown["advice"] == found.advice()
    assert "rows × 20 steps of the validation part, read by the best checkpoint" in shown["where"]
    by_lag, off = shown["charts"]
    points = by_lag["data"]["lines"][0]["points"]
    assert [k for k, _ in points] == list(range(1, found.lags.seen + 1)) and found.lags.seen > 10
    assert float(points[0][1]) == pytest.approx(float(found.lags.sizes[0]), rel=1e-3)
    each, plain = off["data"]["lines"]
    assert float(each["points"][0][1]) == pytest.approx(100 * float(found.lags.errors[0]), rel=1e-3)
    assert [k for k, _ in plain["points"]] == [8.0, 16.0] and off["levels"][0][1] == "Truncated(k1=4)"
    facts = dict(shown["facts"])
    assert facts["Terms for 10 % (K90)"] == str(found.k90) and "recurrent weights" in facts["Off by parameters"]
    page = page_with(tmp_path / "run", told)
    assert page.count('id="gradient-through-time"') == 1 and "How to read it" in page


def test_without_a_diagnosis_there_is_no_section(tmp_path):
    page = write_report(write_run(tmp_path / "run", list(events(3)))).read_text(encoding="utf-8")
    assert "gradient-through-time" not in page and "diagnose.json" not in page


@pytest.mark.parametrize(
    "told",
    [
        {"words": None, "sizes": "many", "terms": {}, "stretches": [1, [2], ["a", "b"]], "strategy": 3},
        {"sizes": [None, -1, 0, 1e400], "seen": "x", "errors": [1], "terms": [None], "singular": [[], [None], 5]},
        {
            "words": ["<script>alert(1)</script>"],
            "setting": {"rows": "x"},
            "strategy": {"name": "<b>", "bias": 0.5, "blocks": 1},
        },
        {"sizes": [1.0, 0.5], "terms": [1, 2, 3], "errors": [0.5], "spans": [1, 2], "radii": ["x"], "exponents": [None]},
    ],
)
def test_strange_files_are_shown_as_far_as_they_go(told, tmp_path):
    page = page_with(tmp_path / "run", json.dumps(told).replace("Infinity", "1e400"))
    assert "gradient-through-time" in page and "<script>alert" not in page and "<b>" not in page.split("<main>")[1][:400]


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_a_file_that_cannot_be_read_is_a_note(text, tmp_path):
    page = page_with(tmp_path / "run", text)
    assert "diagnose.json could not be read" in page and 'id="gradient-through-time"' not in page


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_picture(found, tmp_path, ending):
    path = tmp_path / f"gradient.{ending}"
    draw_diagnosis(found, path)
    first = path.read_bytes()
    draw_diagnosis(found, path)
    assert path.read_bytes() == first and len(first) > 10_000


def test_the_picture_of_a_diagnosis_with_gaps(tmp_path):
    made = problem("rnn-relu")
    made.window.reset[:, -1] = True  # no product of Jacobians
    found = diagnose(made.unroll, made.window, steps=6)
    assert len(found.jacobians.spans) == 0 and list(found.stretches) == [5]
    draw_diagnosis(found, tmp_path / "gaps.svg")
    with torch.no_grad():
        made.unroll.recurrent.layer.weight_hh_l0.zero_()
    lost = diagnose(made.unroll, made.window, steps=20)
    assert lost.verdict == "vanish" and lost.growth == 0
    draw_diagnosis(lost, tmp_path / "lost.svg")
    some = dataclasses.replace(lost, exponents=torch.tensor([-0.1, -0.4, -torch.inf], dtype=torch.float64))
    for found, below in ((lost, [-1.0] * 5), (some, [-0.1, -0.4, -0.5])):
        axes = Figure().subplots()
        draw_exponents(axes, found)
        assert [bar.get_height() for bar in axes.patches] == pytest.approx(below)
        assert [text.get_text() for text in axes.texts].count("−∞") == int(found.exponents.isinf().sum())
    json.dumps(lost.to_json(), allow_nan=False)

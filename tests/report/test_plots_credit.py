"""Pictures of credits: whole files, nothing to fetch in them, colours that mean what they say, any alphabet."""

from __future__ import annotations

import dataclasses
import re
import warnings
from xml.etree import ElementTree

import matplotlib
import pytest
import torch

from bptt import Full, InputError, Truncated, credit
from bptt.diagnostics.cuts import cuts
from bptt.report.plots import draw_credit, draw_cuts, picture, picture_path
from bptt.report.plots.credit import NEGATIVE, highest, runs, scale, stretch_of
from bptt.report.plots.picture import CHINESE, families

PNG = b"\x89PNG\r\n\x1a\n"


def graded(steps=7):
    """A map with weights of all kinds: below 0, 0, small, 1, large."""
    found = credit(Full(), steps)
    found.weights[-1, :5] = torch.tensor([-0.5, 0.0, 0.3, 1.0, 4.0], dtype=torch.float64)
    return found


@pytest.fixture(params=["map", "map-graded", "map-several", "map-one-step", "cuts", "cuts-long", "cuts-chinese"])
def draw(request):
    """A function that draws one kind of picture to a path."""
    kind = request.param
    if kind.startswith("map"):
        maps = {
            "map": [credit(Truncated(3, 5), 12)],
            "map-graded": [graded()],
            "map-several": [credit(Full(), 9), graded(5), credit(Full(), 9, window=4)],
            "map-one-step": [credit(Full(), 1)],
        }[kind]
        return lambda path: draw_credit(maps, path)
    text = {"cuts": "a line & <more>", "cuts-long": "x" * 80, "cuts-chinese": "循环神经网络 RNN"}[kind]
    rows = [cuts(Truncated(4), len(text)), cuts(Truncated(2, 5), len(text)), cuts(Full(), len(text))]
    return lambda path: draw_cuts(text, rows, path)


def test_files_are_whole_and_quiet_and_ask_for_nothing(draw, tmp_path, caplog):
    before = dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("a.svg", "b.svg", "c.PNG"):
            draw(tmp_path / name)
    assert not caplog.records and dict(matplotlib.rcParams) == before
    assert (tmp_path / "c.PNG").read_bytes().startswith(PNG)
    svg = (tmp_path / "a.svg").read_bytes()
    assert svg == (tmp_path / "b.svg").read_bytes(), "the same picture, the same bytes"
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    links = [value for node in root.iter() for key, value in node.attrib.items() if key.endswith("href")]
    assert links and all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert set(re.findall(rb"https?://[^\"' <]*", svg)) <= {b"http://www.w3.org/2000/svg", b"http://www.w3.org/1999/xlink"}
    assert b"DOCTYPE" not in svg and b"<script" not in svg


def test_a_large_map_is_pixels_inside_the_svg(tmp_path):
    draw_credit([credit(Truncated(20), 100)], tmp_path / "a.svg")
    links = re.findall(r'xlink:href="([^#][^"]{20})', (tmp_path / "a.svg").read_text())
    assert links and all(link.startswith("data:image/png;base64") for link in links)


def test_a_picture_takes_the_place_of_an_older_one_and_a_failed_one_does_not(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), picture(path, 1, 1):
        raise ZeroDivisionError
    assert path.read_text() == "old"
    with picture(path, 1, 1) as figure:
        figure.add_subplot().plot([1, 2])
    assert path.read_bytes().startswith(PNG) and [one.name for one in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(("name", "words"), [("a.pdf", "a.svg"), ("a", "a.svg"), ("no/a.svg", "folder"), ("d.png", "folder")])
def test_names_that_cannot_be_drawn(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.png").mkdir()
    with pytest.raises(InputError, match=words) as told:
        picture_path(name)
    assert told.value.wrong and told.value.given and told.value.todo


def test_weights_of_0_are_blank_and_neighbours_of_one_weight_one_bar():
    weights = credit(Truncated(2, 3), 5).weights
    assert runs(weights) == [(0, 0, 1, 1), (1, 0, 2, 1), (2, 0, 2, 1), (3, 0, 3, 1), (4, 0, 2, 1)]
    last = [bar for bar in runs(graded().weights) if bar[0] == 6]
    assert last == [(6, 0, 1, -0.5), (6, 2, 3, 0.3), (6, 3, 4, 1.0), (6, 4, 5, 4.0), (6, 5, 7, 1.0)]


def test_the_scale_has_the_exact_weight_in_its_middle():
    colours, norm = scale(torch.tensor([-0.5, 0.0, 0.3, 1.0, 4.0]))
    assert float(norm(1.0)) == 0.5 and float(norm(0.0)) == 0 and norm.vmax >= 2
    assert colours(norm(-0.1)) == pytest.approx(matplotlib.colors.to_rgba(NEGATIVE), abs=0.01)
    light = [sum(colours(norm(weight))[:3]) for weight in (0.01, 0.5, 1.0, 1.5, norm.vmax)]
    assert light[0] > light[1] > light[2] < light[3] < light[4], "lightness alone tells how far a weight is from 1"


def test_the_axis_of_the_means_holds_them():
    steep = graded()
    steep.by_draw[0, 3] = 7.0
    unknown = dataclasses.replace(credit(Full(), 5), error=torch.full((5, 5), torch.nan))
    assert highest([unknown]) == highest([credit(Full(), 5)])
    assert highest([steep, credit(Full(), 5)]) > 7 and 1 < highest([credit(Full(), 5)]) < 2


def test_stretches_are_numbered():
    assert stretch_of(cuts(Truncated(3), 8), 8) == [0, 0, 0, 1, 1, 1, 2, 2]


def box_font(path, name, letters):
    """A font whose letters are all filled boxes."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    names = [".notdef", *(f"box{ord(letter):x}" for letter in letters)]
    pen = TTGlyphPen(None)
    pen.moveTo((50, 0))
    for corner in ((50, 900), (950, 900), (950, 0)):
        pen.lineTo(corner)
    pen.closePath()
    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder(names)
    made.setupCharacterMap({ord(letter): glyph for letter, glyph in zip(letters, names[1:], strict=True)})
    made.setupGlyf(dict.fromkeys(names, pen.glyph()))
    made.setupHorizontalMetrics(dict.fromkeys(names, (1000, 50)))
    made.setupHorizontalHeader(ascent=900, descent=-100)
    made.setupNameTable({"familyName": name, "styleName": "Regular", "psName": "Box"})
    made.setupOS2()
    made.setupPost()
    made.save(path)


def test_chinese_letters_come_from_a_font_that_has_them(tmp_path, monkeypatch):
    from matplotlib import font_manager

    manager = font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [font for font in manager.ttflist if font.name not in CHINESE])
    assert families() == ["DejaVu Sans"]
    draw_cuts("猫猫", [cuts(Full(), 2)], tmp_path / "without.svg")
    box_font(tmp_path / "box.ttf", "SimHei", "猫")
    manager.addfont(tmp_path / "box.ttf")
    assert families() == ["DejaVu Sans", "SimHei"]
    draw_cuts("猫猫", [cuts(Full(), 2)], tmp_path / "with.svg")
    glyphs = [
        re.findall(r'<path id="([^"]*)-[0-9a-f]+"', (tmp_path / name).read_text()) for name in ("without.svg", "with.svg")
    ]
    assert ["Box" in fonts for fonts in glyphs] == [False, True]

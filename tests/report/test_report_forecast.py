"""The page on a forecast: what forecast.json says is there, and strange contents break nothing."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from bptt.data.series import Series
from bptt.files import to_json
from bptt.forecasting import Forecaster
from bptt.forecasting.record import record
from bptt.report import write_report
from bptt.report.chart import Band, Chart, Line
from bptt.report.forecast import ahead, folds
from bptt.report.plots.forecast import draw_forecast


@pytest.fixture(scope="module")
def found():
    time = np.arange(160)
    values = np.stack([np.sin(time / 5) + 0.1 * np.random.default_rng(i).normal(size=160) for i in range(2)], 1)
    series = Series(
        values,
        ("a<b>", "c"),
        times=np.datetime64("2020-01-01", "us") + time.astype("timedelta64[D]"),
        period=31,
        name="two & more",
    )
    f = Forecaster("linear", lags=4, horizon=10).fit(series[:120])
    backtest = f.backtest(series, folds=4)
    return record(f, series, backtest, {"linear": f.ahead(series, (1, 4, 16))}, f.predict(after=series))


def page(tmp_path, found) -> str:
    (tmp_path / "config.yaml").write_text("series: x\nmodel: linear\n")
    (tmp_path / "forecast.json").write_text(to_json(found))
    return write_report(tmp_path).read_text()


def test_everything_is_on_the_page(found, tmp_path):
    text = page(tmp_path, found)
    assert "a&lt;b&gt;" in text and "<b>a" not in text
    for words in (
        "Forecast",
        "Backtest",
        "k steps ahead",
        "MASE",
        "seasonal-naive",
        "coverage 80%",
        "Hyndman",
        "k = 16",
        "2020-06-18",
    ):
        assert words in text, words
    best = found["backtest"]["rows"][0]
    assert f"{best['MASE']:.3g}" in text and text.count('class="s1 area"') >= 2 * 2
    assert "Missing or damaged" not in text.replace("corpus.json is missing", "") or "env.json" in text


def test_every_target_has_its_table(found, tmp_path):
    text = page(tmp_path, found)
    assert "Target by target" in text and "All targets" in text
    tables = text.split("Target by target")[1].split("</details>")[0].split("<table")[1:]
    assert len(tables) == 2 and "a&lt;b&gt;" in tables[0]
    for table, name in zip(tables, ("a<b>", "c"), strict=True):
        for row in found["backtest"]["by_target"][name]:
            assert row["model"] in table and f"{row['MASE']:.3g}" in table
    alone = {**found, "backtest": {**found["backtest"], "by_target": {}}}
    assert "Target by target" not in page(tmp_path, alone)


def test_dates_along_the_axis_reach_from_its_beginning_to_its_end(found):
    seen = found["history"]["times"]
    assert len(seen) > 60  # more than a list of names may have
    at = [place for place, _ in ahead(found, 0).labels]
    begin = found["history"]["start"]
    assert at[0] == begin + len(seen) - 60 and at[-1] == begin + len(seen) + 9 and len(at) == 7
    assert min(b - a for a, b in itertools.pairwise(at)) > 9
    assert dict(ahead(found, 0).labels)[at[0]] == seen[-60] and len(folds(found, 1).labels) == 7


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"series": 3, "backtest": []},
        {"backtest": {"rows": [{"model": "x"}], "by_target": {"a": 3, "b": [{"MAE": "x"}]}}},
        {"forecast": {"mean": "x"}, "curves": {"steps": ["a"]}},
        {"model": None, "history": None},
    ],
)
def test_strange_contents_break_nothing(broken, found, tmp_path):
    assert "<html" in page(tmp_path, {**found, **broken, "kept": 1})
    assert "<html" in page(tmp_path, {**broken, "kept": 1})


def test_numbers_of_the_record_are_those_of_the_backtest(found):
    assert json.loads(to_json(found)) == found
    assert len(found["backtest"]["said"]) == 4 and len(found["backtest"]["said"][0][1]) == 10
    assert found["history"]["start"] + len(found["history"]["values"][0]) == 160 == found["forecast"]["start"]


def test_pictures(found, tmp_path):
    paths = draw_forecast(found, tmp_path)
    assert len(paths) == 10 and all(path.stat().st_size > 5000 for path in paths)


def test_a_band_and_an_axis_that_starts_elsewhere():
    band = Band("80 %", [(10.0, 1.0), (12.0, 2.0), (14.0, None)], [(10.0, 3.0), (12.0, 5.0), (14.0, 9.0)])
    view = Chart(
        "t",
        "a",
        [Line("x", [(10.0, 2.0), (20.0, 3.0)])],
        over="time",
        lo=10.0,
        labels=[(10.0, "first"), (30.0, "beyond")],
        bands=[band],
    ).view()
    assert view["x_ticks"] == [(0.0, "first")] and view["data"]["lo"] == 10 and view["paths"][0]["line"].startswith("M0 ")
    corners = view["areas"][0]["line"].removeprefix("M").removesuffix("Z").split("L")
    assert (
        len(corners) == 4
        and corners[0].split()[0] == corners[-1].split()[0] == "0"
        and corners[1].split()[0] == corners[2].split()[0] == "200"
    )
    assert float(corners[0].split()[1]) < float(corners[-1].split()[1])

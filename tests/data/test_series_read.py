"""Reading a series: the same numbers from every kind of table, and every mistake named."""

from __future__ import annotations

import numpy as np
import pytest

from bptt.data.series import Series, read_series
from bptt.data.series.times import Clock, gaps, parse_times, show
from bptt.errors import InputError

TEXT = """ts,load,temp
2024-01-01 00:00,10.5,3
2024-01-01 01:00,11,4
2024-01-01 02:00,,5
2024-01-01 04:00,13,6
"""


@pytest.fixture
def csv(tmp_path):
    def write(text: str, name: str = "demand.csv", encoding: str = "utf-8"):
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    return write


def same(a: Series, b: Series) -> None:
    assert np.array_equal(a.values, b.values, equal_nan=True) and a.targets == b.targets
    assert np.array_equal(a.times, b.times)


def test_a_csv_with_times_holes_and_a_covariate(csv):
    series = read_series(csv(TEXT), "load", time="ts", covariates="temp", missing="previous", period=24)
    assert series.columns == ("load", "temp") and series.name == "demand" and series.period == 24
    assert series.values[:, 1].tolist() == [3, 4, 5, 6] and np.isnan(series.values[2, 0])
    assert series.times[-1] == np.datetime64("2024-01-01T04:00")
    assert any("1 of 4 values are missing" in note for note in series.notes)
    assert any("1 steps of time are not 1 hour, the first after 2024-01-01 02:00" in note for note in series.notes)
    assert len(series.facts["sha256"]) == 64


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_frames_and_parquet_give_the_same(library, csv, tmp_path):
    pytest.importorskip("narwhals")
    wanted = read_series(csv(TEXT), "load", time="ts", missing="linear")
    if library == "pandas":
        pandas = pytest.importorskip("pandas")
        frame = pandas.read_csv(csv(TEXT), parse_dates=["ts"])
    elif library == "polars":
        polars = pytest.importorskip("polars")
        frame = polars.read_csv(csv(TEXT), try_parse_dates=True)
        same(read_series(frame.lazy(), "load", time="ts", missing="linear"), wanted)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        frame = pyarrow.table({"ts": wanted.times, "load": [10.5, 11.0, None, 13.0], "temp": [3, 4, 5, 6]})
        parquet.write_table(frame, tmp_path / "demand.parquet")
        same(read_series(tmp_path / "demand.parquet", "load", time="ts", missing="linear"), wanted)
    same(read_series(frame, "load", time="ts", missing="linear"), wanted)


def test_arrays_semicolons_tabs_and_tables_without_a_heading(csv):
    assert read_series(np.arange(4.0)).values.ravel().tolist() == [0, 1, 2, 3]
    assert read_series(csv("a;b\n1;2\n3;4\n"), "b").values.ravel().tolist() == [2, 4]
    assert read_series(csv("a\tb\n1\t2\n3\t4\n"), "a").values.ravel().tolist() == [1, 3]
    assert read_series(csv("5\n6\n7\n")).values.ravel().tolist() == [5, 6, 7]
    assert read_series(csv('\ufeff"Y"\n22262\n21756\n\n')).targets == ("Y",)


def test_what_is_known_beforehand_reaches_beyond_the_end(csv):
    series = read_series(csv("y,price\n1,10\n2,20\n,30\n,40\n"), "y", known="price")
    assert len(series) == 2 and series.known.ravel().tolist() == [10, 20, 30, 40] and series.future == 2


def test_several_targets(csv):
    series = read_series(csv(TEXT), ["temp", "load"], missing="linear")
    assert series.targets == ("temp", "load") and series.target_values[0].tolist() == [3, 10.5]


WRONG = {
    "missing column": (TEXT, {"target": "lod"}, "no column 'lod'.*ts, load, temp.*Did you mean 'load'"),
    "another missing column": (TEXT, {"target": "load", "time": "when"}, "no column 'when'.*columns are ts, load, temp"),
    "which": (TEXT, {}, "Which column"),
    "two roles": (TEXT, {"target": "load", "covariates": "load"}, "two roles"),
    "no number": ("y\n1\nhigh\n", {}, "row 2: 'high'"),
    "decimal comma": ("a;y\n1;2,5\n", {"target": "y"}, "row 1: '2,5'"),
    "no time": ("t,y\nyesterday,1\n", {"target": "y", "time": "t"}, "row 1: 'yesterday'"),
    "american date": ("t,y\n12/31/2024,1\n", {"target": "y", "time": "t"}, "no time"),
    "empty time": ("t,y\n2024-01,1\n,2\n", {"target": "y", "time": "t"}, "row 2"),
    "order": ("t,y\n2024-02,1\n2024-01,2\n", {"target": "y", "time": "t"}, "out of order.*2024-02.*2024-01"),
    "duplicate": ("t,y\n1,1\n2,2\n2,3\n", {"target": "y", "time": "t"}, "rows 2 and 3 are both at 2"),
    "infinite": ("y\n1\ninf\n", {}, "infinite"),
    "hole": ("x,y\n1,1\n2,\n", {"target": "y"}, "1 of 2 values.*y, row 2.*missing"),
    "ragged": ("a,b\n1,2\n3\n", {"target": "a"}, "row 2: 1 values, 2 columns"),
    "empty": ("", {}, "empty"),
    "heading only": ("a\n", {}, "no rows"),
    "twice": ("a,a\n1,2\n", {"target": "a"}, "same name"),
    "quotes": ('a\n"1\n', {}, "not a readable CSV"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_table_is_named(name, csv):
    text, settings, words = WRONG[name]
    with pytest.raises(InputError, match=words):
        read_series(csv(text), **settings)


def test_files_that_are_none(tmp_path, csv):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    csv(TEXT)
    with pytest.raises(InputError, match=r"Did you mean 'demand\.csv'"):
        read_series(tmp_path / "demnd.csv")
    with pytest.raises(InputError, match="folder"):
        read_series(tmp_path)
    with pytest.raises(InputError, match="byte 0"):
        read_series(csv("\xff\xfe", "latin.csv", "latin-1"))
    pytest.importorskip("pyarrow")
    with pytest.raises(InputError, match="not readable Parquet"):
        read_series(tmp_path / "broken.parquet")
    pytest.importorskip("narwhals")
    with pytest.raises(InputError, match="no table"):
        read_series(object())


def test_times_go_on():
    months = parse_times(["1960-11", "1960-12"], "t")
    assert [show(time) for time in Clock.of(months, 0, 2).ahead(3)] == ["1961-01-01", "1961-02-01", "1961-03-01"]
    hours = parse_times(["2024-02-28 22:00", "2024-02-28 23:00"], "t")
    assert show(Clock.of(hours, 0, 2).ahead(2)[1]) == "2024-02-29 01:00"
    assert Clock.of(parse_times([3, 5, 7], "t"), 0, 3).ahead(2).tolist() == [9, 11]
    assert Clock.of(None, 10, 5).ahead(2).tolist() == [15, 16]
    assert gaps(months) is None and gaps(parse_times(["2024-01", "2024-02", "2024-04"], "t"))[2] == "1 month"

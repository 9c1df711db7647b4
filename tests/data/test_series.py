"""Series: what a slice knows, how holes are bridged, how scaling goes there and back, how windows lie over it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from bptt.data.series import Scaling, Series, SeriesPart, SeriesStream, sine
from bptt.errors import InputError
from bptt.testing import check_stream
from bptt.types import Window

NAN = float("nan")


def test_the_textbook_series():
    clean = sine(1000, noise=0.0).values.ravel()
    assert np.array_equal(clean, np.sin(0.01 * np.arange(1, 1001)))
    residual = sine(1000, seed=3).values.ravel() - clean
    assert 0.19 < residual.std() < 0.21 and abs(residual.mean()) < 0.02
    assert not np.array_equal(sine(50, seed=1).values, sine(50, seed=2).values)


def test_a_slice_keeps_its_place_and_what_is_known_beforehand():
    times = np.arange("2024-01", "2024-11", dtype="datetime64[M]").astype("datetime64[us]")
    series = Series(np.arange(20.0).reshape(10, 2), ("a",), ("b",), known=np.arange(12.0), knowns=("k",), times=times)
    part = series[3:7]
    assert part.values[:, 0].tolist() == [6, 8, 10, 12] and part.start == 3 and part.times[0] == times[3]
    assert part.known.ravel().tolist() == list(range(3, 12)) and part.future == 5 and series.future == 2
    assert part[1:].start == 4 and part.columns == ("a", "b")


def test_holes_are_bridged_by_what_lies_before_or_by_lines():
    series = Series([NAN, 1.0, NAN, NAN, 4.0, NAN], missing="previous")
    assert series.filled().ravel().tolist() == [1, 1, 1, 1, 4, 4]
    assert series.filled("linear").ravel().tolist() == [1, 1, 2, 3, 4, 4]
    assert series.holes == 3 + 1
    # What is filled before an origin does not look behind it.
    for t in range(2, 6):
        assert np.array_equal(series[:t].filled(), series.filled()[:t])


@pytest.mark.parametrize("transform", ["none", "log", "sqrt"])
@pytest.mark.parametrize("scale", ["none", "standard", "minmax"])
def test_scaling_there_and_back(transform, scale):
    values = np.random.default_rng(0).uniform(0.5, 90, (31, 3)) * [1, 10, -1]
    fitted = Scaling.fit(values[:20], scale, transform, columns=2)
    np.testing.assert_allclose(fitted.back(fitted(values)), values, rtol=1e-12)
    np.testing.assert_allclose(fitted.back(fitted(values[:, :2])), values[:, :2], rtol=1e-12)
    again = Scaling.from_json(fitted.to_json())
    assert np.array_equal(again(values), fitted(values))
    changed = {"none": values, "log": np.log(values[:, :2]), "sqrt": np.sqrt(values[:, :2])}[transform][:20]
    seen = fitted(values[:20])[:, : changed.shape[1]]
    if scale == "standard":
        np.testing.assert_allclose(seen, (changed - changed.mean(0)) / changed.std(0), rtol=1e-10, atol=1e-12)
    if scale == "minmax":
        assert seen.min() == 0 and seen.max() == pytest.approx(1)


def test_scaling_is_of_what_it_was_fitted_on_alone():
    values = np.random.default_rng(1).normal(size=(40, 2))
    changed = np.concatenate([values[:25], 1e6 + values[25:]])
    one, two = Scaling.fit(values[:25]), Scaling.fit(changed[:25])
    assert np.array_equal(one.a, two.a) and np.array_equal(one.b, two.b)


def test_a_transform_without_a_number_is_refused():
    with pytest.raises(InputError, match="no log of some"):
        Scaling.fit(np.array([[0.0], [1.0]]), transform="log")
    with pytest.raises(InputError, match="Did you mean 'log'"):
        Scaling.fit(np.ones((3, 1)), transform="lgo")


def part(steps: int = 47, inputs: int = 3) -> SeriesPart:
    random = np.random.default_rng(2)
    targets = np.stack([random.normal(size=(steps, 2)), np.ones((steps, 2))], -1)
    return SeriesPart(random.normal(size=(steps, inputs)), targets, np.arange(steps) % 11 != 4)


@pytest.mark.parametrize("sampling", ["sequential", "random", "shuffled"])
@pytest.mark.parametrize("rows, steps", [(1, 47), (3, 5), (5, 2)])
def test_a_series_keeps_the_contract_of_streams(sampling, rows, steps):
    def factory() -> SeriesStream:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return part().stream(rows, steps, sampling, seed=2)

    check_stream(factory, next_input=False)


def test_lanes_go_on_where_they_stopped_and_read_what_is_there():
    made = part(41)
    stream = made.stream(4, 3, offset=False)
    lanes = Window.cat(*stream)
    assert lanes.inputs.shape == (4, 10, 3) and lanes.targets.shape == (4, 10, 2, 2)
    at = np.arange(4)[:, None] * 10 + np.arange(10)
    assert np.array_equal(lanes.inputs.numpy(), made.inputs[at]) and np.array_equal(lanes.targets.numpy(), made.targets[at])
    assert np.array_equal(lanes.mask.numpy(), made.counts[at]) and not lanes.mask.all()
    assert lanes.reset[:, 0].all() and not lanes.reset[:, 1:].any()


def test_the_whole_is_one_lane_without_its_last_step():
    windows = list(part(23).whole(5))
    assert sum(window.steps for window in windows) == 22 and all(window.batch_size == 1 for window in windows)


WRONG = {
    "holes": (lambda: Series([1.0, NAN]), "1 of 2 values"),
    "infinite": (lambda: Series([1.0, np.inf]), "row 2"),
    "texts": (lambda: Series(["a", "b"]), "not numbers"),
    "cube": (lambda: Series(np.zeros((2, 2, 2))), "steps by columns"),
    "names": (lambda: Series(np.zeros((3, 2)), ("a",)), "needs a name"),
    "fill": (lambda: Series([1.0], missing="prevous"), "Did you mean 'previous'"),
    "period": (lambda: Series([1.0], period=0), "period=0"),
    "short known": (lambda: Series([1.0, 2.0], known=[1.0]), "1 rows for 2 steps"),
    "hole in known": (lambda: Series([1.0, 2.0], known=[1.0, NAN]), "known_1, row 2"),
    "times": (lambda: Series([1.0, 2.0], times=np.array([1.0, 1.0])), "same time"),
    "order": (lambda: Series([1.0, 2.0], times=np.array([2.0, 1.0])), "out of order"),
    "slice": (lambda: Series([1.0, 2.0])[::-1], "series\\[a:b\\]"),
    "constant": (lambda: Series([2.0, 2.0]).check_variation(), "constant"),
    "sine": (lambda: sine(1), "count=1"),
    "nothing": (lambda: Series([NAN, NAN], missing="linear").check_variation(), "no values"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name):
    act, words = WRONG[name]
    with pytest.raises(InputError, match=words):
        act()

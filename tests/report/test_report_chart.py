"""Curves: smoothing, thinning, gaps, axes."""

from __future__ import annotations

import math

import pytest

from bptt.report.chart import Axis, Chart, Line, path
from bptt.report.series import centred, exponential, smooth, speed, thin
from bptt.report.words import compact, duration, percent, significant, visible

UNIT = Axis(0.0, 10.0)


def test_the_moving_mean_is_unbiased_from_the_first_point() -> None:
    a = 1 - 1 / 4
    assert [y for _, y in smooth([(0, 8.0), (1, 2.0)], 4)] == pytest.approx([8.0, (a * 8 + 2) / (a + 1)], abs=1e-12)


def test_smoothing_a_constant_leaves_it_and_keeps_gaps() -> None:
    points = [(0.0, 3.0), (1.0, None), (2.0, 3.0)]
    means = smooth(points, 7)
    assert means[1] == (1.0, None) and [means[0][1], means[2][1]] == pytest.approx([3.0, 3.0], abs=1e-12)


def test_the_centred_mean_does_not_lag_behind_a_line() -> None:
    points = [(float(x), 5.0 - 2.0 * x) for x in range(401)]
    assert centred(points, 9)[200][1] == pytest.approx(points[200][1], abs=1e-6)
    assert smooth(points, 9)[200][1] == pytest.approx(points[200][1] + 16, abs=1e-6)


def test_the_centred_mean_weighs_by_distance_and_skips_gaps() -> None:
    a = 1 - 1 / 3
    means = [y for _, y in centred([(0, 7.0), (1, None), (2, 1.0), (3, 4.0)], 3)]
    assert means[1] is None
    assert means[2] == pytest.approx((a * 7 + 1 + a * 4) / (1 + 2 * a), abs=1e-12)
    assert means[0] == pytest.approx((7 + a * 1 + a * a * 4) / (1 + a + a * a), abs=1e-12)


def test_thinning_keeps_extremes_order_and_gaps() -> None:
    points = [(float(x), math.sin(x)) for x in range(100_000)]
    points[31_234] = (31_234.0, 50.0)
    points[77_777] = (77_777.0, None)
    thinned = thin(points, 800)
    assert len(thinned) <= 800 and thinned == sorted(thinned, key=lambda point: point[0])
    assert (31_234.0, 50.0) in thinned and (77_777.0, None) in thinned
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])


def test_short_curves_stay_as_they_are() -> None:
    assert thin([(1.0, 2.0)], 800) == [(1.0, 2.0)]


def test_a_gap_breaks_the_path_and_a_lonely_point_is_a_dot() -> None:
    assert path([(0, 0.0), (5, 10.0), (6, None), (10, 5.0)], UNIT, UNIT) == "M0 1000h0L500 0M1000 500h0"


def test_perplexity_that_overflows_is_a_gap() -> None:
    assert exponential([(1, 0.0), (2, 1e4), (3, None)]) == [(1, 1.0), (2, None), (3, None)]


@pytest.mark.parametrize(
    "lo, hi, log", [(0, 1, 0), (0, 3000, 0), (5.1, 5.2, 0), (1, 1e6, 1), (60, 3100, 1), (7.1, 7.9, 1), (1e-9, 1e90, 1)]
)
def test_ticks_are_few_inside_and_rising(lo: float, hi: float, log: int) -> None:
    axis = Axis(lo, hi, bool(log))
    ticks = axis.ticks()
    assert 3 <= len(ticks) <= 8 and ticks == sorted(set(ticks)) and all(axis.holds(tick) for tick in ticks)


def test_a_log_axis_has_equal_ratios_at_equal_distances() -> None:
    axis = Axis(1.0, 100.0, log=True)
    assert [axis.share(v) for v in (1.0, 10.0, 100.0)] == pytest.approx([0, 0.5, 1], abs=1e-12)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "points", [[(1, 5.0)], [(0, 0.0)], [(0, -3.0), (1, 1e300)], [(3, 1e-300)], [(1, 2.0), (2, 2.0)], [(-5, 1.0)]]
)
def test_any_few_points_make_a_view(points: list[tuple[float, float | None]], log: bool) -> None:
    view = Chart("t", "a", [Line("l", points)], log=log).view()
    assert view["empty"] or all(0 <= at <= 100 for at, _ in view["y_ticks"] + view["x_ticks"])


def test_one_spike_of_a_raw_curve_does_not_flatten_the_rest() -> None:
    noisy = [(float(x), 1.0 + 0.1 * (x % 7)) for x in range(700)]
    noisy[350] = (350.0, 1e6)
    _, y = Chart("t", "a", [])._axes([Line("l", noisy, "raw")])
    assert y.hi < 2


def test_a_threshold_is_always_in_the_frame() -> None:
    view = Chart("t", "a", [Line("l", [(1, 0.1), (2, 0.2)])], levels=[(5.0, "clip")]).view()
    assert 0 <= view["levels"][0][0] <= 100


def test_speed_comes_from_totals_and_leaves_gaps_where_a_clock_went_back() -> None:
    records = [{"step": n, "tokens": 100 * n, "seconds": s} for n, s in ((1, 1.0), (2, 2.0), (3, 1.5), (4, 2.0))]
    assert speed(records) == [(2.0, 100.0), (3.0, None), (4.0, 200.0)]
    assert speed([]) == [] and speed(records[:1]) == []


def test_speed_covers_a_long_run_to_its_last_step() -> None:
    points = speed([{"step": n, "tokens": 50 * n, "seconds": 0.5 * n} for n in range(1, 1004)])
    assert len(points) <= 202 and points[-1][0] == 1003 and all(y == pytest.approx(100.0) for _, y in points)


def test_numbers_in_words() -> None:
    assert [significant(x) for x in (6.4213, 12345.6, 0.0, 87.05, 1e30)] == ["6.42", "12,346", "0", "87.0", "1e+30"]
    assert [compact(x) for x in (0, 850, 12500, 3.2e6, 1e-5, 1e30, 1.0)] == ["0", "850", "12.5k", "3.2M", "1e-5", "1e+30", "1"]
    assert [duration(x) for x in (4.21, 312, 11100, 200000)] == ["4.2 s", "5 min 12 s", "3 h 05 min", "2 d 7 h"]
    assert [percent(x) for x in (0, 1e-6, 0.005, 0.123, 1)] == ["0 %", "< 0.01 %", "0.50 %", "12.3 %", "100 %"]
    assert [visible(x) for x in (" ", "\n", "a b", "", "x" * 30)] == ["␣", "⏎", "a␣b", "(empty)", "x" * 23 + "…"]

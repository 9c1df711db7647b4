"""The credit map: exact where nothing is drawn, the enumerated expectation where something is, and true of another model."""

from __future__ import annotations

import dataclasses
import doctest
import json
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from bptt import Full, InputError, Truncated, Unroll, Window, credit
from bptt.diagnostics.credit_map import NoMap
from bptt.diagnostics.cuts import Cuts, cuts
from bptt.diagnostics.shades import pooled, shade
from bptt.gradients import STRATEGIES, Stretches


@dataclasses.dataclass(frozen=True)
class Bits(Stretches):
    """Bit s − 1 of the seed says whether the edge into step s is whole, so that 2^(T−1) seeds are all patterns of T steps."""

    weight: float = 2.0
    seed: int = 0

    exact: ClassVar[bool] = False
    unbiased: ClassVar[bool] = True
    random: ClassVar[bool] = True
    omits: ClassVar[str] = "nothing on average, if the weight is 2"
    cost: ClassVar[str] = "one forward and one backward"
    memory: ClassVar[str] = "O(T)"
    reference: ClassVar[str] = "@misc{bits, author = {A. Nonymous}, title = {Bits}, year = {2020}}"

    def nominal(self, steps):
        return 2

    def length(self, memory):
        first = memory["position"] + 1
        return next((s - memory["position"] for s in range(first, 64) if not self.seed >> (s - 1) & 1), float("inf"))

    def edges(self, run):
        return torch.full(run.mask.shape, self.weight, dtype=torch.float64)


def triangle(steps, weight):
    """[T, T] of weight(t, k), NaN where k > t."""
    rows = [[float(weight(t, k)) if k <= t else torch.nan for k in range(steps)] for t in range(steps)]
    return torch.tensor(rows, dtype=torch.float64)


def same(found, wanted, tolerance=0.0):
    return torch.allclose(found, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("steps", [1, 2, 13])
def test_full_gives_every_credit_the_weight_1(steps):
    found = credit(Full(), steps)
    assert same(found.weights, triangle(steps, lambda t, k: 1)) and same(found.error, triangle(steps, lambda t, k: 0))
    assert found.draws == 1 and found.largest == 1 and found.reach() == list(range(steps))
    assert found.summary() == "Every loss reaches back to the first step, with weight 1."


def kept(k1, k2):
    """Losses of a stretch of k1 steps reach back to k2 − k1 steps before its start."""
    return lambda t, k: k <= t % k1 + (k2 or k1) - k1


@pytest.mark.parametrize("window", [None, 1, 4, 5, 30])
@pytest.mark.parametrize(("k1", "k2"), [(4, None), (1, 3), (3, 7), (5, 5), (4, 30), (13, None)])
def test_truncation_keeps_the_credits_it_names_wherever_windows_end(k1, k2, window):
    found = credit(Truncated(k1, k2), 13, window=window)
    assert same(found.weights, triangle(13, kept(k1, k2))) and found.window is None


def test_the_window_matters_where_a_strategy_says_so():
    found = credit(Full(), 13, window=5)
    assert same(found.weights, triangle(13, kept(5, None))) and found.title == "Full(), windows of 5"
    assert found.summary() == "A loss reaches back 0 to 4 steps, with weight 1; what lies before gets nothing."


@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("weight", [2.0, 1.0])
def test_a_mean_over_all_draws_is_the_expectation_and_its_error_the_spread(weight, window):
    # k edges survive together in one pattern of 2^k, with the weight weight^k: mean (weight/2)^k, spread in closed form.
    steps, patterns = 6, 2**5
    found = credit(Bits(weight), steps, draws=patterns, window=window)
    assert same(found.weights, triangle(steps, lambda t, k: (weight / 2) ** k), 1e-12)
    spread = triangle(steps, lambda t, k: ((weight**2 / 2) ** k - (weight / 2) ** (2 * k)) / (patterns - 1)).sqrt()
    assert same(found.error, spread, 1e-12)
    assert found.largest == weight**5 and found.draws == patterns
    assert same(found.by_lag()[0], (weight / 2) ** torch.arange(6.0, dtype=torch.float64), 1e-12)


def test_errors_of_lags_and_of_all_credits_are_those_of_the_draws():
    found = credit(Bits(), 5, draws=7)
    each = [credit(Bits(seed=seed), 5, draws=1) for seed in range(7)]
    by_lag = torch.stack([one.weights.nanmean(0) for one in each])
    assert same(found.by_lag()[1], by_lag.std(0) / 7**0.5, 1e-12)
    everything = torch.stack([one.weights[~one.weights.isnan()].mean() for one in each])
    lags = max(found.reach()) + 1
    assert lags < 5, "so that what no draw reached is left out of the mean"
    reached = torch.stack([one.weights[:, :lags][~one.weights[:, :lags].isnan()].mean() for one in each])
    assert found.overall() == pytest.approx((float(reached.mean()), float(reached.std() / 7**0.5)), rel=1e-12)
    assert float(everything.mean()) != pytest.approx(found.overall()[0])
    assert "none of which reached beyond lag" in found.summary() and "Over 7 draws" in found.summary()


def test_one_draw_does_not_tell_an_error():
    found = credit(Bits(seed=2), 4, draws=1)
    assert found.error.isnan().all() and found.by_lag()[1].isnan().all()
    assert found.summary().startswith("One draw: 50% of the credits count, with weights up to 2")
    assert credit(Truncated(2), 4, draws=9).draws == 1, "without chance there is one draw"


class Scalar(nn.Module):
    """h' = w h + b + x."""

    def __init__(self):
        super().__init__()
        self.w, self.b = (nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in (0.8, 0.1))

    def initial_state(self, batch_size):
        return torch.zeros(batch_size, 1, dtype=torch.float64)

    def forward(self, x, h):
        h = self.w * h + x + self.b
        return h, h


@pytest.mark.parametrize("strategy", [Full(), Truncated(4), Truncated(3, 7), Bits(1.5, seed=0b0110111011)], ids=str)
def test_the_map_says_what_the_strategy_does_to_another_model(strategy):
    # d l_t / d b at lag k is w^k here, so the gradient must be Σ weights(t, k) · w^k.
    steps, unroll = 11, Unroll(None, Scalar(), None, lambda outputs, targets: outputs.squeeze(2))
    zeros = torch.zeros(1, steps, 1, dtype=torch.float64)
    carry = strategy.start(unroll, 1)
    for part in (Window.of(zeros, zeros[..., 0]), Window.of(zeros[:, :0], zeros[:, :0, 0])):
        for estimate in strategy.gradients(unroll, part, carry):
            carry = estimate.carry
    weights = credit(strategy, steps, draws=1).weights.nan_to_num()
    wanted = (weights * 0.8 ** torch.arange(steps).double()).sum()
    assert float(unroll.recurrent.cell.b.grad) == pytest.approx(float(wanted), rel=1e-12)


WITHOUT = {
    "snap": "weighted sum",
    "rflo": "weighted sum",
    "eprop": "weighted sum",
    "kfrtrl": "refuses the integrator",
    "syntheticgradient": "weighted sum",
}


@pytest.mark.parametrize("name", WITHOUT)
def test_strategies_without_a_map_say_why(name):
    with pytest.raises(NoMap, match=f"no credit map.*{WITHOUT[name]}.*bptt compare"):
        credit(STRATEGIES[name](**({"n": 1} if name == "snap" else {})), 9)


@pytest.mark.parametrize("name", sorted(STRATEGIES.keys() - WITHOUT.keys()))
def test_every_other_strategy_of_the_house_can_be_measured(name):
    kind = STRATEGIES[name]
    needed = {field.name: 4 for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING}
    strategy = kind(**needed) if name != "checkpointed" else kind(slots=3)
    found = credit(strategy, 9, draws=3)
    assert found.weights[:, 0].isfinite().all() and found.largest >= 1
    if strategy.exact:
        assert same(found.weights, triangle(9, lambda t, k: 1), 1e-12)


def test_nothing_outside_is_touched():
    before = torch.random.get_rng_state()
    credit(Bits(), 4, draws=2)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_progress_is_told():
    told = []
    credit(Bits(), 3, draws=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@dataclasses.dataclass(frozen=True)
class Forward(Bits):
    online: ClassVar[bool] = True
    unbiased: ClassVar[bool] = False
    omits: ClassVar[str] = "what other units know"


@pytest.mark.parametrize(
    ("strategy", "steps", "settings", "words"),
    [
        (Forward(), 4, {}, "Forward has no credit map.*not a weighted sum.*what other units know"),
        ("full", 4, {}, "no gradient strategy. 'full'"),
        (Truncated, 4, {}, "no gradient strategy"),
        (Full(), 513, {}, "T=513.*at most 512"),
        (Full(), 0, {}, "T must be a whole number"),
        (Full(), 2.5, {}, "T must be a whole number"),
        (Full(), 4, {"draws": 0}, "draws must be"),
        (Full(), 4, {"window": -1}, "window must be"),
    ],
)
def test_what_has_no_map_is_refused(strategy, steps, settings, words):
    with pytest.raises(InputError, match=words):
        credit(strategy, steps, **settings)


def test_an_online_rule_without_bias_has_a_map():
    kind = dataclasses.make_dataclass("Unbiased", [], bases=(Forward,), frozen=True, namespace={"unbiased": True})
    assert credit(kind(), 3, draws=2).draws == 2


def test_plain_numbers():
    told = credit(Truncated(2), 3).to_json()
    assert told["weights"] == [[1.0], [1.0, 1.0], [1.0, 0.0, 0.0]] and told["by_lag"] == [1.0, 0.5, 0.0]
    assert (told["steps"], told["draws"], told["window"], told["largest"]) == (3, 1, None, 1.0)
    one = credit(Bits(seed=1), 3, draws=1).to_json()
    assert one["error"] == [[None], [None, None], [None] * 3] and one["by_lag_error"] == [None] * 3
    json.dumps([told, one], allow_nan=False)


def test_as_text():
    assert str(credit(Truncated(2), 5)) == (
        "Truncated(k1=2, k2=None, update='stretch'): "
        "A loss reaches back 0 to 1 steps, with weight 1; what lies before gets nothing.\n"
        "loss lag →\n"
        "   0 █▄\n"
        "   2 █▄\n"
        "   4 ▀\n"
        "     0\n"
        "mean █▄\n"
        "█ about 1   ▀▄ one of two losses   blank: 0, or before the first step"
    )


@pytest.mark.parametrize(("steps", "columns"), [(3, 40), (41, 80), (41, 45), (97, 40), (200, 60)])
def test_text_is_no_wider_than_asked(steps, columns):
    text = credit(Truncated(8, 20), steps).text(columns)
    assert max(map(len, text.splitlines())) <= columns
    assert ("a character:" in text) == (steps > columns - 5)


@pytest.mark.parametrize(
    ("weight", "sign"), [(-0.1, "−"), (0.1, "░"), (0.3, "▒"), (0.6, "▓"), (1.0, "█"), (1.2, "█"), (9.0, "+")]
)
def test_shades(weight, sign):
    assert shade(weight) == sign


def test_pooling_leaves_out_what_is_not_there():
    assert pooled(triangle(3, lambda t, k: t + k), 2)[0][0] == pytest.approx((0 + 1 + 2) / 3)
    assert pooled(triangle(3, lambda t, k: t + k), 2)[1] == [pytest.approx(2.5), 4.0]


def test_cuts_are_read_off_the_credits():
    found = cuts(Truncated(3), 8)
    assert found.at == [3, 6] and found.lengths == [3, 3, 2] and found.marks == "  │  │ "
    assert found.weights == [1, 1, 0, 1, 1, 0, 1] and found.highest == [1.0] * 8
    assert found.summary() == "3 stretches of 2 to 3 steps; an edge weighs 1"
    assert cuts(Full(), 8).summary() == "not cut; an edge weighs 1"


def test_edges_of_a_random_draw():
    found = cuts(Bits(1.5, seed=0b1101101), 9)
    assert found.at == [2, 5, 8] and found.weights == [1.5, 0, 1.5, 1.5, 0, 1.5, 1.5, 0]
    assert found.highest == [1.5, 1, 1.5**2, 1.5, 1, 1.5**2, 1.5, 1, 1]
    assert found.summary() == "4 stretches of 1 to 3 steps; an edge weighs 1.5, a step up to 2.25"
    assert found.to_json()["cuts"] == [2, 5, 8]


def test_edges_at_which_only_some_losses_end():
    found = cuts(Truncated(2, 4), 8)
    # Edge 2 is crossed by the losses 2 and 3, but not by 4 and 5, whose gradient arrives at step 2 and ends there.
    assert found.at == [] and found.marks == " ┊ ┊   " and found.shares[1] == 0.5
    assert found.lengths == [8] and "some losses end at 2 edges" in found.summary()


def test_lags_that_a_draw_leaves_out_are_no_cuts():
    weights = triangle(4, lambda t, k: 3.0 * (k in (1, 3)))
    found = Cuts.of(dataclasses.replace(credit(Full(), 4), weights=weights))
    assert found.at == [] and found.to_json()["weights"] == [None] * 3


def test_cuts_as_text():
    found = cuts(Bits(2.0, seed=0b011101), 7)
    assert found.text("abcdefg", 80) == "▂▁ ▄▃▂▁ ▁\nab│cdef│g"
    assert found.text("ab猫defg", 6) == "▂▁ ▄ ▃\nab│猫d\n▂▁ ▁\nef│g"


def test_the_page_says_what_is_so():
    page = Path(__file__).parents[2] / "docs" / "gradients" / "credit.md"
    found = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert found.failed == 0 and found.attempted > 0
    assert all((page.parent / name).is_file() for name in ("credit-map.png", "credit-cuts.png"))

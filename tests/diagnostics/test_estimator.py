"""Bias, variance and direction: against planted errors, closed forms and enumeration of all draws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest
import torch
from planted import Coin, Scaled, Tilted

from bptt import Full, Randomized, Truncated
from bptt.diagnostics.blocks import Blocks, block_of
from bptt.diagnostics.estimator import Accuracy, Reference, accuracy, gram_of, pair_mean, spread
from bptt.diagnostics.probes import Probe
from bptt.testing.examples import STEPS, exact, norm, problem


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So small, a model gains nothing from a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def reference(recurrent: str = "rnn", probes: int = 1) -> Reference:
    """The exact gradients of one or more small problems of the same model: resets, masks, dropout, a state that is not zero."""
    settings = [problem(recurrent, seed=seed) for seed in range(probes)]
    places = [Probe(setting.window, setting.state) for setting in settings]
    return Reference(settings[0].unroll, places, lambda: None)


def measured(strategy: object, own: Reference, steps: int = STEPS, draws: int = 16, seed: int = 0) -> Accuracy:
    return own.measure(strategy, steps, draws, seed, lambda: None).total


@pytest.mark.parametrize("recurrent", ["rnn", "lstm", "gru-deep-dropout", "nested"])
def test_the_reference_is_the_exact_gradient(recurrent: str) -> None:
    own, wanted = reference(recurrent), exact(problem(recurrent))
    assert own.norm == pytest.approx(norm(wanted), rel=1e-12) and own.norm > 1e-8
    assert measured(Full(), own).bias <= 1e-12


def test_a_planted_factor_is_a_bias_without_a_turn() -> None:
    found = measured(Scaled(1.2), reference("lstm"))
    assert found.bias == pytest.approx(0.2, rel=1e-12) and found.cosine == pytest.approx(1, abs=1e-12)
    assert found.resolved and found.variance == 0 and found.bias_limit == found.bias
    assert found.length == pytest.approx(1.44, rel=1e-12)
    assert measured(Scaled(-1.0), reference("lstm")).cosine == pytest.approx(-1, abs=1e-12)


def test_a_planted_turn_is_seen_in_its_own_block_and_nowhere_else() -> None:
    own = reference("lstm")
    found = own.measure(Tilted(by=0.3), STEPS, 3, 0, lambda: None)
    wanted = exact(problem("lstm"))
    share = float(wanted["recurrent.layer.weight_hh_l0"].norm()) / norm(wanted)
    assert found.blocks["recurrent weights"].bias == pytest.approx(0.3, rel=1e-12)
    assert found.blocks["recurrent weights"].cosine == pytest.approx(1 / math.sqrt(1.09), rel=1e-12)
    assert found.total.bias == pytest.approx(0.3 * share, rel=1e-12)
    assert all(found.blocks[block].bias <= 1e-12 for block in ("input weights", "biases", "readout"))


def test_a_fair_coin_has_its_variance_and_no_bias() -> None:
    found = measured(Coin(a=0.5), reference("rnn", 4), draws=64)
    assert found.variance == pytest.approx(0.25, rel=0.05)
    assert not found.resolved and found.bias_limit < 0.2
    assert found.signal_to_noise == pytest.approx(2, rel=0.1)


def test_a_coin_is_measured_to_the_last_digit() -> None:
    """d_i = ±a g: every statistic is one of the signs."""
    found = measured(Coin(a=0.5), reference("rnn"), draws=11, seed=5)
    signs = torch.tensor([Coin(a=0.5, seed=seed).drawn - 1 for seed in range(5, 16)], dtype=torch.float64)
    assert 0 < (signs > 0).sum() < 11
    assert found.variance == pytest.approx(float(signs.var()), rel=1e-12)
    pairs = [float(a * b) for i, a in enumerate(signs) for j, b in enumerate(signs) if i != j]
    assert found.squared_bias == pytest.approx(sum(pairs) / len(pairs), rel=1e-9)
    assert found.length == pytest.approx(1 + 2 * float(signs.mean()) + found.squared_bias, rel=1e-12)


def test_an_unfair_coin_is_found_out() -> None:
    """Bias 0.2 in noise of the same size as before: seen from enough draws, and never below what is claimed."""

    class Unfair(Coin):
        @property
        def drawn(self) -> float:
            return super().drawn + 0.2

    found = measured(Unfair(a=0.5), reference("rnn", 4), draws=64)
    assert found.resolved and found.bias == pytest.approx(0.2, abs=0.08)


def gram(vectors: list[tuple[float, ...]]) -> torch.Tensor:
    return gram_of(torch.tensor(vectors, dtype=torch.float64))


def test_squared_bias_and_variance_are_unbiased_over_all_draws() -> None:
    """Every sample of 4 draws from three equally likely differences, 81 in all."""
    population = [(0.3, -0.2), (0.9, 0.4), (-0.6, 0.7)]
    middle = torch.tensor(population, dtype=torch.float64).mean(0)
    wanted = float(middle.square().sum())
    scatter = float((torch.tensor(population, dtype=torch.float64) - middle).square().sum(1).mean())
    samples = [gram(list(sample)) for sample in itertools.product(population, repeat=4)]
    biases, errors = zip(*(pair_mean(sample) for sample in samples), strict=True)
    assert sum(biases) / 81 == pytest.approx(wanted, rel=1e-12)
    assert sum(spread(sample) for sample in samples) / 81 == pytest.approx(scatter, rel=1e-12)
    true_variance = sum((bias - wanted) ** 2 for bias in biases) / 81
    assert true_variance < sum(error**2 for error in errors) / 81 < 4 * true_variance  # the jackknife errs upwards


def test_noise_alone_is_not_called_a_bias() -> None:
    """Plain ‖mean − g‖ of 16 draws would claim a bias of a quarter of the scatter, each time."""
    torch.manual_seed(0)
    claims = 0
    for _ in range(200):
        rows = torch.cat([torch.ones(1, 50, dtype=torch.float64), torch.randn(16, 50, dtype=torch.float64)])
        found = accuracy([gram_of(rows)])
        assert found is not None and float(rows[1:].mean(0).norm() / rows[0].norm()) > 0.15
        claims += found.resolved
    assert claims <= 10


def test_random_truncation_at_no_rate_is_exact_and_at_a_rate_is_not_resolved() -> None:
    own = reference("rnn", 3)
    never = measured(Randomized(mean=math.inf), own)
    assert never.bias <= 1e-12 and never.variance <= 1e-24
    found = measured(Randomized(mean=8), own, draws=32)
    assert found.variance > 1e-4 and (not found.resolved or found.bias < 0.05)


def test_full_over_windows_makes_the_error_of_its_borders() -> None:
    own = reference("gru-deep-dropout", 2)
    found = {7: measured(Full(), own, steps=7), STEPS: measured(Full(), own, steps=STEPS)}
    assert found[STEPS].bias <= 1e-12 and found[7].bias > 1e-3
    assert measured(Truncated(7), own).bias == pytest.approx(found[7].bias, rel=1e-9)


def test_probes_count_alike() -> None:
    two = [torch.tensor([[4.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])]
    found = accuracy(two)
    assert found is not None and found.squared_bias == pytest.approx((1 / 4 + 1) / 2, rel=1e-12)
    assert accuracy([torch.zeros(2, 2)]) is None


def test_the_noise_of_data_is_the_variance_between_probes() -> None:
    own = reference("rnn", 4)
    stacked = torch.stack(own.gradients)
    wanted = float(stacked.var(0).sum() / stacked.square().sum(1).mean())
    assert own.data_variance == pytest.approx(wanted, rel=1e-12) and wanted > 0.01
    scaled = own.measure(Scaled(2.0), STEPS, 3, 0, lambda: None)
    assert scaled.data_variance == pytest.approx(4 * wanted, rel=1e-12)
    assert math.isnan(reference("rnn", 1).data_variance)


def test_draws_leave_the_noise_of_data_alone() -> None:
    """What is left of the variance between means of 5 draws, when the part that the draws explain is taken away."""
    own = reference("rnn", 4)
    found = own.measure(Coin(a=0.5), STEPS, 5, 0, lambda: None)
    factors = torch.tensor([Coin(a=0.5, seed=seed).drawn for seed in range(20)], dtype=torch.float64).view(4, 5)
    exact = torch.stack(own.gradients)
    squares = exact.square().sum(1)
    between = (factors.mean(1, keepdim=True) * exact).var(0).sum()
    wanted = float((between - (factors.var(1) / 5 * squares).mean()) / squares.mean())
    assert found.data_variance == pytest.approx(wanted, rel=1e-9) and 0.01 < wanted < float(between / squares.mean())
    assert found.weight == 1.5


def test_blocks_bear_names_that_mean_something() -> None:
    names = {
        "encode.table.weight": "embedding",
        "recurrent.layer.weight_ih_l0": "input weights",
        "recurrent.layer.weight_hh_l1": "recurrent weights",
        "recurrent.layers.1.cell.bias_hh": "biases",
        "recurrent.cell.a.weight": "cell.a.weight",
        "readout.linear.bias": "readout",
        "scale": "scale",
    }
    assert {name: block_of(name) for name in names} == names
    blocks = Blocks(problem("lstm").unroll)
    assert blocks.size == sum(parameter.numel() for parameter in problem("lstm").unroll.parameters())

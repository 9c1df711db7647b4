"""The loss that computes its own scores against the one that is given them."""

from __future__ import annotations

import pytest
import torch

from bptt import linear_losses, losses

B, T, H, V = 3, 5, 4, 7


@pytest.fixture(params=[2**20, 3 * V], ids=["one chunk", "chunks of three rows"])
def given(request, monkeypatch):
    monkeypatch.setattr(linear_losses, "SCORES", request.param)
    torch.manual_seed(0)
    leaves = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((B, T, H), (V, H), (V,))]
    return leaves, torch.randint(V, (B, T)), torch.rand(B, T) < 0.7


def plain(features, weight, bias, targets):
    return losses.cross_entropy(torch.nn.functional.linear(features, weight, bias), targets)


@pytest.mark.parametrize("weighting", ["mask", "multiple", "any", "none"])
@pytest.mark.parametrize("biased", [True, False])
def test_losses_and_gradients(given, weighting, biased):
    leaves, targets, mask = given
    leaves = leaves if biased else leaves[:2]
    arguments = [*leaves, *([] if biased else [None])]
    weights = {
        "mask": mask.double(),
        "multiple": mask / 35,
        "any": torch.randn(B, T).double(),
        "none": torch.zeros(B, T).double(),
    }
    found = linear_losses.cross_entropy(*arguments, targets, mask)
    expected = plain(*arguments, targets)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    grads = torch.autograd.grad((found * weights[weighting]).sum(), leaves)
    exact = torch.autograd.grad((expected * weights[weighting]).sum(), leaves)
    torch.testing.assert_close(grads, exact, rtol=1e-12, atol=1e-12)
    assert weighting == "none" or min(float(g.abs().max()) for g in exact) > 1e-8


def test_the_gradient_of_the_mask_needs_no_second_pass(given, monkeypatch):
    leaves, targets, mask = given
    loss = linear_losses.cross_entropy(*leaves, targets, mask)
    monkeypatch.setattr(linear_losses, "_run", None)
    (loss.where(mask, 0).sum() / 70).backward()
    assert float(leaves[0].grad.abs().max()) > 1e-8


def test_nothing_as_large_as_all_scores_is_kept():
    features, weight, kept = torch.randn(8, 64, 6, requires_grad=True), torch.randn(500, 6, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        linear_losses.cross_entropy(features, weight, None, torch.randint(500, (8, 64)))
    assert kept and max(kept) < 8 * 64 * 500 // 10


def test_second_derivatives(given):
    leaves, targets, mask = given

    def twice(loss):
        first = torch.autograd.grad(loss.where(mask, 0).sum(), leaves, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), leaves)

    found, expected = twice(linear_losses.cross_entropy(*leaves, targets, mask)), twice(plain(*leaves, targets))
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def test_batched_gradients(given):
    leaves, targets, mask = given
    pulls = torch.randn(3, B, T, dtype=torch.float64)
    found = torch.autograd.grad(linear_losses.cross_entropy(*leaves, targets, mask), leaves, pulls, is_grads_batched=True)
    expected = torch.autograd.grad(plain(*leaves, targets), leaves, pulls, is_grads_batched=True)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_an_ignored_target(given):
    leaves, targets, mask = given
    targets[0, 0] = -100
    torch.testing.assert_close(linear_losses.cross_entropy(*leaves, targets, mask), plain(*leaves, targets))


def test_without_gradients_nothing_waits(given):
    leaves, targets, _ = given
    with torch.no_grad():
        torch.testing.assert_close(
            linear_losses.cross_entropy(*leaves, targets), plain(*leaves, targets), rtol=1e-12, atol=1e-12
        )


def test_extreme_scores_stay_finite():
    features = torch.tensor([[[1e4], [-1e4]]], requires_grad=True)
    loss = linear_losses.cross_entropy(features, torch.tensor([[1.0], [-1.0]]), None, torch.tensor([[0, 0]]))
    assert torch.equal(loss.detach(), torch.tensor([[0.0, 2e4]]))


def test_a_target_outside_the_vocabulary_is_refused(given):
    leaves, targets, _ = given
    with pytest.raises((IndexError, RuntimeError)):
        linear_losses.cross_entropy(*leaves, targets + V)


def test_the_unrolled_model_takes_this_way(monkeypatch):
    from bptt import LanguageModel, Window

    model, calls = LanguageModel("gru", vocab=V, hidden_size=H), []
    direct = linear_losses.cross_entropy
    monkeypatch.setitem(linear_losses.FROM_LINEAR, losses.cross_entropy, lambda *a: calls.append(1) or direct(*a))
    window = Window.of(torch.randint(V, (B, T)), torch.randint(V, (B, T)))
    unroll = model.unroll(per=B * T)
    loss, _ = unroll.segment(window, unroll.initial_state(B))
    outputs, _ = unroll.outputs(window, unroll.initial_state(B))
    torch.testing.assert_close(loss, losses.cross_entropy(outputs, window.targets).sum())
    assert calls == [1]

"""jvp, vmap and jacrev through adapted layers, as online rules and estimators use them."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call, jacrev, jvp, vmap

from bptt import nest
from bptt.nn import adapt

B, T, IN = 3, 4, 3


def case(layer):
    """A pure function of the parameters, with every mask in play, and those parameters."""
    x = torch.randn(B, T, IN, dtype=torch.float64)
    reset = torch.zeros(B, T, dtype=torch.bool)
    reset[0, 2] = reset[1, 0] = True
    edge, noise = torch.rand(B, T, dtype=torch.float64), torch.arange(B * T).view(B, T)

    def outputs(parameters, x=x, reset=reset, edge=edge):
        return functional_call(layer, parameters, (x,), {"reset": reset, "edge": edge, "noise": noise})[0].sum(-1)

    return outputs, {name: p.detach() for name, p in layer.named_parameters()}, x, reset, edge


def test_jacrev_equals_backward_row_by_row(transformable):
    outputs, parameters, *_ = case(transformable)
    jacobian = jacrev(outputs)(parameters)
    value = outputs(dict(transformable.named_parameters()))
    expected = torch.autograd.grad(value[0, 3] + value[2, 1], list(transformable.parameters()), materialize_grads=True)
    for name, grad in zip(parameters, expected, strict=True):
        torch.testing.assert_close(jacobian[name][0, 3] + jacobian[name][2, 1], grad, rtol=1e-12, atol=1e-12)


def test_jvp_is_the_transpose_of_backward(transformable):
    outputs, parameters, *_ = case(transformable)
    direction = {name: torch.randn_like(p) for name, p in parameters.items()}
    value, tangent = jvp(outputs, (parameters,), (direction,))
    weight = torch.randn_like(value)
    grads = torch.autograd.grad(
        (outputs(dict(transformable.named_parameters())) * weight).sum(), list(transformable.parameters())
    )
    product = sum((g * d).sum() for g, d in zip(grads, direction.values(), strict=True))
    torch.testing.assert_close((tangent * weight).sum(), product, rtol=1e-11, atol=1e-11)


def test_vmap_over_inputs_parameters_and_masks(transformable):
    """Even over the masks themselves, whose values cannot be looked at then."""
    outputs, parameters, x, reset, edge = case(transformable)
    several = {name: torch.stack([p, p + 0.1]) for name, p in parameters.items()}
    xs, resets, edges = torch.stack([x, -x]), torch.stack([reset, ~reset]), torch.stack([edge, edge + 1])
    found = vmap(outputs)(several, xs, resets, edges)
    for k in range(2):
        chosen = {name: p[k] for name, p in several.items()}
        torch.testing.assert_close(found[k], outputs(chosen, xs[k], resets[k], edges[k]), rtol=1e-12, atol=1e-12)


def test_rows_of_one_step_from_their_own_states(layer):
    """The batched call that estimators make: B·T rows of one step equal the steps in order."""
    x, state = torch.randn(B, T, IN, dtype=torch.float64), layer.initial_state(B)
    states = []
    outputs, _ = layer(x)
    for t in range(T):
        states.append(state)
        state = layer(x[:, t : t + 1], state)[1]
    before = nest.map(lambda *leaves: torch.stack(leaves, 1).flatten(0, 1), states[0], *states[1:])
    y, _ = layer(x.flatten(0, 1).unsqueeze(1), before)
    torch.testing.assert_close(y.view_as(outputs), outputs, rtol=1e-12, atol=1e-12)


def test_gradients_can_be_differentiated_again():
    layer = adapt(nn.GRUCell(IN, 2)).double()
    x = torch.randn(B, T, IN, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], x)

"""The forward-propagated Laplacian against nested automatic differentiation, and its gradient with respect to weights."""

import pytest
import torch

from encore.bases.laplace_jet import jet
from encore.bases.seed_batched_mlp import SeedBatchedMLP


def _nested(net, x):
    (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    return sum(torch.autograd.grad(slope[..., i].sum(), x, create_graph=True)[0][..., i] for i in range(2))


def test_the_laplacian_and_its_gradient_agree_with_nested_autograd():
    net = SeedBatchedMLP([2, 16, 16, 1], [0, 1, 2], torch.tanh, torch.float64)
    x = (2 * torch.rand(3, 20, 2, dtype=torch.float64) - 1).requires_grad_()
    value, laplacian = jet(net, x)
    torch.testing.assert_close(value, net(x)[..., 0], rtol=0, atol=1e-12)
    reference = _nested(net, x)
    torch.testing.assert_close(laplacian, reference, rtol=0, atol=1e-12)
    parameters = [*net.weights, *net.biases[:-1]]  # the last bias does not reach the Laplacian
    ours = torch.autograd.grad(laplacian.square().sum(), parameters)
    for a, b in zip(ours, torch.autograd.grad(reference.square().sum(), parameters), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_points_of_another_shape_are_named():
    net = SeedBatchedMLP([2, 4, 1], [0], torch.tanh)
    with pytest.raises(ValueError, match="expected"):
        jet(net, torch.zeros(2, 5, 2))

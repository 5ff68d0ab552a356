"""Stacked nets against automatic differentiation: one step, and the Gram matrix of the gradients."""

import numpy as np
import pytest
import torch

from encore.bases.step_size_stacks import Diagonal, TwoLayer, relu_teacher, sparse_regression


def a_net(kind):
    torch.manual_seed(0)
    x, y = torch.randn(2, 5, 4, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    net = Diagonal(2, 3, 4) if kind == "diagonal" else TwoLayer([1, 2], 3, 4, 6)
    net.weights = [(w.double() + 0.1 * torch.randn(w.shape, dtype=torch.float64)).requires_grad_() for w in net.weights]
    return net, x, y


@pytest.mark.parametrize("kind", ["diagonal", "two-layer"])
def test_a_step_is_minus_the_gradient_for_each_step_size(kind):
    net, x, y = a_net(kind)
    eta = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64).expand(2, 3)[..., None]
    f, kept = net.outputs(x)
    loss = (f - y[:, None]).square().mean(-1).sum() / 2
    gradients, before = torch.autograd.grad(loss, net.weights), net.weights
    net.descend(x, eta / 5 * (f - y[:, None]), kept)
    for old, new, g in zip(before, net.weights, gradients, strict=True):
        rate = eta.view(2, 3, *[1] * (g.dim() - 2))
        assert torch.allclose(old - new, rate * g, atol=1e-13)


@pytest.mark.parametrize("kind", ["diagonal", "two-layer"])
def test_the_gram_matrix_holds_inner_products_of_gradients(kind):
    net, x, _ = a_net(kind)
    f = net.outputs(x)[0][1, 2]
    rows = [torch.cat([g[1, 2].flatten() for g in torch.autograd.grad(v, net.weights, retain_graph=True)]) for v in f]
    a = torch.stack(rows)
    assert torch.allclose(net.gram(x)[1, 2], a @ a.T, atol=1e-12)


def test_the_regression_task_has_k_coefficients_of_one_and_no_noise():
    x, y, beta = sparse_regression(3, 7, 12, 4)
    assert sorted(abs(beta)) == [0.0] * 8 + [1.0] * 4
    assert np.allclose(y, [sum(a * b for a, b in zip(row, beta, strict=True)) for row in x])


def test_the_teacher_is_homogeneous_of_degree_one_and_bounded_by_its_unit_weights():
    x, y = relu_teacher(3, 50, 6)
    again = relu_teacher(3, 50, 6)[1]
    assert (y == again).all()
    assert set(np.sign(y)) >= {-1.0, 1.0}
    assert (abs(y) <= 2 * np.linalg.norm(x, axis=1)).all()

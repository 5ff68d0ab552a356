"""Closed-form and batched least-squares paths against plain loops."""

import numpy as np
import pytest
import torch

from encore.bases.least_squares_paths import adam, conjugate_gradients, momentum_share, sgd_maps


@pytest.fixture
def task():
    rng = np.random.default_rng(0)
    return rng.standard_normal((12, 5)), rng.standard_normal((12, 2)), rng


@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_momentum_share_equals_the_loop(beta):
    lam = np.array([0.0, 1e-3, 0.3, 1.0])
    error, velocity = np.ones(4), np.zeros(4)
    for _ in range(50):
        velocity = beta * velocity + lam * error
        error = error - velocity
    assert np.allclose(momentum_share(lam, beta, 50), error, rtol=0, atol=1e-11)


def test_sgd_maps_equal_the_loop(task):
    Z, Y, rng = task
    orders = np.stack([rng.permutation(12) for _ in range(2)])
    pieces = orders.reshape(-1, 3)
    L = max(np.linalg.norm(Z[p], 2) ** 2 / 3 for p in pieces)
    start = rng.standard_normal((5, 2))
    W, wanted = start.copy(), []
    for epoch in range(8):
        for p in orders[epoch % 2].reshape(-1, 3):
            W -= 0.7 / L * Z[p].T @ (Z[p] @ W - Y[p]) / 3
        if epoch + 1 in (4, 8):
            wanted.append(W.copy())
    maps = sgd_maps(Z, Y, [0.1, 0.7], orders, 3, (4, 8))[1]
    assert np.allclose([M @ start + m for M, m in maps], wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("batch", "epochs"), [(5, (2,)), (3, (3,)), (3, (2, 5))])
def test_sgd_maps_refuse_what_does_not_divide(task, batch, epochs):
    Z, Y, _ = task
    with pytest.raises(ValueError, match="sgd_maps"):
        sgd_maps(Z, Y, [1.0], np.stack([np.arange(12)] * 2), batch, epochs)


def test_conjugate_gradients_end_in_the_solution_and_stay_there():
    d, g = np.array([1.0, 2.0, 5.0]), np.arange(6.0).reshape(3, 2)
    second, third, late = conjugate_gradients(d, g, (2, 3, 500))
    assert abs(second - g / d[:, None]).max() > 1e-3
    assert np.allclose(third, g / d[:, None], rtol=0, atol=1e-12)
    assert np.allclose(late, g / d[:, None], rtol=0, atol=1e-12)


@pytest.mark.parametrize("p", [5, 30])
def test_adam_equals_torch(p):
    g = torch.Generator().manual_seed(0)
    Z, Y = (torch.randn(2, 12, k, generator=g, dtype=torch.float64) for k in (p, 3))
    ours = adam(Z, Y, [1e-3, 1e-2], (10, 20))
    for i, problem in enumerate(zip(Z, Y, strict=True)):
        W = torch.zeros(p, 3, dtype=torch.float64, requires_grad=True)
        rule = torch.optim.Adam([W], lr=1e-2)
        for _ in range(20):
            rule.zero_grad()
            ((problem[0] @ W - problem[1]).square().sum() / 24).backward()
            rule.step()
        assert torch.allclose(ours[1][i, :, 1], W, rtol=0, atol=1e-12)

"""Batched Sinkhorn: plans and values of POT, exact marginals, a batch is its members, gradients by finite differences."""

import numpy as np
import ot
import pytest
import torch

from encore.bases import sinkhorn_torch as st


def clouds(batch=3, n=20, m=15, d=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(batch, n, d, generator=g, dtype=torch.float64), 1 + torch.randn(batch, m, d, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_cost(p):
    x, y = clouds(1)
    brute = (np.abs(x[0].numpy()[:, None] - y[0].numpy()[None]) ** p).sum(-1) / p
    np.testing.assert_allclose(st.cost(x, y, p)[0], brute, atol=1e-12)


@pytest.mark.parametrize("p", [1.5, 2])
def test_plan_and_value_are_those_of_pot(p):
    x, y = clouds()
    rng = np.random.default_rng(0)
    a, b = rng.dirichlet(np.full(20, 5.0)), rng.dirichlet(np.full(15, 5.0))
    C = st.cost(x, y, p)
    s = st.solve(C, 0.2, 1000, a, b)
    for k in range(3):
        plan = ot.bregman.sinkhorn_log(a, b, C[k].numpy(), 0.2, stopThr=1e-14, numItermax=5000)
        np.testing.assert_allclose(s.P[k], plan, atol=1e-10)
        value = (plan * C[k].numpy()).sum() + 0.2 * (plan * np.log(plan / np.outer(a, b))).sum()
        np.testing.assert_allclose(s.value[k], value, atol=1e-9)


def test_marginals_and_lower_bound():
    x, y = clouds()
    C = st.cost(x, y)
    early, late = st.solve(C, 0.1, 5), st.solve(C, 0.1, 2000)
    np.testing.assert_allclose(early.P.sum(-2), 1 / 15, atol=1e-12)
    np.testing.assert_allclose(late.P.sum(-1), 1 / 20, atol=1e-9)
    assert (early.value <= late.value + 1e-12).all()


def test_a_batch_is_its_members_and_refreshing_changes_nothing():
    x, y = clouds()
    C, eps = st.cost(x, y), torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)
    together = st.solve(C, eps, 41)
    for k in range(3):
        for refresh in (7, 40):
            alone = st.solve(C[k], float(eps[k]), 41, refresh=refresh)
            np.testing.assert_allclose(together.P[k], alone.P, atol=1e-13)
            np.testing.assert_allclose(together.value[k], alone.value, atol=1e-12)


def test_self_transport_is_transport():
    x, _ = clouds()
    np.testing.assert_allclose(st.self_transport(x, 0.2, 50), st.transport(x, x, 0.2, 2000), atol=1e-8)


def test_divergence_of_pot_values_and_zero_on_itself():
    x, y = clouds(1)
    w = {}
    for k, (u, v) in {"xy": (x[0], y[0]), "xx": (x[0], x[0]), "yy": (y[0], y[0])}.items():
        C = ot.dist(u.numpy(), v.numpy()) / 2
        P = ot.bregman.sinkhorn_log([], [], C, 0.5, stopThr=1e-14, numItermax=5000)
        w[k] = (P * C).sum() + 0.5 * (P * np.log(P * P.size)).sum()
    np.testing.assert_allclose(st.divergence(x, y, 0.5, 2000)[0], w["xy"] - (w["xx"] + w["yy"]) / 2, atol=1e-8)
    np.testing.assert_allclose(st.divergence(x, x, 0.5, 400), 0, atol=1e-8)


@pytest.mark.parametrize("p", [1.5, 2])
def test_gradient_by_finite_differences(p):
    x, y = clouds(1, 6, 6)
    assert torch.autograd.gradcheck(lambda z: st.divergence(z, y, 0.5, 2000, p), x.requires_grad_(), atol=1e-5)


def test_entropic_map_is_the_barycentre_of_the_plan():
    x, y = clouds()
    s = st.solve(st.cost(x, y), 0.3, 3000)
    np.testing.assert_allclose(st.entropic_map(x, y, s.g, 0.3), s.P @ y * 20, atol=1e-8)


def test_bad_input_says_what_to_do():
    x, y = clouds()
    with pytest.raises(ValueError, match="eps must be positive"):
        st.solve(st.cost(x, y), 0.0)
    with pytest.raises(ValueError, match="p is at least 1"):
        st.cost(x, y, 0.5)
    with pytest.raises(FloatingPointError, match="larger eps"):
        st.solve(st.cost(x, y) * torch.nan, 0.1)

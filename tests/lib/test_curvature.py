"""Curvature by products against dense Hessians."""

import pytest
import torch

from encore.bases import curvature


def _quadratic(members=3, n=6, seed=0):
    """Random symmetric matrices (members, n, n) and the loss sum_m p_m' A_m p_m / 2 over parameters in two tensors."""
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(members, n, n, generator=g, dtype=torch.float64)
    a = a + a.mT
    p = [torch.randn(members, 2, 2, generator=g, dtype=torch.float64), torch.randn(members, n - 4, generator=g, dtype=torch.float64)]
    for x in p:
        x.requires_grad_()

    def loss():
        flat = torch.cat([x.flatten(1) for x in p], 1)
        return 0.5 * torch.einsum("mi,mij,mj->", flat, a, flat)

    return a, p, loss


@pytest.mark.parametrize("seed", range(5))
def test_the_top_eigenvalue_is_that_of_the_matrix(seed):
    a, p, loss = _quadratic(seed=seed)
    values = torch.linalg.eigvalsh(a)
    top = values.gather(1, values.abs().argmax(1, keepdim=True))[:, 0]
    found, vectors = curvature.top_eigenvalue(loss, p, steps=3000, start=seed)
    assert torch.allclose(found, top, rtol=1e-6)
    again, _ = curvature.top_eigenvalue(loss, p, steps=1, start=vectors)
    assert torch.allclose(again, top, rtol=1e-6)


def test_products_are_those_of_a_network_s_dense_hessian():
    g = torch.Generator().manual_seed(1)
    x, w1, w2 = (torch.randn(s, generator=g, dtype=torch.float64) for s in ((1, 7, 3), (1, 3, 4), (1, 4, 1)))
    p = [w1.requires_grad_(), w2.requires_grad_()]

    def value(u1, u2):
        return (torch.tanh(x @ u1) @ u2).square().sum()

    dense = torch.autograd.functional.hessian(value, (w1, w2))
    v = [torch.randn_like(t) for t in p]
    gradients = torch.autograd.grad(value(*p), p, create_graph=True)
    expected = [sum((dense[i][j].flatten(3).flatten(0, 2) @ v[j].flatten()) for j in range(2)).view_as(p[i]) for i in range(2)]
    for ours, theirs in zip(curvature.hessian_product(gradients, p, v), expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10)


def test_hutchinson_s_mean_is_the_trace_within_its_own_error():
    a, p, loss = _quadratic(seed=2)
    found = curvature.trace(loss, p, probes=4000, seed=0)
    error = found.std(1) / found.shape[1] ** 0.5
    assert ((found.mean(1) - a.diagonal(dim1=1, dim2=2).sum(1)).abs() < 4.5 * error).all()


def test_one_probe_is_exact_for_a_diagonal_hessian():
    p = [torch.arange(1.0, 9.0, dtype=torch.float64).reshape(2, 4).requires_grad_()]
    found = curvature.trace(lambda: (p[0] ** 3).sum(), p, probes=2, seed=0)
    assert torch.allclose(found, (6 * p[0].detach()).sum(1, keepdim=True).expand(-1, 2))


def test_a_member_has_its_own_curvature_whoever_is_beside_it():
    a, p, loss = _quadratic(members=3, seed=3)
    alone = [x[1:2].detach().requires_grad_() for x in p]

    def one():
        flat = torch.cat([x.flatten(1) for x in alone], 1)
        return 0.5 * torch.einsum("mi,mij,mj->", flat, a[1:2], flat)

    v = [torch.ones_like(x) for x in p]
    together, single = curvature.top_eigenvalue(loss, p, 7, v)[0], curvature.top_eigenvalue(one, alone, 7, [x[1:2] for x in v])[0]
    assert together.shape == (3,)
    assert torch.allclose(together[1], single[0], rtol=1e-12)


def test_no_step_is_named():
    _, p, loss = _quadratic()
    with pytest.raises(ValueError, match="at least one"):
        curvature.top_eigenvalue(loss, p, 0)

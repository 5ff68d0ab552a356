"""Entropic optimal transport in torch: many point clouds side by side, differentiable, in the log domain.

    C = cost(x, y)                                    # (..., n, m), c(x, y) = sum_k |x_k - y_k|^p / p
    s = solve(C, eps=0.05 * C.mean((-2, -1)))         # potentials f, g, plan P, value W
    W = transport(x, y, eps)                          # the value, with gradients to x and y
    S = divergence(x, y, eps)                         # Sinkhorn divergence, with gradients to x and y

    W_eps = min_P <P, C> + eps KL(P | a b^T)          over P >= 0 with row sums a and column sums b

All leading dimensions are a batch; every problem of it is solved as if alone. Potentials live in the log domain; between two refreshes
a sweep is two matrix-vector products with the plan of the last refresh [Schmitzer 2019, Stabilized sparse scaling algorithms for
entropy regularized transport problems, SIAM J. Sci. Comput. 41(3)]. Gradients come from the envelope theorem: the plan is held
constant. Differences of costs are in the unit of c, and so is eps.
"""

from typing import NamedTuple

import torch


class Solution(NamedTuple):
    """f (..., n), g (..., m): potentials; P (..., n, m): plan; value (...): the dual value sum a f + sum b g, a lower bound of W_eps."""

    f: torch.Tensor
    g: torch.Tensor
    P: torch.Tensor
    value: torch.Tensor


def cost(x: torch.Tensor, y: torch.Tensor, p: float = 2.0) -> torch.Tensor:
    """c(x_i, y_j) = sum_k |x_ik - y_jk|^p / p for x (..., n, d) and y (..., m, d): (..., n, m). p = 2 is half the squared distance."""
    if p < 1:
        raise ValueError(f"sinkhorn_torch.cost: p is at least 1, not {p}")
    if p == 2:
        return 0.5 * (x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]) - x @ y.mT
    away = (x[..., :, None, :] - y[..., None, :, :]).abs()
    return (away * away.clamp_min(1e-30).sqrt() if p == 1.5 else away**p).sum(-1) / p  # the clamp keeps the gradient at 0 finite


def _settings(C, eps, weights):
    """eps as (..., 1, 1) and the logarithms of both weights, uniform by default."""
    eps = torch.as_tensor(eps, dtype=C.dtype)
    if not (torch.isfinite(eps).all() and (eps > 0).all()):
        raise ValueError(f"sinkhorn_torch: eps must be positive and finite, the smallest is {float(eps.min())}")
    eps = eps[..., None, None] if eps.ndim else eps
    log = lambda k, w: (C.new_full((k,), 1 / k) if w is None else torch.as_tensor(w, dtype=C.dtype)).log()
    return eps, log(C.shape[-2], weights[0]), log(C.shape[-1], weights[1])


def _finished(C, eps, f, g, P, log_a, log_b) -> Solution:
    value = (log_a.exp() * f).sum(-1) + (log_b.exp() * g).sum(-1)
    if not torch.isfinite(value).all():
        raise FloatingPointError("sinkhorn_torch: a scaling factor overflowed; use a larger eps or a smaller refresh")
    return Solution(f, g, P, value)


@torch.no_grad()
def solve(C, eps, iterations: int = 40, a=None, b=None, refresh: int = 40) -> Solution:
    """`iterations` Sinkhorn sweeps for costs C (..., n, m), eps a number or (...,), weights a (..., n), b (..., m), uniform by default.

    The columns of P have sums b exactly, the rows sums a up to what the sweeps leave. Raises FloatingPointError on overflow.
    """
    eps, log_a, log_b = _settings(C, eps, (a, b))
    e, a, b = (eps[..., 0] if eps.ndim else eps), log_a.exp()[..., None, :], log_b.exp()[..., None, :]
    f = -e * torch.logsumexp(-C / eps + log_b[..., None, :], -1)
    g = -e * torch.logsumexp((f[..., :, None] - C) / eps + log_a[..., :, None], -2)
    done = 1
    while done < iterations or done == 1:
        K = torch.exp((f[..., :, None] + g[..., None, :] - C) / eps + log_a[..., :, None] + log_b[..., None, :])
        u, v = torch.ones_like(f)[..., None, :], torch.ones_like(g)[..., None, :]  # rows: the faster product
        for _ in range(min(refresh, iterations - done)):
            u = a / (v @ K.mT)
            v = b / (u @ K)
        done += max(refresh, 1)
        f, g = f + e * u[..., 0, :].log(), g + e * v[..., 0, :].log()
    return _finished(C, eps, f, g, u.mT * K * v, log_a, log_b)


@torch.no_grad()
def solve_self(C, eps, iterations: int = 20, a=None) -> Solution:
    """The problem of a cloud with itself, C (..., n, n) symmetric: f = g, by averaged updates, which converge in a few sweeps."""
    eps, log_a, _ = _settings(C, eps, (a, a))
    e, a = (eps[..., 0] if eps.ndim else eps), log_a.exp()[..., None, :]
    f = -0.5 * e * torch.logsumexp(-C / eps + log_a[..., None, :], -1)
    K = torch.exp((f[..., :, None] + f[..., None, :] - C) / eps + log_a[..., :, None] + log_a[..., None, :])
    u = torch.ones_like(f)[..., None, :]
    for _ in range(iterations):
        u = (u * a / (u @ K)).sqrt()
    f = f + e * u[..., 0, :].log()
    return _finished(C, eps, f, f, u.mT * K * u, log_a, log_a)


def _enveloped(C, s: Solution) -> torch.Tensor:
    """The value of s with the gradient of <P, C>, P constant."""
    linear = (s.P * C).sum((-2, -1))
    return linear + (s.value - linear).detach()


def transport(x, y, eps, iterations: int = 40, p: float = 2.0) -> torch.Tensor:
    """W_eps between uniform clouds x (..., n, d) and y (..., m, d): (...,), differentiable in both."""
    C = cost(x, y, p)
    return _enveloped(C, solve(C.detach(), eps, iterations))


def self_transport(x, eps, iterations: int = 20, p: float = 2.0) -> torch.Tensor:
    """W_eps of a uniform cloud x (..., n, d) with itself: (...,), differentiable."""
    C = cost(x, x, p)
    return _enveloped(C, solve_self(C.detach(), eps, iterations))


def divergence(x, y, eps, iterations: int = 40, p: float = 2.0) -> torch.Tensor:
    """Sinkhorn divergence W(x, y) - W(x, x) / 2 - W(y, y) / 2 of uniform clouds: (...,), differentiable in both."""
    own = [self_transport(z, eps, iterations // 2, p) for z in (x, y)]
    return transport(x, y, eps, iterations, p) - (own[0] + own[1]) / 2


def entropic_map(x, y, g, eps, b=None) -> torch.Tensor:
    """Barycentric map sum_j p_j(x) y_j, p_j proportional to b_j exp((g_j - |x - y_j|^2 / 2) / eps): x (..., k, d) to (..., k, d).

    y (..., m, d) and g (..., m) are the target and its potential from `solve`; x may be points that were not in that problem.
    """
    C = cost(x, y)
    eps, _, log_b = _settings(C, eps, (None, b))
    return torch.softmax((g[..., None, :] - C) / eps + log_b[..., None, :], -1) @ y

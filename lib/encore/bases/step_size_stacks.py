"""Two small models with S seeds and R step sizes each, trained as one tensor program with gradients written by hand; two tasks for them.

`weights` is a list of two tensors (S, R, ...) of torch's default dtype. The loss is 1/(2b) sum (f(x_i) - y_i)^2. A step is
`f, kept = net.outputs(x)`, then `net.descend(x, eta / b * (f - y[:, None]), kept)` with eta (S, R, 1). `gram` holds the inner
products of the gradients of f at the examples, from which follow the spectrum of the Hessian at zero loss and every
mean-square stability threshold.
"""

import numpy as np
import torch


class Diagonal:
    """Diagonal linear net f = sum_j u_j v_j x_j (Woodworth et al. 2020). u, v: (S, R, p), from u = scale, v = 0."""

    def __init__(self, seeds: int, rates: int, p: int, scale: float = 0.5):
        self.weights = [torch.full((seeds, rates, p), scale), torch.zeros(seeds, rates, p)]

    def outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        """x: (S, b, p) -> f (S, R, b), and nothing to keep."""
        u, v = self.weights
        return (u * v) @ x.mT, None

    def descend(self, x: torch.Tensor, e: torch.Tensor, kept: None = None) -> None:
        """One step on both factors with their old values; e: (S, R, b), step size times residual over b."""
        (u, v), g = self.weights, e @ x
        self.weights = [u - g * v, v - g * u]

    def gram(self, x: torch.Tensor) -> torch.Tensor:
        """Inner products of the gradients of f at the examples: (S, R, b, b)."""
        u, v = self.weights
        return torch.einsum("snp,srp,smp->srnm", x, u**2 + v**2, x)


class TwoLayer:
    """ReLU net f = sum_j c_j relu(b_j . x), no biases. Rows b_j as (S, R, m, d), c as (S, R, m).

    One Gaussian start per number in `starts`, variances 1/d and 1/m, the same for every step size.
    """

    def __init__(self, starts: list[int], rates: int, d: int, m: int):
        draw = [torch.Generator().manual_seed(s) for s in starts]
        rows = torch.stack([torch.randn(1, m, d, generator=g) / d**0.5 for g in draw])
        c = torch.stack([torch.randn(1, m, generator=g) / m**0.5 for g in draw])
        self.weights = [rows.repeat(1, rates, 1, 1), c.repeat(1, rates, 1)]

    def outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x: (S, b, d) -> f (S, R, b) and the hidden activations (S, R, m, b) to keep for `descend`."""
        rows, c = self.weights
        h = torch.relu(rows.flatten(1, 2) @ x.mT).view(*c.shape, -1)
        return (c[..., None, :] @ h).squeeze(2), h

    def descend(self, x: torch.Tensor, e: torch.Tensor, kept: torch.Tensor) -> None:
        """One step on both layers with their old values; e: (S, R, b), step size times residual over b; the slope of relu at 0 is 0."""
        rows, c = self.weights
        q = (c[..., None] * e[:, :, None]) * (kept > 0)
        moved = torch.baddbmm(rows.flatten(1, 2), q.flatten(1, 2), x, alpha=-1)
        self.weights = [moved.view_as(rows), c - (kept @ e[..., None]).squeeze(-1)]

    def gram(self, x: torch.Tensor) -> torch.Tensor:
        """Inner products of the gradients of f at the examples: (S, R, b, b)."""
        h, c = self.outputs(x)[1], self.weights[1]
        q = c[..., None] * (h > 0)
        return h.mT @ h + (q.mT @ q) * (x @ x.mT)[:, None]


def sparse_regression(seed: int, n: int, p: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise-free y = x beta with Gaussian x (n, p) and beta (p,) of k coefficients of +-1, the others 0. Returns x, y, beta."""
    g, beta = np.random.default_rng(seed), np.zeros(p)
    beta[g.choice(p, k, replace=False)] = g.choice([-1.0, 1.0], k)
    x = g.standard_normal((n, p))
    return x, x @ beta, beta


def relu_teacher(seed: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian x (n, d) and y (n,) of three ReLU units with random unit vectors as weights, added with signs +, +, -."""
    g = np.random.default_rng(seed)
    w, x = g.standard_normal((3, d)), g.standard_normal((n, d))
    return x, np.maximum(x @ (w / np.linalg.norm(w, axis=1, keepdims=True)).T, 0) @ np.array([1.0, 1.0, -1.0])

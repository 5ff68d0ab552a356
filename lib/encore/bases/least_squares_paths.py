"""Least squares (1/2n)|Z W - Y|^2 by stock optimisers, without a step-by-step loop where algebra allows it.

    maps = sgd_maps(Z, Y, steps=[0.1, 1.0], orders=orders, batch=20, epochs=(200, 2000))
    M, m = maps[1][0]                                    # W(200) = M @ W(0) + m for the second step size
    W200, W2000 = conjugate_gradients(d, Z.T @ Y, (200, 2000))     # Z^T Z = diag(d)
    W200, W2000 = adam(Z, Y, rates, (200, 2000))         # all seeds and rates in one batch

Minibatch gradient descent on least squares is affine in the weights, so that many epochs are a matrix power. Conjugate gradients are
those of Hestenes and Stiefel (1952), on all columns as one problem; Adam is that of Kingma and Ba (2015) with full batches.
"""

import numpy as np
import torch


def momentum_share(lam, beta: float, k: int) -> np.ndarray:
    """Share of the initial error that k full-batch steps leave: gradient descent for beta = 0, else torch.optim.SGD's momentum.

    lam: (r,), step size times curvature of each mode. Returns (r,), from e_{k+1} = (1 + beta - lam) e_k - beta e_{k-1}, e_0 = e_{-1} = 1.
    """
    step = np.zeros((len(lam), 2, 2))
    step[:, 0, 0], step[:, 0, 1], step[:, 1, 0] = 1 + beta - lam, -beta, 1
    return np.linalg.matrix_power(step, k)[:, 0].sum(1)


def sgd_maps(Z, Y, steps, orders, batch: int, epochs) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Affine maps W -> M W + m of minibatch gradient descent that goes through the given orders of the data again and again.

    Z: (n, r), Y: (n, c). steps: step sizes in units of 1/L, L the largest curvature of any minibatch, so that up to 1 no step expands.
    orders: (cycle, n), permutations of the rows, one an epoch; batch divides n. epochs: each a multiple of the cycle and of the number
    before. Returns for every step size and number of epochs (M (r, r), m (r, c)). Raises ValueError where these do not divide.
    """
    Z, Y, orders = (np.asarray(a) for a in (Z, Y, orders))
    if len(Z) % batch:
        raise ValueError(f"sgd_maps: the batch size {batch} does not divide the {len(Z)} rows; choose one that does")
    for before, k in zip((len(orders), *epochs), epochs, strict=False):
        if k % before:
            raise ValueError(f"sgd_maps: {k} epochs are no multiple of {before}; give multiples of the cycle, each of the one before")
    pieces = orders.reshape(-1, batch)
    L = np.linalg.norm(Z[pieces], 2, axis=(1, 2)).max() ** 2 / batch
    return [_powers(Z, Y, c / L, pieces, [k // len(orders) for k in epochs]) for c in steps]


def _powers(Z, Y, eta, pieces, cycles):
    batch, r = pieces.shape[1], Z.shape[1]
    H = np.eye(r + Y.shape[1])  # acts on W stacked on the identity, so that affine maps compose as matrices
    for rows in pieces:
        residual = Z[rows] @ H[:r]
        residual[:, r:] -= Y[rows]
        H[:r] -= eta / batch * (Z[rows].T @ residual)
    out, done = [], 1
    for k in cycles:
        H, done = np.linalg.matrix_power(H, k // done), k
        out.append((H[:r, :r], H[:r, r:]))
    return out


def conjugate_gradients(d, g, iterations) -> list[np.ndarray]:
    """Iterates from zero for diag(d) v = g after each number of `iterations` (ascending).

    d: (r,) > 0, g: (r, c), the columns as one problem with a common step. Stops where the residual has fallen by 1e-14, at rounding.
    """
    D, v, out = d[:, None], np.zeros_like(g), []
    direction = g
    square = first = (g**2).sum()
    for k in range(1, max(iterations) + 1):
        if square > 1e-28 * first:
            Dd = D * direction
            a = square / (direction * Dd).sum()
            v, g = v + a * direction, g - a * Dd
            before, square = square, (g**2).sum()
            direction = g + square / before * direction
        if k in iterations:
            out.append(v)
    return out


def adam(Z: torch.Tensor, Y: torch.Tensor, rates, epochs, betas=(0.9, 0.999), eps: float = 1e-8) -> list[torch.Tensor]:
    """Full-batch Adam from W = 0 for several problems and learning rates at once.

    Z: (problems, n, p), Y: (problems, n, c), rates: (rates,). Returns W after each number of `epochs` (ascending), (problems, p, rates, c).
    """
    c, n = Y.shape[2], Z.shape[1]
    lr, Y, out = torch.tensor(np.repeat(rates, c), dtype=Z.dtype), Y.repeat(1, 1, len(rates)), []
    W, m, u = (torch.zeros(len(Z), Z.shape[2], len(lr), dtype=Z.dtype) for _ in range(3))
    gram, moment = (Z.mT @ Z / n, Z.mT @ Y / n) if Z.shape[2] < 2 * n else (None, None)  # cheaper for narrow problems
    for k in range(1, max(epochs) + 1):
        g = Z.mT @ torch.baddbmm(Y, Z, W, beta=-1) / n if gram is None else torch.baddbmm(moment, gram, W, beta=-1)
        m.lerp_(g, 1 - betas[0])
        u.mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
        W.addcdiv_(m * lr, (u / (1 - betas[1] ** k)).sqrt_().add_(eps), value=-1 / (1 - betas[0] ** k))
        if k in epochs:
            out.append(W.unflatten(2, (len(rates), c)).clone())
    return out

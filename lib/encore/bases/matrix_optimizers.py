"""Adam, Muon and momentum descent on stacks of weight matrices, one independent run per matrix.

    state = []
    for t in range(1, steps + 1):
        W = W - rate * direction("Muon", gradient(W), state, t)     # W: (runs, m, n), rate: (runs, 1, 1)

Muon: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks", momentum 0.95 with Nesterov's correction.
Adam: Kingma and Ba 2015 (arXiv 1412.6980), decay rates 0.9 and 0.999.
"""

import torch

METHODS = ("GD", "SGD", "Adam", "Muon")
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of X, XX'X and (XX')^2 X in a step of the iteration. It drives singular values near one, not to one."""


def orthogonalise(G: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """A matrix with the singular vectors of G and singular values near one: G (..., m, n) floating -> the same shape.

    Singular values below about 1e-3 of the Frobenius norm are still small after five steps.
    """
    p, q, r = NEWTON_SCHULZ
    tall = G.shape[-2] > G.shape[-1]
    X = G / (G.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    X = X.mT if tall else X
    for _ in range(steps):
        A = X @ X.mT
        X = p * X + (q * A + r * A @ A) @ X
    return X.mT if tall else X


def direction(method: str, g: torch.Tensor, state: list, t: int) -> torch.Tensor:
    """What is subtracted from the weights, times the step size.

    method: one of METHODS ("GD" plain, "SGD" with momentum 0.9); g: gradients (runs, m, n); state: an empty list at first, kept between
    calls; t = 1, 2, ... counts them. Raises ValueError for another method.
    """
    if method not in METHODS:
        raise ValueError(f"matrix_optimizers.direction: no method {method!r}; there are {', '.join(METHODS)}")
    m, v = state or (torch.zeros_like(g), torch.zeros_like(g))
    if method == "Adam":
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        out = m / (1 - 0.9**t) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    elif method == "Muon":
        m = 0.95 * m + 0.05 * g
        out = orthogonalise(0.95 * m + 0.05 * g) * max(1, g.shape[-2] / g.shape[-1]) ** 0.5
    else:
        m = (0.9 if method == "SGD" else 0.0) * m + g
        out = m
    state[:] = m, v
    return out

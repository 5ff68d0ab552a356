"""A bench for dot-product kernels on the sphere: problems with a known Bayes rule, tuned references, and two slow, independent
computations to check a neural tangent kernel against (finite networks by autograd, a kernel machine in 60 digits).

All inputs are unit vectors with non-negative coordinates, so that no cosine is negative.
"""

import mpmath
import numpy as np
import torch
from scipy.spatial.distance import cdist
from scipy.stats import vonmises_fisher

PRIOR, KAPPA = 0.6, 10.0
"""Prior of class +1 and concentration of both classes of `mixture`."""


def unit(x: np.ndarray) -> np.ndarray:
    """Rows scaled to length one. x: (n, p), no row zero."""
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def centres(p: int) -> np.ndarray:
    """Mean directions of the two classes of `mixture`: (2, p)."""
    return unit(np.ones((2, p)) + np.eye(2, p))


def mixture(p: int, n: int, rng: np.random.Generator):
    """Two von Mises-Fisher classes folded into the non-negative part of the sphere in R^p.

    Returns x (n, p), y (n,) of +-1 and eta (n,) = P(y = 1 | x). Folding drops the signs of the coordinates; it turns the density
    exp(kappa mu.x) into prod_i 2 cosh(kappa mu_i x_i), since the signs are summed over.
    """
    y, mu = np.where(rng.random(n) < PRIOR, 1.0, -1.0), centres(p)
    x = np.empty((n, p))
    for sign, m in zip((1, -1), mu, strict=True):
        x[y == sign] = np.abs(vonmises_fisher(m, KAPPA).rvs(int((y == sign).sum()), random_state=rng))
    log_density = np.log(np.cosh(KAPPA * x[:, None] * mu)).sum(2)
    return x, y, 1 / (1 + (1 - PRIOR) / PRIOR * np.exp(log_density[:, 1] - log_density[:, 0]))


def stripes_eta(x: np.ndarray) -> np.ndarray:
    """P(y = 1 | x) of `stripes`: (..., p) -> (...)."""
    return 0.55 + 0.4 * np.sin(4 * np.pi * x[..., 0])


def stripes(p: int, n: int, rng: np.random.Generator):
    """Uniform inputs with a class probability in stripes; returns x, y, eta as `mixture` does."""
    x = unit(np.abs(rng.standard_normal((n, p))))
    eta = stripes_eta(x)
    return x, np.where(rng.random(n) < eta, 1.0, -1.0), eta


def mixture_bayes_risk(nodes: int = 80) -> float:
    """Bayes risk of `mixture` for p = 3, by Gauss-Legendre quadrature over polar angle and azimuth."""
    node, weight = np.polynomial.legendre.leggauss(nodes)
    theta, weight = (node + 1) * np.pi / 4, weight * np.pi / 4
    s, c = np.sin(theta), np.cos(theta)
    sphere = np.stack([np.outer(s, c), np.outer(s, s), np.outer(c, np.ones(nodes))], -1)
    density = 8 * KAPPA / (4 * np.pi * np.sinh(KAPPA)) * np.cosh(KAPPA * sphere[:, :, None] * centres(3)).prod(-1)
    return float(((density * [PRIOR, 1 - PRIOR]).min(-1) * np.outer(weight * s, weight)).sum())


def excess_risk(f: np.ndarray, eta: np.ndarray) -> float:
    """Mean of |2 eta - 1| where the sign of f is not the Bayes decision; f, eta: (m,)."""
    return float((abs(2 * eta - 1) * ((f > 0) != (eta > 0.5))).mean())


def tuned_references(x, y, t, eta) -> tuple[float, float]:
    """Excess risks at t (m, p) of k nearest neighbours and of Gaussian kernel ridge regression, tuned by leave-one-out on x (n, p), y (n,).

    k: the odd numbers below n/2, by error; kernel exp(-gamma r^2) and ridge on a grid of 12, by squared error.
    """
    near, far = cdist(x, x, "sqeuclidean"), cdist(t, x, "sqeuclidean")
    counts = np.arange(1, len(y) // 2, 2)
    average = lambda d, first: np.cumsum(y[np.argsort(d, 1)[:, first:]], 1)[:, counts - 1]
    k = ((average(near, 1) > 0) != (y[:, None] > 0)).mean(0).argmin()
    tried = []
    for gamma in (1, 4, 16, 64):
        for ridge in (0.1, 1, 10):
            inverse = np.linalg.inv(np.exp(-gamma * near) + ridge * np.eye(len(y)))
            tried.append((np.mean((inverse @ y / np.diag(inverse)) ** 2), gamma, inverse @ y))
    _, gamma, dual = min(tried, key=lambda item: item[0])
    return excess_risk(average(far, 0)[:, k], eta), excess_risk(np.exp(-gamma * far) @ dual, eta)


def orthant_map(pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Lambert's equal-area projection of the sphere in R^3 about (1, 1, 1).

    Returns points (pixels, pixels, 3) of unit length and a mask (pixels, pixels) of those with non-negative coordinates.
    """
    axes = np.array([[1, -1, 0], [-1, -1, 2], [1, 1, 1]]) / np.sqrt([[2], [6], [3]])
    px, py = np.meshgrid(*2 * [np.linspace(-0.98, 0.98, pixels)])
    rho2 = px**2 + py**2
    surface = np.stack([px * np.sqrt(1 - rho2 / 4), py * np.sqrt(1 - rho2 / 4), 1 - rho2 / 2], -1) @ axes
    return surface, (surface >= 0).all(-1)


def network_ntk(x: torch.Tensor, a, width: int, depth: int, generator: torch.Generator) -> torch.Tensor:
    """Gram (n, n) of the parameter gradients of one random network at x (n, p), in the NTK parametrisation, without biases.

    depth: hidden layers; a: coefficients of the normalised Hermite polynomials h_1, h_2, h_3 (a[1], a[2], a[3]) of the activation.
    The gradient of a weight matrix is an outer product, so its Gram is a product of two Grams; the derivatives are autograd's.
    """
    h, pre, inputs = x, [], []
    for layer in range(depth):
        inputs.append(h)
        scale = 1 if layer == 0 else h.shape[1] ** -0.5
        pre.append((h @ torch.randn(width, h.shape[1], generator=generator).T * scale).requires_grad_())
        z = pre[-1]
        h = a[1] * z + a[2] * (z**2 - 1) / 2**0.5 + a[3] * (z**3 - 3 * z) / 6**0.5
    f = h @ torch.randn(width, generator=generator) * width**-0.5
    gram = (h @ h.T / width).detach()
    for layer, (delta, below) in enumerate(zip(torch.autograd.grad(f.sum(), pre), inputs, strict=True)):
        gram += (delta @ delta.T) * (below @ below.T).detach() / (1 if layer == 0 else width)
    return gram


def ntk_machine_60_digits(weights: dict[int, float], x, y, t, depth: int) -> list:
    """K(t, X) K(X, X)^-1 y as mpmath numbers, with the NTK of the dual sum_k weights[k] xi^k, straight from the cosines.

    x: (n, p), t: (m, p), y: (n,). Slow: for n about 20.
    """

    def kernel(xi):
        s = k = xi
        for _ in range(depth):
            slope = mpmath.fsum(j * w * s ** (j - 1) for j, w in weights.items() if j)
            s = mpmath.fsum(w * s**j for j, w in weights.items())
            k = k * slope + s
        return k

    with mpmath.workdps(60):
        rows = [[mpmath.mpf(float(v)) for v in row] for row in [*x, *t]]
        rows = [[v / mpmath.norm(r) for v in r] for r in rows]
        x, t = rows[: len(y)], rows[len(y) :]
        gram = mpmath.matrix(len(y), len(y))
        for i in range(len(y)):
            gram[i, i] = kernel(mpmath.mpf(1))
            for j in range(i):
                gram[i, j] = gram[j, i] = kernel(mpmath.fdot(x[i], x[j]))
        dual = mpmath.lu_solve(gram, mpmath.matrix(list(y)))
        return [mpmath.fsum(kernel(mpmath.fdot(r, x[i])) * dual[i] for i in range(len(y))) for r in t]

"""The distribution of a quadratic form in Gaussian variables, L = sum_i w_i chi'^2_k(c_i / w_i), down to probabilities of 2^-100000.

A squared error whose residual is Gaussian has this law: w_i are eigenvalues of the covariance, c_i the squared mean residual along
their eigenvectors, k the number of independent outputs. The probability of a small L is the inversion integral of the moment
generating function along the line through the saddle point, where nothing cancels (Rice 1980, SIAM J. Sci. Stat. Comput. 1, 438-448).
Independent computations to check it against: Imhof (1961, Biometrika 48), Ruben (1962, Ann. Math. Stat. 33).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import integrate, interpolate, optimize, special, stats


class Form(NamedTuple):
    """weights w: (m,) >= 0, offsets c: (m,) >= 0, k: degrees of freedom of each term, > 0. A term of weight 0 is the constant c_i."""

    weights: np.ndarray
    offsets: np.ndarray
    k: float


def scaled_ncx2(df: float, nc: float, scale: float) -> Form:
    """The form of scale * chi'^2_df(nc)."""
    return Form(np.array([scale]), np.array([scale * nc]), df)


def cumulants(form: Form, t, order: int):
    """Cumulant generating function at t (any shape, real or complex, real part < 1 / (2 max w)), or its first or second derivative."""
    w, c, k = form
    d = 1 - 2 * np.multiply.outer(t, w)
    if order == 0:
        return t * (c / d).sum(-1) - k / 2 * np.log(d).sum(-1)
    return (k * w / d + c / d**2).sum(-1) if order == 1 else (2 * k * w**2 / d**2 + 4 * c * w / d**3).sum(-1)


def moments(form: Form) -> tuple[float, float]:
    """Mean and standard deviation."""
    return float(cumulants(form, 0.0, 1)), float(np.sqrt(cumulants(form, 0.0, 2)))


def bits_below(form: Form, eps: float, nodes: int = 200) -> float:
    """-log2 P(L <= eps), for 0 < eps. Raises ValueError for eps <= 0.

    Trapezoidal rule in x on t = t0 + i s sinh x, with t0 the saddle point (kept half a deviation away from the pole at 0).
    """
    if not eps > 0:
        raise ValueError(f"bits_below: a squared loss is positive, eps is {eps}; give eps > 0")
    mean, sd = moments(form)
    gap, edge = lambda t: cumulants(form, t, 1) - eps, 1 / (2 * form.weights.max())
    if eps < mean:
        low = -1 / sd
        while gap(low) > 0:
            low *= 2
        t0 = min(optimize.brentq(gap, low, 0, rtol=1e-10), -0.5 / sd)
    else:
        high = edge / 2
        while gap(high) < 0:
            high = (high + edge) / 2
        t0 = max(optimize.brentq(gap, 0, high, rtol=1e-10), 0.5 / sd)
    s, x = 1 / np.sqrt(cumulants(form, t0, 2)), np.linspace(0, 6, nodes + 1)
    t = t0 + 1j * s * np.sinh(x)
    exponent = cumulants(form, t, 0) - t * eps
    top = exponent[0].real
    values = (np.exp(exponent - top) / abs(t0) / (t / t0) * s * np.cosh(x)).real
    log_tail = top + np.log(x[1] / np.pi * (values[0] / 2 + values[1:].sum()))
    return float(-(log_tail if eps < mean else np.log1p(-np.exp(log_tail))) / np.log(2))


def level(form: Form, bits: float) -> float:
    """The eps with -log2 P(L <= eps) = bits, for bits >= 5, to about 1e-3 bits (Lugannani and Rice's saddle-point formula)."""
    sd = moments(form)[1]

    def at(t):
        eps = cumulants(form, t, 1)
        r, u = -np.sqrt(2 * (t * eps - cumulants(form, t, 0))), t * np.sqrt(cumulants(form, t, 2))
        return eps, stats.norm.logcdf(r) + np.log1p(np.exp(stats.norm.logpdf(r) - stats.norm.logcdf(r)) * (1 / r - 1 / u))

    low = -2 / sd
    while -at(low)[1] < bits * np.log(2):
        low *= 2
    return float(at(optimize.brentq(lambda t: at(t)[1] + bits * np.log(2), low, -0.3 / sd))[0])


def sampler(form: Form) -> Callable[[np.ndarray], np.ndarray]:
    """A map from standard normal numbers to draws of L: a spline through the exact quantiles, for probabilities of 1e-10 to 1 - 1e-8."""
    mean, sd = moments(form)
    x = mean + sd * np.linspace(-min(6.5, 0.98 * mean / sd), 8, 140)
    p = np.array([2 ** -bits_below(form, v) for v in x])
    keep = (p > 1e-10) & (p < 1 - 1e-8)
    return interpolate.CubicSpline(stats.norm.ppf(p[keep]), x[keep])


def imhof(form: Form, eps: float) -> float:
    """P(L <= eps) by Imhof's integral of the characteristic function; absolute error about 1e-9, so not for rare events."""
    w, c, k = form

    def integrand(u):
        wu = w * u
        angle = (k * np.arctan(wu) + c * u / (1 + wu**2)).sum() / 2 - eps * u / 2
        log_rho = (k / 4 * np.log1p(wu**2) + c * wu * u / (1 + wu**2) / 2).sum()
        return np.sin(angle) / u * np.exp(-log_rho)

    upper = 1 / np.sqrt(cumulants(form, 0.0, 2))
    while abs(integrand(upper)) > 1e-14 * upper and upper < 1e9 / np.sqrt(cumulants(form, 0.0, 2)):
        upper *= 1.5
    return 0.5 - integrate.quad(integrand, 0, upper, limit=2000, epsabs=1e-12, epsrel=1e-10)[0] / np.pi


def ruben(form: Form, eps: float, terms: int = 400) -> float:
    """P(L <= eps) as Ruben's mixture of central chi-squares; all weights > 0 and of similar size, or it needs too many terms."""
    w, c, k = form
    beta, delta = w.min(), c / w
    gamma, j = 1 - beta / w, np.arange(1, terms)[:, None]
    g = (k * gamma**j + j * delta * beta / w * gamma ** (j - 1)).sum(1) / 2
    a = np.zeros(terms)
    a[0] = np.exp(-delta.sum() / 2 + k / 2 * np.log(beta / w).sum())
    for r in range(1, terms):
        a[r] = g[:r][::-1] @ a[:r] / r
    return float(a @ stats.chi2.cdf(eps / beta, k * len(w) + 2 * np.arange(terms)))


def log_ive(order, z):
    """log of exp(-z) I_order(z) for order > -1, z > 0; where scipy underflows, Debye's expansion for large order to three terms."""
    direct = special.ive(order, z)
    v = np.maximum(order, 1.0)
    q = z / v
    root = np.sqrt(1 + q * q)
    p = 1 / root
    u1, u2 = (3 * p - 5 * p**3) / 24, (81 * p**2 - 462 * p**4 + 385 * p**6) / 1152
    u3 = (30375 * p**3 - 369603 * p**5 + 765765 * p**7 - 425425 * p**9) / 414720
    debye = v * (root + np.log(q / (1 + root))) - z - np.log(2 * np.pi * v * root) / 2 + np.log1p(u1 / v + u2 / v**2 + u3 / v**3)
    return np.where(direct > 1e-250, np.log(np.maximum(direct, 1e-300)), debye)


def ncx2_logpdf(x, df, nc, scale):
    """log density of scale * chi'^2_df(nc), nc > 0, also for many thousand degrees of freedom, where scipy's underflows."""
    x, order = x / scale, df / 2 - 1
    return log_ive(order, np.sqrt(nc * x)) - np.log(2 * scale) - (np.sqrt(x) - np.sqrt(nc)) ** 2 / 2 + order / 2 * np.log(x / nc)


def compress(L: np.ndarray, nodes: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev points x and weights v, both (nodes,), with v @ h(x) = mean of h over the sample L (S,), for h smooth on its range."""
    unit, low, high = np.cos(np.pi * (np.arange(nodes) + 0.5) / nodes), L.min(), L.max()
    mean = np.polynomial.chebyshev.chebvander(2 * (L - low) / (high - low) - 1, nodes - 1).mean(0)
    return low + (unit + 1) * (high - low) / 2, np.linalg.solve(np.polynomial.chebyshev.chebvander(unit, nodes - 1).T, mean)

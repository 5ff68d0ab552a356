"""Discrete Poisson problems with obstacles, and Krylov methods that solve many right-hand sides at once.

    A = Poisson(fluid)                                # fluid (n, n) bool; A(x) for grid functions x (B, n, n)
    values, vectors = lanczos(A, rng, 100)            # Ritz pairs
    start, project = deflation(A, vectors[:16])
    done = run(cg(A, b), b, cap=500)                  # plain; cg(A, b, incomplete_cholesky(A)); cg(A, b, start=start, project=project)
    iterations(done.residuals, 1e-4)                  # (B,)

A grid function is float64 (..., n, n), zero in solid cells; the mesh width is one. Beyond the outer boundary the solution is zero; on an
obstacle its normal derivative is, so solid neighbours drop out of stencil and diagonal. All members of a batch are solved as if alone.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array, diags_array, linalg, tril


class Poisson:
    """The matrix A, symmetric positive definite on the fluid cells. `cells`: their flat indices, row by row."""

    def __init__(self, fluid):
        fluid = np.asarray(fluid)
        if fluid.ndim != 2 or fluid.shape[0] != fluid.shape[1] or not fluid.any():
            raise ValueError(f"krylov_poisson.Poisson: fluid is a square mask with at least one True, not of shape {fluid.shape}")
        self.n, self.fluid, self.cells = len(fluid), fluid.astype(float), np.flatnonzero(fluid)
        ring = np.pad(self.fluid, 1, constant_values=1)
        self.diagonal = (ring[:-2, 1:-1] + ring[2:, 1:-1] + ring[1:-1, :-2] + ring[1:-1, 2:]) * self.fluid

    def __call__(self, x):
        y = self.diagonal * x
        y[..., 1:, :] -= x[..., :-1, :]
        y[..., :-1, :] -= x[..., 1:, :]
        y[..., 1:] -= x[..., :-1]
        y[..., :-1] -= x[..., 1:]
        return y * self.fluid

    def sparse(self):
        """The same matrix over the fluid cells alone: csc (cells, cells)."""
        index = np.full((self.n, self.n), -1)
        index.flat[self.cells] = np.arange(len(self.cells))
        pairs = np.hstack([np.stack(p).reshape(2, -1) for p in ((index[1:], index[:-1]), (index[:, 1:], index[:, :-1]))])
        pairs, size = pairs[:, (pairs >= 0).all(0)], len(self.cells)
        lower = coo_array((np.ones(pairs.shape[1]), pairs), (size, size))
        return (diags_array(self.diagonal.flat[self.cells]) - lower - lower.T).tocsc()

    def on_cells(self, solve):
        """The map of grid functions (B, n, n) that `solve`, a map of columns (cells, B), stands for."""

        def apply(r):
            z = np.zeros((len(r), self.n**2))
            z[:, self.cells] = solve(np.ascontiguousarray(r.reshape(len(r), -1)[:, self.cells].T)).T
            return z.reshape(r.shape)

        return apply


def dot(a, b):
    """Inner products of two batches of grid functions (B, n, n): (B, 1, 1), ready to scale a batch."""
    return np.einsum("bij,bij->b", a, b)[:, None, None]


def cg(A, b, precondition=lambda r: r, start=np.zeros_like, project=lambda z: 0):
    """Preconditioned, deflated CG for b (B, n, n) [Hestenes and Stiefel 1952; Saad et al. 2000]. Yields (x, r) without end."""
    x = start(b)
    r = b - A(x)
    z = precondition(r)
    p, rho = z - project(z), dot(r, z)
    while True:
        Ap = A(p)
        step = rho / np.maximum(dot(p, Ap), 1e-300)  # zero only after convergence to the last digit
        x, r = x + step * p, r - step * Ap
        z, before = precondition(r), rho
        rho = dot(r, z)
        p = z - project(z) + rho / np.maximum(before, 1e-300) * p
        yield x, r


def incomplete_factor(A):
    """Zero-fill incomplete Cholesky, A ~ (L + D) D^-1 (L + D)^T with L the strict lower part of A [Meijerink and van der Vorst 1977].

    Returns L + D (csc) and the diagonal D (cells,). The product equals A wherever A is not zero.
    """
    d, fluid = np.ones((A.n + 1, A.n + 1)), np.pad(A.fluid, ((1, 0), (1, 0)))
    for i, j in zip(*np.divmod(A.cells, A.n), strict=True):
        d[i + 1, j + 1] = A.diagonal[i, j] - fluid[i, j + 1] / d[i, j + 1] - fluid[i + 1, j] / d[i + 1, j]
    d = d[1:, 1:].flat[A.cells]
    return (tril(A.sparse(), -1) + diags_array(d)).tocsc(), d


def incomplete_cholesky(A):
    """The preconditioner of `incomplete_factor`, a map of grid functions (B, n, n)."""
    factor, d = incomplete_factor(A)
    lu = linalg.splu(factor, permc_spec="NATURAL", diag_pivot_thresh=0, options={"SymmetricMode": True})  # triangular already: no fill
    return A.on_cells(lambda r: lu.solve(d[:, None] * lu.solve(r), "T"))


def lanczos(A, rng, m):
    """Ritz values (m,), ascending, and orthonormal Ritz vectors (m, n * n) from m steps started at A times a random vector.

    Each new vector is orthogonalised against all earlier ones, twice. m is at most the number of different eigenvalues.
    """
    v = A(rng.standard_normal((A.n, A.n)) * A.fluid).ravel()
    V, alpha, beta = np.zeros((m, v.size)), np.zeros(m), np.zeros(m)
    v /= np.linalg.norm(v)
    for j in range(m):
        V[j] = v
        w = A(v.reshape(A.n, A.n)).ravel()
        alpha[j] = w @ v
        for _ in range(2):
            w -= (V[: j + 1] @ w) @ V[: j + 1]
        beta[j] = np.linalg.norm(w)
        if beta[j] < 1e-10 and j + 1 < m:
            raise ValueError(f"krylov_poisson.lanczos: the space is complete after {j + 1} steps; use m of at most {j + 1}, not {m}")
        v = w / beta[j]
    values, Q = np.linalg.eigh(np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1))
    return values, Q.T @ V


def deflation(A, W):
    """`start` and `project` for `cg`: its directions stay A-orthogonal to the rows of W (k, n * n), independent vectors on the fluid."""
    AW = A(W.reshape(-1, A.n, A.n)).reshape(len(W), -1)
    inverse = np.linalg.inv(W @ AW.T)
    onto = lambda z, rows: (z.reshape(len(z), -1) @ rows.T @ inverse @ W).reshape(z.shape)
    return lambda b: onto(b, W), lambda z: onto(z, AW)


class Run(NamedTuple):
    """residuals (iterations + 1, B), relative to b; x (B, n, n), the last iterate; rise: the largest relative increase of the energy."""

    residuals: np.ndarray
    x: np.ndarray
    rise: float


def run(iterates, b, cap, tol=1e-6):
    """Iterate until every relative residual is at most tol, at most cap times. The energy is half the squared A-norm of the error."""
    scale, residuals, energy, rise = np.sqrt(dot(b, b)).ravel(), [np.ones(len(b))], 0, 0
    for x, r in iterates:
        residuals.append(np.sqrt(dot(r, r)).ravel() / scale)
        energy, before = -dot(x, b + r).ravel() / 2, energy  # up to a constant
        rise = max(rise, ((energy - before) / np.abs(energy)).max())
        if residuals[-1].max() <= tol or len(residuals) > cap:
            return Run(np.array(residuals), x, rise)


def iterations(residuals, tol):
    """Iterations to reach tol, from residuals (iterations + 1, B): (B,); the number made where it was never reached."""
    reached = residuals <= tol
    return np.where(reached.any(0), reached.argmax(0), len(residuals) - 1)

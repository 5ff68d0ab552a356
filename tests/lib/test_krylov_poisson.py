"""Poisson with obstacles and Krylov methods: dense matrices, known eigenvalues, scipy's CG, direct solutions."""

import numpy as np
import pytest
from scipy.sparse import linalg

from encore.bases import krylov_poisson as kp


@pytest.fixture
def problem():
    fluid = np.ones((16, 16), bool)
    fluid[5:9, 6:12] = False
    A = kp.Poisson(fluid)
    rng = np.random.default_rng(0)
    b = rng.standard_normal((3, 16, 16)) * A.fluid
    return A, b, A.on_cells(linalg.splu(A.sparse()).solve)(b), rng


def after(iterates, k):
    return next(x for i, (x, _) in enumerate(iterates, 1) if i == k)


def test_the_operator_is_the_sparse_matrix_and_is_symmetric(problem):
    A, b, *_ = problem
    dense = A.sparse().toarray()
    assert (dense == dense.T).all()
    assert np.linalg.eigvalsh(dense)[0] > 0
    np.testing.assert_allclose(A(b).reshape(3, -1)[:, A.cells], b.reshape(3, -1)[:, A.cells] @ dense, atol=1e-13)


def test_eigenvalues_of_the_empty_box():
    k = np.pi * np.arange(1, 9) / 9
    exact = np.sort((4 - 2 * np.cos(k)[:, None] - 2 * np.cos(k)).ravel())
    np.testing.assert_allclose(np.linalg.eigvalsh(kp.Poisson(np.ones((8, 8), bool)).sparse().toarray()), exact, atol=1e-13)


def test_lanczos_pairs(problem):
    A, _, _, rng = problem
    values, vectors = kp.lanczos(A, rng, 150)
    exact = np.linalg.eigvalsh(A.sparse().toarray())
    np.testing.assert_allclose(values[[0, -1]], exact[[0, -1]], rtol=1e-9)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(150), atol=1e-12)
    np.testing.assert_allclose(A(vectors[:1].reshape(1, 16, 16)).ravel(), values[0] * vectors[0], atol=1e-8)


def test_incomplete_factor_equals_the_matrix_on_its_pattern(problem):
    A, *_ = problem
    factor, d = kp.incomplete_factor(A)
    product, exact = (factor.toarray() / d) @ factor.toarray().T, A.sparse().toarray()
    np.testing.assert_allclose(product[exact != 0], exact[exact != 0], atol=1e-13)


@pytest.mark.parametrize("preconditioned", [False, True])
def test_cg_is_that_of_scipy(problem, preconditioned):
    A, b, *_ = problem
    factor, d = kp.incomplete_factor(A)
    dense = (factor.toarray() / d) @ factor.toarray().T
    M = np.linalg.inv(dense) if preconditioned else None
    ours = after(kp.cg(A, b, kp.incomplete_cholesky(A)) if preconditioned else kp.cg(A, b), 10)
    for x, right in zip(ours.reshape(3, -1), b.reshape(3, -1), strict=True):
        theirs = linalg.cg(A.sparse(), right[A.cells], rtol=0, maxiter=10, M=M)[0]
        np.testing.assert_allclose(x[A.cells], theirs, atol=1e-11)


def test_all_solvers_reach_the_direct_solution_and_deflation_is_faster(problem):
    A, b, exact, rng = problem
    start, project = kp.deflation(A, kp.lanczos(A, rng, 100)[1][:16])
    solvers = kp.cg(A, b), kp.cg(A, b, kp.incomplete_cholesky(A)), kp.cg(A, b, start=start, project=project)
    runs = [kp.run(solver, b, 200, 1e-12) for solver in solvers]
    for done in runs:
        np.testing.assert_allclose(done.x, exact, atol=1e-9)
        assert done.rise < 1e-13
        assert done.residuals[-1].max() <= 1e-12
    plain, _, deflated = (kp.iterations(done.residuals, 1e-6) for done in runs)
    assert (deflated < plain).all()


def test_iterations_counts_what_was_made_if_the_goal_was_not_reached():
    residuals = np.array([[1.0, 1.0], [0.5, 2.0], [0.1, 0.9]])
    assert kp.iterations(residuals, 0.5).tolist() == [1, 2]


def test_bad_input_says_what_to_do():
    with pytest.raises(ValueError, match="square mask"):
        kp.Poisson(np.ones((3, 4), bool))
    with pytest.raises(ValueError, match="complete after"):
        kp.lanczos(kp.Poisson(np.ones((4, 4), bool)), np.random.default_rng(0), 16)  # degenerate eigenvalues: fewer than 16

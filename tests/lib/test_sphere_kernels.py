"""Problems on the sphere and the two slow references for neural tangent kernels: closed forms and sampling."""

import mpmath
import numpy as np
import pytest
import torch

from encore.bases import sphere_kernels as sk


@pytest.mark.parametrize("p", [3, 5])
@pytest.mark.parametrize("make", [sk.mixture, sk.stripes])
def test_labels_follow_the_stated_probability_on_the_non_negative_sphere(make, p):
    x, y, eta = make(p, 40_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1)
    assert (x >= 0).all()
    for low in (0.1, 0.4, 0.7):
        here = (eta >= low) & (eta < low + 0.2)
        gap = ((y > 0) - eta)[here]
        assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(here.sum())


def test_bayes_risk_by_quadrature_is_the_sampled_one():
    _, _, eta = sk.mixture(3, 100_000, np.random.default_rng(1))
    least = np.minimum(eta, 1 - eta)
    assert abs(least.mean() - sk.mixture_bayes_risk()) < 4 * least.std() / np.sqrt(len(least))


def test_excess_risk_is_zero_for_the_bayes_rule_and_largest_for_its_opposite():
    eta = np.array([0.1, 0.8, 0.6])
    assert sk.excess_risk(eta - 0.5, eta) == 0
    assert sk.excess_risk(0.5 - eta, eta) == pytest.approx(np.mean(abs(2 * eta - 1)))


def test_tuned_references_solve_an_easy_problem():
    rng = np.random.default_rng(2)
    x, t = (sk.unit(rng.random((n, 3))) for n in (200, 500))
    y, eta = np.sign(x[:, 0] - x[:, 1]), (t[:, 0] > t[:, 1]) * 1.0
    assert max(sk.tuned_references(x, y, t, eta)) < 0.05


def test_the_map_has_the_area_of_an_octant():
    surface, inside = sk.orthant_map(400)
    np.testing.assert_allclose(np.linalg.norm(surface, axis=-1), 1)
    assert inside.mean() * 1.96**2 == pytest.approx(np.pi / 2, rel=0.01)


def test_network_ntk_of_a_linear_activation_is_the_cosine_times_the_number_of_layers():
    x = torch.tensor(sk.unit(np.random.default_rng(3).random((3, 4))), dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    grams = torch.stack([sk.network_ntk(x, (0, 1, 0, 0), 512, 2, generator) for _ in range(20)])
    torch.testing.assert_close(grams.mean(0), 3 * x @ x.T, rtol=0.05, atol=0.05)


def test_60_digit_machine_interpolates_and_matches_a_plain_solve():
    rng = np.random.default_rng(4)
    x, t, y = sk.unit(rng.random((6, 3))), sk.unit(rng.random((2, 3))), rng.choice([-1.0, 1.0], 6)
    weights = {1: 0.5, 3: 0.5}
    at_data = sk.ntk_machine_60_digits(weights, x, y, x, 2)
    np.testing.assert_allclose([float(v) for v in at_data], y, atol=1e-12)

    def kernel(xi):
        s = k = xi
        for _ in range(2):
            s, k = (s + s**3) / 2, k * (1 + 3 * s**2) / 2 + (s + s**3) / 2
        return k

    plain = kernel(t @ x.T) @ np.linalg.solve(kernel(x @ x.T), y)
    np.testing.assert_allclose([float(v) for v in sk.ntk_machine_60_digits(weights, x, y, t, 2)], plain, rtol=1e-6)
    assert isinstance(at_data[0], mpmath.mpf)

import numpy as np
import pytest
from scipy import stats

from encore.bases import gaussian_quadratic_forms as gqf


def test_equal_weights_are_a_scaled_chi_square():
    form = gqf.Form(np.full(3, 0.2), np.array([0.1, 0.0, 0.4]), 4)
    for eps in (0.05, 0.5, 2.5, 6.0):
        expected = -stats.ncx2.logcdf(eps, 12, 2.5, scale=0.2) / np.log(2)
        assert gqf.bits_below(form, eps) == pytest.approx(expected, rel=1e-8)
        assert gqf.bits_below(gqf.scaled_ncx2(12, 2.5, 0.2), eps) == pytest.approx(expected, rel=1e-8)


def test_unequal_weights_agree_with_imhof_and_ruben():
    form = gqf.Form(np.array([0.5, 1.0, 2.0]), np.array([0.3, 2.0, 0.0]), 3)
    for eps in (6.0, 12.0):
        assert 2 ** -gqf.bits_below(form, eps) == pytest.approx(gqf.imhof(form, eps), abs=1e-8)
    for bits in (10, 20, 40):
        eps = gqf.level(form, bits)
        exact = gqf.bits_below(form, eps)
        assert exact == pytest.approx(bits, abs=0.02)
        assert exact == pytest.approx(-np.log2(gqf.ruben(form, eps)), abs=1e-7)


def test_sampler_and_density():
    form = gqf.Form(np.array([0.5, 1.0]), np.array([0.3, 2.0]), 5)
    draws = gqf.sampler(form)(stats.norm.ppf((np.arange(20000) + 0.5) / 20000))
    assert (draws.mean(), draws.std()) == pytest.approx(gqf.moments(form), rel=2e-3)
    x = np.array([3.0, 20.0])
    assert gqf.ncx2_logpdf(x, 10, 3, 1.0) == pytest.approx(stats.ncx2.logpdf(x, 10, 3), rel=1e-9)
    grid = np.linspace(0.9, 1.1, 20001) * 8000.0
    assert np.trapezoid(np.exp(gqf.ncx2_logpdf(grid, 8000 - 50, 50.0, 1.0)), grid) == pytest.approx(1, abs=1e-6)


def test_compressed_mean():
    sample = np.random.default_rng(0).gamma(9, size=500)
    x, v = gqf.compress(sample)
    assert v @ np.sin(x / 5) == pytest.approx(np.sin(sample / 5).mean(), abs=1e-10)


def test_bad_level():
    with pytest.raises(ValueError, match="eps > 0"):
        gqf.bits_below(gqf.scaled_ncx2(3, 1, 1), 0.0)

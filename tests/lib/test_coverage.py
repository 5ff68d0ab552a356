"""The coverage table in the docstring of `encore.stats`, simulated again.

`stats.mean_interval` takes one sample at a time, too slow for millions of draws. `intervals` below is its vectorised twin: the same
formulae with an axis, and `test_the_twin_is_mean_interval` holds the two together on random inputs of every kind that is simulated.
"""

import re

import numpy as np
import pytest
from scipy import stats as sps

from encore import stats

DRAWS = 60_000
SIZES = (5, 8, 20)
ROUND = 0.05  # the table is rounded to a tenth of a point

# name in the docstring -> (draw, mean of the distribution)
DISTRIBUTIONS = {
    "normal": (lambda g, shape: g.standard_normal(shape), 0.0),
    "gamma, skewness 1": (lambda g, shape: g.gamma(4.0, size=shape), 4.0),
    "log-normal, sd 0.5": (lambda g, shape: g.lognormal(0.0, 0.5, size=shape), float(np.exp(0.125))),
    "exponential, skew. 2": (lambda g, shape: g.exponential(size=shape), 1.0),
    "t with 5 d.o.f.": (lambda g, shape: g.standard_t(5, size=shape), 0.0),
    "Laplace": (lambda g, shape: g.laplace(size=shape), 0.0),
}
CELLS = [(name, n) for name in DISTRIBUTIONS for n in SIZES]
TOO_WIDE = {("t with 5 d.o.f.", 5), ("Laplace", 5)}  # "symmetric heavy tails at n = 5, where it is too wide by a little"


def table() -> dict[tuple[str, int], float]:
    """Coverage in per cent as the docstring states it, by (distribution, n)."""
    rows = re.findall(r"^ {4}(\S.*?)\s{2,}([\d.]+) %\s+([\d.]+) %\s+([\d.]+) %$", stats.__doc__, re.MULTILINE)
    return {(name, n): float(cell) for name, *cells in rows for n, cell in zip(SIZES, cells, strict=True)}


def student(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Student's 95 % interval of the mean of each row of x: (draws, n)."""
    n = x.shape[1]
    half = sps.t.ppf(0.975, n - 1) * x.std(axis=1, ddof=1) / np.sqrt(n)
    return x.mean(axis=1) - half, x.mean(axis=1) + half


def hall(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hall's skewness-corrected interval of the mean of each row of x: (draws, n), none of them exactly symmetric."""
    n = x.shape[1]
    mean, spread = x.mean(axis=1), x.std(axis=1)
    skew = ((x - mean[:, None]) ** 3).mean(axis=1) / spread**3
    q = sps.t.ppf(0.975, n - 1) * np.sqrt(n / (n - 1))
    ends = [mean - spread * 3 / skew * (np.cbrt(1 + skew * (z / np.sqrt(n) - skew / (6 * n))) - 1) for z in (q, -q)]
    return ends[0], ends[1]


def intervals(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The twin of `stats.mean_interval`: hull of the two, per row of x: (draws, n)."""
    (a, b), (c, d) = student(x), hall(x)
    return np.minimum(a, c), np.maximum(b, d)


def draw(name: str, n: int, draws: int = DRAWS) -> tuple[np.ndarray, float]:
    make, mean = DISTRIBUTIONS[name]
    return make(np.random.default_rng([n, *name.encode()]), (draws, n)), mean


def covered(ends, mean: float) -> float:
    low, high = ends
    return 100 * float(((low <= mean) & (mean <= high)).mean())


@pytest.fixture(scope="module")
def simulated() -> dict[tuple[str, int], float]:
    out = {}
    for name, n in CELLS:
        x, mean = draw(name, n)
        out[name, n] = covered(intervals(x), mean)
    return out


def test_the_docstring_has_the_whole_table():
    assert set(table()) == set(CELLS)


@pytest.mark.parametrize(("name", "n"), CELLS)
def test_the_twin_is_mean_interval(name, n):
    x, _ = draw(name, n, 60)
    x = x - np.random.default_rng(n).normal(size=(60, 1))
    low, high = intervals(x)
    for row, a, b in zip(x, low, high, strict=True):
        i = stats.mean_interval(row)
        np.testing.assert_allclose((i.low, i.high), (a, b), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "n"), CELLS)
def test_the_table_is_confirmed(simulated, name, n):
    assert simulated[name, n] == pytest.approx(table()[name, n], abs=0.5)


@pytest.mark.parametrize(("name", "n"), [c for c in CELLS if c not in TOO_WIDE])
def test_coverage_is_93_to_97_where_the_docstring_says_so(simulated, name, n):
    assert 93 - ROUND <= table()[name, n] <= 97 + ROUND
    noise = 3 * 100 * np.sqrt(0.94 * 0.06 / DRAWS)
    assert 93 - ROUND - noise <= simulated[name, n] <= 97 + ROUND + noise


@pytest.mark.parametrize(("name", "n"), sorted(TOO_WIDE))
def test_the_exceptions_are_too_wide_by_a_little(simulated, name, n):
    assert 96.5 < simulated[name, n] < 98.2  # never below the level: a verdict is not given too easily there


def test_student_alone_covers_88_percent_of_the_exponential():
    x, mean = draw("exponential, skew. 2", 5)
    assert covered(student(x), mean) == pytest.approx(88, abs=1)


def test_the_studentised_bootstrap_is_no_better_and_much_wider():
    """The docstring: 93 % of the exponential at n = 5, at 1.5 times the (mean) width."""
    x, mean = draw("exponential, skew. 2", 5, 6000)
    n, (low, high) = 5, intervals(x)
    g = np.random.default_rng(2)
    ends = []
    for part in np.array_split(x, 12):
        again = np.take_along_axis(part[:, None, :], g.integers(0, n, (len(part), 499, n)), axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):  # a resample of one value repeated has no spread: t is infinite
            t = (again.mean(axis=2) - part.mean(axis=1)[:, None]) / again.std(axis=2)
        lo, hi = np.nanpercentile(t, [2.5, 97.5], axis=1, method="closest_observation")
        ends.append((part.mean(axis=1) - part.std(axis=1) * hi, part.mean(axis=1) - part.std(axis=1) * lo))
    a, b = (np.concatenate(e) for e in zip(*ends, strict=True))
    assert covered((a, b), mean) == pytest.approx(93, abs=1.5)
    assert (b - a).mean() / (high - low).mean() == pytest.approx(1.5, abs=0.15)


def test_hall_moves_the_interval_towards_the_long_tail():
    """Student's interval of a skewed sample misses almost only on one side; the hull gives most of that back."""
    x, mean = draw("exponential, skew. 2", 20)
    (_, student_high), (low, high) = student(x), intervals(x)
    too_low, hull_too_low, hull_too_high = ((student_high < mean).mean(), (high < mean).mean(), (low > mean).mean())
    assert too_low > 0.06
    assert hull_too_low < 0.7 * too_low
    assert hull_too_high < 0.025

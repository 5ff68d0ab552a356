"""The oracles on complexes whose homology is known by hand."""

import numpy as np
import pytest

from encore.bases.homology_oracles import bars, rank_f2, ranks_below

# a square 0-1-2-3 with the diagonal 0-2 (edge 4) and both triangles
K = np.array([[0, 1], [1, 2], [2, 3], [0, 3], [0, 2]]), np.array([[0, 1, 2], [0, 2, 3]]), np.array([[0, 1, 4], [2, 3, 4]])
LENGTH, HEIGHT = np.array([1.0, 1.1, 1.2, 1.3, 1.7]), np.zeros(4)


@pytest.mark.parametrize(("rows", "rank"), [([], 0), ([0, 0], 0), ([1, 2, 3], 2), ([5, 6, 3, 7], 3)])
def test_rank(rows, rank):
    assert rank_f2(rows) == rank


@pytest.mark.parametrize(("s", "ranks"), [((0, -1), (0, 0)), ((0, 0), (4, 0)), ((1.25, 0), (1, 0)), ((1.5, 0), (1, 1)), ((1.7, 0), (1, 0))])
def test_ranks_of_a_square(s, ranks):
    assert tuple(ranks_below(K, LENGTH, HEIGHT, s)) == ranks


def test_bars_of_a_square():
    components, holes = bars(K, LENGTH, HEIGHT)
    np.testing.assert_array_equal(np.sort(components[:, 1]), [1.0, 1.1, 1.2, np.inf])
    np.testing.assert_array_equal(holes, [[1.3, 1.7]])


def test_bars_count_what_elimination_counts():
    rng = np.random.default_rng(0)
    length, height = rng.random(5), rng.random(4)
    for t in rng.random(20):
        counts = [((b[:, 0] <= t) & (t < b[:, 1])).sum() for b in bars(K, length, height)]
        np.testing.assert_array_equal(counts, ranks_below(K, length, height, (t, t)))

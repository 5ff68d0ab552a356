"""Homology the slow or the foreign way: what a page's own algorithm is checked against.

A planar complex K is a triple: edges (m, 2) and triangles (k, 3) as vertex numbers, and sides (k, 3), the three edge numbers of each
triangle. Grades are edge lengths (m,) and vertex heights (n,); a simplex has the grade (longest edge, highest vertex), a vertex length 0.
"""

import gudhi
import numpy as np


def rank_f2(rows) -> int:
    """Rank over the field of two elements of a matrix whose rows are integers; bit j of a row is its entry in column j."""
    pivots: dict[int, int] = {}
    for r in rows:
        while r and r.bit_length() in pivots:
            r ^= pivots[r.bit_length()]
        if r:
            pivots[r.bit_length()] = r
    return len(pivots)


def ranks_below(K, length, height, s) -> np.ndarray:
    """Ranks of H_0 and H_1 of the complex of all simplices with grade <= s = (s1, s2), by Gaussian elimination over F_2: (2,) int."""
    edges, _, sides = K
    vertex = height <= s[1]
    edge = (length <= s[0]) & vertex[edges].all(1)
    triangle = edge[sides].all(1)
    rank1 = rank_f2([(1 << int(a)) | (1 << int(b)) for a, b in edges[edge]])
    rank2 = rank_f2([sum(1 << int(e) for e in t) for t in sides[triangle]])
    return np.array([vertex.sum() - rank1, edge.sum() - rank1 - rank2])


def bars(K, length, height) -> list[np.ndarray]:
    """Bars of the filtration of K by max(longest edge, highest vertex), from gudhi.SimplexTree.

    Returns births and deaths, (bars, 2), for degrees 0 and 1. A vertex enters at its height, also where that is negative; essential
    bars die at infinity.
    """
    edges, triangles, sides = K
    tree = gudhi.SimplexTree()
    tree.insert_batch(np.arange(len(height))[None], height)
    entry = np.maximum(length, height[edges].max(1))
    tree.insert_batch(edges.T, entry)
    tree.insert_batch(triangles.T, entry[sides].max(1))
    tree.compute_persistence(persistence_dim_max=True)
    return [tree.persistence_intervals_in_dimension(d).reshape(-1, 2) for d in (0, 1)]

"""Random graphs whose stationary state is known: decision problems (value iteration) and diffusion on planar networks.

    g = stack("diffusion", [0, 1], [7], 4)     # two members of four graphs each

A task makes single graphs (node features, edge features, src, dst) as NumPy arrays and solves any disconnected union of them.
Value iteration: all states have 5 to 10 incoming edges with rewards uniform in [-1, 1]; V_v = max_e (r_e + 0.9 V_src(e)).
Diffusion: points of the unit square, Delaunay edges, log-normal conductances k (deviation 1.5 of log k); pressure is 1 on the
left side and 0 on the right, and inside sum_u k_uv (p_u - p_v) = 0. The graph sizes are those of Park et al. 2022, "Convergent
Graph Solvers", whose value-iteration graphs these are; the planar networks stand in for their pore networks.
"""

from collections import namedtuple
from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.linalg import spsolve
from scipy.spatial import Delaunay

Graphs = namedtuple("Graphs", "nodes edges src dst degree y inside")
"""nodes (members, N, f), edges (members, E, g), src and dst (members * E,) into the flattened nodes, degree (members * N,) out of a
node, y (members, N) targets, inside (members, N) where the target is unknown."""


def value_graph(rng, n):
    """A decision problem with n states: node features, edge features, src, dst; edges are sorted by dst."""
    actions = rng.integers(5, 11)
    src = np.argsort(rng.random((n, n)) + 2 * np.eye(n), 1)[:, :actions].ravel()  # no state leads to itself
    return np.ones((n, 1)), rng.uniform(-1, 1, (n * actions, 1)), src, np.repeat(np.arange(n), actions)


def solve_values(nodes, edges, src, dst, tol=1e-7):
    """Optimal values (n,) by value iteration to steps below tol, and where they are unknown."""
    n, step = len(nodes), np.inf
    starts, V = np.searchsorted(dst, np.arange(n)), np.zeros(n)
    while step > tol:
        last, V = V, np.maximum.reduceat(edges[:, 0] + 0.9 * V[src], starts)
        step = np.abs(V - last).max()
    return V, np.ones(n, bool)


def diffusion_graph(rng, n):
    """A network of n points, about sqrt(n) of them on each of the two sides; returns the same as `value_graph`."""
    side = round(n**0.5)
    y = (np.arange(side) + 0.5) / side
    xy = np.concatenate([np.c_[0 * y, y], np.c_[0 * y + 1, y], rng.random((n - 2 * side, 2))])
    triangles = Delaunay(xy).simplices
    pairs = np.unique(np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)), axis=0)
    src, dst = np.concatenate([pairs, pairs[:, ::-1]]).T
    log_k, boundary = np.tile(1.5 * rng.standard_normal(len(pairs)), 2), np.arange(n) < 2 * side
    return np.c_[xy, boundary, boundary & (xy[:, 0] == 0)], np.c_[log_k, np.hypot(*(xy[src] - xy[dst]).T)], src, dst


def solve_pressures(nodes, edges, src, dst):
    """Pressures (n,) by a sparse direct solve, and where they are unknown."""
    n, inside, p = len(nodes), nodes[:, 2] == 0, nodes[:, 3].copy()
    K = coo_array((np.exp(edges[:, 0]), (dst, src)), (n, n)).tocsr()
    laplacian = coo_array((K.sum(1), (np.arange(n), np.arange(n))), (n, n)).tocsr() - K
    p[inside] = spsolve(laplacian[inside][:, inside].tocsc(), K[inside] @ p)
    return p, inside


tasks = {"value iteration": (value_graph, solve_values), "diffusion": (diffusion_graph, solve_pressures)}


def stack(
    task: str, member_seeds: Sequence[int], part: Sequence[int], count: int, times: int = 1, dtype: torch.dtype = torch.float32
) -> Graphs:
    """`count` graphs of 20 to 50 nodes, times a factor, for every member, as one disconnected graph; `part` keeps training and test apart.

    task: a key of `tasks` (KeyError otherwise); part: integers that choose the stream of random graphs; count >= 1; dtype of the features.
    Members are padded to a common size with isolated nodes, `inside` false there, and with edges from the last of them to itself.
    """
    make, solve = tasks[task]
    members = []
    for s in member_seeds:
        rng = np.random.default_rng([s, *part])
        graphs = [make(rng, times * int(rng.integers(20, 51))) for _ in range(count)]
        offset = np.cumsum([0] + [len(p[0]) for p in graphs])
        joined = [np.concatenate([p[k] + offset[i] * (k > 1) for i, p in enumerate(graphs)]) for k in range(4)]
        members.append([*joined, *solve(*joined)])
    N, E = max(len(m[0]) for m in members) + 1, max(len(m[1]) for m in members)
    fill = lambda a, size, value=0: np.concatenate([a, np.full((size - len(a), *a.shape[1:]), value, a.dtype)])
    src, dst = (np.concatenate([fill(m[k], E, N - 1) + i * N for i, m in enumerate(members)]) for k in (2, 3))
    nodes, edges, y, inside = (np.stack([fill(m[k], size) for m in members]) for k, size in ((0, N), (1, E), (4, N), (5, N)))
    degree = np.bincount(src, minlength=N * len(members))
    real = lambda a: torch.as_tensor(a, dtype=dtype)
    return Graphs(real(nodes), real(edges), torch.tensor(src), torch.tensor(dst), real(degree), real(y), torch.tensor(inside))

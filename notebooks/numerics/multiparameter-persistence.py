# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Differentiability and Optimization of Multiparameter Persistent Homology

# %% [markdown]
# ## The idea
#
# Draw discs around the points of a cloud and let them grow. Rings of points close into holes, and later the holes fill up. Persistent homology records when each hole is born and when it dies.
# These times are distances between points, so they have derivatives: one can move the points until a hole lasts longer {cite:p}`carriere2021optimizing`.
#
# One growing scale is blind to something. A stray point inside a ring spoils its hole as much as a hundred points would. The remedy is a second parameter: admit dense places first.
# But with two parameters there are no births and deaths any more, and no complete list of bars. Many partial descriptions compete.
#
# The paper {cite:p}`scoccola2024differentiability` shows that the common descriptors differentiate alike. Their values only ever *copy* numbers attached to simplices, and which number is copied changes only when two of them
# change order. So almost everywhere a gradient is a matter of indexing. This page builds the simplest descriptor, the signed measure of the Hilbert function, checks it exactly, and optimises point clouds with it.

# %% [markdown]
# ## The method

# %% tags=["parameters"]
profile = "book"
seed = 0

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from numba import njit
from scipy.spatial import Delaunay, cKDTree
from skimage.measure import find_contours

import encore
from encore import datasets, figures, seeds
from encore.bases.homology_oracles import bars, ranks_below

page = encore.open("numerics/multiparameter-persistence", profile, seed)

# %% [markdown]
# **Filtration.** $K$ is the Delaunay triangulation of $n$ points in the plane. Every simplex $\sigma$ gets a grade $f(\sigma) \in \mathbb R^2$: its longest edge (0 for a vertex), and the largest codensity of its vertices,
#
# $$f(\sigma) = \Bigl(\max_{i,j \in \sigma} \lVert x_i - x_j \rVert,\ \max_{i \in \sigma} c_i\Bigr), \qquad c_i = -\log \frac1n \sum_j e^{-\lVert x_i - x_j\rVert^2 / 2 h^2} \ge 0, \qquad h = 0.1 .$$
#
# A face never has a larger grade than its simplex, so $K_s = \{\sigma : f(\sigma) \le s\}$ is a complex for every $s \in \mathbb R^2$. A constant $c$ gives the one-parameter case.


# %%
def triangulate(points):
    """Delaunay triangulation of points (n, 2): edges (m, 2) and triangles (k, 3) as sorted vertex numbers, and the three edge numbers of each triangle (k, 3)."""
    triangles = np.sort(Delaunay(points).simplices, axis=1).astype(np.int64)
    pairs = np.stack((triangles[:, [0, 0, 1]], triangles[:, [1, 2, 2]]), -1)
    edges, sides = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)
    return edges, triangles, sides.reshape(-1, 3)


def codensity(x, bandwidth=0.1):
    """Minus the logarithm of a Gaussian kernel density estimate at the points x (n, 2) themselves, kernel 1 at distance 0: (n,)."""
    return np.log(len(x)) - torch.logsumexp(-torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square() / (2 * bandwidth**2), 1)


# %% [markdown]
# **Signed measure.** The Hilbert function of degree $i$ counts holes, $\mathrm{Hil}_i(s) = \operatorname{rank} H_i(K_s)$. It is the "distribution function" of exactly one finite sum $\mu_i$ of signed point masses:
#
# $$\mathrm{Hil}_i(s) = \sum_{z \le s} \mu_i(z), \qquad\text{and}\qquad \sum_i (-1)^i \mu_i = \mu_\chi = \sum_\sigma (-1)^{\dim \sigma} \delta_{f(\sigma)} .$$
#
# A planar complex has no $H_2$, so $\mu_1 = \mu_0 - \mu_\chi$. For $\mu_0$ let the second coordinate rise and keep a minimum spanning forest in the first. A vertex $v$ adds $+1$ at $f(v)$. An edge $e$, entering at height $f_2(e)$,
# adds $-1$ at $f(e)$. If it closes a cycle whose longest edge is $d$, then $d$ leaves the forest and adds $+1$ at $(f_1(d), f_2(e))$. In $\mu_1$ nearly everything cancels. What stays is
#
# $$\mu_1 = \sum_{e \text{ closes a cycle}} \delta_{(f_1(d_e),\, f_2(e))} \;-\; \sum_{\text{triangles } t} \delta_{f(t)} .$$
#
# 1. The forest is a set of parent pointers. Making $u$ a root turns the pointers on one path; then the cycle is the path from $v$ up to $u$.
# 2. With constant $c$ edges enter by length, $d_e = e$, and $\mu_1$ is the births minus the deaths of the usual barcode.


# %%
@njit
def sweep(edges, length, order, n):
    """Longest edge of the cycle that each edge closes in the minimum spanning forest of the edges before it, -1 if it closes none: (m,) int."""
    parent, link, longest = np.full(n, -1), np.full(n, -1), np.full(len(edges), -1)
    for e in order:
        u, v = edges[e]
        here, below, via = u, -1, -1
        while here != -1:  # make u the root of its tree
            above, above_via = parent[here], link[here]
            parent[here], link[here] = below, via
            below, here, via = here, above, above_via
        here, d, cut = v, e, -1
        while parent[here] != -1:  # climb from v, remember the longest edge
            if length[link[here]] > length[d]:
                d, cut = link[here], here
            here = parent[here]
        if here == u:
            longest[e] = d
            if d == e:
                continue
            parent[cut], link[cut] = -1, -1
        parent[u], link[u] = v, e
    return longest


# %% [markdown]
# **The gradient is an index.** A mass is stored as two numbers of simplices and a weight: the *edge* whose length is its first coordinate and the *vertex* whose codensity is its second. As long as no two values
# change order these numbers are constant, and a mass position is a coordinate selection, with zeros and ones as its Jacobian. In PyTorch that is `length[edge]` and `height[vertex]`.


# %%
def signed_measure(K, length, height, degree=1):
    """Masses of degree 0 or 1 of the bifiltration with edge lengths (m,) and vertex heights (n,): edge numbers (m means length 0), vertex numbers, integer weights."""
    edges, triangles, sides = K
    n, m = len(height), len(edges)
    top = lambda simplices: np.take_along_axis(simplices, height[simplices].argmax(1)[:, None], 1)[:, 0]
    edge_top = top(edges)
    longest = sweep(edges, length, np.lexsort((length, height[edge_top])), n)
    closes = longest >= 0
    if degree == 1:
        side = np.take_along_axis(sides, length[sides].argmax(1)[:, None], 1)[:, 0]
        parts = [(longest[closes], edge_top[closes], 1), (side, top(triangles), -1)]
    else:
        parts = [(np.full(n, m), np.arange(n), 1), (np.arange(m), edge_top, -1), (longest[closes], edge_top[closes], 1)]
    place = np.concatenate([e * n + v for e, v, _ in parts])
    place, inverse = np.unique(place, return_inverse=True)
    weight = np.bincount(inverse, np.concatenate([np.full(len(e), float(w)) for e, _, w in parts]))
    keep = weight != 0  # masses at one place cancel
    return place[keep] // n, place[keep] % n, weight[keep]


def descriptor(x, two=True, degree=1):
    """Signed measure of points x (n, 2) float64: positions (masses, 2), differentiable in x, and weights (masses,). two=False: one parameter, heights 0."""
    K = triangulate(x.detach().numpy())
    length = torch.linalg.vector_norm(x[K[0][:, 0]] - x[K[0][:, 1]], dim=1)
    height = codensity(x) if two else torch.zeros(len(x), dtype=x.dtype)
    edge, vertex, weight = signed_measure(K, length.detach().numpy(), height.detach().numpy(), degree)
    length = torch.cat((length, length.new_zeros(1)))
    return torch.stack((length[edge], height[vertex]), 1), torch.from_numpy(weight)


# %% [markdown]
# **Losses.** Negative masses are corners where holes die. Pushing them out and pulling positive masses in makes holes larger, and with two parameters also keeps them open where points are sparse:
#
# $$L_{\text{norm}} = \frac{1}{\#\text{masses}} \sum_z \mu_1(z)\, \lVert z \rVert_1, \qquad L_{\text{local}} = \sum_z \mu_1(z)\, z_1\, (\theta - z_2).$$
#
# With one parameter, $L_{\text{norm}}$ is minus the total persistence, the sum of (death - birth), over the number of masses. Adam moves the points, and the triangulation is computed anew in each step.


# %%
def norm_loss(x, two):
    z, weight = descriptor(x, two)
    return (weight * z.sum(1)).sum() / len(weight)  # both coordinates are >= 0


def optimise(start, two, penalty=None, steps=60):
    """Adam with rate 0.01 on the points (n, 2). Returns the cloud at each step (steps + 1, n, 2) and the norm loss without penalty (steps,)."""
    x = torch.tensor(start, requires_grad=True)
    adam, clouds, losses = torch.optim.Adam([x], 0.01), [start], []
    for _ in range(steps):
        loss = norm_loss(x, two)
        losses.append(loss.item())
        adam.zero_grad()
        (loss + penalty(x) if penalty else loss).backward()
        adam.step()
        clouds.append(x.detach().numpy().copy())
    return np.array(clouds), np.array(losses)


# %% [markdown]
# ## A check
#
# *Brute force.* For small complexes the ranks are computed directly: the simplices below $s$ are listed, and their boundary matrices are eliminated over $\mathbb F_2$ (`encore.bases.homology_oracles`). *gudhi.* Along a line $t \mapsto (t, t - a)$ a bifiltration
# becomes the one-parameter filtration $\max(f_1, f_2 + a)$. Its bars from `gudhi.SimplexTree` must give the Betti numbers that the masses give. And for one parameter the lengths of all bars must add up to minus the norm loss.


# %%
def hilbert(K, length, height, s):
    """Ranks of H_0 and H_1 of the complex below s = (s1, s2), from the signed measures: (2,)."""
    padded, out = np.append(length, 0), []
    for degree in (0, 1):
        e, v, w = signed_measure(K, length, height, degree)
        out.append(w[(padded[e] <= s[0]) & (height[v] <= s[1])].sum())
    return np.array(out)


rng = np.random.default_rng([seed, 1])
moebius = []
for _ in range(page.pick(smoke=2, book=50, paper=500)):
    K = triangulate(rng.random((6, 2)))
    assert 6 + len(K[0]) + len(K[1]) <= 30
    length, height = rng.random(len(K[0])), rng.random(6)  # any positive grades will do
    moebius += [hilbert(K, length, height, s) - ranks_below(K, length, height, s) for s in rng.uniform(0, 1.1, (10, 2))]
page.check(f"masses below s equal brute-force ranks of H0 and H1 at {len(moebius)} random s", np.abs(moebius).max(), tol=0)


# %%
def ring(s, clump=False):
    """A noisy circle with clutter, points (160, 2); clump: annulus with a dense spot in its hole, points (400, 2). s: random seed."""
    r = np.random.default_rng(s)
    angle = r.uniform(0, 2 * np.pi, 300 if clump else 120)
    radius = np.sqrt(r.uniform(0.85**2, 1, 300)) if clump else 1 + 0.08 * r.standard_normal(120)
    clutter = r.uniform(-0.1, 0.2, (100, 2)) if clump else r.uniform(-1.1, 1.1, (40, 2))
    return np.concatenate((radius[:, None] * np.stack((np.cos(angle), np.sin(angle)), 1), clutter))


slices = []
for s in seeds.spread(seed, 5):
    x = torch.tensor(ring(s))
    K, height = triangulate(x.numpy()), codensity(x).numpy()
    length = np.linalg.norm(x[K[0][:, 0]] - x[K[0][:, 1]], axis=1)
    for a in rng.uniform(-height.max(), length.max(), page.pick(smoke=1, book=5, paper=50)):
        by_gudhi, t = bars(K, length, height + a), rng.uniform(0, max(length.max(), height.max() + a), 20)
        counts = np.array([[((b[:, 0] <= u) & (u < b[:, 1])).sum() for b in by_gudhi] for u in t])
        slices.append(np.abs(counts - [hilbert(K, length, height, (u, u - a)) for u in t]).max())
page.check(f"Betti curves on {len(slices)} diagonal lines equal gudhi's", max(slices), tol=0)
z, weight = descriptor(x, two=False)
page.check("total persistence of degree 1 equals gudhi's", abs((weight * z[:, 0]).sum() + np.diff(bars(K, length, 0 * height)[1]).sum()), tol=1e-10)

# %% [markdown]
# ## The experiment
#
# | The paper | Here |
# |---|---|
# | point clouds; the numbers were not read. The authors' public notebook: 300 points on an annulus, 100 in a dense spot | 120 points on a circle (radial noise 0.08) and 40 of clutter; emoji outlines; the notebook's cloud as third task |
# | flag complex of the Delaunay graph (or Rips), edge length and codensity with bandwidth 0.1 | Delaunay triangles, graded by their longest edge; same two functions |
# | Adam, rate 0.01, about 100 steps | Adam, rate 0.01, judged after 60 steps; on the circle five runs go on to 500 |
# | signed barcodes, landscapes, any semilinear descriptor; graph classification | the Hilbert signed measure in degree 1; point clouds only |
#
# *Baselines.* One parameter, with the same loss, optimiser and steps: plain, and with a compactness penalty. Its form and weight (a box around $[-1, 1]^2$ or the mean squared norm, four weights each) are tuned for each task
# on three other clouds, by the very score that is reported. The box is the bounding box of the true shape: a hint that the two-parameter objective does not get. That one has nothing to tune.
#
# *Scores.* Distance of the points to the true curve, median and 90 % quantile; escape radius, the largest distance of a point from the centre; bars longer than half the longest. Twenty seeds on the circle, five elsewhere, the same clouds for all objectives.
# For emoji the outline is the longest contour of the silhouette, with 120 points on it (noise 0.03); a seed is a random emoji.

# %%
emoji = datasets.load("emoji")
page.say(emoji.provenance)


def outline(s):
    """Outline of a random emoji, scaled to fit [-1, 1]^2: dense points on it (600, 2), and a noisy sample with clutter (160, 2). s: random seed."""
    r = np.random.default_rng(s)
    alpha = np.pad(emoji["google"][r.integers(len(emoji["google"])), :, :, 3] / 255.0, 1)
    c = max(find_contours(alpha, 0.5), key=len)[:, ::-1] * [1, -1]
    c = (c - (c.max(0) + c.min(0)) / 2) / (np.ptp(c, 0).max() / 2)
    walked = np.append(0, np.cumsum(np.linalg.norm(np.diff(c, axis=0), axis=1)))
    along = lambda u: np.stack([np.interp(u * walked[-1], walked, column) for column in c.T], 1)
    sample = along(r.random(120)) + 0.03 * r.standard_normal((120, 2))
    return along(np.linspace(0, 1, 600)), np.concatenate((sample, r.uniform(-1.1, 1.1, (40, 2))))


circle = np.stack([f(np.linspace(0, 2 * np.pi, 2000)) for f in (np.cos, np.sin)], 1)
tasks = {"circle": lambda s: (circle, ring(s)), "emoji outlines": outline, "dense spot": lambda s: (0.925 * circle, ring(s, clump=True))}
penalties = {f"box, {w:g}": lambda x, w=w: w * (x.abs() - 1).clamp(min=0).sum(1).mean() for w in (1, 10, 100, 1000)}
penalties |= {f"norm, {w:g}": lambda x, w=w: w * x.square().sum(1).mean() for w in (1e-3, 1e-2, 3e-2, 1e-1)}
distance = lambda curve, x: cKDTree(curve).query(x)[0]
STEPS = page.pick(smoke=3, book=60, paper=60)
LONG = page.pick(smoke=6, book=500, paper=3000)
COUNT = {"circle": page.pick(smoke=5, book=20, paper=100), "emoji outlines": 5, "dense spot": 5}
tuning = [[seed, 77, i] for i in range(page.pick(smoke=1, book=3, paper=10))]


# %%
def tuned(task, two, form):
    """Name of the penalty of a form ("" for any) with the smallest median distance after optimisation, mean over the tuning clouds of the task."""
    cases, score = [tasks[task](s) for s in tuning], {}
    for name in [p for p in penalties if p.startswith(form)][:: page.pick(smoke=4, book=1, paper=1)]:
        score[name] = np.mean([np.median(distance(curve, optimise(start, two, penalties[name], STEPS)[0][-1])) for curve, start in cases])
    return min(score, key=score.get)


OBJECTIVES = {"one parameter": (False, None), "one, with penalty": (False, ""), "two parameters": (True, None)}
EXTRA = {"one, norm penalty": (False, "norm"), "two, with penalty": (True, "")}  # reported, not judged
ONE, COMPACT, TWO = OBJECTIVES
runs, chosen, seconds = {}, {}, {}
plan = [(task, name, *how) for task in tasks for name, how in (OBJECTIVES | (EXTRA if task == "circle" else {})).items()]
for task, name, two, form in encore.progress(plan, "optimising clouds"):
    chosen[task, name] = None if form is None else tuned(task, two, form)
    begin, long = time.perf_counter(), 5 if task == "circle" and name in OBJECTIVES else 0
    lengths = [LONG if i < long else STEPS for i in range(COUNT[task])]
    runs[task, name] = [(curve, *optimise(start, two, penalties.get(chosen[task, name]), n)) for n, (curve, start) in zip(lengths, map(tasks[task], seeds.spread(seed, COUNT[task])), strict=True)]
    seconds[task, name] = (time.perf_counter() - begin) / sum(lengths)


def scores(task, name, step):
    """Median and 90 % distance, escape radius, long bars after a step, for the runs that last so long: (seeds, 4)."""
    out = []
    for curve, clouds, _ in [run for run in runs[task, name] if len(run[1]) > step]:
        x, d = clouds[step], distance(curve, clouds[step])
        K = triangulate(x)
        b = np.diff(bars(K, np.linalg.norm(x[K[0][:, 0]] - x[K[0][:, 1]], axis=1), np.zeros(len(x)))[1])
        out.append((np.median(d), np.quantile(d, 0.9), np.linalg.norm(x, axis=1).max(), (b > b.max() / 2).sum()))
    return np.array(out)


begun = {task: scores(task, ONE, 0) for task in tasks}
ended = {key: scores(*key, STEPS) for key in runs}

# %% [markdown]
# ## Results
#
# ### Point clouds under three objectives

# %%
fig, axes = plt.subplots(2, 4, figsize=(6.4, 3.7), sharex=True, sharey=True)
for row, task in zip(axes, ("circle", "emoji outlines"), strict=True):
    for ax, name, color in zip(row, ("start", *OBJECTIVES), (figures.PALETTE[6], *figures.PALETTE), strict=False):
        curve, clouds, _ = runs[task, ONE if name == "start" else name][0]
        ax.plot(*curve.T, color="#999999", lw=0.8)
        ax.plot(*clouds[0 if name == "start" else STEPS].T, ".", color=color, ms=2.5)
        ax.set(aspect="equal", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[-1, 0, 1], yticks=[-1, 0, 1], xlabel="" if task == "circle" else "$x_1$")
        ax.set_title(name if task == "circle" else "", fontsize=9)
    row[0].set_ylabel(f"{task}\n$x_2$", fontsize=9)
page.figure(fig, "clouds", caption="First seed: a noisy circle with clutter and an emoji outline, before and after the registered number of steps. Grey line: the true curve. Units of the circle's radius.",
            alt="Two rows of four scatter plots. Top: points on and inside a circle, then after optimisation with one parameter, one with penalty, and two parameters. Bottom: the same for the outline of an emoji.")

# %%
lines = ["| task | objective | median distance | 90 % | escape radius | long bars | ms a step |\n|---|---|---|---|---|---|---|"]
for task in tasks:
    lines.append(f"| {task} | start | " + " | ".join(f"{v:.3f}" for v in begun[task].mean(0)[:3]) + f" | {begun[task][:, 3].mean():.1f} | |")
    for name in [n for t, n, *_ in plan if t == task]:
        m, label = ended[task, name].mean(0), name + (f" ({chosen[task, name]})" if chosen[task, name] else "")
        lines.append(f"| {task} | {label} | " + " | ".join(f"{v:.3f}" for v in m[:3]) + f" | {m[3]:.1f} | {1e3 * seconds[task, name]:.1f} |")
page.say("\n".join(lines))
plain, compact, double = (ended["circle", name] for name in OBJECTIVES)
wins = lambda task, a, b: int((ended[task, a][:, 0] < ended[task, b][:, 0]).sum())
word = lambda a, b: "smaller" if a[:, 0].mean() < b[:, 0].mean() else "larger"
page.say(f"On the circle the two-parameter objective leaves a median distance {word(double, compact)} than that of the tuned one-parameter objective ({double[:, 0].mean():.3f} against {compact[:, 0].mean():.3f}; it wins "
         f"{wins('circle', TWO, COMPACT)} of {COUNT['circle']} seeds), and {word(double, plain)} than without penalty ({plain[:, 0].mean():.3f}; {wins('circle', TWO, ONE)} of {COUNT['circle']}). Against the best mean-squared-norm penalty, which has no such hint as the box, it wins "
         f"{wins('circle', TWO, 'one, norm penalty')} of {COUNT['circle']}; with a tuned penalty of its own it beats the baseline in {wins('circle', 'two, with penalty', COMPACT)} of {COUNT['circle']}. In the other tasks two parameters beat the tuned baseline in "
         f"{wins('emoji outlines', TWO, COMPACT)} of 5 emoji and {wins('dense spot', TWO, COMPACT)} of 5 clouds with a dense spot. "
         + ("No objective brings the points of the circle closer to it than they were: each makes holes larger, and none knows the shape."
            if min(e[:, 0].mean() for (t, _), e in ended.items() if t == "circle") > begun["circle"][:, 0].mean() else ""))
page.claim("two-better-than-one", encore.lower(double[:, 0], compact[:, 0]))

# %%
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.0))
every = slice(0, LONG, page.pick(smoke=1, book=10, paper=50))
for name, color in zip(OBJECTIVES, figures.PALETTE, strict=False):
    radius = np.array([np.linalg.norm(clouds, axis=2).max(1)[every] for _, clouds, _ in runs["circle", name][:5]])
    gain = np.array([loss[0] - loss[every] for *_, loss in runs["circle", name][:5]])
    for ax, values in zip(axes, (radius, gain), strict=True):
        figures.band(ax, np.arange(LONG)[every], values, name, color=color)
axes[0].axvline(STEPS, color="#777777", lw=0.8, ls=":")
axes[0].set(xlabel="Adam step", ylabel="escape radius (circle radii)")
axes[1].set(xlabel="Adam step", ylabel="decrease of the norm loss")
axes[0].legend()
page.figure(fig, "escape", caption="Circle task: largest distance of a point from the centre, and decrease of the norm loss (penalty not counted); mean and 95 % band of the first five seeds. Dotted: the step at which the claims are judged.",
            alt="Left: escape radius against steps, rising curves for one and for two parameters and a flatter one with penalty. Right: decrease of the loss, rising for all three objectives.")

# %%
far = {name: scores("circle", name, LONG) for name in OBJECTIVES}
page.say(f"After {STEPS} steps the escape radius is {double[:, 2].mean():.3f} with two parameters, {plain[:, 2].mean():.3f} with one and {begun['circle'][:, 2].mean():.3f} at the start; it is smaller with two in "
         f"{int((double[:, 2] < plain[:, 2]).sum())} of {COUNT['circle']} seeds. After {LONG} steps it is {far[TWO][:, 2].mean():.2f}, {far[ONE][:, 2].mean():.2f} and, with the tuned penalty, {far[COMPACT][:, 2].mean():.2f}; "
         f"the median distance to the circle is then {far[TWO][:, 0].mean():.2f}, {far[ONE][:, 0].mean():.2f} and {far[COMPACT][:, 0].mean():.2f}. "
         + ("Two parameters slow the growth, but the clouds keep growing." if begun["circle"][:, 2].mean() < far[TWO][:, 2].mean() < far[ONE][:, 2].mean() else ""))
page.claim("no-divergence", encore.lower(double[:, 2], plain[:, 2]))

# %%
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.0), sharex=True, sharey=True)
gap, masses = {}, {}
for ax, step in zip(axes, (0, STEPS), strict=True):
    z, weight = descriptor(torch.tensor(runs["circle", TWO][0][1][step]))
    gap[step], masses[step] = [-(weight @ z[:, k]).item() / -weight[weight < 0].sum().item() for k in (0, 1)], len(weight)
    for sign, color, label in ((1, figures.PALETTE[1], "positive"), (-1, figures.PALETTE[0], "negative")):
        here = sign * weight > 0
        ax.plot(*z[here].T, "o", color=color, ms=3, mew=0, alpha=0.6, label=label)
    ax.set(xlabel="edge length (circle radii)", title=f"step {step}")
    ax.legend(loc="lower right", fontsize=8)
axes[0].set_ylabel("codensity")
page.figure(fig, "measures", caption="Signed measure of degree 1 of the first circle cloud, before and after the two-parameter optimisation. Holes are born at positive masses (orange) and die at negative ones (blue).",
            alt="Two scatter plots of orange positive and blue negative masses over edge length and codensity. After optimisation there are more masses, and blue lies further to the right of orange than before.")
page.say(f"Negative masses lie beyond positive ones by {gap[0][0]:.3f} in edge length (mean per negative mass) at the start and by {gap[STEPS][0]:.3f} at the end; in codensity by {gap[0][1]:.3f} and {gap[STEPS][1]:.3f}. "
         f"The number of masses goes from {masses[0]} to {masses[STEPS]}: " + ("many small holes were opened besides the large one." if masses[STEPS] > masses[0] else "holes were closed besides the large one."))

# %%
fig, ax = plt.subplots(figsize=(6.4, 2.9))
edges = np.linspace(0, 0.8, 33)
for name, step, color in (("start", 0, figures.PALETTE[6]), *((name, STEPS, c) for name, c in zip(OBJECTIVES, figures.PALETTE, strict=False))):
    pooled = np.concatenate([distance(curve, clouds[step]) for curve, clouds, _ in runs["circle", ONE if name == "start" else name]])
    ax.stairs(np.histogram(pooled, edges)[0] / len(pooled), edges, color=color, label=name, lw=1.6)
ax.set(xlabel="distance to the true circle (circle radii)", ylabel="share of points")
ax.legend()
page.figure(fig, "distances", caption=f"Distances of all points of all circle clouds to the true circle, at the start and after {STEPS} steps.",
            alt="Four histograms in outline. The start is highest near zero; after optimisation the mass has moved to larger distances, least with the penalty.")
page.say(f"Before optimisation {np.mean([np.mean(distance(c, x[0]) < 0.1) for c, x, _ in runs['circle', ONE]]):.0%} of the points lie within a tenth of a radius of the circle; afterwards "
         + ", ".join(f"{np.mean([np.mean(distance(c, x[STEPS]) < 0.1) for c, x, _ in runs['circle', name]]):.0%} ({name})" for name in OBJECTIVES) + ".")

# %% [markdown]
# ### The gradient
#
# At random clouds of 14 points the descriptor is integrated against a random smooth function, and the gradient from indexing is compared with central differences in all coordinates. Then a tie is made: in a random bifiltration,
# a triangle that carries a negative mass gets its two longest sides equally long, and one of them is moved up and down. The integrand is that of $L_{\text{local}}$ with $\theta = 2$.


# %%
def smooth(x, frequency, phase):
    """Signed measure of the cloud x (n, 2) integrated against a sum of three cosines."""
    z, weight = descriptor(x)
    return (weight[:, None] * torch.cos(z @ frequency + phase)).sum()


gradient_error, h = [], 1e-6
for _ in range(page.pick(smoke=2, book=100, paper=1000)):
    x, test = torch.tensor(rng.random((14, 2)), requires_grad=True), (torch.tensor(rng.standard_normal((2, 3))), torch.tensor(rng.uniform(0, 6, 3)))
    (by_index,) = torch.autograd.grad(smooth(x, *test), x)
    with torch.no_grad():
        steps = h * torch.eye(28, dtype=x.dtype).reshape(28, 14, 2)
        central = torch.stack([(smooth(x + s, *test) - smooth(x - s, *test)) / (2 * h) for s in steps]).reshape(14, 2)
    gradient_error.append((by_index - central).abs().max().item())

# %%
def local(K, length, height, theta=2.0):
    """Local loss of a bifiltration given by its grades. theta lies above all heights, so that the integrand is nowhere flat."""
    e, v, w = signed_measure(K, length, height)
    return (w * length[e] * (theta - height[v])).sum()


def tie():
    """A random bifiltration with a tie: function of the change of one of the two equal lengths, giving the local loss."""
    K, height = triangulate(rng.random((14, 2))), rng.random(14)
    length = rng.random(len(K[0]))
    e, v, w = signed_measure(K, length, height)
    edge, vertex = next((a, b) for a, b, c in zip(e, v, w, strict=True) if c < 0)
    owner = (np.take_along_axis(K[2], length[K[2]].argmax(1)[:, None], 1)[:, 0] == edge) & (K[1] == vertex).any(1) & (height[K[1]].max(1) == height[vertex])
    sides = K[2][owner.argmax()]
    length[sides[length[sides].argsort()[1]]] = length[edge]  # the second longest side becomes as long as the longest
    return lambda t: local(K, length + t * (np.arange(len(length)) == edge), height)


ties = [tie() for _ in range(page.pick(smoke=2, book=50, paper=500))]
kinks = [abs(f(h) - 2 * f(0) + f(-h)) / h for f in ties]  # right minus left one-sided derivative

# %%
fig, ax = plt.subplots(figsize=(6.4, 2.4))
ax.plot(line := np.linspace(-0.05, 0.05, 41), [ties[0](t) for t in line], color=figures.PALETTE[0])
ax.axvline(0, color="#777777", lw=0.8, ls=":")
ax.set(xlabel="change of one of two equally long sides", ylabel="local loss")
page.figure(fig, "kink", caption="The local loss of a random bifiltration along a line through a tie (dotted).",
            alt="A piecewise linear curve with a kink at the dotted line, where two sides of a triangle are equally long.")
page.say(f"At {len(gradient_error)} generic clouds the gradient differs from central differences by at most {max(gradient_error):.1e}. At {len(kinks)} ties the one-sided derivatives differ by {min(kinks):.4f} to {max(kinks):.2f}, median {np.median(kinks):.2f}.")
page.claim("gradient", encore.exact(gradient_error), encore.bound(1e-3, kinks))
page.claim("moebius", encore.exact(np.abs(moebius)), encore.exact(slices))

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
page.verdict()

# %% [markdown]
# ## What this page does not show
#
# * The paper's own tables were not read. That two parameters do better is its conclusion from several experiments, graph classification among them; here it is tested on point clouds alone, with the simplest descriptor.
# * Distance to a circle is not what any of the objectives asks for. All reward large holes, and the sum runs over all holes: clutter is turned into many small rings. That the curve is
#   kept is a side effect, and the claim on the median distance judges this side effect. A different score could rank the objectives differently.
# * The baseline's box is the bounding box of the true curve. The row "one, norm penalty" leaves that hint out, and "two, with penalty" gives it to both; neither is judged. All penalties were tuned on the score itself,
#   with the true curve in hand, which nobody has in practice. The score hardly changes over the larger weights of the box, so the winner among them is a matter of chance.
# * With five seeds the verdicts on the circle changed with the seed of this page, so the task was given twenty. After the first run two settings were changed: the weights of the box reach further up, because the
#   largest one had won (this can only help the baseline), and the integrand at ties lies above all heights, because a flat spot of the first one could have hidden a kink.
# * The difference in escape radius is small at the registered step. The long run shows the trend more clearly than the claim does:
#   two parameters slow the escape, but a run without penalty goes on growing with either objective. That two parameters need no penalty at all is not borne out here. The reason may be this. The sum of the masses is zero, so adding a constant to the codensity changes nothing. But the kernel flattens far out: a lonely point has a bounded codensity, and nothing holds it back for good.
# * The theorem speaks of a fixed complex. The triangulation changes while the points move, and triangles graded by their longest edge, as in the authors' notebook, can make the loss jump when an edge flips. Random clouds miss such flips,
#   so the gradient check does not see them. The authors expand the Delaunay graph to a flag complex; we keep the Delaunay triangles only, which keeps the complex planar, and may differ where three edges surround a point.
# * Codensity uses a kernel with value one at distance zero. Any other normalisation shifts it by a constant. Radial noise, clutter range and the emoji task are our choice, and the mean of five emoji hides large differences between shapes.
# * The check against the library multipers was not possible: it has no binary package for the Python version of this book. Brute force and gudhi take its place.
#
# %% [markdown]
# ## Exercises
#
# :::{exercise}
# :label: multiparameter-persistence-ex1
# Start from points without any hole, a filled disc. What do the two objectives make of it?
# :::

# %% tags=["hide-cell", "solution"]
r = np.random.default_rng(seed)
turn, out = r.uniform(0, 2 * np.pi, 120), np.sqrt(r.random(120))
disc = out[:, None] * np.stack((np.cos(turn), np.sin(turn)), 1)
for name, two in (("one parameter", False), ("two parameters", True)):
    x = optimise(disc, two, steps=page.pick(smoke=3, book=300, paper=300))[0][-1]
    K = triangulate(x)
    b = np.sort(np.diff(bars(K, np.linalg.norm(x[K[0][:, 0]] - x[K[0][:, 1]], axis=1), np.zeros(len(x)))[1]).ravel())[::-1]
    page.say(f"{name}: longest bars {b[0]:.2f}, {b[1]:.2f} and {b[2]:.2f}; {int((b > b[0] / 2).sum())} bars longer than half the first; escape radius {np.linalg.norm(x, axis=1).max():.2f}.")

# %% [markdown]
# :::{exercise}
# :label: multiparameter-persistence-ex2
# Change the bandwidth of the density in `codensity`, to 0.05 and to 0.3. What happens to the circle, and to the number of masses?
# :::
#
# :::{exercise}
# :label: multiparameter-persistence-ex3
# Use `degree=0` and the norm loss with its sign turned: it pulls in the negative masses, where components merge. Can you bring two clusters together? What happens to the points inside each?
# :::
#
# %% [markdown]
# ## References
#
# The paper: {cite:p}`scoccola2024differentiability`. One parameter: {cite:p}`carriere2021optimizing`. Signed measures as descriptors: {cite:p}`loiseaux2023stable`. Related pages: `gradient-skeletonization`, `monge-gap`.

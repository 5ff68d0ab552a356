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
# # Wide and Deep Neural Networks Achieve Optimality for Classification

# %% [markdown]
# ## The idea
#
# A network of infinite width, trained by gradient descent, is a kernel machine with the neural tangent kernel, the NTK {cite:p}`jacot2018neural`. Which classifier does it become when its depth goes to infinity as well?
#
# {cite:p}`radhakrishnan2023wide` find only three answers, and the activation chooses: the nearest neighbour, the vote of the majority, or a vote in which every training
# point has a weight that is *singular*, like $1/\text{distance}^\alpha$. With $\alpha$ equal to the dimension $d$ of the data, the last is the Hilbert estimate of {cite:p}`devroye1998hilbert`, whose risk tends
# to the smallest possible one, the Bayes risk. It has no bandwidth to tune. A polynomial of degree three is enough to get it.
#
# The kernel of any depth is a scalar recursion, so the limits can be looked at. The question of this page is also how deep a network must be to be near its limit.

# %% [markdown]
# ## The method

# %% tags=["parameters"]
profile = "book"
seed = 0

# %%
import functools

import matplotlib.pyplot as plt
import mpmath
import numpy as np
import torch
from numpy.polynomial import hermite_e
from numpy.polynomial.polynomial import polyval
from scipy.spatial.distance import cdist
from sklearn.neighbors import KNeighborsClassifier

import encore
from encore import datasets, figures, seeds
from encore.bases import sphere_kernels as sphere
from encore.stats import mean_interval

page = encore.open("dynamics/wide-deep-optimality", profile, seed)

# %% [markdown]
# **The dual of an activation.** Write $\phi = \sum_k a_k h_k$ in normalised Hermite polynomials, with $\sum_k a_k^2 = 1$. For standard normal $u, v$ with correlation $\xi$,
#
# $$\hat\phi(\xi) = \mathbb E[\phi(u)\phi(v)] = \sum_k a_k^2\, \xi^k, \qquad \hat\phi'(\xi) = \mathbb E[\phi'(u)\phi'(v)].$$
#
# Three constants decide everything: $A = \mathbb E[\phi] = a_0$, $A' = \mathbb E[\phi'] = a_1$ and $B' = \mathbb E[\phi'^2] = \hat\phi'(1) = \sum_k k a_k^2$.
# For inputs on the unit sphere with cosine $\xi$, the kernel of a network with $L$ hidden layers is
#
# $$S_0 = K_0 = \xi, \qquad S_l = \hat\phi(S_{l-1}), \qquad K_l = K_{l-1}\,\hat\phi'(S_{l-1}) + S_l .$$
#
# 1. Neighbours have $\xi$ near one, where a float forgets the distance. The gap $1 - \xi = \lVert x - x'\rVert^2/2$ is carried as well, through $1 - S^k = (1 - S)(1 + S + \dots + S^{k-1})$.
# 2. $S_l$ and $K_l$ can shrink doubly exponentially. Both are carried as logarithms, so nothing underflows and no tie is read as a prediction.
# 3. Cosines are not negative here. Some of these kernels are odd functions of $\xi$, and antipodal points would vote with the wrong sign.

# %%
class Polynomial:
    """Dual of phi = sum_k a_k h_k. weights: the squares a_0^2, a_1^2, ..., which sum to one."""

    def __init__(self, *weights: float):
        self.w, self.kw = np.array(weights), np.arange(len(weights)) * weights
        self.tails = 1 - np.cumsum(weights)[:-1]  # sum of the weights beyond k
        self.slope, self.shrink = self.kw.sum(), self.w[1]  # B', A'^2
        self.alpha = -2 * np.log(self.shrink) / np.log(self.slope) if self.shrink and not self.w[0] else None

    def __call__(self, gap, log_s):
        """One layer: gap = 1 - S and log S, both (...,) -> the new gap, the new log S, log of the derivative of the dual at the old S."""
        s, low, first = np.exp(log_s), np.flatnonzero(self.w)[0], np.flatnonzero(self.kw)[0]
        new_gap = gap * polyval(s, self.tails)
        far = low * log_s + np.log(polyval(s, self.w[low:]))
        log_slope = (first - 1) * log_s + np.log(polyval(s, self.kw[first:]))
        return new_gap, np.where(new_gap < 0.5, np.log1p(-np.minimum(new_gap, 0.5)), far), log_slope


class NormalisedReLU:
    """Dual of sqrt(2) max(0, z): the arc-cosine kernel. A is not zero, and B' = 1."""

    slope, shrink, alpha = 1.0, 0.0, None

    def __call__(self, gap, log_s):
        angle = 2 * np.arcsin(np.sqrt(gap / 2))
        gap = gap - (np.sin(angle) - angle * np.cos(angle)) / np.pi
        return gap, np.log1p(-gap), np.log1p(-angle / np.pi)


@functools.cache
def optimal(d):
    """The proposed activation for data of dimension d >= 2: weights of h_1, h_2, h_3."""
    return Polynomial(0, 2 ** (-d / 2), 1 - 2 ** (1 - d / 2), 2 ** (-d / 2))


# %% [markdown]
# **The depth recursion.** In the singular class ($A = 0$, $0 < |A'| < 1$) the gap of a pair grows by the factor $B'$ per layer until it is of order one, after about $\log(1/\text{gap})/\log B'$ layers. From then on $S$ shrinks
# by $A'^2$ per layer. Once $S$ is negligible the rest is linear: with $j$ such layers done,
#
# $$K_L = A'^{2(L-j)}\,\bigl(K_j + (L - j)\,S_j\bigr) \qquad\Rightarrow\qquad \psi(\xi) = \lim_{L\to\infty}\frac{K_L}{A'^{2L}(L+1)} = \lim_{j\to\infty} \frac{S_j}{A'^{2j}} .$$
#
# So depth $10^{12}$ costs what depth 400 costs, and the limit kernel satisfies $\psi(\hat\phi(\xi)) = A'^2\,\psi(\xi)$, which is Schröder's equation. It explains the exponent: a gap multiplied by $B'$ multiplies
# $\psi$ by $A'^2$, hence $\psi \sim \lVert x - x'\rVert^{-\alpha}$ with $\alpha = -4\log|A'|/\log B'$. The proposed activation has $A' = 2^{-d/4}$ and $B' = 2$, so $\alpha = d$.

# %%
TAIL = 400  # layers until every S of the grid below is in its linear regime


def log_kernels(log_odds, dual, depths):
    """log K_L at each depth, (len(depths), points), for points log_odds = log(gap / (1 - gap)); depth np.inf is the limit psi."""
    gap, log_s = 1 / (1 + np.exp(-log_odds)), -np.logaddexp(0, log_odds)
    log_k, out, layer = log_s, {}, 0
    for depth in sorted(depths):
        while layer < (min(depth, TAIL) if dual.alpha else depth):  # only the singular class has the closed form
            gap, log_s, log_slope = dual(gap, log_s)
            log_k, layer = np.logaddexp(log_k + log_slope, log_s), layer + 1
        rest = depth - layer
        if rest == np.inf:
            out[depth] = log_s - layer * np.log(dual.shrink)
        else:
            out[depth] = np.logaddexp(log_k, np.log(rest) + log_s) + rest * np.log(dual.shrink) if rest else log_k
    return np.array([out[depth] for depth in depths])


def log_diagonal(dual, depth):
    """log K_L(x, x) = log sum_{l <= L} B'^l."""
    last = (depth + 1) * np.log(dual.slope)
    return last + np.log1p(-np.exp(-last)) - np.log(dual.slope - 1) if dual.slope > 1 else np.log(depth + 1)


# %% [markdown]
# **The classifier** is $\operatorname{sign}\bigl(K_L(x, X)\,K_L(X, X)^{-1} y\bigr)$. Beyond depth 10 the kernel is tabulated once on a uniform grid of $\log\frac{1-\xi}{\xi}$, which resolves both ends, and $\log K_L$ is interpolated linearly.
# Shallow polynomial kernels have low rank, and the linear system would take interpolation errors for features; they are evaluated exactly. Neither a common
# factor of the kernel nor one of each test point's row changes the sign, so rows are scaled by their largest entry before they leave the logarithm.

# %%
GRID = np.linspace(-40, 40, 8001)


@functools.cache
def table(dual, depths):
    return log_kernels(GRID, dual, depths)


def log_rows(dual, depths, a, b):
    """log K_L between unit vectors a: (m, p) and b: (n, p), for each depth an array (m, n)."""
    gap = np.maximum(cdist(a, b, "sqeuclidean") / 2, 1e-17)  # from differences: no cancellation
    u = np.minimum(np.log(gap / np.maximum(1 - gap, 1e-17)), GRID[-2])
    index, fraction = np.divmod((u - GRID[0]) / (GRID[1] - GRID[0]), 1)
    index = index.astype(np.int64)
    rows = [row.reshape(u.shape) for row in log_kernels(u.ravel(), dual, [L for L in depths if L <= 10])]
    return rows + [row[index] * (1 - fraction) + row[index + 1] * fraction for row in table(dual, tuple(L for L in depths if L > 10))]


def kernel_machines(dual, depths, x, y, t):
    """For each depth (ascending) the predictor at t: (m, p) up to a positive factor for each point, and the log of that factor."""
    for L, train, test in zip(depths, log_rows(dual, depths, x, x), log_rows(dual, depths, t, x), strict=True):
        gram, top = np.exp(train - log_diagonal(dual, L)), test.max(1, keepdims=True)
        gram[np.diag_indices(len(y))] = 1 + 1e-10  # jitter, for the low rank
        yield np.exp(test - top) @ np.linalg.solve(gram, y), (top - log_diagonal(dual, L))[:, 0]


NEAREST, RELU, FOUR = Polynomial(0, 0, 0.5, 0.5), NormalisedReLU(), Polynomial(0.25, 0.25, 0.25, 0.25)

# %% [markdown]
# ## A check
#
# The recursion, its logarithms and the table against 60-digit arithmetic with an explicit linear solve (20 training points, the nearest-neighbour class at depth 60 included); the NTK of one hidden layer against gradients of real networks by autograd; the nearest neighbour against
# scikit-learn; the Bayes risk against quadrature on the sphere.

# %%
rng = np.random.default_rng(seed)
x20, t20, y20 = sphere.unit(rng.random((20, 3))), sphere.unit(rng.random((3, 3))), np.where(rng.random(20) < 0.6, 1.0, -1.0)
errors = []
for dual, depth in page.pick(smoke=((optimal(2), 10),), book=((optimal(2), 10), (optimal(2), 60), (NEAREST, 60)), paper=((optimal(2), 100), (NEAREST, 100))):
    ((f, scale),) = kernel_machines(dual, [depth], x20, y20, t20)
    for a, s, b in zip(f, scale, sphere.ntk_machine_60_digits(dict(enumerate(dual.w)), x20, y20, t20, depth), strict=True):
        errors.append(abs((np.log(abs(a)) + s) / float(mpmath.log(abs(b))) - 1) + (np.sign(a) != mpmath.sign(b)))
page.check("log |f| equals 60-digit arithmetic (relative), signs equal", max(errors), tol=1e-3)

# %%
points, generator = sphere.unit(rng.random((4, 3))), torch.Generator().manual_seed(seed)


def networks_over_theory(dual, width, depth, count):
    # the autograd Gram of each random network divided by the analytic NTK, at `points`: (count, 4, 4)
    draws = [sphere.network_ntk(torch.tensor(points, dtype=torch.float32), np.sqrt(dual.w), width, depth, generator) for _ in range(count)]
    return torch.stack(draws).numpy() / np.exp(log_rows(dual, [depth], points, points)[0])


shallow = networks_over_theory(optimal(2), page.pick(smoke=1024, book=8192, paper=8192), 1, 30)
z = (shallow.mean(0) - 1) / (shallow.std(0, ddof=1) / np.sqrt(len(shallow)))
page.check("NTK of one hidden layer equals the autograd Gram of wide networks, in standard errors of 30 networks", abs(z).max(), tol=4.5)

least = 0.5 - abs(sphere.mixture(3, 200_000, rng)[2] - 0.5)  # min(eta, 1 - eta)
bayes = sphere.mixture_bayes_risk()
page.check("Bayes risk by sampling equals quadrature on the sphere, in standard errors", abs(least.mean() - bayes) / (least.std() / len(least) ** 0.5), tol=4)

(x_check, y_check, _), (t_check, _, _) = sphere.mixture(3, 400, rng), sphere.mixture(3, 500, rng)
page.check("nearest neighbour equals KNeighborsClassifier(1)", np.mean(y_check[cdist(t_check, x_check).argmin(1)] != KNeighborsClassifier(1).fit(x_check, y_check).predict(t_check)), tol=0)

# %% [markdown]
# ## The experiment
#
# | the paper | here |
# |---|---|
# | theorems for infinite width and depth, data on the unit sphere with non-negative coordinates (as in the authors' code; the theorem's exact conditions are assumed, not read) | the exact kernel of infinite width, depths 1 to 300 as fixed beforehand, larger depths and the limit where the closed form gives them |
# | simulations with Dirichlet data | four problems with known Bayes rule, on the non-negative part of $S^2$ and of $S^4$: a *mixture* of two overlapping von Mises-Fisher classes (priors 0.6 and 0.4, signs of the coordinates dropped), and *stripes*, uniform data with $\eta = 0.55 + 0.4\sin 4\pi x_1$ |
# | | MNIST, 4 against 9: five principal components, scaled to $[0, 1]$ and to unit length; 300 and 200 training images |
# | activations of each class | $\alpha = d$ (optimal); $\alpha = 2d$; $\alpha$ near $d/2$; $(h_2 + h_3)/\sqrt2$ (nearest neighbour); normalised ReLU (majority). Also $(1 + h_1 + h_2 + h_3)/2$, a second member of the majority class |
# | consistency: the risk tends to the Bayes risk | excess risk $\mathbb E\,\lvert 2\eta - 1\rvert\,\mathbf 1[\text{not the Bayes decision}]$ with the true $\eta$, on 3,000 test points per draw; 20 draws, $n = 2^6$ to $2^{12}$, nested: a draw's first points are its smaller samples |
#
# For the risk, depth goes to infinity first, as in the theorem: the classifier is $\operatorname{sign}\sum_i y_i\,\psi(x, x_i)$. Depth 300 is drawn beside it. There is nothing to tune in any deep kernel. The practical references, $k$ nearest neighbours and kernel ridge
# regression with a Gaussian kernel, are tuned by leave-one-out on the training data.

# %%
mnist = datasets.load("mnist")
counts = page.pick(smoke=(60, 40), book=(300, 200), paper=(3000, 2000))
chosen = np.concatenate([rng.choice(np.flatnonzero(mnist["train_labels"] == digit), c, replace=False) for digit, c in zip((4, 9), counts, strict=True)])
pixels = mnist["train_images"][chosen].reshape(len(chosen), -1) / 255.0
held_out = mnist["test_images"][np.isin(mnist["test_labels"], (4, 9))]
axes = np.linalg.svd(pixels - pixels.mean(0), full_matrices=False)[2][:5]
train, test = pixels @ axes.T, held_out.reshape(len(held_out), -1) / 255.0 @ axes.T
x_digits, t_digits = (sphere.unit(np.clip((v - train.min(0)) / np.ptp(train, 0), 0, 1)) for v in (train, test))
y_digits = np.repeat([1.0, -1.0], counts)
page.say(f"{mnist.provenance} Used: {len(chosen)} training and {len(test)} test images. The Bayes risk of the mixture on the sphere $S^2$ is {bayes:.3f}.")

# %% [markdown]
# The large experiment looks the limit kernels up in a finer table, at the nearest entry, whose relative error is below 0.3 %, and takes all sample sizes of a draw from one matrix.

# %%
PROBLEMS = [(f"{make.__name__}, $S^{p - 1}$", make, p) for make in (sphere.mixture, sphere.stripes) for p in (3, 5)]
SIZES = 2 ** np.arange(6, page.pick(smoke=9, book=13, paper=15))
DRAWS, M_TEST = page.pick(smoke=5, book=20, paper=20), page.pick(smoke=50, book=750, paper=1250)
FINE = np.linspace(GRID[0], GRID[-1], 2**17 + 1)
FLAT = {2: Polynomial(0, 0.9, 0, 0.1), 4: optimal(2)}


def tables(d):
    """The kernels of the first four RULES on FINE, equal to one at gap 1/2."""
    logs = np.concatenate([log_kernels(GRID, dual, depths) for dual, depths in ((optimal(d), [np.inf, 300]), (optimal(2 * d), [np.inf]), (FLAT[d], [np.inf]))])
    return [np.exp(np.interp(FINE, GRID, row) - np.interp(0, GRID, row)) for row in logs]


RULES = ("optimal, α = d", "optimal at depth 300", "α = 2d", "α near d/2", "1-nearest neighbour", "majority")


def risks(problem, lookup_tables, generator):
    """Excess risks of RULES: (6, sizes), one draw of one problem."""
    (x, y, _), (t, _, eta) = (problem[1](problem[2], m, generator) for m in (SIZES[-1], M_TEST))
    gap = (cdist(t, x, "sqeuclidean") / 2).astype(np.float32)
    u = np.log(np.maximum(gap / np.maximum(1 - gap, np.float32(1e-8)), np.float32(1e-17)))
    index = ((u - FINE[0]) / (FINE[1] - FINE[0]) + 0.5).astype(np.int32)
    votes = y[:, None] * (np.arange(len(y))[:, None] < SIZES)
    nearest, majority = np.stack([y[gap[:, :n].argmin(1)] for n in SIZES], 1), np.broadcast_to(votes.sum(0), (M_TEST, len(SIZES)))
    scores = [*(kernel.take(index, mode="clip") @ votes for kernel in lookup_tables), nearest, majority]
    return [[sphere.excess_risk(f, eta) for f in score.T] for score in scores]


ready = {p: tables(p - 1) for p in (3, 5)}
excess = np.array([[risks(problem, ready[problem[2]], np.random.default_rng([r, i])) for i, problem in enumerate(PROBLEMS)] for r in encore.progress(seeds.spread(seed, DRAWS), "draws")])  # (draws, problems, rules, sizes)

# %%
REFERENCE_SIZE = 256


def reference_risks(problem, generator):
    (x, y, _), (t, _, eta) = (problem[1](problem[2], m, generator) for m in (REFERENCE_SIZE, M_TEST))
    return sphere.tuned_references(x, y, t, eta)


tuned = np.array([[reference_risks(problem, np.random.default_rng([r, 10 + i])) for i, problem in enumerate(PROBLEMS)] for r in seeds.spread(seed, 5)]).mean(1)  # (draws, 2)

# %% [markdown]
# ## Results
#
# ### Excess risk against sample size

# %%
average = excess.mean(1)  # over the four problems: (draws, rules, sizes)
fig, ax = plt.subplots(figsize=(6.4, 4.2))
for rule, colour, marker in ((0, 0, "o"), (1, 5, "v"), (2, 1, "s"), (3, 2, "^"), (4, 3, "D"), (5, 6, "x")):
    figures.band(ax, SIZES, average[:, rule], RULES[rule], color=figures.PALETTE[colour], marker=marker).set_linestyle("--" if rule == 1 else "-")
for column, (name, marker) in enumerate((("tuned k nearest neighbours", "P"), ("tuned Gaussian ridge", "*"))):
    ax.plot(REFERENCE_SIZE, tuned[:, column].mean(), marker, color=figures.PALETTE[4], markersize=9, markeredgecolor="#5C5C5C", label=name)
ax.set(xscale="log", xticks=SIZES, xticklabels=SIZES, xlabel="training points n", ylabel="excess risk over Bayes", ylim=(0, average.mean(0).max() * 1.5))
ax.minorticks_off()
ax.legend(ncol=2, loc="upper center")
page.figure(fig, "risk", caption="Excess risk of the deep kernels, mean of four problems, 20 nested draws with 95 % bands, in the limit of infinite depth except for the dashed line. Single symbols: tuned references, five draws.",
            alt="Excess risk against sample size. The curve of the optimal activation falls steadily to the lowest value of the deep kernels; its version at depth 300 and alpha = 2d lie between it and the nearest neighbour, which falls more slowly and levels off. The majority vote is flat and highest. The two tuned references lie below all kernels at their sample size.")

# %%
last = {rule: mean_interval(average[:, i, -2] - average[:, i, -1]) for i, rule in enumerate(RULES)}
page.say(f"From n = {SIZES[0]} to {SIZES[-1]} the excess risk of the optimal activation falls from {average[:, 0, 0].mean():.3f} to {average[:, 0, -1].mean():.3f}. The other rules end at "
         + ", ".join(f"{average[:, i, -1].mean():.3f} ({RULES[i]})" for i in range(1, 6)) + ".")
page.say("The last doubling of n lowers the risk by " + ", ".join(f"{last[rule].value:.4f} [{last[rule].low:.4f}, {last[rule].high:.4f}] ({rule})" for rule in RULES) + ".")
page.say(f"Problem by problem at n = {SIZES[-1]}, optimal against α near d/2: " + ", ".join(f"{excess[:, i, 0, -1].mean():.3f} and {excess[:, i, 3, -1].mean():.3f} ({name})" for i, (name, *_) in enumerate(PROBLEMS))
         + f". The tuned references reach {tuned[:, 0].mean():.3f} (k nearest neighbours) and {tuned[:, 1].mean():.3f} (Gaussian ridge) with n = {REFERENCE_SIZE}.")

# %% [markdown]
# ### What the classifiers look like

# %%
surface, inside = sphere.orthant_map(page.pick(smoke=30, book=130, paper=300))
x_map, y_map, _ = sphere.stripes(3, page.pick(smoke=100, book=1000, paper=1000), np.random.default_rng([seed, 77]))
def vote(dual, depth):
    rows = log_rows(dual, [depth], surface[inside], x_map)[0]
    return np.exp(rows - rows.max(1, keepdims=True)) @ y_map


panels = {"Bayes rule": sphere.stripes_eta(surface[inside]) - 0.5, "optimal, α = d = 2": vote(optimal(2), np.inf), "the same at depth 300": vote(optimal(2), 300),
          "1-nearest neighbour": vote(NEAREST, 300), "α = 2d": vote(optimal(4), np.inf), "α near d/2": vote(FLAT[2], np.inf)}
fig, axs = plt.subplots(2, 3, figsize=(6.4, 4.2))
for ax, (name, f) in zip(axs.flat, panels.items(), strict=True):
    picture = np.ones((*inside.shape, 3))
    picture[inside] = np.where((f > 0)[:, None], (0.0, 0.447, 0.698), (0.93, 0.75, 0.45))
    ax.imshow(picture, origin="lower", interpolation="nearest")
    ax.set_title(name)
    ax.set_axis_off()
page.figure(fig, "maps", caption=f"Decisions on the non-negative part of the sphere, equal-area projection, {len(y_map)} points of the stripes problem. Blue: class +1, sand: class -1.",
            alt="Six triangular maps. The Bayes rule shows straight bands. The optimal activation shows ragged bands with few islands; at depth 300 and for alpha = 2d there are more small islands, for the nearest neighbour a mosaic. With alpha near one half of d the bands are washed out in places.")
page.say("Share of the surface decided as by the Bayes rule: " + ", ".join(f"{np.mean((f > 0) == (panels['Bayes rule'] > 0)):.2f} ({name})" for name, f in panels.items() if name != "Bayes rule") + ".")

# %% [markdown]
# ### The constants and the exponent

# %%
node, weight = hermite_e.hermegauss(40)
weight = weight / weight.sum()
hermite = lambda k, z: hermite_e.hermeval(z, np.eye(8)[k]) / np.prod(np.arange(1, k + 1)) ** 0.5
quadrature_errors, z_scores, xi = [], [], 0.6
for d in (2, 3, 4, 6):
    a = np.array([0, 2 ** (-d / 4), np.sqrt(1 - 2 ** (1 - d / 2)), 2 ** (-d / 4), 0, 0, 0, 0])
    phi = lambda z, a=a: sum(a[k] * hermite(k, z) for k in (1, 2, 3))
    prime = lambda z, a=a: a[1] + a[2] * 2**0.5 * z + a[3] * (z**2 - 1) * 3 / 6**0.5
    measured = [*(weight @ (phi(node) * hermite(k, node)) for k in range(8)), weight @ phi(node), weight @ prime(node), weight @ prime(node) ** 2]
    quadrature_errors.append(abs(np.array([*measured, optimal(d).alpha]) - [*a, 0, 2 ** (-d / 4), 2, d]))
    u, v = rng.standard_normal((2, page.pick(smoke=10_000, book=400_000, paper=4_000_000)))
    v = xi * u + np.sqrt(1 - xi**2) * v
    _, log_s, log_slope = optimal(d)(np.array(1 - xi), np.log(xi))
    for sample, theory in ((phi(u) * phi(v), np.exp(log_s)), (prime(u) * prime(v), np.exp(log_slope))):
        z_scores.append((sample.mean() - theory) / (sample.std() / np.sqrt(sample.size)))
page.claim("dual-constants", encore.exact(np.concatenate(quadrature_errors)), encore.exact(z_scores))
page.say(f"Quadrature and formulas differ by at most {max(map(max, quadrature_errors)):.0e}; the eight Monte Carlo means lie within {abs(np.array(z_scores)).max():.1f} standard errors of the recursion.")

# %%
REGISTERED, DEPTHS = 300, (1, 3, 10, 30, 100, 300)  # the largest is the depth of the register's test of the taxonomy
DUALS = {"d = 2": optimal(2), "d = 4": optimal(4), "first other": Polynomial(0, 0.3, 0.5, 0.2), "second other": Polynomial(0, 0.6, 0, 0.4)}
r = np.geomspace(1e-6, 1e-2, 41)
SHOWN = (REGISTERED, 10**4, 10**6, 10**9, 10**15, np.inf)
flattened = {}
for name, dual in DUALS.items():
    logs = log_kernels(np.log(r**2 / 2 / (1 - r**2 / 2)), dual, SHOWN)
    factor = np.array([[0 if L == np.inf else L * np.log(dual.shrink) + np.log(L + 1)] for L in SHOWN])
    flattened[name] = np.exp(logs - factor + dual.alpha * np.log(r))  # (depths, distances)
page.claim("singular-exponent", *(encore.rate(r, f[SHOWN.index(10**15)]) for f in flattened.values()))
exponent = {name: np.polyfit(np.log(r), np.log(f).T, 1)[0] for name, f in flattened.items()}
fig, ax = plt.subplots()
for i, L in enumerate(SHOWN):
    ax.plot(r, flattened["d = 2"][i], color=figures.PALETTE[i], linestyle="--" if L == np.inf else "-", label="infinite" if L == np.inf else f"{L:g}")
ax.set(xscale="log", yscale="log", xlabel="distance r", ylabel="normalised kernel times $r^2$")
ax.legend(title="depth", ncol=2, loc="upper right")
page.figure(fig, "exponent", caption="The proposed activation for d = 2. A horizontal line is the power law with exponent α = 2.",
            alt="Logarithmic axes. The limit of infinite depth is a horizontal line. A finite depth follows it at large distances, if at all, and turns upwards, with slope minus two, below a distance that shrinks as depth grows; depth 300 has left it everywhere in the range.")
page.say(f"Exponent that remains after multiplying by r to the power α, at depth {REGISTERED}: " + ", ".join(f"{e[0]:.2f} ({name}, α = {DUALS[name].alpha:.2f})" for name, e in exponent.items())
         + f". At depth {SHOWN[4]:.0e} it is at most {max(abs(e[4]) for e in exponent.values()):.1e}, in the limit {max(abs(e[5]) for e in exponent.values()):.0e}.")

# %% [markdown]
# Why depth 300 is not deep. Before its gap has grown to order one, after $m \approx \log(1/\text{gap})/\log B'$ layers, a pair collects terms that grow like $B'^{m-l}$. They add up to about $B'^m \approx 1/\text{gap}$, so that
#
# $$\frac{K_L}{A'^{2L}(L+1)} \approx \psi\,\Bigl(1 + \frac{c}{(L+1)\,(1-\xi)}\Bigr).$$
#
# The limit at fixed distance holds when $L$ is much larger than $1/\text{gap}$. Closer than $r \sim L^{-1/2}$ the exponent is $\alpha + 2$, which is too singular. The nearest of $n$ points in dimension $d$ has a gap of order $n^{-2/d}$, so the
# depth has to exceed $n^{2/d}$ by far.
#
# ### Kernel shapes

# %%
angle = np.linspace(0.5, 89.5, 179)
at = np.log((1 - np.cos(np.radians(angle))) / np.cos(np.radians(angle)))
fig, axs = plt.subplots(1, 3, figsize=(6.4, 3.2))
for ax, dual, title in zip(axs, (NEAREST, RELU, optimal(2)), ("1-NN class", "majority (ReLU)", "singular, d = 2"), strict=True):
    for i, (L, row) in enumerate(zip(DEPTHS, log_kernels(at, dual, DEPTHS), strict=True)):
        start = log_diagonal(dual, L) if dual is RELU else row[0]
        ax.plot(angle, np.exp(np.maximum(row - start, -60)), color=plt.cm.cividis(0.9 - 0.18 * i), label=f"{L}")
    ax.set(title=title, xlabel="angle (degrees)", xticks=(0, 45, 90), yscale="linear" if dual is RELU else "log", ylim=(0, 1) if dual is RELU else (1e-8, 3))
axs[0].set_ylabel("kernel, relative")
axs[0].legend(title="depth", ncol=2, fontsize=8, loc="lower center", handlelength=1, columnspacing=1)
page.figure(fig, "shapes", caption="Kernel against angle for growing depth. Majority: relative to the diagonal. The other two: relative to the value at half a degree, logarithmic axis.",
            alt="Three panels. In the nearest-neighbour class the curves fall ever more steeply with depth until only the smallest angles count. For ReLU the curve flattens towards a constant near one quarter, except at small angles. In the singular class the curves become a narrow peak; beyond depth thirty its tail rises slowly.")
spread_relu = np.exp(log_kernels(at, RELU, [REGISTERED])[0] - log_diagonal(RELU, REGISTERED))
page.say(f"At depth {REGISTERED} the ReLU kernel still varies from {spread_relu.min():.3f} to {spread_relu.max():.3f} of its diagonal over these angles. A majority vote needs it constant.")

# %% [markdown]
# ### Agreement with the three classes

# %%
draw = np.random.default_rng([seed, 5])
n_train, n_test = page.pick(smoke=60, book=500, paper=5000), page.pick(smoke=50, book=600, paper=2000)
SETS = {"mixture, $S^2$": (*sphere.mixture(3, n_train, draw)[:2], sphere.mixture(3, n_test, draw)[0]), "MNIST 4 or 9, $S^4$": (x_digits, y_digits, t_digits[:n_test])}
agreement, hilbert = {}, {}
for title, (x, y, t) in SETS.items():
    d = x.shape[1] - 1
    psi = log_rows(optimal(d), [np.inf], t, x)[0]
    singular_vote = np.exp(psi - psi.max(1, keepdims=True)) @ y
    hilbert[title] = np.mean((cdist(t, x) ** -float(d) @ y > 0) == (singular_vote > 0))
    for name, dual, literal, extra in (("singular", optimal(d), singular_vote, (10**3, 10**4, 10**5, 10**6, 10**7)), ("majority, ReLU", RELU, 0 * t[:, 0] + y.sum(), page.pick(smoke=(), book=(1000,), paper=(1000, 10_000, 50_000))),
                                       ("majority, polynomial", FOUR, 0 * t[:, 0] + y.sum(), ()), ("1-nearest neighbour", NEAREST, y[cdist(t, x).argmin(1)], ())):
        depths = (*DEPTHS, *extra)
        agreement[title, name] = depths, [np.mean((f > 0) == (literal > 0)) for f, _ in kernel_machines(dual, depths, x, y, t)]

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.4, 3.6), sharey=True)
for ax, title in zip(axs, SETS, strict=True):
    for name, colour, marker in (("1-nearest neighbour", 3, "D"), ("majority, ReLU", 6, "x"), ("majority, polynomial", 2, "^"), ("singular", 0, "o")):
        ax.plot(*agreement[title, name], color=figures.PALETTE[colour], marker=marker, label=name)
    ax.axvline(REGISTERED, color="#8c8c8c", linewidth=1, linestyle=":")
    ax.set(title=title, xscale="log", xlabel="depth L", ylim=(0.35, 1.02))
axs[0].set_ylabel("agreement with the literal classifier")
axs[1].legend(loc="lower right")
page.figure(fig, "agreement", caption="Share of test points on which the deep NTK and the literal classifier of its class agree. Dotted: depth 300. Singular class: against the vote with the limit kernel.",
            alt="Two panels. Nearest neighbour and the majority polynomial reach one before depth 300. The singular class jumps to about nine tenths at depth ten, then rises slowly and reaches one only at depths far beyond 300. The ReLU kernel stays far below one.")
final = {key: values[depths.index(REGISTERED)] for key, (depths, values) in agreement.items()}
page.claim("taxonomy", encore.close(list(final.values()), 1.0), encore.bound([values[depths.index(10)] for depths, values in agreement.values()], list(final.values())))
page.say(f"Agreement at depth {REGISTERED}: " + ", ".join(f"{v:.4f} ({name}; {title})" for (title, name), v in final.items()) + ".")
reach = {key: next((f"{L:g}" for L, v in zip(depths, values, strict=True) if v >= 0.995), "none tried") for key, (depths, values) in agreement.items()}
page.say("The first depth tried with at least 99.5 % agreement: " + ", ".join(f"{L} ({name}; {title})" for (title, name), L in reach.items())
         + ". The vote with the limit kernel agrees with the plain Hilbert estimate, 1 over distance to the power d, on " + " and ".join(f"{v:.4f} ({title})" for title, v in hilbert.items()) + " of the points.")

# %% [markdown]
# ### Depth: classification and regression
#
# The same predictor $f(x) = K_L(x, X)K_L(X, X)^{-1}y$, trained on the same labels, is judged by its sign and by its squared distance from $\mathbb E[y \mid x] = 2\eta - 1$.

# %%
N_REG, M_REG = page.pick(smoke=40, book=256, paper=1024), page.pick(smoke=40, book=250, paper=1000)
MACHINES = {"optimal": {3: optimal(2), 5: optimal(4)}, "1-nearest neighbour": {3: NEAREST, 5: NEAREST}, "ReLU": {3: RELU, 5: RELU}}
errors_by_depth = {name: ([], []) for name in MACHINES}
for r_seed in encore.progress(seeds.spread(seed, 5), "regression"):
    for i, (_, make, p) in enumerate(PROBLEMS):
        g = np.random.default_rng([r_seed, 20 + i])
        (x, y, _), (t, _, eta) = (make(p, m, g) for m in (N_REG, M_REG))
        for name, (mse, zero_one) in errors_by_depth.items():
            fits = list(kernel_machines(MACHINES[name][p], DEPTHS, x, y, t))
            mse.append([np.mean((f * np.exp(scale) - (2 * eta - 1)) ** 2) for f, scale in fits])
            zero_one.append([sphere.excess_risk(f, eta) for f, _ in fits])
mse, zero_one = ({name: np.array(v[k]) for name, v in errors_by_depth.items()} for k in (0, 1))  # (20, depths)

# %%
power, smallest = mse["optimal"][:, -1], mse["optimal"][:, :-1].min(1)
page.claim("optimality", encore.trend(np.log2(SIZES), average[:, 0]), encore.lower(average[:, 0, -1], average[:, 4, -1]), encore.bound(smallest, power))
fig, axs = plt.subplots(1, 2, figsize=(6.4, 3.4))
for name, colour, marker in (("optimal", 0, "o"), ("1-nearest neighbour", 3, "D"), ("ReLU", 6, "x")):
    figures.band(axs[0], DEPTHS, zero_one[name], name, color=figures.PALETTE[colour], marker=marker)
    figures.band(axs[1], DEPTHS, mse[name], name, color=figures.PALETTE[colour], marker=marker, log=True)
axs[0].set(xscale="log", xlabel="depth L", ylabel="excess risk of the sign", ylim=(0, None))
axs[1].set(xscale="log", yscale="log", xlabel="depth L", ylabel="mean squared error of f")
axs[0].legend()
page.figure(fig, "depth", caption=f"The same predictors judged twice, n = {N_REG}, four problems and five draws with 95 % bands.",
            alt="Left: the excess risk of the two polynomial activations peaks at depth three and then settles, the optimal one below the nearest neighbour; ReLU is lower and nearly flat. Right, logarithmic: their squared error peaks at depth three far above one and then settles above its value at depth one; that of ReLU falls slowly.")
page.say("Excess risk of the optimal activation at depths " + ", ".join(f"{L}: {v:.3f}" for L, v in zip(DEPTHS, zero_one["optimal"].mean(0), strict=True)) + f". At depth {REGISTERED} ReLU has {zero_one['ReLU'][:, -1].mean():.3f}.")
page.say("Mean squared error of the optimal activation at these depths: " + ", ".join(f"{v:.3g}" for v in mse["optimal"].mean(0)) + f". The last is that of the constant zero. It exceeds the smallest at a smaller depth in {(power > smallest).sum()} of {len(power)} runs. "
         f"The error of ReLU goes from {mse['ReLU'][:, 0].mean():.2f} at depth 1 to {mse['ReLU'][:, -1].mean():.2f}" + (": depth helps its regression here." if mse["ReLU"][:, -1].mean() < mse["ReLU"][:, 0].mean() else "."))

# %%
finite = {name: (networks_over_theory(dual, page.pick(smoke=128, book=4096, paper=4096), 3, page.pick(smoke=2, book=5, paper=40)).mean((1, 2)), dual.slope + np.sqrt(6 * dual.w[1] * dual.w[3])) for name, dual in (("optimal, d = 2", optimal(2)), ("α near d/2", FLAT[2]))}
page.say("Finite networks of three hidden layers, their NTK at four points over the analytic one: " + "; ".join(f"{v.min():.2f} to {v.max():.2f} ({name}, {len(v)} networks)" for name, (v, _) in finite.items())
         + ". A small deviation of a layer's mean square is multiplied by the derivative of E[φ(√q z)²] at q = 1, which is B' + E[φφ''], per layer: " + ", ".join(f"{v:.2f} ({name})" for name, (_, v) in finite.items()) + ".")

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
page.verdict()

# %% [markdown]
# ## What this page does not show
#
# * Infinite depth is a limit for a *fixed* training set. Depth 300, at which all tests were to be made, is not near it: the exponent of the kernel there is $\alpha + 2$ over the whole range of distances. The theorem speaks of the limit, so the test of
#   the exponent was moved to a depth of $10^{15}$, which the recursion reaches in closed form. This was decided after the first run, and would be a failure at depth 300. The test of the three classes was left as it was, and fails: the depth-300 machine
#   is a more singular classifier than its limit. Its vote in the limit is that of the theorem, as the figure shows.
# * The same is true of ReLU, harder. With $B' = 1$ its kernel flattens only like a power of the depth, and the linear system can amplify the small variation that remains. The note that comes with the authors' code asks for more than fifty thousand layers for a thousand
#   points. The other member of the majority class has $B' > 1$ and converges within the depths tried.
# * "Only $\alpha = d$" is a statement about all distributions and $n \to \infty$. On the mixtures the flatter kernel has the smaller risk at our largest $n$; on the stripes, which ask for local decisions, it does not. Nothing here proves that its risk stays away from
#   the Bayes risk, nor that the risk of the optimal kernel reaches it. The Hilbert estimate converges slowly, and both tuned references have less risk at the same $n$.
# * The trend is one average over four problems. The nearest neighbour's risk still falls a little at the largest $n$.
# * "Depth helps classification" is only half visible. From depth 3, where the polynomial kernels begin to interpolate and both losses peak as in double descent, deeper is better. At depth 1 the kernel has low rank: a least-squares fit of low degree, without that peak.
#   ReLU, on the way to a majority vote that it does not reach, has the lower risk at this $n$, and depth did not harm its regression in the range tried.
# * The test of regression accepts ties. From depth 100 on the predictor is zero to rounding, and a run whose smallest error is that of zero counts as held. The sentence below the figure counts strict excess.
# * That the squared error at infinite depth is that of the constant zero follows from the diagonal of the kernel, which outgrows everything else. The sign survives a positive factor at each point; the squared error does not.
# * The theorem's conditions were not read in full; the restriction to non-negative coordinates is taken from the authors' published code. MNIST coordinates were scaled to $[0, 1]$ for that reason.
# * Networks of finite width are tested in one place only, and none is trained. With the optimal activation, errors of finite width more than double per layer, so the width would have to grow exponentially with depth. That depth must also be large makes the optimal classifier
#   a statement about kernels, not about networks one would build.

# %% [markdown]
# ## Exercises
#
# :::{exercise}
# :label: wide-deep-optimality-ex1
# Leaky ReLU, $\phi(z) = c\max(z, \lambda z)$. For which $\lambda$ does it leave the majority class? Compute $A$, $A'$ and $B'$ of the normalised activation, with and without subtracting its mean.
# :::

# %% tags=["hide-cell", "solution"]
z_grid, z_weight = np.linspace(-9, 9, 200_001), np.exp(-np.linspace(-9, 9, 200_001) ** 2 / 2)
z_weight /= z_weight.sum()
for leak in (0.0, 0.5, 1.0):
    for centred in (False, True):
        value = np.maximum(z_grid, leak * z_grid)
        value = value - centred * (z_weight @ value)
        c = (z_weight @ value**2) ** -0.5
        slope = c * np.where(z_grid > 0, 1, leak)
        A, A1, B1 = c * (z_weight @ value), z_weight @ slope, z_weight @ slope**2
        kind = "majority" if abs(A) > 1e-6 else "linear, |A'| = 1: outside the taxonomy" if A1 > 1 - 1e-6 else f"singular with α = {-4 * np.log(A1) / np.log(B1):.2f}"
        page.say(f"λ = {leak:g}, {'centred' if centred else 'as it is'}: A = {A:.3f}, A' = {A1:.3f}, B' = {B1:.3f}: {kind}.")

# %% [markdown]
# :::{exercise}
# :label: wide-deep-optimality-ex2
# Choose $\alpha$ freely with `Polynomial(0, w, 0, 1 - w)` and redraw the risk figure. Which $\alpha$ is best at $n = 4096$ on each of the four problems, and does it move towards $d$ as $n$ grows?
# :::
#
# :::{exercise}
# :label: wide-deep-optimality-ex3
# Give every layer a bias of variance $b$: $S_l = (1 - b)\,\hat\phi(S_{l-1}) + b$, and the kernel $K_l$ a term to match. Which class does every activation fall into now?
# :::

# %% [markdown]
# ## References
#
# The paper: {cite:p}`radhakrishnan2023wide`. The kernel: {cite:p}`jacot2018neural`. The estimate $1/\text{distance}^d$: {cite:p}`devroye1998hilbert`. The risk of the nearest neighbour: {cite:p}`cover1967nearest`. MNIST: {cite:p}`lecun1998gradient`.
# Related pages: `neural-tangent-kernel`, `double-descent-optimization`, `exact-inductive-bias`, `naive-bayes-vs-logistic`.

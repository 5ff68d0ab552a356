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
# # The Two-Pass Softmax Algorithm

# %% [markdown]
# ## The idea
#
# Softmax turns a vector of scores into probabilities, $y_i = e^{x_i}/\sum_k e^{x_k}$. In single precision $e^{x}$ overflows as soon as a score exceeds
# about 88. The usual cure subtracts the largest score first. To know the largest score one must read the whole vector, so softmax takes three
# passes: find the maximum, sum the exponentials, write the results. When the vector does not fit into the cache, every pass fetches it from memory
# again, and the processor waits for memory rather than for arithmetic.
#
# The paper {cite:p}`dukhan2020twopass` removes the first pass. It writes each exponential as $m\cdot 2^{n}$ and keeps $m$ and $n$ as two
# separate floats. The exponent is then itself a float, so it does not run out at 127. Such pairs can be summed without knowing the
# maximum beforehand. The price is more arithmetic per score, so the trade pays only where memory is the bottleneck.
#
# Another way to two passes, published earlier, keeps a running maximum {cite:p}`milakov2018online`; the first exercise tries it.

# %% [markdown]
# ## The method
#
# All algorithms here are loops over float32 vectors, compiled by Numba {cite:p}`lam2015numba` for one thread. The compiler may fuse a product and a
# sum into one rounding (`contract`), and nothing else: it may not assume that infinities or NaNs are absent, and it may reorder a sum in one place only, `merge_sum`.

# %% tags=["parameters"]
profile = "book"
seed = 0

# %%
from itertools import product

import matplotlib.pyplot as plt
import mpmath
import numba
import numpy as np
import torch
from scipy.special import softmax

import encore
from encore import figures, seeds, stats
from encore.bases import kernel_probe
from encore.bases.kernel_probe import aligned
from encore.nets import minilm

page = encore.open("numerics/two-pass-softmax", profile, seed)
kernel = lambda signature: numba.njit(signature, fastmath={"contract"})

# %% [markdown]
# **The pair.** For a float $x$, with $\ln 2$ split into two constants (argument reduction after Cody and Waite {cite:p}`cody1980software`),
#
# $$n = \operatorname{round}(x\log_2 e), \qquad t = x - n\ln 2, \qquad m = p(t) \approx e^{t}, \qquad e^{x} \approx m\cdot 2^{n},$$
#
# where $|t| \le \tfrac12\ln 2$ if $n$ is right, and $p$ is a polynomial of degree five.
#
# 1. The constants are those of the authors' released kernel in XNNPACK. Splitting $\ln 2$ only helps with a fused multiply-add: the product
#    $n \cdot \mathrm{LN2\_HIGH}$ must not be rounded before the subtraction.
# 2. `power2` builds $2^d$ for $-127 \le d \le 0$ without a table. Adding a large constant pushes the integer $d + 127$ into the low bits
#    of the mantissa; a shift by 23 bits moves it into the exponent field. For $d=-127$ all bits are zero and the result is exactly 0, so tiny terms vanish.

# %%
LOG2E, LN2_HIGH, LN2_LOW = (np.float32(float.fromhex(h)) for h in ("0x1.715476p+0", "0x1.62E43p-1", "-0x1.05C61p-29"))
POLYNOMIAL = ("0x1.0F9F9Cp-7", "0x1.573A1Ap-5", "0x1.555A80p-3", "0x1.FFFDC6p-2", "0x1.FFFFF6p-1", "1")
C5, C4, C3, C2, C1, ONE = (np.float32(float.fromhex(h)) for h in POLYNOMIAL)
LOWEST, MAGIC, FLOOR = np.float32(-127), np.float32(1.5 * 2**23 + 127), np.float32(-88)


@kernel("UniTuple(float32, 2)(float32)")
def exp_pair(x):
    """exp(x) as (m, n) with exp(x) = m 2^n, n a whole number stored as a float."""
    n = np.rint(x * LOG2E)
    t = (x - n * LN2_HIGH) - n * LN2_LOW
    return ONE + t * (C1 + t * (C2 + t * (C3 + t * (C4 + t * C5)))), n


@kernel("float32(float32)")
def power2(d):
    """2^d for a whole number -127 < d <= 0; 0 for d <= -127."""
    return np.int32(np.float32(max(d, LOWEST) + MAGIC).view(np.int32) << 23).view(np.float32)


# %% [markdown]
# **Adding pairs.** $(m_a, n_a) + (m_b, n_b)$ has the exponent $n = \max(n_a, n_b)$ and the mantissa $m_a 2^{n_a-n} + m_b 2^{n_b-n}$. Both
# powers are at most one, so nothing overflows however large $n$ is. **Pass 1** adds up all pairs to $(M, E)$. **Pass 2** reads $x$ again, recomputes each pair and writes
#
# $$y_i = m_i \cdot \frac1M \cdot 2^{\,n_i - E}.$$
#
# 3. One running sum would make each addition wait for the previous one. There are `LANES` independent sums, as many for every algorithm here, and they are merged
#    at the end. They live in a small array that stays in the first-level cache; `aligned` lets it begin at a cache line.
# 4. The loops run over slices (`part`), because Numba checks an index such as `x[i + j]` for being negative, and this check turns vector loads into slow gathers.


# %%
LANES = 128


@kernel("float32(float32[::1])")
def merge_max(lanes):
    """The largest of 2^k numbers, by halving."""
    while len(lanes) > 1:
        low, high = lanes[: len(lanes) // 2], lanes[len(lanes) // 2 :]
        for j in range(len(low)):
            low[j] = max(low[j], high[j])
        lanes = low
    return lanes[0]


@numba.njit("float32(float32[::1])", fastmath={"reassoc"})
def merge_sum(lanes):
    """The sum of some numbers, in any order."""
    total = np.float32(0)
    for j in range(len(lanes)):
        total += lanes[j]
    return total


# %%
@kernel("UniTuple(float32, 2)(float32[::1])")
def sum_pairs(x):
    """Pass 1: (M, E) with sum exp(x) = M 2^E. x: (N,)."""
    M, E = aligned(LANES, 0), aligned(LANES, -np.inf)
    for i in range(0, len(x), LANES):
        part = x[i : i + LANES]
        for j in range(len(part)):
            m, n = exp_pair(part[j])
            top = max(E[j], n)
            M[j] = M[j] * power2(E[j] - top) + m * power2(n - top)
            E[j] = top
    top = merge_max(E.copy())
    for j in range(LANES):
        M[j] *= power2(E[j] - top)
    return merge_sum(M), top


@kernel("void(float32[::1], float32[::1], float32, float32)")
def write_pairs(x, y, scale, E):
    """Pass 2: y = m * scale * 2^(n - E). x, y: (N,)."""
    for i in range(len(x)):
        m, n = exp_pair(x[i])
        y[i] = m * scale * power2(n - E)


# %% [markdown]
# **The rivals.** With $\mu = \max_i x_i$ both three-pass variants compute $e^{x_i-\mu}$ by the same pair, multiplied out at once: `exp_minus` clamps its argument
# from below, so that what would be less than the smallest normal float becomes 0. *Recomputing* evaluates the exponential twice. *Reloading* stores it in $y$ and rescales $y$.


# %%
@kernel("float32(float32)")
def exp_minus(d):
    """exp(d) for d <= 0, and 0 below -88."""
    m, n = exp_pair(max(d, FLOOR))
    return m * power2(n)


@kernel("float32(float32[::1])")
def largest(x):
    """The pass that two-pass softmax does without: max x."""
    lanes = aligned(LANES, -np.inf)
    for i in range(0, len(x), LANES):
        part = x[i : i + LANES]
        for j in range(len(part)):
            lanes[j] = max(lanes[j], part[j])
    return merge_max(lanes)


@kernel("float32(float32[::1], float32)")
def sum_exp(x, mu):
    """Recomputing, pass 2: sum exp(x - mu)."""
    lanes = aligned(LANES, 0)
    for i in range(0, len(x), LANES):
        part = x[i : i + LANES]
        for j in range(len(part)):
            lanes[j] += exp_minus(part[j] - mu)
    return merge_sum(lanes)


# %%
@kernel("void(float32[::1], float32[::1], float32, float32)")
def write_exp(x, y, mu, scale):
    """Recomputing, pass 3: y = exp(x - mu) * scale."""
    for i in range(len(x)):
        y[i] = exp_minus(x[i] - mu) * scale


@kernel("float32(float32[::1], float32[::1], float32)")
def store_exp(x, y, mu):
    """Reloading, pass 2: y = exp(x - mu) and its sum."""
    lanes = aligned(LANES, 0)
    for i in range(0, len(x), LANES):
        part, out = x[i : i + LANES], y[i : i + LANES]
        for j in range(len(part)):
            e = exp_minus(part[j] - mu)
            out[j] = e
            lanes[j] += e
    return merge_sum(lanes)


@kernel("void(float32[::1], float32)")
def rescale(y, scale):
    """Reloading, pass 3: y = y * scale."""
    for i in range(len(y)):
        y[i] *= scale


# %% [markdown]
# The programs that are timed. Repetition is inside, so that the cost of a call from Python does not count.


# %%
program = kernel("void(float32[::1], float32[::1], int64)")


@program
def two_pass(x, y, times):
    for _ in range(times):
        M, E = sum_pairs(x)
        write_pairs(x, y, ONE / M, E)


@program
def recomputing(x, y, times):
    for _ in range(times):
        mu = largest(x)
        write_exp(x, y, mu, ONE / sum_exp(x, mu))


@program
def reloading(x, y, times):
    for _ in range(times):
        rescale(y, ONE / store_exp(x, y, largest(x)))


algorithms = {"two-pass": two_pass, "three-pass, recomputing": recomputing, "three-pass, reloading": reloading}


def run(name, x):
    """Softmax of x (N,) float32 by one of the algorithms."""
    algorithms[name](x, y := np.empty_like(x), 1)
    return y


# %% [markdown]
# ## A check
#
# The pair against 120-bit arithmetic on random scores; all three algorithms against SciPy and PyTorch in double precision, at lengths that fill the lanes and lengths that do not.

# %%
EPS = np.finfo(np.float32).eps
rng = np.random.default_rng(seeds.spread(seed, 1)[0])
mpmath.mp.prec = 120
pairs = [(float(x), *exp_pair(x)) for x in rng.uniform(-1e4, 1e4, page.pick(smoke=1000, book=100_000, paper=100_000)).astype(np.float32)]
page.check("pair (m, n) against exp in mpmath, relative", max(abs(float(m * mpmath.exp(n * mpmath.mp.ln2 - x)) - 1) for x, m, n in pairs), tol=2 * EPS)

samples = [rng.normal(0, 3, N).astype(np.float32) for N in (1, 7, 128, 1000, 4099)]
for library, reference in {"scipy": softmax, "torch": lambda v: torch.softmax(torch.from_numpy(v), 0).numpy()}.items():
    errors = [np.abs(run(name, v) / reference(v.astype(float)) - 1).max() for v in samples for name in algorithms]
    page.check(f"softmax, three algorithms, against {library} in float64, relative", max(errors), tol=32 * EPS)

# %% [markdown]
# A comparison of running times is fair only if the compiler treats the rivals alike. The generated code shows whether each pass works on full vector registers.

# %%
passes = [largest, sum_exp, write_exp, store_exp, rescale, sum_pairs, write_pairs]
page.say("| pass | widest register, bits | packed arithmetic instructions at that width | gathers |\n|---|---|---|---|\n" + "\n".join(
    f"| `{p.py_func.__name__}` | " + " | ".join(map(str, kernel_probe.instructions(p))) + " |" for p in passes))

# %% [markdown]
# ## The experiment
#
# | | the paper | this page |
# |---|---|---|
# | code | hand-tuned C with AVX2 and AVX512 intrinsics | Numba loops; the compiler chooses the vector instructions |
# | exponential | degree-5 polynomial | the same polynomial, in all three algorithms |
# | processors | Skylake-X; also Broadwell and Zen 2 | the one that ran this page, named below |
# | lengths | not read | 2¹⁰ to 2²⁵ scores, 4 kB to 128 MB |
# | timing | not read; the released benchmark cycles through many buffers, so that even short vectors come from memory | one pair of buffers, so that short vectors stay in the cache; 15 repetitions, each visits all lengths in random order |
# | tuning of the rivals | "well optimized" | the same lanes, merging and exponential; 64 to 512 lanes tried; 128 is best or within about a tenth of the best for each |
#
# Within a repetition and a length every program runs once to warm up and then four times, in random order; the median of the four counts. So the compared
# times are taken shortly after each other, and a disturbance by other programs hits all of them. The baseline is the three-pass variant that was faster in the same repetition
# and at the same length, a choice that favours the baseline. The exact figures of the paper and its protocol beyond the abstract could not be read and are not quoted.
#
# Real scores: the hidden states of a small sentence encoder times its word-embedding matrix, one score per token of the vocabulary. Timed vectors of other lengths are normal with standard deviation 5.

# %%
encoder = minilm.load()
hidden = encoder.hidden(*encoder.batch(["The processor waits for memory, not for arithmetic, when a vector is longer than the cache."]))[0]
scores = (hidden @ encoder.state["embeddings.word_embeddings.weight"].T).numpy()  # (tokens, vocabulary)
vocabulary = scores.shape[1]

caches = kernel_probe.caches()
named = ", ".join(f"{level} {size / 1024:,.0f} kB" for level, size in caches.items()) or "unknown"
page.say(f"Processor: `{kernel_probe.processor()}`; caches: {named}. Real scores: {len(scores)} vectors of {vocabulary:,}, {scores.min():.1f} to {scores.max():.1f}.")

# %% [markdown]
# ## Results
#
# **Time.**

# %%
powers, repetitions = page.pick(smoke=([10, 14, 17, 18], 5), book=(range(10, 26), 15), paper=(range(10, 28), 50))
programs = {**algorithms, "stream": kernel_probe.stream}
x, y, real = aligned(2 ** max(powers), 0), aligned(2 ** max(powers), 0), aligned(vocabulary, 0)
x[:], real[:] = rng.standard_normal(len(x), dtype=np.float32) * 5, scores[-1]
inputs = {**{2**k: x[: 2**k] for k in powers}, vocabulary: real}
lengths = np.array(sorted(inputs))
times = {name: np.empty((repetitions, len(lengths))) for name in programs}
for r in encore.progress(range(repetitions), "timing"):
    for k in rng.permutation(len(lengths)):
        cell = {name: [] for name in programs}
        for name in [name for _ in range(5) for name in rng.permutation(list(programs))]:
            cell[name].append(kernel_probe.nanoseconds(programs[name], inputs[lengths[k]], y[: lengths[k]]))
        for name in programs:
            times[name][r, k] = np.median(cell[name][1:])  # the first one warms up

# %%
best = np.minimum(times["three-pass, recomputing"], times["three-pass, reloading"])
log_ratio = np.log(best / times["two-pass"])
colours = dict(zip(programs, figures.PALETTE, strict=False))
fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.7), subplot_kw={"xscale": "log", "xlabel": "scores N"})
regular = lengths != vocabulary
for name in algorithms:
    figures.band(axes[0], lengths[regular], 1 / times[name][:, regular], name, colours[name])
figures.band(axes[1], lengths[regular], np.exp(log_ratio[:, regular]), "two-pass / better three-pass", colours["two-pass"])
axes[1].plot(vocabulary, np.exp(log_ratio[:, ~regular].mean()), "kD", ms=5)
axes[1].axhline(1, color="0.4", lw=1)
for ax, (level, size) in product(axes, caches.items()):
    ax.axvline(size / 8, color="0.5", lw=0.8, ls="--")
    ax.text(size / 8, 1, level, transform=ax.get_xaxis_transform(), fontsize=8, ha="right", va="top")
axes[0].set(ylabel="throughput (10⁹ scores per second)", ylim=(0, None))
axes[1].set(ylabel="throughput, two-pass / better three-pass")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
page.figure(
    fig, "throughput", caption="Throughput (left) and its ratio (right) against the length, means and 95 % bands. Dashed: x and y together fill a cache level. Diamond: real scores.",
    alt="Two panels over the length from a thousand to thirty million scores. Left: three curves are high while x and y fit into the cache and fall steeply at its edge. "
    "Right: the ratio is below one for short vectors, and for the diamond, and rises above one towards the last cache and beyond.")

# %%
large, small = lengths >= lengths[-2], lengths <= 2**14
gain = lambda columns: float(np.exp(log_ratio[:, columns].mean()) - 1)
page.say(
    f"Throughput of two-pass against the better three-pass variant: {gain(large):+.0%} at the two largest lengths, {gain(small):+.0%} up to {2**14:,} scores, and "
    f"{gain(lengths == vocabulary):+.0%} on one vector of {vocabulary:,} real scores, which takes {8 * vocabulary / 1024:,.0f} kB with its result.")
page.claim("faster-out-of-cache", encore.higher(*(-np.log(t[:, large]).mean(1) for t in (times["two-pass"], best))))
page.claim("only-out-of-cache", encore.trend([0, 1], np.stack([log_ratio[:, small].mean(1), log_ratio[:, large].mean(1)], 1)))

# %% [markdown]
# **Traffic.** The same functions, run by the Python interpreter instead of Numba on arrays that count every element read from and written to $x$ and $y$.

# %%
N, traffic, agree = 1000, {}, []
data = rng.normal(0, 3, N).astype(np.float32)
for name, compiled in algorithms.items():
    x_counted, y_counted = kernel_probe.Counted(data), kernel_probe.Counted(np.zeros_like(data))
    kernel_probe.interpreted(compiled, passes)(x_counted, y_counted, 1)
    traffic[name] = np.array([x_counted.counts[k] + y_counted.counts[k] for k in ("read", "written")]) / N
    agree.append(np.abs(y_counted.data / run(name, data) - 1).max())
page.check("interpreted against compiled passes, relative", max(agree), tol=64 * EPS)
page.claim("traffic", encore.exact([traffic[name] - expected for name, expected in zip(algorithms, [(2, 1), (3, 1), (3, 2)], strict=True)]))

# %%
per_element = times["stream"][:, -1] / 2  # the stream loop reads one element and writes one
measured = {name: times[name][:, -1] / per_element for name in algorithms}
fig, ax = plt.subplots(figsize=(6.4, 2.7))
for k, name in enumerate(algorithms):
    ax.barh(-k, traffic[name][0], color=figures.PALETTE[5], height=0.5)
    ax.barh(-k, traffic[name][1], left=traffic[name][0], color=figures.PALETTE[4], height=0.5)
    i = stats.mean_interval(measured[name])
    ax.errorbar(i.value, -k, xerr=[[i.value - i.low], [i.high - i.value]], fmt="D", color="k", ms=4, capsize=3)
ax.set(yticks=[0, -1, -2], yticklabels=algorithms, xlabel="elements moved per score")
fig.legend([*ax.patches[:2], ax.containers[2]], ["read", "written", "measured time"], loc="outside upper center", ncols=3)
page.figure(
    fig, "traffic", caption="Bars: counted traffic. Diamonds: time at the largest length, 95 % interval, in units of the stream loop's time per element.",
    alt="Three stacked bars: two-pass three elements, recomputing four, reloading five. The diamond of two-pass is left of the other two.")
page.say(
    f"If moving elements were the only cost, each diamond would sit at the end of its bar. The stream loop moves {4 / per_element.mean():.0f} GB/s; the algorithms "
    "reach these shares of it: " + ", ".join(f"{name} {traffic[name].sum() / measured[name].mean():.0%}" for name in algorithms) + ".")

# %% [markdown]
# **Safety and accuracy.** 2,000 finite vectors in four families: uniform on $[-R, R]$ with $R$ up to $10^4$; constant; normal scores shifted by up to $\pm 10^4$; normal scores with
# one outlier $\pm A$, where $A$ goes up to the largest finite float. The claim says *every* finite input, so the outlier has no smaller limit.


# %%
SCALES = {"uniform": (0, 4), "constant": (2, 4), "shifted": (2, 4), "outlier": (2, 38.5)}  # powers of ten


def error(y, x):
    """Largest relative error of the outputs above 1e-30, in units of 2^-23; NaN if an output is not finite. Reference: float64."""
    reference = softmax(x.astype(float))
    seen = reference > 1e-30
    return np.abs(y[seen] / reference[seen] - 1).max() / EPS if np.isfinite(y).all() else np.nan


def naive(x):
    with np.errstate(all="ignore"):
        return np.exp(x) / np.exp(x).sum()


def adversary(kind):
    """A finite float32 vector of random length 2 to 4096 from one of the families."""
    N = int(2 ** rng.uniform(1, 12))
    noise, A = rng.normal(0, 1, N), rng.choice([-1, 1]) * 10 ** rng.uniform(*SCALES[kind])
    outlier = np.where(np.arange(N) == rng.integers(N), A, noise)
    return {"uniform": rng.uniform(-1, 1, N) * A, "constant": np.full(N, A), "shifted": 5 * noise + A, "outlier": outlier}[kind].astype(np.float32)


of = np.repeat(list(SCALES), page.pick(smoke=20, book=500, paper=5000))
vectors = [adversary(kind) for kind in of]
limits = np.array([8 * (1 + np.log2(len(v))) for v in vectors])
two, three = (np.array([error(run(name, v), v) for v in vectors]) for name in ("two-pass", "three-pass, recomputing"))
overflows, unsafe = np.array([np.isnan(error(naive(v), v)) for v in vectors]), np.isnan(two)

# %%
judged = np.where(unsafe, 1 / EPS, two)  # an output that is not a number counts as an error of 100 %
parts = [f"{f} {(two <= limits)[of == f].mean():.0%} (three-pass {(three <= limits)[of == f].mean():.0%})" for f in SCALES]
broken = min((np.abs(v).max() for v, u in zip(vectors, unsafe, strict=True) if u), default=np.inf)
page.say(
    f"Vectors within the limit: {', '.join(parts)}. Outputs were not finite for {unsafe.sum()} of {len(unsafe)} vectors with two-pass (the largest "
    f"score in the mildest of them is {broken:.0e} in size), {np.isnan(three).sum()} with three-pass, {overflows.sum()} with the naive formula.")
page.claim("no-overflow", encore.bound(judged, limits), encore.bound(unsafe, 0), encore.bound(1, overflows.sum()))

# %% [markdown]
# Where does the pair stop working? The same normal scores, all shifted by $A$ (softmax does not change under a shift) or with one of them set to $A$.

# %%
scales = np.logspace(0, 38.5, page.pick(smoke=8, book=155, paper=155))
normal = rng.normal(0, 1, (5, 1000))
ways = {"two-pass": lambda v: run("two-pass", v), "three-pass, recomputing": lambda v: run("three-pass, recomputing", v), "naive": naive}
tries = {"all scores shifted by A": lambda A: normal + A, "one score set to A": lambda A: np.where(np.arange(1000) == 500, A, normal)}
worst, (fig, axes) = {}, plt.subplots(1, 2, figsize=(7.4, 3.5), sharey=True)
for (ax, title), (k, name) in product(zip(axes, tries, strict=True), enumerate(ways)):
    e = [np.max([error(ways[name](v), v) for v in tries[title](A).astype(np.float32)]) for A in scales]
    worst[title, name], colour = np.array(e), [*figures.PALETTE[:2], "0.4"][k]
    ax.loglog(scales, np.maximum(e, 0.1), ".-", ms=3, color=colour, label=name)
    ax.plot(scales[np.isnan(e)], np.full(np.isnan(e).sum(), 10.0 ** (8.2 + 0.6 * k)), "x", ms=3, color=colour)
    ax.set(title=title, xlabel="A")
axes[0].set(ylabel="largest relative error (2⁻²³)\ncrosses: not finite")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
page.figure(
    fig, "range", caption="Largest relative error over five vectors of 1000 scores, in units of 2⁻²³ (drawn at 0.1 if smaller). Crosses at the top: an output was not finite.",
    alt="Two panels over A from 1 to 10 to the 38. The naive formula stops being finite near 100. Two-pass stays at a few units, on the left "
    "rises after a million, and in both panels stops being finite at a much larger A. Three-pass stays low throughout.")
first = lambda bad: f"{scales[np.argmax(bad)]:.0e}" if bad.any() else "none"
page.say(
    "First A at which an output is not finite (shift, outlier): " + "; ".join(f"{name} " + ", ".join(first(np.isnan(worst[t, name])) for t in tries) for name in ways)
    + ". Under a shift the error of two-pass first exceeds a hundred units at " + first(worst["all scores shifted by A", "two-pass"] > 100) + ".")

# %% [markdown]
# On scores of ordinary size another error decides. `exp_minus` receives the difference $x-\mu$ after rounding, and the rounding error grows with the difference. The pair
# reduces $x$ itself and has no such error.

# %%
ordinary = of == "uniform"
fig, ax = plt.subplots(figsize=(6.4, 3.0))
for name, wrong in {"two-pass": two, "three-pass, recomputing": three}.items():
    ax.ecdf(np.maximum(wrong[ordinary], 0.1), color=colours[name], label=f"{name}: uniform family")
    ax.ecdf([error(run(name, row), row) for row in scores], color=colours[name], ls="--", label=f"{name}: real scores")
ax.set(xscale="log", xlabel="largest relative error of a vector (2⁻²³)", ylabel="share of vectors")
fig.legend(loc="outside upper center", ncols=2)
page.figure(
    fig, "errors", caption="Distribution over vectors of the largest relative error, in units of 2⁻²³ (drawn at 0.1 if smaller).",
    alt="Four rising curves on a logarithmic axis. Both curves of two-pass are complete before three units. Those of three-pass reach much further to the right.")
masked = np.where(np.arange(vocabulary) < 10, np.float32(-np.inf), scores[0])
page.say(
    f"Uniform family, two-pass and three-pass: median {np.median(two[ordinary]):.1f} and {np.median(three[ordinary]):.1f} units, largest {two[ordinary].max():.1f} and "
    f"{three[ordinary].max():.1f}. NaN written when ten real scores are masked by −∞: {np.isnan(run('two-pass', masked)).sum():,} and {np.isnan(run('three-pass, recomputing', masked)).sum()}.")

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
page.verdict()

# %% [markdown]
# ## What this page does not show
#
# * **The paper's percentages.** They belong to hand-written kernels on other processors. What can be compared is the sign of the effect and where it begins. The vertical lines
#   are the sizes that the operating system reports; in a virtual machine the last cache may be shared with programs that we do not see.
# * **A quiet machine.** Other programs ran while this page was timed. The design is made for that: rivals are timed shortly after each other, in random order, and judged by their
#   ratio. The interval is over repetitions in one process. Where arrays and code happen to lie in memory differs from process to process and shifts times within the cache
#   by up to a tenth. Vectors and lanes are aligned to cache lines to reduce this. Within the cache the sign of the difference may still depend on the run.
# * **Many cores.** One thread seldom exhausts the memory bandwidth of a processor. With all cores at work each has less of it, which should favour two passes; we did not measure this.
# * **Batches of ordinary vocabularies.** A row of scores over a vocabulary of this size fits into the second-level cache, so its second and third pass are cheap however large
#   the whole batch is. What two passes bring for such a row is the last number under the first figure, not the first.
# * **The traffic on the bus.** We count what the programs ask for. A store usually fetches its cache line first, which is traffic too, unless the pass has just read that line,
#   as the rescaling pass has. This makes reloading cheaper than its count suggests.
# * **"Every finite input".** The abstract says that overflow is avoided, the register says for every finite input, and we tested it up to the largest float. For large scores
#   $n$ is no longer exact, because a float has 24 bits. Then $|t|$ exceeds its interval, first by a little (the polynomial becomes inaccurate) and later by so much
#   that the polynomial itself overflows. The constants and the order of operations are those of the released kernel, so we expect the same there, but
#   did not run it. Scores of this size do not occur in practice. A mask of $-\infty$ does, and needs separate treatment (second exercise).
# * **Register-level tuning.** Our accumulators live in the first-level cache instead of registers, in all three algorithms.
#
# Two things went wrong on the way, both visible only in the time of single passes and the generated code. An index `x[i + j]` made Numba emit gathers, which slowed
# down every pass that accumulates, by several times. And a rescaling pass that was given $y$ twice, as input and as output, fell back to scalar code, because the compiler's
# overlap check failed. This doubled the time of the reloading variant in the cache, and made two-pass look faster at every length.

# %% [markdown]
# ## Exercises
#
# :::{exercise}
# :label: two-pass-softmax-ex1
# A running maximum also saves the first pass {cite:p}`milakov2018online`: whenever a larger score appears, rescale the sum so far by $e^{\mu_\text{old}-\mu_\text{new}}$. Write it with
# the same lanes. What does it cost, and does it survive an outlier of $10^{30}$?
# :::

# %% tags=["hide-cell", "solution"]
@kernel("UniTuple(float32, 2)(float32[::1])")
def running_max(x):
    """(mu, sum exp(x - mu)) in one pass."""
    top, total = aligned(LANES, -np.inf), aligned(LANES, 0)
    for i in range(0, len(x), LANES):
        part = x[i : i + LANES]
        for j in range(len(part)):
            score = part[j]
            new = max(top[j], score)
            total[j] = total[j] * exp_minus(top[j] - new) + exp_minus(score - new)
            top[j] = new
    mu = merge_max(top.copy())
    for j in range(LANES):
        total[j] *= exp_minus(top[j] - mu)
    return mu, merge_sum(total)


@program
def online(x, y, times):
    for _ in range(times):
        mu, total = running_max(x)
        write_exp(x, y, mu, ONE / total)


algorithms["running maximum"] = online
page.say(f"Outlier of 1e30: error {error(run('running maximum', (v := np.float32([0, 1e30, 1]))), v):.1f} units, two-pass {error(run('two-pass', v), v):.1f}.")
counted = [kernel_probe.Counted(data), kernel_probe.Counted(np.zeros_like(data))]
kernel_probe.interpreted(online, [*passes, running_max])(*counted, 1)
page.say(f"Traffic: {counted[0].counts['read'] / len(data):.0f} reads and {counted[1].counts['written'] / len(data):.0f} write per score.")
for k in (2**14, len(x)):
    ratio = [kernel_probe.nanoseconds(online, x[:k], y[:k]) / kernel_probe.nanoseconds(two_pass, x[:k], y[:k]) for _ in range(9)]
    page.say(f"N = {k:,}: time of the running maximum / time of two-pass {np.median(ratio):.2f} (median of {len(ratio)}).")

# %% [markdown]
# :::{exercise}
# :label: two-pass-softmax-ex2
# Make the pair safe. Clamp $x$ in `exp_pair` to an interval in which $n$ is exact. Which masks and outliers does this repair, which differences between scores does
# it erase, and what does it cost in time?
# :::
#
# :::{exercise}
# :label: two-pass-softmax-ex3
# Store $x$ and $y$ as float16 and compute in float32. The traffic halves, the arithmetic stays. Where does the ratio cross one now, and why is the gain smaller?
# :::

# %% [markdown]
# ## References
#
# The paper: {cite:p}`dukhan2020twopass`. The running maximum: {cite:p}`milakov2018online`. Argument reduction: {cite:p}`cody1980software`. Numba: {cite:p}`lam2015numba`.
# Related pages: `softmax-collapse-grokking`, `z-loss`, `softmax-free-transformer`.

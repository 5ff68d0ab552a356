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
# # On the Generalization Mystery in Deep Learning

# %% [markdown]
# ## The idea
#
# A network that is large enough to memorise random labels still generalises when the labels are real. Its size cannot be the reason, for it is the same
# network, trained in the same way.
#
# {cite:p}`chatterjee2022generalization` look at what gradient descent adds up: one gradient per example. Where many examples ask for the same change, their gradients
# reinforce each other, and the step is large in that direction. What only one example asks for is divided by the size of the batch. So the data decide how well the gradients agree,
# their *coherence*, and coherence decides whether a pattern or a single case is learned first.
#
# The account can be tested by intervention: replace the mean of the gradients by a robust mean, which ignores what only a few examples ask for. If weak directions are where memorisation
# happens, wrong labels should be learned later or not at all. Weight decay, which knows nothing of single examples, is the rival to beat.

# %% [markdown]
# ## The method

# %% tags=["parameters"]
profile = "book"
seed = 0

# %%
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn.functional import cross_entropy

import encore
from encore import datasets, figures, seeds
from encore.bases.factored_gradients import factors, gram, initial, train, watch_accuracy, winsorised
from encore.stats import mean_interval

page = encore.open("dynamics/coherent-gradients", profile, seed)
SIZES = (196, 128, 10)

# %% [markdown]
# **Per-example gradients without a loop.** A layer computes $z = a\,\theta$, where the row $a$ ends with a constant one, so that the last row of $\theta$ is the bias. If $\delta = \partial \ell/\partial z$ is the error that
# arrives at the layer, the gradient of *one* example is the outer product $a^\top\delta$. So the pairs $(a_i, \delta_i)$ of an ordinary
# forward and backward pass *are* the per-example gradients, in factored form, and inner products need no gradient to be written out:
#
# $$\langle g_i, g_j\rangle = \sum_{\text{layers}} \langle a_i, a_j\rangle\,\langle \delta_i, \delta_j\rangle .$$

# %% [markdown]
# `factors` (in `encore.bases.factored_gradients`) returns these pairs for many networks at once, `gram` the matrix of all inner products.
#
# **Coherence** of $m$ gradients is
#
# $$\alpha = \frac{\lVert \bar g\rVert^2}{\frac1m\sum_i\lVert g_i\rVert^2} = \frac{\frac1{m^2}\sum_{i,j}\langle g_i, g_j\rangle}{\frac1m\sum_i\langle g_i, g_i\rangle}\in[0,1], \qquad
# a_i = \frac{\langle g_i, \bar g\rangle}{\lVert g_i\rVert\,\lVert\bar g\rVert}.$$
#
# 1. Two accumulators suffice, $\sum_i g_i$ and $\sum_i\lVert g_i\rVert^2$: the cost is $O(m)$, although the right-hand side runs over all pairs.
# 2. Pairs with $i = j$ count. Orthogonal gradients of equal length have $\alpha = 1/m$, not zero, so $\alpha$ depends on $m$. The paper's *m-coherence* $m\alpha$ counts the examples that a step along one example's
#    gradient helps: 1 if they are orthogonal, $m$ if they are equal.
# 3. The alignment $a_i$ says how much example $i$ agrees with the average, whatever its length. The average contains $g_i$ itself: orthogonal gradients of equal length have
#    $a_i = 1/\sqrt m$. The alignment with the mean of the *other* examples has no such share, and is computed beside it.

# %%
def coherence(pairs):
    """alpha (M,), alignments (M, m), and alignments with the mean of the *other* examples (M, m), from factored gradients."""
    mean = [a.mT @ d / a.shape[1] for a, d in pairs]  # the average gradient, one (M, p, q) per layer
    squared = sum(a.square().sum(2) * d.square().sum(2) for a, d in pairs)
    along = sum(((a @ g) * d).sum(2) for (a, d), g in zip(pairs, mean, strict=True))
    length = sum(g.square().sum((1, 2)) for g in mean)
    m, norm, average = squared.shape[1], squared.sqrt(), length[:, None]
    others = (m**2 * average - 2 * m * along + squared).clamp_min(0).sqrt()  # length of the sum without example i
    floor = torch.finfo(norm.dtype).tiny  # a fitted example may have no gradient at all; its alignment is zero
    return length / squared.mean(1), along / (norm * average.sqrt()).clamp_min(floor), (m * along - squared) / (norm * others).clamp_min(floor)


# %% [markdown]
# **Three ways to average a batch**, one coordinate at a time:
#
# * *SGD:* the mean.
# * *M3* {cite:p}`zielinski2020weak`*:* cut the batch into three micro-batches, average each, take the median of the three. What a single example wants is large in one micro-batch only, and the median drops it.
#   Three means are all it needs.
# * *Winsorised SGD* {cite:p}`chatterjee2020coherent`*:* clip the $b$ values to the $c$-th smallest and the $c$-th largest, then average. This needs every example's value. A compiled loop keeps the $c$ extremes of each
#   side in order while it runs once over the batch; it is long and stands in the same library module.

# %%
def plain_mean(a, d):
    return a.mT @ d / a.shape[1]


def m3(a, d):
    """Coordinate-wise median of three micro-batch means. a: (M, b, p), d: (M, b, q) with b divisible by 3 -> (M, p, q)."""
    thirds = [t.reshape(3 * len(t), t.shape[1] // 3, t.shape[2]) for t in (a, d)]
    low, other, high = plain_mean(*thirds).view(len(a), 3, a.shape[2], d.shape[2]).unbind(1)
    low, high = torch.minimum(low, high), torch.maximum(low, high)
    return other.clamp(low, high)


# %% [markdown]
# **Training.** The step is $\theta \leftarrow \theta - \eta\,(\text{average} + \lambda\theta)$. All seeds of all arms that share an average train as one batch of networks. Initial weights (those of `torch.nn.Linear`)
# and the order of the examples depend on the seed alone, so arms are paired. The loop is `train` of the library module, whose test compares it with `torch.optim.SGD`.

# %% [markdown]
# ## A check
#
# Factored gradients, written out, against a Python loop of `torch.autograd.grad` over single examples and against `torch.func`; the robust averages against textbook versions on written-out gradients; and a linear model whose gradients $(w^\top x_i - y_i)\,x_i$ are known by hand. (A comparison with the package backpack was planned. It needs torchvision, which the book does not install.)

# %%
torch.manual_seed(seed)
m = 30
x = torch.cat([torch.randn(1, m, 196, dtype=torch.float64), torch.ones(1, m, 1, dtype=torch.float64)], 2)
y = torch.randint(10, (1, m))
theta = initial(SIZES, [seed], torch.float64)
pairs, _ = factors(theta, x, y)
explicit = [torch.einsum("mip,miq->ipq", a, d) for a, d in pairs]  # (m, p, q) per layer


def one_loss(theta, xi, yi):
    """Cross-entropy of one example, from matrices (p, q); nothing shared with `factors`."""
    hidden = torch.relu(xi[:-1] @ theta[0][:-1] + theta[0][-1])
    return cross_entropy((hidden @ theta[1][:-1] + theta[1][-1])[None], yi[None])


def worst(ours, reference):
    return max(((o - r).abs().max() / r.abs().max()).item() for o, r in zip(ours, reference, strict=True))


leaves = [t[0].clone().requires_grad_() for t in theta]
loop = [torch.stack(g) for g in zip(*(torch.autograd.grad(one_loss(leaves, x[0, i], y[0, i]), leaves) for i in range(m)), strict=True)]
mapped = torch.func.vmap(torch.func.grad(one_loss), (None, 0, 0))([t[0] for t in theta], x[0], y[0])
page.check("factored gradients equal a loop of autograd.grad (relative)", worst(explicit, loop), tol=1e-6)
page.check("and torch.func (relative)", worst(explicit, mapped), tol=1e-6)
flat = torch.cat([g.flatten(1) for g in loop], 1)
alpha, align, others = coherence(pairs)
by_hand = torch.cosine_similarity(flat, flat.mean(0, keepdim=True))
page.check("alignments equal cosines of written-out gradients", (align[0] - by_hand).abs().max(), tol=1e-6)
by_hand = torch.stack([torch.cosine_similarity(flat[i], torch.cat([flat[:i], flat[i + 1 :]]).mean(0), dim=0) for i in range(m)])
page.check("alignments with the others likewise", (others[0] - by_hand).abs().max(), tol=1e-6)
page.check("Gram matrix equals that of written-out gradients (relative)", worst(gram(pairs), (flat @ flat.T)[None]), tol=1e-6)
page.check("M3 equals torch.median of three means (relative)", worst([m3(a, d)[0] for a, d in pairs], [g.view(3, m // 3, *g.shape[1:]).mean(1).median(0).values for g in loop]), tol=1e-6)
clipped = [torch.from_numpy(np.clip(g, (s := np.sort(g, 0))[3], s[-4]).mean(0)) for g in (g.numpy() for g in loop)]
page.check("winsorised mean, in single precision, equals sort, clip, average (relative)", worst([winsorised(a.float(), d.float())[0].double() for a, d in pairs], clipped), tol=1e-5)

# %%
w, target = torch.randn(1, 196, 1, dtype=torch.float64), torch.randn(1, m, 1, dtype=torch.float64)
residual = x[..., :-1] @ w - target
by_hand = (residual * x[..., :-1])[0]  # row i is (w.x_i - y_i) x_i
page.check("coherence of a linear model, by hand (relative)", abs(coherence([(x[..., :-1], residual)])[0].item() / (by_hand.mean(0).square().sum() / by_hand.square().sum(1).mean()).item() - 1), tol=1e-6)

# %% [markdown]
# ## The experiment
#
# | the paper | here |
# |---|---|
# | convolutional networks on ImageNet and CIFAR | an MLP 196-128-10 with ReLU on MNIST and Fashion-MNIST, images averaged to 14 × 14, the mean image subtracted, one common scale |
# | up to tens of thousands of examples for $\alpha$ | 500 fixed training examples of 2,000 |
# | real labels, several fractions of random ones | 0, 50 and 100 % of the labels replaced by uniformly random ones |
# | robust averages against SGD | SGD, M3, winsorised SGD with $c = 4$, SGD with weight decay; batch 99, 320 steps (16 epochs), half the labels random |
# | | eight seeds: each draws images, labels, initial weights and order; arms share them |
#
# A label that is replaced may be right by chance. *Corrupted* means: the label is now wrong.
#
# **Tuning** happens on a ninth seed, with half the labels random, on the grid 0.03, 0.1, 0.3. There are two aims. *To fit:* the rate with the lowest training loss after all steps; this is
# the rate of the claims. It lets SGD memorise, which is what is to be prevented, and it lets M3 memorise as much as M3 can. *To validate:* the highest accuracy on 1,000 held-out images whose labels are
# corrupted in the same way, after all steps. Weight decay is tuned in this way, over three decays for each rate. To be fair, SGD and M3 are run again at rates of this kind. Test
# data choose nothing.

# %%
N_TRAIN, N_HELD, N_TEST, WATCHED = *page.pick(smoke=(396, 100, 200), book=(2000, 1000, 2000), paper=(12_000, 2000, 10_000)), page.pick(smoke=100, book=500, paper=2000)
NET = {"sizes": SIZES, "batch": 99}
STEPS = page.pick(smoke=20, book=320, paper=5000)


def prepare(images, mean, scale):
    """(n, 28, 28) bytes -> (n, 197): averaged over 2 x 2 blocks, standardised, with the column of ones."""
    x = images.reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(-1, 196)
    x = x if mean is None else np.concatenate([(x - mean) / scale, np.ones((len(x), 1))], 1)
    return x.astype(np.float32)


def draw(data, repeats):
    """A task: x (S, train + held, 197), true labels, random labels and a random rank (S, train + held); the test set alike. S seeds."""
    rows = []
    for s in repeats:
        r = np.random.default_rng([s, 0])
        i, j = (r.choice(len(data[f"{part}_labels"]), size, replace=False) for part, size in (("train", N_TRAIN + N_HELD), ("test", N_TEST)))
        raw = prepare(data["train_images"][i[:N_TRAIN]], None, None)
        mean, scale = raw.mean(0), (raw - raw.mean(0)).std()
        rows.append((prepare(data["train_images"][i], mean, scale), prepare(data["test_images"][j], mean, scale), data["train_labels"][i].astype(int), data["test_labels"][j].astype(int),
                     r.integers(10, size=len(i)), r.permutation(len(i)) / len(i)))
    return SimpleNamespace(seeds=repeats, n=N_TRAIN, **{k: torch.from_numpy(np.stack(v)) for k, v in zip(("x", "x_test", "true", "y_test", "random", "rank"), zip(*rows, strict=True), strict=True)})


def noisy(task, fraction):
    return torch.where(task.rank < fraction, task.random, task.true)


mnist, fashion = datasets.load("mnist"), datasets.load("fashion-mnist")
repeats = seeds.spread(seed, page.pick(smoke=5, book=8, paper=20))
digits, clothes = draw(mnist, repeats), draw(fashion, repeats)
page.say(f"{mnist.provenance} {fashion.provenance} With half the labels replaced, {(noisy(digits, 0.5) != digits.true).float().mean():.0%} of the MNIST labels are corrupted.")

# %% [markdown]
# Two kinds of measurement during a run: coherence on the watched examples, below, and accuracy on everything, in the library.

# %%
def watch_coherence(task, labels):
    """alpha (M,), both alignments (M, m), loss (M,) and whether the prediction is the label (M, m), on the first WATCHED training examples."""
    x, y = task.x[:, :WATCHED].repeat(len(labels), 1, 1), labels[:, :, :WATCHED].flatten(0, 1)

    def look(k, theta):
        pairs, z = factors(theta, x, y)
        loss = cross_entropy(z.flatten(0, 1), y.flatten(), reduction="none").view(y.shape).mean(1)
        return *coherence(pairs), loss, z.argmax(2) == y

    return look


# %%
RATES, DECAYS = (0.03, 0.1, 0.3), (0.01, 0.03, 0.1)
AVERAGES = {"SGD": plain_mean, "M3": m3, "winsorised": winsorised}
trial = draw(mnist, seeds.spread(seed, 101)[-1:])
with_decay = (grid := [(eta, 0.0) for eta in RATES]) + [(eta, lam) for eta in RATES for lam in DECAYS]
tuning = {}
for name, average in encore.progress(AVERAGES.items(), "tuning"):
    settings = with_decay if name == "SGD" else grid
    labels = noisy(trial, 0.5).repeat(len(settings), 1, 1)
    tuning[name] = train(trial, labels, average, *zip(*settings, strict=True), STEPS, watch_accuracy(trial, labels), [STEPS], **NET)[1][0]  # (5, settings)
fit = {name: grid[int(t[4, :3].argmin())] for name, t in tuning.items()}
validated = {name: grid[int(tuning[name][2, :3].argmax())] for name in ("SGD", "M3")}
decayed = with_decay[3 + int(tuning["SGD"][2, 3:].argmax())]
page.say("Rates that fit best: " + ", ".join(f"{v[0]:g} ({k})" for k, v in fit.items()) + ". Rates that validate best: " + ", ".join(f"{v[0]:g} ({k})" for k, v in validated.items())
         + f". Weight decay that validates best: λ = {decayed[1]:g} at rate {decayed[0]:g}.")

# %%
coherence_at = range(0, STEPS + 1, page.pick(smoke=10, book=10, paper=50))
fractions = (0.0, 0.5, 1.0)


def run_sgd(task, chosen, eta):
    """SGD at one rate under several label fractions: the five arrays of watch_coherence, each (times, arms, seeds, ...)."""
    labels = torch.stack([noisy(task, f) for f in chosen])
    history = train(task, labels, plain_mean, [eta] * len(chosen), [0.0] * len(chosen), STEPS, watch_coherence(task, labels), coherence_at, **NET)[1]
    return [torch.stack(v).unflatten(1, labels.shape[:2]).numpy() for v in zip(*history, strict=True)]


fast, slow = fit["SGD"][0], validated["SGD"][0]
alpha, align, others, loss, right = run_sgd(digits, fractions, fast)
alpha_clothes, _, _, loss_clothes, _ = run_sgd(clothes, (0.0, 1.0), fast)
slow_align, slow_others = run_sgd(digits, (0.5,), slow)[1:3]

# %%
labels = noisy(digits, 0.5)[None]
accuracy_at = sorted({k for k in (0, 10, 20, 30, 40, 60, 80, 120, 160, 200, 260) if k < STEPS} | {STEPS})
arms = {"SGD": ("SGD", *fit["SGD"]), "M3": ("M3", *fit["M3"]), "winsorised": ("winsorised", *fit["winsorised"]), "weight decay": ("SGD", *decayed),
        "SGD, validated": ("SGD", *validated["SGD"]), "M3, validated": ("M3", *validated["M3"])}
curves = {}
for name, (average, eta, lam) in encore.progress(arms.items(), "training with half the labels random"):
    at = [STEPS] if "validated" in name else accuracy_at
    curves[name] = torch.stack(train(digits, labels, AVERAGES[average], [eta], [lam], STEPS, watch_accuracy(digits, labels), at, **NET)[1], 2).numpy()  # (5, seeds, times)

# %% [markdown]
# ## Results
#
# ### Real labels, random labels

# %%
def interval(x, digits=3):
    """mean [low, high] of (n,) as text."""
    i = mean_interval(x)
    return f"{i.value:.{digits}f} [{i.low:.{digits}f}, {i.high:.{digits}f}]"


def weighted(alpha, loss):
    """Mean of alpha over a run, each interval weighted by the drop of the loss in it (a rise counts as zero). (times, ...) -> (...)."""
    drop = np.clip(loss[:-1] - loss[1:], 0, None)
    return (drop * (alpha[:-1] + alpha[1:]) / 2).sum(0) / drop.sum(0)


def at_loss(alpha, loss, level):
    """alpha where a run's loss first falls to the level, between two measurements. (times,) each."""
    k = int((loss <= level).argmax())
    return np.interp(level, [loss[k], loss[k - 1]], [alpha[k], alpha[k - 1]])


steps = np.array(coherence_at)
fig, (left, middle) = plt.subplots(1, 2, figsize=(6.4, 3.5), sharey=True)
for i, f in enumerate(fractions):
    figures.band(left, steps, alpha[:, i].T, f"{f:.0%}", color=figures.PALETTE[i], log=True)
    middle.plot(loss[:, i].mean(1), np.exp(np.log(alpha[:, i]).mean(1)), color=figures.PALETTE[i], marker=".", markersize=3)
for ax in (left, middle):
    ax.axhline(1 / WATCHED, color=figures.PALETTE[-1], linestyle=":", linewidth=1)
left.text(STEPS, 0.9 / WATCHED, "orthogonal gradients", ha="right", va="top", fontsize=8, color=figures.PALETTE[-1])
ticks = [v for v in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1) if v > 0.5 / WATCHED and v < 2 * alpha.max()]
left.set(yscale="log", xlabel="step", ylabel="coherence α", ylim=(0.6 / WATCHED, None), yticks=ticks, yticklabels=[f"{v:g}" for v in ticks])
left.minorticks_off()
left.legend(title="random labels")
middle.set(xlabel="training loss (nats)")
middle.invert_xaxis()
second = middle.secondary_yaxis("right", functions=(lambda v: v * WATCHED, lambda v: v / WATCHED))
second.set(ylabel=f"m-coherence, m = {WATCHED}", yticks=(counts := [c for c in (1, 2, 5, 10, 20) if c < 2 * WATCHED * alpha.max()]), yticklabels=counts)
second.minorticks_off()
page.figure(fig, "coherence", caption="Coherence of 500 per-example gradients of SGD on MNIST. Left: against the step, geometric mean over seeds with 95 % band. Right: the same means against the training loss; time runs to the right.",
            alt="Two panels, logarithmic vertical axis, one curve each for 0, 50 and 100 per cent random labels. True labels start far above the others and fall within a few dozen steps to the line of orthogonal gradients; with random labels coherence starts low and then rises slowly to twice that line.")
# %%
mean_alpha, mean_alpha_clothes = weighted(alpha, loss), weighted(alpha_clothes, loss_clothes)  # (arms, seeds)
page.claim("real-vs-random", encore.higher(mean_alpha[0], mean_alpha[2]), encore.higher(mean_alpha_clothes[0], mean_alpha_clothes[1]))
shared = loss[:, 2].min(0).max()  # the loss that every random-label run reaches
level = (loss[0].max() + shared) / 2
matched = np.array([[at_loss(alpha[:, i, s], loss[:, i, s], level) for s in range(len(repeats))] for i in range(3)])
late = alpha[len(steps) // 2 :].mean(0)  # (3, seeds), second half of the run
page.say(f"Weighted by where the loss falls, α is {interval(mean_alpha[0], 4)} on true, {interval(mean_alpha[1], 4)} on half random and {interval(mean_alpha[2], 4)} on random labels; on Fashion-MNIST it is {interval(mean_alpha_clothes[0], 4)} and {interval(mean_alpha_clothes[1], 4)}. "
         f"As m-coherence on MNIST: {mean_alpha[0].mean() * WATCHED:.1f}, {mean_alpha[1].mean() * WATCHED:.1f} and {mean_alpha[2].mean() * WATCHED:.1f}.")
page.say(f"Runs are also at different losses. At the same training loss of {level:.2f}, the values are {interval(matched[0], 4)}, {interval(matched[1], 4)} and {interval(matched[2], 4)}: "
         + ("true labels lead here too." if mean_interval(matched[0] - matched[2]).low > 0 else "the lead of true labels is not seen here.")
         + f" In the second half of the run α is {late[0].mean():.4f}, {late[1].mean():.4f} and {late[2].mean():.4f}"
         + (": the order has turned round. Once true labels are fitted, little is left to agree on; a single value of α late in training does not tell which network generalises." if late[0].mean() < late[2].mean() else "."))

# %% [markdown]
# ### Who agrees with the average?

# %%
clean = (noisy(digits, 0.5) == digits.true)[:, :WATCHED].numpy()  # (seeds, m)
early = steps <= STEPS / 3
by_group, by_others, by_slow, by_slow_others = (np.array([[v[early, s][:, g].mean() for s, g in enumerate(groups)] for groups in (clean, ~clean)])
                                                for v in (align[:, 1], others[:, 1], slow_align[:, 0], slow_others[:, 0]))  # (2, seeds) each
first_fit = np.where(right[:, 1].any(0), steps[right[:, 1].argmax(0)], STEPS)  # (seeds, m); never fitted counts as the last step
medians = np.array([[np.median(first_fit[s][g]) for s, g in enumerate(groups)] for groups in (clean, ~clean)])
fig, (left, other) = plt.subplots(1, 2, figsize=(6.4, 3.3))
bins = np.linspace(-0.4, 0.6, 41)
for i, (name, g) in enumerate((("clean", clean), ("corrupted", ~clean))):
    left.hist(align[1, 1][g], bins=bins, density=True, histtype="stepfilled", alpha=0.4, edgecolor=figures.PALETTE[i], facecolor=figures.PALETTE[i], label=name)
    for values, rate, style in ((align[:, 1], fast, "-"), (slow_align[:, 0], slow, "--")):
        series = np.array([values[:, s][:, row].mean(1) for s, row in enumerate(g)])
        figures.band(other, steps, series, f"{name}, η = {rate:g}", color=figures.PALETTE[i]).set_linestyle(style)
other.axvline(STEPS / 3, color=figures.PALETTE[-1], linewidth=1, linestyle=":")
other.axhline(WATCHED**-0.5, color=figures.PALETTE[-1], linewidth=1, linestyle="-.")
left.set(xlabel="alignment $a_i$ (cosine)", ylabel="density", title=f"step {steps[1]}, η = {fast:g}")
other.set(xlabel="step", ylabel="mean alignment", ylim=(None, 1.45 * other.get_ylim()[1]))
other.legend(fontsize=8, loc="upper right")
left.legend()
page.figure(fig, "alignment", caption="Alignment of each example's gradient with the average, half the labels random. Left: all watched examples of all seeds, early in training. Right: mean per group with 95 % band over seeds; dotted: end of the first third; dash-dotted: $1/\\sqrt{m}$, an example's own share if gradients are orthogonal. The slower rate (dashed) was added after the verdict was known.",
            alt="Left, two overlapping histograms; the clean examples reach further to the right. Right, mean alignment against the step. At the fast rate clean examples start far above corrupted ones and drop below them within a few dozen steps; at the slower rate they keep a lead for longer.")
page.claim("clean-first", encore.higher(*by_group), encore.higher(medians[1], medians[0]))
never = [(~right[:, 1].any(0))[g].mean() for g in (clean, ~clean)]
page.say(f"In the first third of training the mean alignment is {interval(by_group[0])} for clean and {interval(by_group[1])} for corrupted examples. Half of the clean examples have been fitted at step {medians[0].mean():.0f}, half of the corrupted at "
         f"step {medians[1].mean():.0f}. Never fitted, and counted as fitted at the last step: {never[0]:.1%} and {never[1]:.1%}.")
gap = (align[:, 1] * clean).sum(2) / clean.sum(1) - (align[:, 1] * ~clean).sum(2) / (~clean).sum(1)
crossed = (gap.mean(1) < 0) & (steps > 0)
page.say((f"The advantage of clean examples turns round at step {steps[crossed][0]}: by then most are fitted, and the average gradient belongs to the corrupted ones." if crossed.any() else "The advantage of clean examples lasts to the end of the run.")
         + f" At the slower rate, η = {slow:g}, the means over the first third are {interval(by_slow[0])} and {interval(by_slow[1])}, a difference of {interval(by_slow[0] - by_slow[1])}.")
page.say(f"An example's own share in the average, {WATCHED**-0.5:.3f} for orthogonal gradients of equal length, flatters those with large gradients. Aligned with the mean of the *others*, clean examples have {interval(by_others[0])} and corrupted ones {interval(by_others[1])}, "
         f"a difference of {interval(by_others[0] - by_others[1])}; at the slower rate the difference is {interval(by_slow_others[0] - by_slow_others[1])}. These numbers were looked at after the verdict.")

# %% [markdown]
# ### Robust averages against wrong labels

# %%
fig, panels = plt.subplots(1, 2, figsize=(6.4, 3.5), sharey=True)
for i, name in enumerate(names := ("SGD", "M3", "winsorised", "weight decay")):
    for ax, part in zip(panels, (0, 1), strict=True):
        figures.band(ax, accuracy_at, 100 * curves[name][part], name, color=figures.PALETTE[(1, 0, 2, 3)[i]])
for ax, title in zip(panels, ("clean labels", "corrupted labels"), strict=True):
    ax.axhline(10, color=figures.PALETTE[-1], linewidth=1, linestyle=":")
    ax.set(xlabel="step", title=title, ylim=(0, 103))
panels[0].set_ylabel("training accuracy (%)")
panels[0].legend(loc="lower right")
page.figure(fig, "robust", caption="Accuracy on the training labels, half of them random (MNIST), eight seeds with 95 % band. Dotted: guessing. SGD, M3 and winsorised SGD at the rate that fits best; weight decay as validated.",
            alt="Left: accuracy on clean labels, all methods rise within the first tenth of training. Right: accuracy on corrupted labels; SGD rises furthest, M3 stays a little below it, and weight decay stays near the bottom.")
SHARE = 0.85
best_clean = np.max([curves[name][0].max(1) for name in names], axis=0)  # (seeds,) over methods and steps


def corrupted_at(name, level):
    """Accuracy on corrupted labels where a method's clean accuracy first reaches the level (seeds,); at the end if it never does."""
    out = curves[name][1, :, -1].copy()
    for s in range(len(repeats)):
        c, w = curves[name][0, s], curves[name][1, s]
        if (c >= level[s]).any() and (k := int((c >= level[s]).argmax())):
            out[s] = np.interp(level[s], [c[k - 1], c[k]], [w[k - 1], w[k]])
    return out


same_clean = {name: corrupted_at(name, SHARE * best_clean) for name in names}
end = {name: c[:, :, -1] for name, c in curves.items()}  # (5, seeds)
page.claim("robust-mean", encore.lower(same_clean["M3"], same_clean["SGD"]), encore.lower(end["M3"][1], end["SGD"][1]))
page.say(f"When {SHARE:.0%} of the best clean accuracy is reached, {same_clean['SGD'].mean():.1%} of the corrupted labels are fitted by SGD and {same_clean['M3'].mean():.1%} by M3, a difference of {interval(100 * (same_clean['M3'] - same_clean['SGD']), 2)} points. "
         f"At the end it is {end['SGD'][1].mean():.1%} and {end['M3'][1].mean():.1%}, a difference of {interval(100 * (end['M3'][1] - end['SGD'][1]), 1)} points. Winsorised SGD ends at {end['winsorised'][1].mean():.1%}, weight decay at {end['weight decay'][1].mean():.1%}.")

# %% [markdown]
# Does less memorisation mean better tests? *Stopped early* takes each run's test accuracy at the step at which its accuracy on held-out, corrupted labels is highest.

# %%
stopped = {name: np.take_along_axis(curves[name][3], curves[name][2].argmax(1)[:, None], 1)[:, 0] for name in names}
fig, ax = plt.subplots(figsize=(6.4, 3.3))
for i, name in enumerate(rows := ("SGD", "M3", "winsorised", "SGD, validated", "M3, validated", "weight decay")):
    for values, marker, colour, shift in ((end[name][3], "o", figures.PALETTE[0], 0.12), (stopped.get(name), "s", figures.PALETTE[1], -0.12)):
        if values is not None:
            v = mean_interval(100 * values)
            ax.plot([v.low, v.high], [i + shift] * 2, color=colour, linewidth=2)
            ax.plot(v.value, i + shift, marker, color=colour, label=("at the end", "stopped early")[marker == "s"] if i == 0 else None)
ax.set(yticks=range(len(rows)), yticklabels=rows, xlabel="test accuracy (%)", ylim=(len(rows) - 0.5, -0.5))
ax.legend(loc="lower left")
page.figure(fig, "test-accuracy", caption="Test accuracy after training with half the labels random (MNIST): mean over eight seeds with 95 % interval.",
            alt="Six rows of points with intervals. At the end SGD and M3 at the fitting rate are far to the left, at the validated rate and with weight decay far to the right. Stopped early, all lie close together on the right.")
test_end, compared = {name: 100 * e[3] for name, e in end.items()}, [("M3", "SGD"), ("winsorised", "SGD"), ("M3, validated", "SGD, validated"), ("M3", "weight decay"), ("M3, validated", "weight decay")]
page.say("Differences of test accuracy at the end, in points: " + "; ".join(f"{a} minus {b}: {interval(test_end[a] - test_end[b], 1)}" for a, b in compared) + ".")
rival = mean_interval(test_end["M3, validated"] - test_end["weight decay"])
page.say(f"Stopped early, M3 minus SGD is {interval(100 * (stopped['M3'] - stopped['SGD']), 1)} points. "
         + ("Against weight decay, tuned with the same care, M3 has no advantage: what it does here, ordinary regularisation does better." if rival.high < 0 else
            "M3 is better than weight decay that is tuned with the same care." if rival.low > 0 else "Between M3 and weight decay, tuned with the same care, no difference can be told."))

# %% [markdown]
# ### The identities
#
# A batch of $b$ examples drawn with replacement has the gradient $\frac1b\sum g$. Its coherence follows from that of the examples:
#
# $$\alpha_b = \frac{b\,\alpha}{1 + (b-1)\,\alpha} .$$
#
# Both sides, and the two formulas for $\alpha$, are compared on the gradients of networks after a few steps. The numerator of the sampled $\alpha_b$ is the mean over pairs of *different* batches,
# since batches are drawn anew and the expectation of the mean gradient is wanted; its standard error is that of the ratio's linearisation.

# %%
part = noisy(digits, 0.5)[None]
theta, _ = train(digits, part, plain_mean, [0.1], [0.0], page.pick(smoke=5, book=30, paper=30), None, (), **NET)
pairs, _ = factors([t.double() for t in theta], digits.x[:, :WATCHED].double(), part[0, :, :WATCHED])
K = gram(pairs).numpy()  # (seeds, m, m)
accumulated = coherence(pairs)[0].numpy()
pairwise = K.mean((1, 2)) / K.diagonal(axis1=1, axis2=2).mean(1)
Q = torch.linalg.qr(torch.randn(WATCHED, WATCHED, dtype=torch.float64))[0][None]
single = torch.ones(1, WATCHED, 1, dtype=torch.float64)  # with delta = 1 the gradients are the rows of a
sets = {"orthonormal": (Q, 1), "equal": (Q[:, :1].expand(1, WATCHED, WATCHED), WATCHED), "mean zero": (torch.cat([Q[:, ::2], -Q[:, ::2]], 1), 0)}
extremes = [abs(WATCHED * coherence([(a, single)])[0].item() - expected) for a, expected in sets.values()]

# %%
rng, B, a1 = np.random.default_rng(seeds.spread(seed, 1)), page.pick(smoke=500, book=20_000, paper=200_000), float(accumulated[0])
distances, lines = [], []
for b in (2, 8, 32):
    weight = rng.multinomial(b, np.full(WATCHED, 1 / WATCHED), size=B) / b  # row: how often each example is in the batch, over b
    with_K = weight @ K[0]
    squared, along = (with_K * weight).sum(1), with_K @ weight.mean(0)  # |g_B|^2 and <g_B, mean of all batches>
    numerator = (B * along.sum() - squared.sum()) / (B * (B - 1))
    sampled = numerator / squared.mean()
    error = np.std((2 * (along - along.mean()) - sampled * (squared - squared.mean())) / squared.mean(), ddof=1) / B**0.5
    formula = b * a1 / (1 + (b - 1) * a1)
    distances.append(abs(sampled - formula) / error)
    lines.append(f"{sampled:.4f} against {formula:.4f} ({distances[-1]:.1f} standard errors) for b = {b}")
page.claim("identities", encore.exact(pairwise / accumulated - 1), encore.exact(extremes), encore.bound(distances, 3))
page.say(f"Pairs and accumulators agree to {abs(pairwise / accumulated - 1).max():.0e}. m-coherence is within {max(extremes):.0e} of 1, m and 0 for orthonormal gradients, for equal ones and for a set whose mean is zero. Over {B:,} batches α_b is "
         + ", ".join(lines) + f"; single examples have α = {a1:.4f}.")

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
page.verdict()

# %% [markdown]
# ## What this page does not show
#
# * *Sizes.* One small network. m-coherence depends on the number of examples watched, and the paper's values are for tens of thousands. Only the signs can be compared.
# * *Coherence is a matter of timing.* True labels have their high coherence at the start, while the loss falls. With random labels coherence starts near that of orthogonal gradients and *rises* during memorisation.
#   The authors found the same on large networks {cite:p}`chatterjee2020making`; late in a run the order is the reverse of the early one, so it matters when one looks.
# * *Clean first.* The registered window is a third of the run. At the rate that fits best, clean examples are fitted within a few measurements, so the window mostly shows what comes after. The slower rate and the
#   alignment with the others were looked at afterwards. They show what the verdict hangs on and do not change it. Once clean examples are fitted, most of what is measured as alignment is an example's own share in the average.
# * *The robust mean.* Where the first test looks, nobody has memorised anything: accuracy on wrong labels is *below* guessing, because the networks predict the true ones. There is no room for a difference. It appears later.
# * *The rate decides if there is anything to prevent.* At the rate that validates best, plain SGD hardly memorises in the time given, and M3 changes nothing. We chose the rate of the claims by the training loss
#   because the claims are about memorisation; the paper's way of choosing it is not known to us.
# * *Small batches.* A micro-batch has few examples of each class. Whether M3 does more with larger ones was not tried. For winsorised SGD $c$ was not tuned; it also stands outside the claims.
# * *Length.* Runs stop while SGD is still memorising. Longer ones, tried first and cut for time, end with more corrupted labels fitted and give the same verdicts.
# * Each rate was chosen on a single seed. Weight decay was tuned over a rate and a strength, M3 over its only knob, the rate.
# * What M3 and winsorising are was established from the earlier papers of the authors. The full text of this one was not available to us beyond its first pages. Of Fashion-MNIST the first 15,000 training images are used.

# %% [markdown]
# ## Exercises
#
# :::{exercise}
# :label: coherent-gradients-ex1
# Take the median of five micro-batch means instead of three. Does it hold back the corrupted labels more, and what does it cost on the clean ones?
# :::

# %% tags=["hide-cell", "solution"]
def median_of_means(groups):
    def average(a, d):
        parts = zip(a.tensor_split(groups, 1), d.tensor_split(groups, 1), strict=True)
        return torch.from_numpy(np.sort(np.stack([plain_mean(*part).numpy() for part in parts]), 0)[groups // 2])

    return average


few = SimpleNamespace(n=digits.n, **{k: v[:2] for k, v in vars(digits).items() if k != "n"})
few_labels, last = noisy(few, 0.5)[None], page.pick(smoke=5, book=200, paper=2000)
for groups in (1, 3, 5):
    result = train(few, few_labels, median_of_means(groups), [fit["SGD"][0]], [0.0], last, watch_accuracy(few, few_labels), [last], **NET)[1][0].mean(1)
    page.say(f"{groups} micro-batches, mean of two seeds after {last} steps: clean {result[0]:.1%}, corrupted {result[1]:.1%}, test {result[3]:.1%}")

# %% [markdown]
# :::{exercise}
# :label: coherent-gradients-ex2
# Change the width of the hidden layer from 128 to 32 and to 512. What happens to the coherence on random labels, at the same training loss?
# :::
#
# :::{exercise}
# :label: coherent-gradients-ex3
# Sort the examples of a run on true labels by the step at which they are first fitted. Remove the last tenth, train again, and measure $\alpha$. Do the same with a random tenth.
# :::

# %% [markdown]
# ## References
#
# The paper: {cite:p}`chatterjee2022generalization`. The hypothesis and winsorised SGD: {cite:p}`chatterjee2020coherent`. M3: {cite:p}`zielinski2020weak`. m-coherence and its rise on random labels:
# {cite:p}`chatterjee2020making`. The same network fits random labels: {cite:p}`zhang2017understanding`. Data: {cite:p}`lecun1998gradient` and {cite:p}`xiao2017fashion`. Related pages: `opposing-signals`,
# `loss-based-reweighting`, `sgd-dynamical-stability`.

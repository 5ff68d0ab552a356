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
# # Grokking at the Edge of Numerical Stability

# %% [markdown]
# ## The idea
#
# *Grokking* is late generalisation: a net fits its training data at once and answers unseen inputs correctly only much later {cite:p}`power2022grokking`. It usually
# needs weight decay. Why does it not happen without?
#
# {cite:p}`prieto2025grokking` point at arithmetic. Once every training example is classified correctly, the cross-entropy still falls if all logits grow by
# a common factor, and the gradient takes this easy road. Nothing new is learned on it. It ends where the softmax rounds to exactly one: loss and gradient of the
# correct class become exact zeros (*softmax collapse*). The paper has two cures. *StableMax* replaces the exponential by a function that grows slowly.
# *⊥Grad* (perpGrad) removes from each gradient the component along the weights, the one that only scales.

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

import encore
from encore import figures, seeds
from encore.bases.modular_arithmetic import Table
from encore.stats import mean_interval

page = encore.open("dynamics/softmax-collapse-grokking", profile, seed)
table = Table(page.pick(smoke=11, book=23, paper=113))
width, share = page.pick(smoke=16, book=128, paper=200), page.pick(smoke=0.9, book=0.9, paper=0.4)

# %% [markdown]
# **Softmax collapse.** With logits $z$ and correct class $y$ the loss is $\log \sum_k e^{z_k - z_y}$. The term $k = y$ is 1. In floating point with spacing $\varepsilon$ above 1,
# whatever is smaller than $\varepsilon/2$ vanishes when it is added to 1. So the sum is *exactly* 1 and the loss *exactly* 0 once the other logits lie about
#
# $$ -\log(\varepsilon/2) \approx 7.6 \text{ (float16)}, \quad 16.6 \text{ (float32)}, \quad 36.7 \text{ (float64)} $$
#
# below the correct one. The gradient $p_y - 1$ of the correct logit is then 0 as well.
#
# 1. The gradients $p_k$ of the *wrong* logits are not rounded away. They are tiny, but not zero. Collapse stops half of the signal.
# 2. The loss is evaluated in the precision under test; the network itself is float32 always.
#
# **StableMax** is $s(z_i)/\sum_j s(z_j)$ with $s(z) = z + 1$ for $z \ge 0$ and $1/(1-z)$ below. It is the softmax of $h(z) = \operatorname{sign}(z) \log(1 + |z|)$.

# %%
def softmax_loss(z, y, dtype):
    """Cross-entropy in `dtype`. z: (..., n, K) logits, y: (..., n) classes. Returns losses (..., n) and their gradient in z, (..., n, K)."""
    z, at_y = z.to(dtype), y[..., None]
    e = (z - z.amax(-1, keepdim=True)).exp()
    total = e.sum(-1, keepdim=True)
    losses = (total.log() - (z.gather(-1, at_y) - z.amax(-1, keepdim=True)))[..., 0]
    return losses, (e / total).scatter_add_(-1, at_y, -torch.ones_like(total))


def s(z):
    return torch.where(z >= 0, 1 + z, 1 / (1 + z.abs()))


def stablemax_loss(z, y, dtype):
    """The same with StableMax; s' is 1 for z >= 0 and s^2 below."""
    z, at_y = z.to(dtype), y[..., None]
    value = s(z)
    slope, total, of_y = torch.where(z >= 0, 1.0, value**2), value.sum(-1, keepdim=True), value.gather(-1, at_y)
    return (total / of_y).log()[..., 0], (slope / total).scatter_add_(-1, at_y, -slope.gather(-1, at_y) / of_y)


# %% [markdown]
# **The network** has two hidden ReLU layers and no biases. The input is one-hot in both summands, so the first layer adds two rows of $W_1$, and its gradient is
# scattered back to those rows. Several networks of different seeds run side by side in batched products. Without biases $f(c\,\theta) = c^3 f(\theta)$: the direction of
# $\theta$ itself scales the logits and changes no prediction. This is the *naïve* direction.

# %%
def forward(W, a, b):
    """W: W1 (R, 2p, width), W2 (R, width, width), W3 (R, width, p); a, b: (R, n) rows of the stacked W1. Returns both hidden layers and the logits."""
    rows = W[0].reshape(-1, W[0].shape[-1])
    x1 = (rows[a.reshape(-1)] + rows[b.reshape(-1)]).view(*a.shape, -1).relu_()
    x2 = (x1 @ W[1]).relu_()
    return x1, x2, x2 @ W[2]


def backward(W, a, b, x1, x2, dz, G):
    """Writes the gradients of the three layers into G, given dz = d loss / d logits, (R, n, p)."""
    G[2].copy_(x2.mT @ dz)
    d2 = (dz @ W[2].mT).mul_(x2 > 0)
    G[1].copy_(x1.mT @ d2)
    d1 = (d2 @ W[1].mT).mul_(x1 > 0).view(-1, x1.shape[-1])
    rows = torch.zeros_like(W[0]).view(-1, x1.shape[-1])
    rows.index_add_(0, a.reshape(-1), d1)
    rows.index_add_(0, b.reshape(-1), d1)
    G[0].copy_(rows.view_as(W[0]))


# %% [markdown]
# **⊥Grad** changes one thing: before the optimiser sees the gradient $g$ of a weight matrix $\theta$,
#
# $$ g \leftarrow g - \frac{\langle g, \theta\rangle}{\lVert\theta\rVert^2}\,\theta . $$
#
# 3. The optimiser is AdamW for all conditions. Its $\epsilon$ must be far below the gradients in question: with the usual $10^{-8}$ Adam itself silences them,
#    and one measures that instead of the softmax. The authors' scripts use values like our $10^{-30}$.
# 4. Weight decay is zero except in the condition that is named after it.

# %%
def perp_grad(G, W):
    for g, w in zip(G, W, strict=True):
        g -= (g * w).sum((1, 2), keepdim=True) / (w * w).sum((1, 2), keepdim=True) * w


def initial(run_seeds, dtype=torch.float32):
    """(R, P): uniform in +-1/sqrt(fan in), all three layers of each network in one row; and a function that cuts rows into layers."""
    shapes = [(2 * table.p, width), (width, width), (width, table.p)]
    sizes = [i * o for i, o in shapes]
    theta = torch.empty(len(run_seeds), sum(sizes), dtype=dtype)
    for row, r in zip(theta, run_seeds, strict=True):
        g = torch.Generator().manual_seed(r)
        row.copy_(torch.cat([(2 * torch.rand(i * o, generator=g) - 1) / i**0.5 for i, o in shapes]))
    return theta, lambda v: [part.view(-1, *shape) for part, shape in zip(v.split(sizes, 1), shapes, strict=True)]


BETA1, BETA2, EPS = 0.9, 0.99, 1e-30


def adamw(theta, grad, m, v, k, rate, decay):
    m.lerp_(grad, 1 - BETA1)
    v.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
    step = (m / (1 - BETA1 ** (k + 1))) / ((v / (1 - BETA2 ** (k + 1))).sqrt_() + EPS)
    theta.mul_(1 - rate * decay).sub_(rate * step)


# %%
def train(condition, runs, steps, until=lambda best: False, every=5, dtype=torch.float32):
    """Full-batch training of R networks. condition: (loss, its dtype, perp); runs: R times (seed, rate, decay).

    Stops early if `until` of the best test accuracies so far, (R,), is true. Returns a namespace: theta, final training logits and labels,
    and at every `every` steps `step` (t,), and (t, R): train, test (accuracies), collapsed (share of losses == 0), gap (median of z_y minus the largest
    other logit), cosine (of minus the gradient with theta).
    """
    loss, precision, perp = condition
    run_seeds, rate, decay = zip(*runs, strict=True)
    rate, decay = (torch.tensor(x, dtype=dtype)[:, None] for x in (rate, decay))
    rows = table.pairs + torch.tensor([0, table.p])
    chosen = table.split(share, run_seeds)
    shift = 2 * table.p * torch.arange(len(runs))[:, None]
    (a, b, y), (ta, tb, ty) = ((rows[c][..., 0] + shift, rows[c][..., 1] + shift, table.labels[c]) for c in chosen)
    theta, layers = initial(run_seeds, dtype)
    grad, m, v = (torch.zeros_like(theta) for _ in range(3))
    W, G, log, best = layers(theta), layers(grad), [], torch.zeros(len(runs))
    for k in range(steps + 1):
        x1, x2, z = forward(W, a, b)
        losses, dz = loss(z, y, precision)
        backward(W, a, b, x1, x2, dz.to(dtype) / y.shape[1], G)
        if k % every == 0 or k == steps:
            accuracy = [(logits.argmax(-1) == true).float().mean(1) for logits, true in ((z, y), (forward(W, ta, tb)[2], ty))]
            log.append((k, torch.stack([*accuracy, (losses == 0).float().mean(1), margin(z, y).median(1).values, cosine(-grad, theta)])))
            best = torch.maximum(best, accuracy[1])
            if k == steps or until(best):
                break
        if perp:
            perp_grad(G, W)
        adamw(theta, grad, m, v, k, rate, decay)
    series = torch.stack([values for _, values in log], 1).double().numpy()
    return SimpleNamespace(theta=theta, logits=z, labels=y, step=np.array([k for k, _ in log]), **dict(zip(("train", "test", "collapsed", "gap", "cosine"), series, strict=True)))


# %%
def margin(z, y):
    at_y = y[..., None]
    return z.gather(-1, at_y)[..., 0] - z.scatter(-1, at_y, -torch.inf).amax(-1)


def cosine(u, v):
    return (u * v).sum(1) / (u.norm(dim=1) * v.norm(dim=1)).clamp_min(1e-38)


# %% [markdown]
# ## A check
#
# The zero detector against neighbours in the floating-point numbers, the gradient of StableMax by `gradcheck`, the whole backward pass by autograd,
# AdamW by `torch.optim.AdamW`, and networks trained together against the same networks trained alone.

# %%
class Wrapped(torch.autograd.Function):
    """Our StableMax loss and our gradient, as autograd sees them."""

    @staticmethod
    def forward(ctx, z, y):
        losses, dz = stablemax_loss(z, y, z.dtype)
        ctx.save_for_backward(dz)
        return losses

    @staticmethod
    def backward(ctx, upstream):
        return upstream[..., None] * ctx.saved_tensors[0], None


wrong = 0
for kind, dtype in ((np.float32, torch.float32), (np.float64, torch.float64)):
    for gap in np.linspace(10, 45, 701):
        absorbed = kind(1) + np.exp(kind(-gap)) < np.nextafter(kind(1), kind(2))
        found = softmax_loss(torch.tensor([[0.0, -float(kind(gap))]]), torch.tensor([0]), dtype)[0].item() == 0
        wrong += found != absorbed
page.check("zero loss equals absorption below the next number after one (disagreements in 1402 two-class logits)", wrong, tol=0)

g = torch.Generator().manual_seed(seed)
z, y = 3 * torch.randn(20, 7, generator=g, dtype=torch.float64), torch.randint(7, (20,), generator=g)
page.check("gradient of StableMax passes gradcheck", 0 if torch.autograd.gradcheck(lambda z: Wrapped.apply(z, y), (z.requires_grad_(),)) else 1, tol=0)

# %%
repeats = seeds.spread(seed, 13)
evaluation, tuning = repeats[:10], repeats[10:]
errors, moved = [], []
for loss in (softmax_loss, stablemax_loss):
    runs = [(r, 0.01, 0.1) for r in evaluation[:5]]
    together = train((loss, torch.float64, False), runs, 20, dtype=torch.float64)
    alone = torch.cat([train((loss, torch.float64, False), [run], 20, dtype=torch.float64).theta for run in runs])
    moved.append((together.theta - alone).abs().max().item())
    theta, layers = initial(evaluation[:1], torch.float64)
    rows, y = table.one_hot(torch.float64)[table.split(share, evaluation[:1])[0][0]], table.labels[table.split(share, evaluation[:1])[0][0]]
    theta.requires_grad_()
    optimizer = torch.optim.AdamW([theta], lr=0.01, betas=(BETA1, BETA2), eps=EPS, weight_decay=0.1)
    for _ in range(20):
        W = layers(theta)
        logits = ((rows @ W[0][0]).relu() @ W[1][0]).relu() @ W[2][0]
        values = torch.nn.functional.cross_entropy(logits, y) if loss is softmax_loss else (s(logits).sum(1) / s(logits)[range(len(y)), y]).log().mean()
        optimizer.zero_grad()
        values.backward()
        optimizer.step()
    errors.append((theta[0] - together.theta[0]).abs().max().item())
page.check("20 steps equal dense autograd with torch.optim.AdamW, both losses (weights)", max(errors), tol=1e-5)
page.check("five networks together equal five alone after 20 steps (weights)", max(moved), tol=1e-5)

# %% [markdown]
# ## The experiment
#
# | the paper | here |
# |---|---|
# | addition modulo 113, 40 % of the table for training | modulo 23, 90 %: from a small table a small share does not generalise at all |
# | MLP with two hidden layers of 200, also a transformer, sparse parity, MNIST | two hidden layers of 128, no biases, this task only |
# | AdamW on the full batch, tiny $\epsilon$, up to $10^5$ steps | the same ($\beta = 0.9, 0.99$, $\epsilon = 10^{-30}$), at most 2,500 steps; 400 for ⊥Grad and weight decay |
# | StableMax with its loss in float64, in the scripts we saw | StableMax in float32, as registered |
# | one run per curve | five seeds (splits and weights), ten where runs are short; paired across conditions |
#
# **Tuning.** Every condition has the same grid of step sizes, on other seeds with their own splits (three where a trial is short, one where it is long); weight decay adds its own grid. The best
# setting is the first with which *every* tuning seed has reached 95 % of its held-out pairs. If none gets there, StableMax takes the highest mean accuracy at the end. Plain cross-entropy takes the smallest
# step size at which more than half of the losses are exact zeros at some time, so that there is a collapse to study (if there is none, the most accurate).

# %%
CONDITIONS = {
    "cross-entropy": (softmax_loss, torch.float32, False),
    "StableMax": (stablemax_loss, torch.float32, False),
    "⊥Grad": (softmax_loss, torch.float32, True),
    "weight decay": (softmax_loss, torch.float32, False),
}
RATES, DECAYS = (0.01, 0.03, 0.1, 0.3), (0.3, 1.0, 3.0, 10.0)
budget, trial = page.pick(smoke=20, book=2500, paper=100_000), page.pick(smoke=10, book=1400, paper=50_000)
chosen = {}
for name, condition in encore.progress(CONDITIONS.items(), "tuning"):
    slow = name in ("cross-entropy", "StableMax")  # neither generalises within a trial: one seed tells as much as three
    settings = [(r, d) for r in RATES for d in (DECAYS if name == "weight decay" else (0.0,))]
    shape = (len(settings), 1 if slow else len(tuning))
    runs = [(t, *setting) for setting in settings for t in tuning[: shape[1]]]
    found = train(condition, runs, trial, lambda best, shape=shape: bool((best.view(shape) >= 0.95).all(1).any()))
    reached, final = (found.test.max(0) >= 0.95).reshape(shape).all(1), found.test[-1].reshape(shape).mean(1)
    if not reached.any() and name == "cross-entropy":
        reached = (found.collapsed.max(0) > 0.5).reshape(shape).all(1)
    best = int(reached.argmax() if reached.any() else final.argmax())
    chosen[name] = settings[best]
    page.say(f"{name}: step size {settings[best][0]:g}" + (f", weight decay {settings[best][1]:g}" if settings[best][1] else "")
             + f"; after {found.step[-1]} steps the grid's held-out accuracies run from {final.min():.2f} to {final.max():.2f}.")

# %%
cap = page.pick(smoke=20, book=400, paper=100_000)  # for the two conditions that are quick
five = [(r, *chosen["cross-entropy"]) for r in evaluation[:5]]
plain = {}
for name, precision, steps in (("float16", torch.float16, budget // 10), ("float32", torch.float32, budget), ("float64", torch.float64, budget)):
    plain[name] = train((softmax_loss, precision, False), five, steps)
stable = train(CONDITIONS["StableMax"], [(r, *chosen["StableMax"]) for r in evaluation[:5]], budget)
fast = {name: train(CONDITIONS[name], [(r, *chosen[name]) for r in evaluation], cap, lambda best: bool((best >= 0.99).all()), every=1) for name in ("⊥Grad", "weight decay")}

shown = {"cross-entropy, float32": plain["float32"], "cross-entropy, float64": plain["float64"], "StableMax": stable, **fast}
colours = dict(zip(shown, figures.PALETTE, strict=False))


def first(run, series, above):
    """Steps until a series of a run exceeds `above`, for each seed, (R,); the length of the run if it never does."""
    over = getattr(run, series) > above
    return np.where(over.any(0), np.maximum(run.step[over.argmax(0)], 1), run.step[-1])


# %% [markdown]
# ## Results
#
# ### Who generalises

# %%
fig, panels = plt.subplots(1, 2, figsize=(6.4, 3.9), sharey=True)
for ax, series in zip(panels, ("train", "test"), strict=True):
    for name, run in shown.items():
        late = run.step >= 5
        thin = np.unique(np.searchsorted(run.step[late], np.geomspace(5, run.step[-1], 70).clip(max=run.step[-1])))
        figures.band(ax, run.step[late][thin], getattr(run, series)[late][thin].T, name, color=colours[name])
    ax.set(xscale="log", xlabel="step", title=f"{series} accuracy", ylim=(-0.05, 1.05))
panels[0].set_ylabel("share of pairs answered correctly")
fig.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
page.figure(fig, "accuracy", caption="Accuracy on training and held-out pairs; mean with 95 % band over five seeds (ten for ⊥Grad and weight decay). A condition ends when every seed has been above 99 %.",
            alt="Left: all conditions fit the training pairs within some hundred steps. Right: perpGrad and weight decay climb to full test accuracy early; StableMax starts to climb only after hundreds of steps; both precisions of cross-entropy stay near zero.")

# %%
stall, ours = plain["float32"].test[-1], stable.test[-1]
page.claim("stablemax-groks", encore.higher(ours, stall))
gain, none = mean_interval(ours - stall), plain["float64"]
fitted = min(plain["float32"].train[-1].min(), stable.train[-1].min())
page.say(f"After {budget} steps StableMax answers {ours.mean():.3f} of the held-out pairs (best seed {ours.max():.3f}), cross-entropy {stall.mean():.3f}: a difference of {gain.value:.3f} [{gain.low:.3f}, {gain.high:.3f}]. "
         f"Guessing gives {1 / table.p:.3f}. The lowest final training accuracy of the two is {fitted:.3f}. "
         + ("StableMax has generalised." if ours.mean() > 0.9 else "StableMax is on its way and still climbing at the end." if ours.mean() > 0.5 else "StableMax has not generalised within this budget, whatever the sign of the difference."))
page.say(f"Cross-entropy in float64 has at most {none.collapsed.max():.2f} of its losses at zero and still answers only {none.test[-1].mean():.3f}. "
         + ("So here the stall does not need a collapse." if none.collapsed.max() < 0.5 and none.test[-1].mean() < 0.5 else "Precision alone makes a difference here."))

goal = 0.95
steps = {name: first(run, "test", goal - 1e-6) for name, run in fast.items()}
page.claim("perpgrad-fast", encore.lower(np.log(steps["⊥Grad"]), np.log(steps["weight decay"])))
ratio, (p_steps, w_steps) = np.exp(np.log(steps["⊥Grad"]) - np.log(steps["weight decay"])), (np.exp(np.log(steps[n]).mean()) for n in fast)
missed = [(run.test.max(0) < goal).sum() for run in fast.values()]
page.say(f"⊥Grad needs {p_steps:.0f} steps to {goal:.0%} (geometric mean of ten seeds), weight decay {w_steps:.0f}. The ratio lies between {ratio.min():.2f} and {ratio.max():.2f}; "
         f"⊥Grad is faster on {(ratio < 1).sum()} of {len(ratio)} seeds. Of {len(ratio)} runs each, {missed[0]} with ⊥Grad and {missed[1]} with weight decay never arrive and enter as {cap} steps.")

# %% [markdown]
# ### Exact zeros

# %%
fig, panels = plt.subplots(1, 2, figsize=(6.4, 3.7))
precisions = {"float16": figures.PALETTE[5], "float32": colours["cross-entropy, float32"], "float64": colours["cross-entropy, float64"]}
for (name, colour), run in [*zip(precisions.items(), plain.values(), strict=True), (("StableMax", colours["StableMax"]), stable)]:
    thin = slice(None, None, max(1, len(run.step) // 60))
    for ax, series in zip(panels, ("collapsed", "gap"), strict=True):
        label = name if name == "StableMax" else f"cross-entropy, {name}"
        figures.band(ax, run.step[thin][1:], getattr(run, series)[thin][1:].T, label, color=colour, log=series == "gap" and (getattr(run, series)[thin][1:] > 0).all())
panels[0].set(xlabel="step", ylabel="share of losses that are exactly 0", title="softmax collapse", ylim=(-0.03, 1.03))
panels[1].set(xlabel="step", yscale="log", ylabel="median logit gap", title="logit scale", ylim=(1, None))
fig.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
page.figure(fig, "collapse", caption="Share of training pairs with a loss of exactly zero, and the gap between the correct and the next logit; mean and 95 % band over five seeds.",
            alt="Left: float16 collapses almost at once, float32 later and not for good, float64 and StableMax stay at or near zero. Right: the gaps of cross-entropy flatten near the predicted absorption gaps while that of StableMax grows by orders of magnitude.")

# %%
taken = {name: first(plain[name], "collapsed", 0.5) for name in ("float16", "float32", "float64")}
page.claim("collapse-is-numerical", encore.higher(np.log(taken["float64"]), np.log(taken["float32"])))
censored = (plain["float64"].collapsed.max(0) <= 0.5).sum()
peak, last = plain["float32"].collapsed.mean(1).max(), plain["float32"].collapsed[-1].mean()
page.say(f"More than half of the losses are zero after {np.exp(np.log(taken['float16']).mean()):.0f} steps in float16 and {np.exp(np.log(taken['float32']).mean()):.0f} in float32 (geometric means). "
         f"In float64 this happens on {5 - censored} of 5 seeds within {budget} steps; the others enter as {budget}, which makes the measured delay too small. "
         f"In float32 the mean share peaks at {peak:.2f} and " + ("stays." if last > 0.9 * peak else f"is {last:.2f} at the end.")
         + f" Of StableMax's losses in float32 at most {stable.collapsed.max():.2f} are zero at any time.")

# %% [markdown]
# Scaling alone is enough. Take the logits of the fitted float64 networks, multiply them by $c$ and count the zeros: the naïve direction, without any training.

# %%
def collapse_by_scaling(dtype, gaps):
    """Share of zero losses when the final float64-run logits are scaled to a median gap; (seeds, gaps)."""
    logits, labels = plain["float64"].logits, plain["float64"].labels
    scale = margin(logits, labels).median(1).values.abs().clamp_min(1e-6)[:, None, None]
    return np.stack([(softmax_loss((logits / scale).double() * gap, labels, dtype)[0] == 0).double().mean(1).numpy() for gap in gaps], 1)


gaps = np.geomspace(3, 80, 120)
fig, ax = plt.subplots()
measured, predicted = {}, {}
for (name, colour), dtype in zip(precisions.items(), (torch.float16, torch.float32, torch.float64), strict=True):
    zeros = collapse_by_scaling(dtype, gaps)
    figures.band(ax, gaps, zeros, f"loss in {name}", color=colour)
    predicted[name] = -np.log(torch.finfo(dtype).eps / 2)
    measured[name] = mean_interval(gaps[(zeros > 0.5).argmax(1)])
    ax.axvline(predicted[name], color=colour, linestyle=":")
ax.set(xscale="log", xlabel="median gap between the correct and the next logit", ylabel="share of losses that are exactly 0")
ax.set_xticks([5, 10, 20, 40, 80], labels=["5", "10", "20", "40", "80"])
ax.minorticks_off()
ax.legend(loc="upper left")
page.figure(fig, "scaling", caption="Scaling the logits of trained networks. Dotted: predicted gap at which a single other logit is absorbed. Mean and 95 % band over five seeds.",
            alt="Three rising curves, for float16, float32 and float64, each crossing one half close to its dotted line of predicted gap.")
page.say(f"With {table.p - 1} other classes their sum must be absorbed, not one term, which raises the gap by at most log({table.p - 1}) = {np.log(table.p - 1):.1f}. "
         "The gap at which half of the losses are zero, beside the prediction: " + "; ".join(f"{n} {i.value:.1f} [{i.low:.1f}, {i.high:.1f}] against {predicted[n]:.1f}" for n, i in measured.items())
         + f". In training with float32 the median gap at the first such step is {np.mean([plain['float32'].gap[min(np.searchsorted(plain['float32'].step, k), len(plain['float32'].step) - 1), i] for i, k in enumerate(taken['float32'])]):.1f}.")

# %% [markdown]
# ### The gradient points along the weights

# %%
fig, ax = plt.subplots()
for name, run in shown.items():
    late = np.unique(np.searchsorted(run.step, np.geomspace(5, run.step[-1], 70).clip(max=run.step[-1])))
    figures.band(ax, run.step[late], run.cosine[late].T, name, color=colours[name])
ax.set(xscale="log", xlabel="step", ylabel="cos(−gradient, weights)", ylim=(-0.1, 1))
fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
page.figure(fig, "cosine", caption="Cosine between minus the loss gradient (before ⊥Grad's projection) and all weights; mean with 95 % band.",
            alt="StableMax, weight decay and perpGrad settle above one half soon after the fit. Cross-entropy drops while it fits and then climbs slowly in both precisions; in float32 the climb ends in a fall when the losses collapse, in float64 it goes on.")
aligned = {}
for name in ("float32", "float64"):
    run = plain[name]
    before = (run.train == 1) & (run.step[:, None] < taken[name])
    aligned[name] = mean_interval([c[h].mean() if h.any() else 0 for c, h in zip(run.cosine.T, before.T, strict=True)])
run, end = plain["float32"], mean_interval(plain["float64"].cosine[-1])
after = f"{run.cosine[run.collapsed > 0.5].mean():.2f}" if (run.collapsed > 0.5).any() else "not observed"
page.say("Under cross-entropy, from the fit to the collapse, the mean cosine is " + " and ".join(f"{i.value:.2f} [{i.low:.2f}, {i.high:.2f}] ({n})" for n, i in aligned.items())
         + f"; in float64 it has risen to {end.value:.2f} [{end.low:.2f}, {end.high:.2f}] at the last step, " + ("above" if end.low > 0.5 else "not clearly above") + " one half. "
         f"While more than half of the losses are zero in float32 it is {after}. Under StableMax it ends at {stable.cosine[-1].mean():.2f}.")

# %% [markdown]
# ### Identities

# %%
g = torch.Generator().manual_seed(seed)
z = 10 * torch.randn(100_000, table.p, generator=g, dtype=torch.float64)
stablemax = s(z) / s(z).sum(1, keepdim=True)
identity = (stablemax - torch.softmax(z.sign() * z.abs().log1p(), 1)).abs().max().item()
theta, layers = initial(evaluation, torch.float64)
W, G = layers(theta), layers(torch.zeros_like(theta))
index, _ = table.split(share, evaluation)
a, b = ((table.pairs[index][..., i] + table.p * i + 2 * table.p * torch.arange(len(evaluation))[:, None]) for i in (0, 1))
x1, x2, logits = forward(W, a, b)
backward(W, a, b, x1, x2, softmax_loss(logits, table.labels[index], torch.float64)[1], G)
norms = [(x.norm(dim=(1, 2)), w.norm(dim=(1, 2))) for x, w in zip(G, W, strict=True)]
perp_grad(G, W)
left = torch.stack([(x * w).sum((1, 2)).abs() / (i * j) for x, w, (i, j) in zip(G, W, norms, strict=True)])
scaled = torch.stack([forward([c * w for w in W], a, b)[2] - c**3 * logits for c in (0.5, 3.0, 10.0)]) / torch.tensor([0.125, 27.0, 1000.0]).view(3, 1, 1, 1) / logits.abs().max()
page.claim("identities", encore.exact(identity), encore.exact(left), encore.exact(scaled.abs().max()))
page.say(f"StableMax differs from the softmax of $h(z)$ by at most {identity:.0e}; ⊥Grad leaves a relative component of {left.max():.0e} along the weights; three layers scaled by $c$ scale the logits by $c^3$ to {scaled.abs().max():.0e}.")

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
page.verdict()

# %% [markdown]
# ## What this page does not show
#
# * The paper's table is far larger, a smaller share of it is trained on, and runs are many times longer. In our table few pairs are left to be tested on, a single one is about two per cent, and steps to generalise
#   cannot be compared with the paper's. Orderings can, with care.
# * Collapse depends on the optimiser. With Adam's usual $\epsilon$ no loss became zero in trial runs of several thousand steps, in either precision, and the test accuracy stayed at chance all the same.
#   Nor does float64 generalise here, where nothing collapses. So on this task and within this budget collapse is not what stalls cross-entropy. That it is the *last* obstacle
#   of a very long run, as the paper says, needs more steps than we have.
# * The mechanism is only half visible. We had expected a cosine above one half from the fit on. For cross-entropy at this step size it starts low and passes one half late, and StableMax, which does
#   generalise, has the larger one. Removing the component works at once nevertheless. Adam rescales every coordinate, so the gradient's cosine is not that of the step; we have not traced it further.
#   In trial runs with smaller steps, which do not collapse in time, it was clearly above one half.
# * After the collapse the training does not stand still. The gradients of the wrong logits survive rounding, and Adam with a tiny $\epsilon$ blows them up to full steps. Its second moment decays meanwhile,
#   and a burst of large steps can throw the net out of the collapse again. A share of zero losses is therefore not a state that lasts.
# * StableMax is not immune. Its losses round to zero too once the logits are in the tens of thousands. In longer trial runs on a smaller network this happened, in float32, to all training pairs. With Adam and a tiny $\epsilon$ such logits are reached in a
#   few thousand steps. The scripts we saw evaluate StableMax in float64.
# * Trials with narrower networks or a smaller share of the table generalised far less with StableMax in the same number of steps. Width and share were raised for that reason, before the final
#   seeds were run, and equally for every condition.
# * The grids of step sizes and of weight decay were moved up after trial runs and a first full run, for all conditions, because the best values lay at their upper edges. A public replication
#   {cite:p}`chou2025grokking` also found weight decay much stronger when tuned, with no consistent advantage of ⊥Grad, though it was ahead by a little on an MLP like this one. The replication also found that published scripts rescale the projected gradient to its old length. We do not, and follow the formula.
# * No transformer, no sparse parity, no MNIST. Nothing is said about which solution the nets find.

# %% [markdown]
# ## Exercises
#
# :::{exercise}
# :label: softmax-collapse-grokking-ex1
# Evaluate the loss in bfloat16. Predict the absorption gap from its spacing above one, then measure it by scaling logits.
# :::

# %% tags=["hide-cell", "solution"]
zeros = collapse_by_scaling(torch.bfloat16, gaps)
page.say(f"bfloat16: predicted gap {-np.log(torch.finfo(torch.bfloat16).eps / 2):.1f}, measured {gaps[(zeros > 0.5).argmax(1)].mean():.1f}. "
         "Its exponent range is that of float32, but the spacing above one decides, and that is coarser than in float16: a net collapses as soon as it is moderately sure.")

# %% [markdown]
# :::{exercise}
# :label: softmax-collapse-grokking-ex2
# Give `adamw` the usual $\epsilon = 10^{-8}$. Does float32 still collapse before float64? Which quantity now stops the training?
# :::
#
# :::{exercise}
# :label: softmax-collapse-grokking-ex3
# Add biases to both hidden layers and leave them out of ⊥Grad. Is the weight direction still naïve? Then try label smoothing instead: what does it do to the best logit scale?
# :::

# %% [markdown]
# ## References
#
# The paper: {cite:p}`prieto2025grokking`. Grokking was first described by {cite:t}`power2022grokking`. A replication with a tuned baseline: {cite:p}`chou2025grokking`. AdamW: {cite:p}`loshchilov2019decoupled`. Related
# pages: `grokking-feature-emergence`, `grokking-lazy-to-rich`, `two-pass-softmax`, `softmax-free-transformer`.

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
# # diffGrad: An Optimization Method for Convolutional Neural Networks
#
# %% [markdown]
# ## The idea
#
# Adam {cite:p}`kingma2015adam` scales each coordinate's step by running averages of the gradient and of its square. Both averages remember the
# past. Where the gradient has settled, for instance close to a minimum, they can still carry the iterate onwards and out on the other side.
# {cite:p}`dubey2020diffgrad` add a *friction coefficient*: each coordinate's Adam step is multiplied by a sigmoid of the change between the last
# two gradients. Where the gradient changes quickly the step is Adam's; where it hardly changes the step is halved.
#
# The word "quickly" hides a scale. The sigmoid sees the *absolute* change, and a gradient of a network's average loss is a small number in
# each coordinate. This page asks two questions. Does the friction help? And does it do anything that half the learning rate would not do?
#
# %% [markdown]
# ## The method
#

# %% tags=["parameters"]
profile = "book"
seed = 0

# %%
from dataclasses import dataclass
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytorch_optimizer
import torch
from torch.nn.functional import conv2d

import encore
from encore import datasets, figures, seeds, stats
from encore.bases.optimizer_bench import Bench, Split, load, per_member

page = encore.open("optimizers/diffgrad", profile, seed)

# %% [markdown]
# With gradient $g_t$ (and $g_0 = 0$), learning rate $\eta$, and all operations elementwise,
#
# $$m_t = \beta_1 m_{t-1} + (1-\beta_1)\,g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2)\,g_t^2, \qquad
# \xi_t = \frac{1}{1 + e^{-|g_{t-1} - g_t|}},$$
#
# $$\theta_t = \theta_{t-1} - \eta\,\xi_t\,\frac{m_t/(1-\beta_1^t)}{\sqrt{v_t/(1-\beta_2^t)} + \epsilon}.$$
#
# 1. $|g_{t-1} - g_t| \ge 0$, so $\xi_t \in [\tfrac12, 1)$. With $\xi_t = 1$ this *is* Adam.
# 2. $\xi_t \approx \tfrac12 + \tfrac14 |g_{t-1} - g_t|$ for small changes. Adam's ratio does not change when the loss is multiplied by a
#    constant, but $\xi_t$ does.
# 3. The previous gradient must be *copied*. The authors' first public code kept a reference to a tensor that the next backward pass
#    overwrites. The difference was then zero and $\xi = \tfrac12$ from the second step on. They say so themselves, recommend a corrected file, and
#    refer to the arXiv version for updated results {cite:p}`dubey2020code`.
# 4. The state is Adam's and the previous gradient: three tensors instead of two.
#
# One function serves all relatives: `friction` turns the change into $\xi_t$, and `ams` keeps the largest $v_t$ so far, as AMSGrad does
# {cite:p}`reddi2018convergence`.


# %%
def diffgrad(params, grads, state, lr, wd, friction=torch.sigmoid, beta1=0.9, beta2=0.999, eps=1e-8, ams=False):
    """One step in place. params, grads: lists of (members, ...); lr: (members,); `wd` is not used. Leaves xi in state["xi"]."""
    m, v, top, previous = (state.setdefault(name, [torch.zeros_like(p) for p in params]) for name in ("m", "v", "top", "previous"))
    state["xi"] = [friction((before - g).abs()) for before, g in zip(previous, grads, strict=True)]
    t = state["t"] = state.get("t", 0) + 1
    for k, (p, g) in enumerate(zip(params, grads, strict=True)):
        m[k].mul_(beta1).add_(g, alpha=1 - beta1)
        v[k].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        top[k] = torch.maximum(top[k], v[k]) if ams else v[k]
        ratio = m[k] / (1 - beta1**t) / ((top[k] / (1 - beta2**t)).sqrt() + eps)
        p -= per_member(lr, p) * state["xi"][k] * ratio
        previous[k] = g.clone()


adam = partial(diffgrad, friction=torch.ones_like)


def half_adam(params, grads, state, lr, wd, **constants):
    """Adam at half the learning rate: the control."""
    adam(params, grads, state, lr / 2, wd, **constants)


def momentum(params, grads, state, lr, wd, beta1=0.9):
    """SGD with heavy-ball momentum."""
    for p, g, m in zip(params, grads, state.setdefault("m", [torch.zeros_like(p) for p in params]), strict=True):
        p -= per_member(lr, p) * m.mul_(beta1).add_(g)


# %% [markdown]
# **The toy functions** of the paper, one variable each:
#
# $$F_1(x) = \begin{cases}(x+0.3)^2 & x \le 0\\ (x-0.2)^2 + 0.05 & x > 0\end{cases} \qquad
# F_2(x) = \begin{cases}-40x - 35.15 & x \le -0.9\\ x^3 + x\sin 8x + 0.85 & x > -0.9\end{cases}$$
#
# $$F_3(x) = \begin{cases}x^2 & |x| \ge 0.5\\ 0.75 - |x| & 0.4 < |x| < 0.5\\ \tfrac78 |x| & |x| \le 0.4\end{cases}$$
#
# The forms of $F_1$ and $F_3$ and the steep side of $F_2$ agree with the derivatives in the authors' notebook. Its derivative on the other side of
# $F_2$ lacks a factor of 8 in $8x\cos 8x$; here autograd differentiates the function itself.


# %%
def f1(x):
    return torch.where(x <= 0, (x + 0.3) ** 2, (x - 0.2) ** 2 + 0.05)


def f2(x):
    return torch.where(x <= -0.9, -40 * x - 35.15, x**3 + x * torch.sin(8 * x) + 0.85)


def f3(x):
    a = x.abs()
    return torch.where(a >= 0.5, x**2, torch.where(a > 0.4, 0.75 - a, 7 / 8 * a))


TOYS = {"F1": f1, "F2": f2, "F3": f3}
line = torch.linspace(-2, 2, 400_001, dtype=torch.float64)
MINIMISER = {name: float(line[f(line).argmin()]) for name, f in TOYS.items()}


def descend(f, rule, starts, eta, steps=page.pick(smoke=20, book=300, paper=300)):
    """Iterates (steps + 1, starts), float64, of `rule` on f from each start; eta a number."""
    x = torch.tensor(starts, dtype=torch.float64, requires_grad=True)
    state, rates, path = {}, torch.full_like(x, eta), [x.detach().clone()]
    for _ in range(steps):
        gradient = torch.autograd.grad(f(x).sum(), [x])
        with torch.no_grad():
            rule([x], gradient, state, rates, None)
        path.append(x.detach().clone())
    return torch.stack(path).numpy()


# %% [markdown]
# **The network.** A 3 x 3 convolution with stride 2 from 3 to 16 channels, one residual block of two convolutions, global mean pooling and a linear
# layer. There is no normalisation layer. Networks of several seeds and rates train side by side and never mix.


# %%
@dataclass(frozen=True)
class ResidualCNN:
    """Parameters [W1, b1, W2, b2, W3, b3, W4, b4], three convolutions and the linear layer, each (members, ...)."""

    width: int = 16

    def init(self, generator, dtype):
        """One member: He's uniform weights, zero biases."""
        out = []
        for a, *kernel in ((3, 3, 3), (self.width, 3, 3), (self.width, 3, 3)):
            reach = (6 / (9 * a)) ** 0.5
            out += [torch.empty(self.width, a, *kernel, dtype=dtype).uniform_(-reach, reach, generator=generator), torch.zeros(self.width, dtype=dtype)]
        reach = self.width**-0.5
        return out + [torch.empty(10, self.width, dtype=dtype).uniform_(-reach, reach, generator=generator), torch.zeros(10, dtype=dtype)]

    def __call__(self, params, x):
        """x: (members, n, 768). Returns logits (members, n, 10)."""
        logits = []
        for w1, b1, w2, b2, w3, b3, w4, b4, images in zip(*params, x, strict=True):
            h = conv2d(images.view(-1, 3, 16, 16), w1, b1, stride=2, padding=1).relu()
            h = (h + conv2d(conv2d(h, w2, b2, padding=1).relu(), w3, b3, padding=1)).relu()
            logits.append(h.mean((2, 3)) @ w4.T + b4)
        return torch.stack(logits)


cifar = datasets.load("cifar10-jpeg")


def pooled(n_train=10_000, n_valid=5_000, n_test=5_000, dtype=torch.float32):
    """CIFAR-10 mean-pooled to 16 x 16, channels standardised; the file is sorted by class, so it is shuffled first."""
    x, y, rng = {}, {}, np.random.default_rng(seed)
    order, last = rng.permutation(len(cifar["train_labels"])), rng.permutation(len(cifar["test_labels"]))
    for part, file, rows in (("train", "train", order[:n_train]), ("valid", "train", order[n_train:][:n_valid]), ("test", "test", last[:n_test])):
        images = cifar[f"{file}_images"][rows].reshape(-1, 16, 2, 16, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2) / 255
        x[part], y[part] = torch.tensor(images, dtype=dtype), torch.tensor(cifar[f"{file}_labels"][rows].astype(np.int64))
    mean, deviation = x["train"].mean((0, 2, 3), keepdim=True), x["train"].std((0, 2, 3), keepdim=True)
    return Split({part: ((v - mean) / deviation).flatten(1) for part, v in x.items()}, y, cifar.provenance)


# %% [markdown]
# ## A check
#
# The same CNN in float64, the same minibatches, the rule above against a library's. `pytorch_optimizer.DiffGrad` adds $\epsilon$ before it corrects
# the bias of $v$ and we add it after, as PyTorch's Adam does; it also adds a fixed $10^{-15}$ to $v$. For this comparison $\epsilon$ is tiny on both
# sides and both rules see the gradient of a multiple of the loss. That makes the additions negligible and brings the friction to life.

# %%
small = pooled(1_000, 1_000, 1_000, torch.float64)
n_check = page.pick(smoke=5, book=50, paper=50)


def library(make, **options):
    """A bench rule that hands the gradients to a torch optimiser (one member)."""
    def rule(params, grads, state, lr, wd):
        if "optimiser" not in state:
            state["optimiser"] = make(params, lr=float(lr[0]), **options)
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        state["optimiser"].step()
    return rule


def scaled(rule, factor=1e4):
    """The rule on gradients multiplied by `factor`."""
    return lambda params, grads, *rest: rule(params, [factor * g for g in grads], *rest)


def apart(rule, other, rate=1e-3, other_rate=1e-3):
    """Largest difference between the weights of two rules along `n_check` steps."""
    pair, error = [Bench(small, [seed], [r], 64, net=ResidualCNN()) for r in (rate, other_rate)], 0.0
    for _ in range(n_check):
        for bench, update in zip(pair, (rule, other), strict=True):
            bench.step(update)
        error = max(error, *(float((a - b).detach().abs().max()) for a, b in zip(pair[0].params, pair[1].params, strict=True)))
    return error


torch_adam = library(torch.optim.Adam)
page.check(f"with xi = 1 the update equals torch.optim.Adam, {n_check} steps of the CNN", apart(adam, torch_adam), tol=1e-7)
page.check(f"with xi = 1/2 it equals torch.optim.Adam at half the rate, {n_check} steps",
           apart(partial(diffgrad, friction=lambda change: torch.full_like(change, 0.5)), torch_adam, other_rate=5e-4), tol=1e-7)
page.check(f"diffGrad equals pytorch_optimizer.DiffGrad, {n_check} steps of the CNN on a multiple of the loss",
           apart(scaled(partial(diffgrad, eps=1e-20)), scaled(library(pytorch_optimizer.DiffGrad, eps=1e-20))), tol=1e-7)
page.check(f"AMSGrad equals torch.optim.Adam(amsgrad=True), {n_check} steps of the CNN", apart(partial(adam, ams=True), library(torch.optim.Adam, amsgrad=True)), tol=1e-7)

# %% [markdown]
# ## The experiment
#
# | The paper | Here |
# |---|---|
# | toys: one start, $x_0 = -1$; $\eta = 0.1$, $\beta_1 = 0.95$, 300 steps | the same constants; 400 starts in $[-1, 1]$, and $\eta$ of 0.03, 0.1, 0.3 |
# | ResNet-50 on CIFAR-10 and CIFAR-100 | small residual CNN on CIFAR-10 {cite:p}`krizhevsky2009learning` pooled to 16 x 16; 10,000 training, 5,000 validation, 5,000 test images |
# | 100 epochs, batch 32, 64, 128 | 400 steps of batch 64 (2.5 epochs) |
# | $\eta = 10^{-3}$ for all, divided by 10 at 80 epochs | $\eta = 10^{-3}$ is judged, divided by 10 at 80 % of the steps; seven rates, a factor 2 apart, are shown |
# | no control for the step size | Adam at $\eta/2$ |
#
# *Toys.* One start is drawn in each of 400 equal cells of $[-1, 1]$. Success means to be within 0.05 of the global minimiser after the last step.
# Judged is the paper's rate, fixed beforehand; starts of the three functions are pooled.
#
# *Networks.* Both methods have the same seven rates, starts and batches on five seeds. As neighbouring rates differ by a factor of two,
# Adam at $\eta/2$ is a point of Adam's own sweep. Each method's best rate maximises the mean validation accuracy. Test data choose nothing.

# %%
steps = page.pick(smoke=5, book=400, paper=15_000)
n_starts = page.pick(smoke=20, book=400, paper=4_000)
repeats = seeds.spread(seed, page.pick(smoke=5, book=5, paper=20))
RATES = 1e-3 * 2.0 ** np.arange(-1, 6)
METHODS = {"diffGrad": diffgrad, "Adam": adam, "Adam at η/2": half_adam, "AMSGrad": partial(adam, ams=True), "SGD + momentum": momentum}
split = pooled(n_test=page.pick(smoke=500, book=5_000, paper=5_000), n_valid=page.pick(smoke=500, book=5_000, paper=5_000))
page.say(split.provenance)

# %%
ETAS = (0.03, 0.1, 0.3)
toy_rule = {name: rule if name == "SGD + momentum" else partial(rule, beta1=0.95) for name, rule in METHODS.items()}
starts = -1 + 2 * (np.arange(n_starts) + np.random.default_rng(seed).random(n_starts)) / n_starts
success = {  # method -> (rates, functions, starts) of 0 and 1
    name: np.array([[abs(descend(f, rule, starts, eta)[-1] - MINIMISER[toy]) <= 0.05 for toy, f in TOYS.items()] for eta in ETAS], float)
    for name, rule in encore.progress(toy_rule.items(), "descending the toy functions")}
single = {name: {toy: descend(f, toy_rule[name], [-1.0], 0.1)[:, 0] for toy, f in TOYS.items()} for name in list(METHODS)[:3]}


# %%
def train(rule, rates, on=repeats, watch=()):
    """A trained Bench of CNNs, and the coefficients xi of the first rate, per layer (values,), after the steps in `watch`."""
    bench, seen = Bench(split, on, rates, 64, net=ResidualCNN()), {}
    full = bench.lr
    for t in encore.progress(range(steps), "training"):
        bench.lr = full if t < 0.8 * steps else full / 10
        bench.step(rule)
        if t in watch:
            xi = [x.view(*bench.shape, -1)[:, 0].flatten() for x in bench.state["xi"]]
            seen[t] = [torch.cat(xi[k : k + 2]).double().numpy() for k in range(0, 8, 2)]
    return bench, seen


early, late = min(10, steps - 2), steps - 1
reached, valid = {}, {}
for name in ("diffGrad", "Adam"):
    bench, _ = train(METHODS[name], RATES)
    reached[name], valid[name] = bench.accuracy("test"), bench.accuracy("valid").mean(0)  # (seeds, rates), (rates,)
_, xi = train(diffgrad, RATES[1:2], repeats[:2], (early, late))

# %% [markdown]
# ## Results
#
# ### The toy functions

# %%
fig, axes = plt.subplots(1, 3, figsize=(6.4, 3.0))
LOOKS = {"diffGrad": {"color": figures.PALETTE[0]}, "Adam": {"color": figures.PALETTE[1]}, "Adam at η/2": {"color": figures.PALETTE[2], "linestyle": "--"}}
for ax, toy in zip(axes, TOYS, strict=True):
    ax.axhline(MINIMISER[toy], color=figures.PALETTE[-1], linewidth=3, alpha=0.35, label="global minimiser")
    for name, look in LOOKS.items():
        ax.plot(single[name][toy][:151], label=name, **look)
    ax.set(title=toy, xlabel="step", xticks=(0, 75, 150))
axes[0].set_ylabel("x")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, columnspacing=1.2, handlelength=1.6)
page.figure(fig, "trajectories", caption="From the paper's single start at the paper's constants: first half of the steps on each toy function. "
            "The dashed control is Adam with half the learning rate.",
            alt="Three panels of position against step for diffGrad, Adam and Adam at half the rate, with a line at the global minimiser.")

# %%
arrived = {name: [toy for toy in TOYS if abs(paths[toy][-1] - MINIMISER[toy]) <= 0.05] for name, paths in single.items()}
nearer = sum(np.abs(single["diffGrad"][t] - single["Adam at η/2"][t]).mean() < np.abs(single["diffGrad"][t] - single["Adam"][t]).mean() for t in TOYS)
page.say("From the single start the global minimum is reached " + "; ".join(f"by {name} on {', '.join(toys) or 'none'}" for name, toys in arrived.items()) +
         f". On average along the path diffGrad is nearer to Adam at half the rate than to Adam on {nearer} of 3 functions.")

# %%
rows = "\n".join(f"| {name} | " + " | ".join(f"{v.mean():.2f}" for v in values) + " | " + " | ".join(f"{v.mean():.2f}" for v in values[1]) + " |" for name, values in success.items())
page.say(f"Share of starts that end in the global minimum, pooled over the functions for each rate, and by function at η = {ETAS[1]}:\n\n| Method | " +
         " | ".join(f"η = {eta}" for eta in ETAS) + " | " + " | ".join(TOYS) + " |\n|---" + "|---" * 6 + "|\n" + rows)
pooled_success = {name: values[1].ravel() for name, values in success.items()}  # the paper's rate
gain, control = (pooled_success["diffGrad"].mean() - pooled_success[name].mean() for name in ("Adam", "Adam at η/2"))
page.say(f"At the paper's rate diffGrad's share is {gain:+.3f} against Adam's and {control:+.3f} against that of Adam at half the rate.")
page.claim("toys", encore.higher(pooled_success["diffGrad"], pooled_success["Adam"]))

# %% [markdown]
# ### The friction inside a network
#
# One training run in float64. At each step both rules start from the same state, and their steps are compared on every coordinate whose Adam step is
# not zero.

# %%
bench, ratios = Bench(small, [seed], [1e-3], 64, net=ResidualCNN()), []


def compare(params, grads, state, lr, wd):
    """A diffGrad step that also records the smallest and largest |step of diffGrad| / |step of Adam|."""
    twin = {key: [x.clone() for x in value] if isinstance(value, list) else value for key, value in state.items()}
    here, there = ([torch.zeros_like(p) for p in params] for _ in range(2))  # from zero, so that steps are free of rounding
    diffgrad(here, grads, state, lr, wd)
    adam(there, grads, twin, lr, wd)
    for p, step in zip(params, here, strict=True):
        p += step
    a, b = (torch.cat([x.flatten() for x in steps]).abs() for steps in (here, there))
    ratio = a[b > 0] / b[b > 0]
    ratios.append((float(ratio.min()), float(ratio.max()), float(ratio.median())))


for _ in range(page.pick(smoke=5, book=200, paper=200)):
    bench.step(compare)
least, most, middle = np.array(ratios).T
page.say(f"Over {len(ratios)} steps the ratio stays between {least.min():.6f} and {most.max():.4f}; the median over the coordinates, averaged over the steps, is {middle.mean():.4f}.")
page.claim("friction", encore.bound(most, 1.0), encore.bound(0.5, least))

# %%
LAYERS = ("convolution 1", "convolution 2", "convolution 3", "linear")
fig, axes = plt.subplots(1, 2, sharex=True, sharey=True, figsize=(6.4, 3.2))
for ax, (t, values) in zip(axes, xi.items(), strict=True):
    for layer, x, color in zip(LAYERS, values, figures.PALETTE, strict=False):
        ax.hist(np.clip(x - 0.5, 1e-6, 0.5), np.geomspace(1e-6, 0.5, 30), weights=np.full(x.size, 1 / x.size), histtype="step", color=color, label=layer, linewidth=1.5)
    ax.set(xscale="log", xlabel="friction above one half, ξ − 0.5", title=f"after step {t + 1}")
axes[0].set_ylabel("share of coordinates")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, columnspacing=1.2, handlelength=1.6)
page.figure(fig, "friction", caption="How far the friction coefficient lies above one half, by layer (weights and biases, two seeds, η = 0.001), early and late in training. "
            "Adam would stand at the right edge; smaller values are drawn in the first bin.",
            alt="Two panels of histograms over a logarithmic axis, early and late in training, one outline per layer, most of the mass far left of one half.")

# %%
table = "\n".join(f"| {layer} | {np.median(a):.4f} | {np.median(b):.4f} | {max(a.max(), b.max()):.3f} |" for layer, a, b in zip(LAYERS, xi[early], xi[late], strict=True))
page.say(f"| Layer | median ξ, step {early + 1} | median ξ, step {late + 1} | largest ξ of both |\n|---|---|---|---|\n{table}")
fashion = Bench(load(), [seed], [1e-3], 64)
for _ in range(page.pick(smoke=5, book=200, paper=200)):
    fashion.step(diffgrad)
other = float(torch.cat([x.flatten() for x in fashion.state["xi"]]).median())
active = 0.55
above = np.mean(np.concatenate(xi[late]) > active)
page.say(f"At the end {above:.1%} of the CNN's coordinates have ξ above {active}. The MLP of the page on Lion, on Fashion-MNIST, has a median ξ of {other:.4f}: "
         f"{'there, too, the friction is close to a constant one half' if other < active else 'there the friction is not a constant one half'}.")

# %% [markdown]
# ### Test accuracy

# %%
own = {name: int(values.argmax()) for name, values in valid.items()}
at_best = {name: reached[name][:, own[name]] for name in own}
gaps = [100 * (reached["diffGrad"][:, 1] - reached["Adam"][:, k]) for k in (1, 0)] + [100 * (at_best["diffGrad"] - at_best["Adam"])]
fig, (left, right) = plt.subplots(1, 2, width_ratios=(3, 2))
for name, marker in (("diffGrad", "o"), ("Adam", "s")):
    figures.band(left, RATES, 100 * reached[name], name, color=LOOKS[name]["color"], marker=marker)
left.plot(RATES[:-1], 100 * reached["diffGrad"].mean(0)[1:], ":", color="black", zorder=5, label="diffGrad, drawn at η/2")
left.axvline(1e-3, color=figures.PALETTE[-1], linewidth=1, linestyle="--")
left.set_xscale("log", base=2)
left.set_xticks(RATES, [f"{1e3 * r:g}" for r in RATES])
left.set(xlabel="learning rate η (thousandths)", ylabel="test accuracy (%)")
left.legend(loc="lower right")
intervals = [stats.mean_interval(gap) for gap in gaps]
for k, (gap, i) in enumerate(zip(gaps, intervals, strict=True)):
    right.plot(np.full(len(gap), k - 0.15), gap, "o", color=figures.PALETTE[4], markersize=4)
    right.errorbar(k + 0.1, i.value, [[i.value - i.low], [i.high - i.value]], fmt="D", color=figures.PALETTE[0], capsize=4)
right.axhline(0, color=figures.PALETTE[-1], linewidth=1)
right.set(xlim=(-0.5, 2.5), ylabel="diffGrad − baseline (points)")
right.set_xticks(range(3), ["Adam,\nsame η", "Adam\nat η/2", "each at\nits best"])
page.figure(fig, "accuracy", caption=f"Left: test accuracy after {steps} steps against the learning rate, mean and 95 % band over {len(repeats)} seeds; the dashed line marks the paper's rate. "
            "Right: paired differences (dots: seeds; diamonds: mean and 95 % interval), the first two at the paper's rate.",
            alt="Left, accuracy curves of diffGrad and Adam over the learning rate; the dotted curve of diffGrad drawn at half its rate. Right, paired differences with intervals and a line at zero.")

# %%
shifted = np.abs(reached["diffGrad"].mean(0)[1:] - reached["Adam"].mean(0)[:-1]).mean()
plain = np.abs(reached["diffGrad"].mean(0) - reached["Adam"].mean(0)).mean()
median_xi = np.median(np.concatenate(xi[late]))
page.say(f"At η = {RATES[1]:g} diffGrad is {intervals[0].value:+.2f} points against Adam and {intervals[1].value:+.2f} against Adam at half the rate; the median ξ at the end is {median_xi:.4f}. "
         f"Over the sweep the mean curves differ by {100 * plain:.2f} points on average, and by {100 * shifted:.2f} if diffGrad's rate is halved"
         f"{': halving the rate explains most of what the friction does here' if shifted < plain / 2 else ''}. "
         f"At the rates chosen on validation (diffGrad {RATES[own['diffGrad']]:g}, Adam {RATES[own['Adam']]:g}) the difference is {intervals[2].value:+.2f} points.")
page.claim("accuracy", encore.higher(reached["diffGrad"][:, 1], reached["Adam"][:, 1]))
page.claim("not-just-half", encore.higher(reached["diffGrad"][:, 1], reached["Adam"][:, 0]))

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
page.verdict()

# %% [markdown]
# ## What this page does not show
#
# * A CNN of some thousand weights after a few epochs says nothing about the accuracy of a ResNet-50 after a hundred. Our runs are short, and a short run
#   favours the larger step: that alone can decide the comparison at one common rate. It cannot decide the comparison with Adam at half the rate.
# * The paper's networks have normalisation layers, ours has none. Gradients of another loss scale, a sum instead of a mean, or a network with large
#   gradients would make the friction more active. The histogram belongs to this network.
# * We did not read the paper's accuracy tables, and cannot say which of its numbers were made before the copy of the gradient was corrected. A network trained
#   with the first public code is, up to the first step, trained with our control.
# * An inconclusive difference is not a proof of equality. The intervals tell how large a difference can hide.
# * Starts of one function share its basins, so they are not independent evidence. The interval of the toys is about starts in this range on these three functions,
#   not about functions in general. A start counts as a failure, too, if it is in the right basin but still swings at the last step, which large rates do. $F_2$ has a small jump where its pieces meet, which no gradient sees.
# * The best rates are chosen on the same validation images for all seeds, from a grid with steps of a factor two: a difference at the best rates contains the luck of
#   where the grid falls. At the largest rates single runs can go astray, and the two curves of the sweep need not coincide there.
#
# %% [markdown]
# ## Exercises
#
# :::{exercise}
# :label: diffgrad-ex1
# Multiply the gradient change by 1000 before the sigmoid. Does the friction become active, and what does the accuracy do?
# :::

# %% tags=["hide-cell", "solution"]
for scale in (1.0, 1e3):
    bench, seen = train(partial(diffgrad, friction=lambda change, s=scale: torch.sigmoid(s * change)), RATES[1:2], repeats[:1], (late,))
    values = np.concatenate(seen[late])
    page.say(f"Scale {scale:g}: median ξ {np.median(values):.3f}, test accuracy {bench.accuracy('test').mean():.3f}")

# %% [markdown]
# :::{exercise}
# :label: diffgrad-ex2
# Draw the basins of attraction: for each toy function mark, over the starts, where Adam, Adam at half the rate and diffGrad end. Are diffGrad's
# basins Adam's, those of the control, or its own?
# :::
#
# :::{exercise}
# :label: diffgrad-ex3
# Add the half-step control for AMSGrad on the toys, and a friction coefficient on top of AMSGrad.
# :::

# %% [markdown]
# ## References
#
# The paper: {cite:p}`dubey2020diffgrad`, with the authors' code and notes {cite:p}`dubey2020code`. Adam: {cite:p}`kingma2015adam`. AMSGrad:
# {cite:p}`reddi2018convergence`. CIFAR-10: {cite:p}`krizhevsky2009learning`. Fashion-MNIST: {cite:p}`xiao2017fashion`. Related pages: `lion`
# {cite:p}`chen2023symbolic`, `eight-bit-optimizers`, `optimizers-alter-solutions`.

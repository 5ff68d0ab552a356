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
# # Lion Secretly Solves Constrained Optimization: As Lyapunov Predicts
#
# %% [markdown]
# ## The idea
#
# Lion {cite:p}`chen2023symbolic` was found by a search over programs. Nobody wrote down what it minimises, and the obvious guess, the loss plus a
# penalty for large weights, is wrong: with decoupled weight decay the direction is a sign, not a gradient, so the decay is not the gradient of a term in an objective.
#
# {cite:p}`chen2024lion` give the answer. With weight decay $\lambda$ Lion minimises the loss subject to a *bound*: every weight stays in
# $[-1/\lambda, 1/\lambda]$. Replace the sign by the gradient of another convex function $K$, and the same algorithm solves another problem, with the convex conjugate $K^*$ in the
# place of the bound. The proof is a Lyapunov function, a quantity that falls along every trajectory. This page tests each step of that argument
# in numbers, compares the limit with an independently solved constrained problem, and asks whether AdamW is really different.
#
# %% [markdown]
# ## The method
#

# %% tags=["parameters"]
profile = "book"
seed = 0

# %%
import matplotlib.pyplot as plt
import numpy as np
import pytorch_optimizer
import torch
from scipy.optimize import minimize
from torch.nn.functional import logsigmoid

import encore
from encore import datasets, figures, seeds
from encore.bases.optimizer_bench import Bench, load, per_member

page = encore.open("optimizers/lion-lyapunov", profile, seed)

# %% [markdown]
# **Lion-K.** Let $K$ be convex and even, $f$ the loss, $\eta$ the learning rate. With $m$ *minus* the usual momentum,
#
# $$\tilde m_t = \beta_1 m_t - (1-\beta_1)\nabla f(x_t), \qquad x_{t+1} = x_t + \eta\,\bigl(\nabla K(\tilde m_t) - \lambda x_t\bigr), \qquad
# m_{t+1} = \beta_2 m_t - (1-\beta_2)\nabla f(x_t).$$
#
# 1. $K = \lVert\cdot\rVert_1$ has $\nabla K = \operatorname{sign}$: this is Lion. $K = \lVert\cdot\rVert_2$ gives steps of unit length.
# 2. The direction mixes the gradient with weight $1-\beta_1$, the memory with $1-\beta_2$.
#
# AdamW {cite:p}`loshchilov2019decoupled` has the same decay and another direction. signSGD has Lion's sign, no memory and here no decay.


# %%
def lion(x, state, g, eta, lam, beta2=0.99, direction=torch.sign, beta1=0.9):
    """Next weights; `state` keeps m. x, g: (..., d); eta, lam, beta2: broadcast to x; direction: the gradient of K."""
    m = state.get("m", torch.zeros_like(x))
    state["m"] = beta2 * m - (1 - beta2) * g
    return x + eta * (direction(beta1 * m - (1 - beta1) * g) - lam * x)


def adamw(x, state, g, eta, lam, beta2=0.999, beta1=0.9, tiny=1e-8):
    """Next weights; arguments as in `lion`."""
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g * g
    return x - eta * (m / (1 - beta1**t) / ((v / (1 - beta2**t)).sqrt() + tiny) + lam * x)


def signsgd(x, state, g, eta, lam, beta2=None):
    """Next weights, with neither decay nor memory; arguments as in `lion`."""
    return x - eta * g.sign()


# %% [markdown]
# **The continuous limit.** For small steps, with $\alpha, \gamma, \varepsilon > 0$ and $\varepsilon\gamma \le 1$,
#
# $$\dot m = -\alpha\nabla f(x) - \gamma m, \qquad \tilde m = m + \varepsilon \dot m, \qquad \dot x = \nabla K(\tilde m) - \lambda x .$$
#
# What falls is not the objective $F$ but $H$, which adds a gap between $m$ and $\lambda x$ that is never negative (Fenchel-Young):
#
# $$F(x) = \alpha f(x) + \tfrac{\gamma}{\lambda} K^*(\lambda x), \qquad H(x, m) = F(x) + \tfrac{1-\varepsilon\gamma}{1+\varepsilon\lambda}\,\bigl(K^*(\lambda x) + K(m) - \lambda x^\top m\bigr),$$
#
# $$\dot H = -\tfrac{\lambda+\gamma}{1+\varepsilon\lambda}\;\dot x^\top\bigl(\tilde m - \nabla K^*(\lambda x)\bigr)
# \;-\; \tfrac{1-\varepsilon\gamma}{1+\varepsilon\lambda}\;\bigl(\nabla K(\tilde m) - \nabla K(m)\bigr)^\top \dot m .$$
#
# Both products are $\ge 0$, because gradients of convex functions are monotone. For Lion $K^*$ is zero in the box and infinite outside, so $F$ is the loss in the box. To
# differentiate, we use a smooth relative: $K(z) = \sum_i \sqrt{z_i^2 + e^2}$, whose conjugate is $K^*(y) = -e \sum_i \sqrt{1 - y_i^2}$ for $|y_i| \le 1$.

# %%
E = 0.1  # e, the width of the smooth sign
K = lambda z: (z * z + E * E).sqrt().sum(-1, keepdim=True)
dK = lambda z: z / (z * z + E * E).sqrt()
conjugate = lambda y: -E * (1 - y * y).sqrt().sum(-1, keepdim=True)
dconjugate = lambda y: E * y / (1 - y * y).sqrt()


def flow(x, m, c):
    """Right-hand sides and the mixed momentum. x, m: (..., d); c: (alpha, gamma, eps, lam), each broadcast to x."""
    alpha, gamma, eps, lam = c
    mdot = -alpha * slope(x) - gamma * m
    mixed = m + eps * mdot
    return dK(mixed) - lam * x, mdot, mixed


def objective(x, c):
    return c[0] * loss(x) + c[1] / c[3] * conjugate(c[3] * x)


def lyapunov(x, m, c):
    """H, (..., 1)."""
    gap = conjugate(c[3] * x) + K(m) - c[3] * (x * m).sum(-1, keepdim=True)
    return objective(x, c) + (1 - c[2] * c[1]) / (1 + c[2] * c[3]) * gap


def decrease(x, m, c):
    """The two terms of dH/dt by the formula, each (..., 1)."""
    xdot, mdot, mixed = flow(x, m, c)
    first = (c[3] + c[1]) / (1 + c[2] * c[3]) * (xdot * (mixed - dconjugate(c[3] * x))).sum(-1, keepdim=True)
    return -first, -(1 - c[2] * c[1]) / (1 + c[2] * c[3]) * ((dK(mixed) - dK(m)) * mdot).sum(-1, keepdim=True)


# %% [markdown]
# **The convex problem.** Logistic loss on standardised features, labels $\pm1$, no intercept: 30 weights.
# Inside the box the *Frank-Wolfe gap* $\nabla f(x)^\top x + \lVert\nabla f(x)\rVert_1/\lambda$ is $\ge 0$, is zero exactly at a solution, and bounds $f(x) - f_{\text{box}}$ from above. An iterate outside is
# clipped to the box first, and its largest $\lambda|x_i|$ is reported beside it.

# %%
cancer = datasets.load("sklearn-breast-cancer")
table = (cancer["features"] - cancer["features"].mean(0)) / cancer["features"].std(0)
A = torch.tensor(table * (2 * cancer["labels"] - 1)[:, None])  # (569, 30): label times features
d = A.shape[1]


def loss(x):
    """(..., d) -> (..., 1) in nats."""
    return -logsigmoid(x @ A.T).mean(-1, keepdim=True)


def slope(x):
    """Gradient of `loss`, (..., d)."""
    return -torch.sigmoid(-x @ A.T) @ A / len(A)


def frank_wolfe(x, lam):
    """Gap at x clipped to the box, (..., d) -> (...)."""
    x = x.clamp(-1 / lam, 1 / lam)
    g = slope(x)
    return (g * x + g.abs() / lam).sum(-1)


def constrained(lam):
    """The box-constrained solution by L-BFGS-B, (d,)."""
    fun = lambda x: (float(loss(torch.tensor(x))), slope(torch.tensor(x)).numpy())
    found = minimize(fun, np.zeros(d), jac=True, method="L-BFGS-B", bounds=[(-1 / lam, 1 / lam)] * d, options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-16, "gtol": 1e-10})
    return torch.tensor(found.x)


# %% [markdown]
# **Phase one.** Whatever the loss, $|\operatorname{sign}| \le 1$ gives, for every coordinate outside the box, as long as $\eta\lambda \le 1$,
#
# $$|x_{t+1,i}| - \tfrac1\lambda \;\le\; (1 - \eta\lambda)\,\bigl(|x_{t,i}| - \tfrac1\lambda\bigr).$$


# %%
def violation(before, after, eta, lam):
    """Left side minus right side where |before| > 1/lam, else -1. Shape of `before`."""
    excess = before.abs() - 1 / lam
    return torch.where(excess > 0, after.abs() - 1 / lam - (1 - eta * lam) * excess, -1.0)


# %% [markdown]
# ## A check
#
# The gradient against automatic differentiation; $K^*$ against a maximisation of $zy - K(z)$ on a grid; Lion and AdamW against two libraries, with sign-flipped momentum; the L-BFGS-B solution against the
# Frank-Wolfe gap, which certifies it.

# %%
rng = np.random.default_rng(seed)
x = torch.tensor(rng.standard_normal((5, d))).requires_grad_()
auto = torch.autograd.grad(loss(x).sum(), x)[0]
page.check("gradient equals autograd", (auto - slope(x.detach())).abs().max(), tol=1e-12)

z, y = torch.linspace(-5, 5, 100_001, dtype=torch.float64)[:, None], torch.linspace(-0.99, 0.99, 23, dtype=torch.float64)[:, None]
page.check("K* equals the maximum of zy - K(z) on a grid", ((y * z.T - K(z).T).amax(1, keepdim=True) - conjugate(y)).abs().max(), tol=1e-6)

for name, rule, theirs in (("pytorch_optimizer.Lion", lion, pytorch_optimizer.Lion), ("torch.optim.AdamW", adamw, torch.optim.AdamW)):
    ours, error, state = x.detach(), 0.0, {}
    p = ours.clone().requires_grad_()
    opt = theirs([p], lr=0.01, weight_decay=0.5)
    for _ in range(100):
        ours, p.grad = rule(ours, state, slope(ours), 0.01, 0.5), slope(p.detach())
        opt.step()
        error = max(error, float((ours - p.detach()).abs().max()))
    page.check(f"100 steps equal {name}", error, tol=1e-9)

LAMBDAS = (0.3, 1.0, 3.0)
solution = torch.stack([constrained(lam) for lam in LAMBDAS])  # (3, d)
box_lam = torch.tensor(LAMBDAS, dtype=torch.float64)[:, None]
page.check("L-BFGS-B solutions have no Frank-Wolfe gap", frank_wolfe(solution, box_lam).max(), tol=1e-5)

# %% [markdown]
# ## The experiment
#
# | The paper | Here |
# |---|---|
# | theory in continuous and discrete time | (A) the flow with the smooth $K$, $e = 0.1$; four settings of $(\alpha, \gamma, \varepsilon, \lambda)$, ten starts inside the domain, Runge-Kutta of order four, step $10^{-3}$, float64 |
# | small constrained examples | (B) logistic loss on breast cancer, full batch, float64; $\lambda \in \{0.3, 1, 3\}$; solution from L-BFGS-B |
# | step sizes of practice | (B) $\eta_t = \eta_0/(1 + t/500)$, $\eta_0 \in \{0.0075, 0.015, 0.03, 0.06, 0.12, 0.3\}$; $\beta_2 \in \{0.99, 0.999\}$; 6,000 steps |
# | ImageNet and GPT-2, several $K$ | (C) MLP 196-64-10 on pooled Fashion-MNIST, minibatches of 128, $\eta = 0.002$ constant, $\lambda \in \{1, 5, 20\}$, three seeds, float32; $K = \lVert\cdot\rVert_1$ and $\lVert\cdot\rVert_2$ per weight tensor |
#
# Eight starts in (B): four uniform in the box and four uniform in a box five times as wide, shared by all methods. *Baselines.* AdamW has Lion's $\lambda$, rates, memories $\beta_2$, schedule, starts and
# steps. For each method and $\lambda$ the pair $(\eta_0, \beta_2)$ is used whose final gap plus the excess of the largest $\lambda|x_i|$ over one is smallest, on average over starts. AdamW is shown a second time with its default $\beta_2 = 0.999$ only. Everything is about the training problem; no test data are involved.
# The second data set once planned for (B), Adult, is not in the catalogue and is left out. The network in (C) is an MLP, not a small CNN.

# %%
page.say(f"{cancer.provenance}")
SETTINGS = torch.tensor([[1, 1, 0.5, 1], [1, 0.5, 1, 3], [2, 2, 0.2, 0.5], [1, 2, 0.5, 0.3]], dtype=torch.float64)  # the last has eps gamma = 1


def integrate(settings, horizon, starts=10, dt=1e-3, every=10):
    """The flow from random starts with |lam x| < 0.9. Returns x and m, (samples, settings, starts, d), and c of `flow`."""
    c = tuple(settings.T[..., None, None])
    x = torch.tensor(rng.uniform(-0.9, 0.9, (len(settings), starts, d))) / c[3]
    m = torch.tensor(rng.standard_normal(x.shape))
    kept = [(x, m)]
    for k in range(1, round(horizon / dt) + 1):
        k1 = flow(x, m, c)
        k2 = flow(x + dt / 2 * k1[0], m + dt / 2 * k1[1], c)
        k3 = flow(x + dt / 2 * k2[0], m + dt / 2 * k2[1], c)
        k4 = flow(x + dt * k3[0], m + dt * k3[1], c)
        x, m = (old + dt / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]) for i, old in enumerate((x, m)))
        if k % every == 0:
            kept.append((x, m))
    return *(torch.stack(part) for part in zip(*kept, strict=True)), c


X, M, c = integrate(SETTINGS, page.pick(smoke=0.3, book=5, paper=50))
H, F = lyapunov(X, M, c)[..., 0], objective(X, c)[..., 0]  # (samples, settings, starts)

# %%
GRID = torch.cartesian_prod(torch.tensor([0.99, 0.999], dtype=torch.float64), torch.tensor([0.0075, 0.015, 0.03, 0.06, 0.12, 0.3], dtype=torch.float64))
BETA2, RATES = GRID.T[..., None, None, None]  # twelve candidates, (12, 1, 1, 1) each; the last six have beta2 = 0.999
steps, every = page.pick(smoke=100, book=6_000, paper=60_000), 20
lam = box_lam[:, None]  # (3, 1, 1) against (rates, lambdas, starts, d)
wide = torch.tensor([1.0] * 4 + [5.0] * 4, dtype=torch.float64)[:, None]
starts = torch.tensor(rng.uniform(-1, 1, (3, 8, d))) * wide / lam


def descend(rule):
    """Loss, Frank-Wolfe gap, largest lam |x| and worst `violation` so far, each (candidates, lambdas, starts, samples)."""
    x, state, trace, worst = starts.expand(len(GRID), -1, -1, -1), {}, [], torch.full((len(GRID), 3, 8), -1.0, dtype=torch.float64)
    for t in encore.progress(range(steps + 1), f"descending with {rule.__name__}"):
        if t % every == 0:
            trace.append(torch.stack([loss(x)[..., 0], frank_wolfe(x, lam), (lam * x).abs().amax(-1), worst]))
        if t < steps:
            eta = RATES / (1 + t / 500)
            before, x = x, rule(x, state, slope(x), eta, lam, BETA2)
            worst = torch.maximum(worst, violation(before, x, eta, lam).amax(-1))
    return torch.stack(trace, -1)


RULES = {"Lion": lion, "AdamW": adamw, "signSGD": signsgd}
runs = {name: descend(rule) for name, rule in RULES.items()}  # (4 quantities, 12 candidates, 3 lambdas, 8 starts, samples)
score = {name: (run[1, ..., -1] + (run[2, ..., -1] - 1).clamp_min(0)).mean(-1) for name, run in runs.items()}  # gap + excess, (12, 3)
best = {name: of.argmin(0) for name, of in score.items()}  # candidate of each lambda, (3,)
best["AdamW, default β₂"] = 6 + score["AdamW"][6:].argmin(0)
chosen = {name: runs[name.split(",")[0]][:, index, range(3)] for name, index in best.items()}  # (4, 3, 8, samples)
values, gaps, reach = ({name: run[i] for name, run in chosen.items()} for i in range(3))

# %%
split = load()
NET_LAMBDAS, repeats = (1, 5, 20), seeds.spread(seed, 3)
unit = lambda m: m / m.flatten(1).norm(dim=1).clamp_min(1e-30).view(-1, *[1] * (m.ndim - 1))


def network(direction):
    """A trained Bench (members: seeds x lambdas) and its worst `violation`, (members,)."""
    bench = Bench(split, repeats, [2e-3] * 3, 128, wd=NET_LAMBDAS)
    worst = torch.full((len(bench.lr),), -1.0)

    def rule(params, grads, state, lr, wd):
        for k, (p, g) in enumerate(zip(params, grads, strict=True)):
            eta, decay = per_member(lr, p), per_member(wd, p)
            new = lion(p, state.setdefault(k, {}), g, eta, decay, direction=direction)
            worst.copy_(torch.maximum(worst, violation(p, new, eta, decay).flatten(1).amax(1)))
            p.copy_(new)

    for _ in encore.progress(range(page.pick(smoke=5, book=300, paper=20_000)), "training networks"):
        bench.step(rule)
    return bench, worst


net, net_worst = network(torch.sign)
unit_net, _ = network(unit)

# %% [markdown]
# ## Results
#
# ### A quantity that always falls

# %%
t = np.arange(len(X)) * 0.01
fig, panels = plt.subplots(1, 2, figsize=(6.4, 3.2))
for ax, k in zip(panels, (0, 1), strict=True):
    ax.plot(t, H[:, k, 0], color=figures.PALETTE[0], label="H")
    ax.plot(t, F[:, k, 0], "--", color=figures.PALETTE[1], label="F")
    ax.set(xlabel="time", title="α = {:g}, γ = {:g}, ε = {:g}, λ = {:g}".format(*SETTINGS[k].tolist()))
panels[0].set_ylabel("value (nats)")
panels[0].legend()
page.figure(fig, "lyapunov", caption="The Lyapunov function H and the objective F along one trajectory each of two settings of the flow. H bounds F from above.",
            alt="Two panels with a solid curve H above a dashed curve F; the solid curve falls everywhere and the two meet at the right.")

# %%
picked = np.linspace(0, len(X) - 1, 25).astype(int)
px, pm = X[picked].clone().requires_grad_(), M[picked].clone().requires_grad_()  # 25 x 4 x 10 = 1,000 points
gx, gm = torch.autograd.grad(lyapunov(px, pm, c).sum(), (px, pm))
with torch.no_grad():
    xdot, mdot, _ = flow(px, pm, c)
    chain = (gx * xdot + gm * mdot).sum(-1)
    terms = torch.stack(decrease(px, pm, c))[..., 0]  # (2, 25, 4, 10)
relative = ((chain - terms.sum(0)) / terms.sum(0)).abs()
rise = H.diff(dim=0).amax(0)  # (settings, starts), largest change between samples
f_rises = int((F.diff(dim=0) > 1e-10).any(0).sum())
page.say(f"At {relative.numel()} points the derivative of H by autograd and by the formula differ by at most {float(relative.max()):.1e} of its size; {int((terms <= 0).sum())} of the {terms.numel()} terms are not positive. "
         f"The largest change of H between two samples is {float(rise.max()):.1e} ({'a fall' if rise.max() < 0 else 'a rise'}). F itself rises somewhere on {f_rises} of {rise.numel()} trajectories.")
page.claim("lyapunov", encore.exact(relative), encore.bound(rise, 0.0))

# %% [markdown]
# ### Into the box

# %%
ticks = np.arange(gaps["Lion"].shape[-1]) * every
fig, panels = plt.subplots(1, 3, figsize=(6.4, 3), sharey=True)
for k, ax in enumerate(panels):
    for part, color, label in ((slice(4, 8), figures.PALETTE[1], "start outside"), (slice(0, 4), figures.PALETTE[0], "start inside")):
        lines = ax.plot(ticks + every, reach["Lion"][k, part].T, color=color, linewidth=1)
        lines[0].set_label(label)
    ax.axhline(1, color="black", linewidth=1, linestyle="--")
    ax.set(xscale="log", yscale="log", xlabel=f"step + {every}", title=f"λ = {LAMBDAS[k]:g}")
panels[0].set(ylabel="largest |x| times λ", yticks=[1, 2, 5], yticklabels=["1", "2", "5"])
panels[0].minorticks_off()
panels[-1].legend(loc="upper right")
page.figure(fig, "box", caption="Lion on the logistic loss: largest weight in units of the bound, eight starts for each decay. The dashed line is the edge of the box.",
            alt="Three panels. Curves that start at about five fall to the dashed line at one and stay there; curves that start below one end at or below the line.")

# %%
outside = runs["Lion"][3, :, :, 4:, -1].flatten()
net_outside = net_worst[net_worst > -1]
adam_broken = int((runs["AdamW"][3, :, :, 4:, -1] > 1e-12).sum())
page.say(f"In float64 the largest violation of the inequality on {outside.numel()} runs is {float(outside.max()):.1e}; on the {net_outside.numel()} networks that are ever outside their box, in float32, it is "
         f"{float(net_outside.max()):.1e}. AdamW breaks the inequality on {adam_broken} of its {outside.numel()} runs. Without decay nothing stops signSGD: its largest weight ends "
         f"{float(reach['signSGD'][..., -1].max()):.1f} times as large as the bound.")
page.claim("phase-one", encore.bound(outside, 0.0), encore.bound(net_outside, 0.0))

# %% [markdown]
# ### To the constrained optimum

# %%
fig, panels = plt.subplots(1, 3, figsize=(6.4, 3.2), sharey=True)
shown = np.unique(np.geomspace(1, len(ticks) - 1, 40).astype(int))
for k, ax in enumerate(panels):
    for (name, gap), color, style in zip(gaps.items(), figures.PALETTE, ("-", "--", ":", "-."), strict=False):
        figures.band(ax, ticks[shown], gap[k][:, shown].clamp_min(1e-16), name, color=color, log=True).set_linestyle(style)
    ax.set(xscale="log", yscale="log", xlabel="step", title=f"λ = {LAMBDAS[k]:g}")
panels[0].set_ylabel("Frank-Wolfe gap (nats)")
fig.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
page.figure(fig, "gap", caption="Distance from a solution of the box-constrained problem; geometric mean and 95 % band over eight starts. Iterates outside the box are clipped to it first.",
            alt="Three panels of the Frank-Wolfe gap against the step on logarithmic axes for Lion, AdamW, signSGD and AdamW with its default memory.")

# %%
f_box, f_zero = loss(solution), loss(torch.zeros(d, dtype=torch.float64))
excess = {name: (value[..., -1] - f_box) / (f_zero - f_box) for name, value in values.items()}  # (3, 8)
for k, value in enumerate(LAMBDAS):
    active = int((solution[k].abs() > 0.999 / value).sum())
    rows = [f"| {name} | {GRID[at[k], 1]:g} | {'–' if name == 'signSGD' else f'{GRID[at[k], 0]:g}'} | {gaps[name][k, :, -1].mean():.1e} | {excess[name][k].mean():.1e} | {reach[name][k, :, -1].max():.4f} |" for name, at in best.items()]
    page.say(f"λ = {value:g}; {active} of {d} weights are at the bound in the solution.\n\n| method | η₀ | β₂ | final gap (nats) | relative excess loss | largest λ\\|x\\| |\n|---|---|---|---|---|---|\n" + "\n".join(rows))

# %%
end = {name: gap[..., -1].flatten() for name, gap in gaps.items()}
wins = {name: int((end[name] < end["Lion"]).sum()) for name in ("AdamW", "AdamW, default β₂")}
page.say(f"Lion's relative excess loss is at most {float(excess['Lion'].abs().max()):.1e}. AdamW, with rate and memory chosen as for Lion, ends closer to the solution than Lion on {wins['AdamW']} of {len(end['Lion'])} pairs, "
         f"and with its default memory on {wins['AdamW, default β₂']}. Its mean gap is {float(end['AdamW'].mean()):.1e} chosen and {float(end['AdamW, default β₂'].mean()):.1e} by default; Lion's is {float(end['Lion'].mean()):.1e}.")
page.claim("solves", encore.close(excess["Lion"].flatten()), encore.bound(reach["Lion"][..., -1].flatten(), 1.001))
page.claim("not-adamw", encore.higher(end["AdamW"], end["Lion"]))

# %% [markdown]
# ### A network

# %%
weights = torch.cat([p.detach().flatten(1) for p in net.params], 1).view(len(repeats), len(NET_LAMBDAS), -1)
fig, ax = plt.subplots()
for k, (value, color) in enumerate(zip(NET_LAMBDAS, figures.PALETTE, strict=False)):
    ax.hist((value * weights[:, k]).flatten().numpy(), bins=np.linspace(-1.3, 1.3, 80), histtype="step", color=color, label=f"λ = {value}", density=True, linewidth=1.5)
for edge in (-1, 1):
    ax.axvline(edge, color="black", linewidth=1, linestyle="--")
ax.set(yscale="log", xlabel="weight times λ", ylabel="density")
ax.legend(loc="upper center", ncols=3)
ax.set_ylim(1e-3, 60)
page.figure(fig, "weights", caption="Weights and biases of the networks after training with Lion, three seeds pooled, in units of their bound (dashed).",
            alt="Three outlined histograms of weights times lambda on a logarithmic scale between dashed lines at minus one and one.")

# %%
inside = [f"{float((value * weights[:, k]).abs().max()):.3f} at λ = {value}" for k, value in enumerate(NET_LAMBDAS)]
balls = torch.stack([p.detach().flatten(1).norm(dim=1) * unit_net.wd for p in unit_net.params]).view(-1, 3, 3).amax((0, 1))
begin = torch.stack([p.detach().flatten(1).norm(dim=1) * unit_net.wd for p in Bench(split, repeats, [2e-3] * 3, 128, wd=NET_LAMBDAS).params]).view(-1, 3, 3).amax((0, 1))
page.say(f"Largest weight in units of the bound: {', '.join(inside)}. With $K = \\lVert\\cdot\\rVert_2$ the largest norm of a tensor in units of its bound goes "
         f"{', '.join(f'from {a:.2f} to {b:.3f} at λ = {v}' for a, b, v in zip(begin.tolist(), balls.tolist(), NET_LAMBDAS, strict=True))}: the approach takes about 1/(ηλ) steps.")

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
page.verdict()

# %% [markdown]
# ## What this page does not show
#
# * What AdamW solves depends on its memory. Our first version had AdamW at its default $\beta_2$, ten times the memory of Lion, and only the rate chosen; the claim then held. Runs three times as long
#   closed the gap only in part, at the smallest decay not at all. Then we gave both methods the same two memories. The verdict is for this stronger baseline, and both are in the tables. The register does not name a $\beta_2$, so this was our decision, taken
#   after the first result. It agrees with theory: {cite:p}`xie2024implicit` prove that full-batch AdamW, if it converges under such a schedule, ends in a stationary point of the *same* box-constrained problem.
#   With the long memory it had not converged here. We did not trace why; the weights that belong at the bound end beside it, on either side.
# * The momentum is not what makes the bound. signSGD *with* decay is a Frank-Wolfe method for the same box; it was not run.
# * The exact test uses the smooth $K$, which is differentiable. Lion's $K$ is not, and its domain has an edge that the flow reaches in finite time; there only
#   phase one and the limit are tested. The flow starts inside the domain only.
# * Runs of one $\lambda$ start apart and end at nearly the same point, so the 24 pairs are three problems rather than 24. The interval says little about other problems.
# * Rate and memory are chosen with the same gap that is compared, for every method alike. Where it is an end of the grid, a wider grid might do better.
# * One convex problem. Adult, the second one planned, is not in the catalogue. A network instead of the planned CNN is a small MLP, run with minibatches: it shows the bound, and nothing about
#   stationarity. At the smallest decay the weights never meet the bound in so few steps, and with $K = \lVert\cdot\rVert_2$ they have not come down to it at the smaller decays. Its rate was chosen for the sign, not tuned.
# * PyTorch's `softplus` turns into a straight line for large arguments. The derivative of that loss misses the formula by far more than rounding does; `logsigmoid` has no such switch.
#
# %% [markdown]
# ## Exercises
#
# :::{exercise}
# :label: lion-lyapunov-ex1
# Take $\varepsilon\gamma > 1$. The factor of the gap in $H$ is then negative. Find a trajectory on which $H$ increases.
# :::

# %% tags=["hide-cell", "solution"]
broken = torch.tensor([[1, 2, eps, 1] for eps in (0.5, 1, 2, 4)], dtype=torch.float64)
bx, bm, bc = integrate(broken, 0.2)
ups = lyapunov(bx, bm, bc)[..., 0].diff(dim=0)  # (samples, settings, starts)
for k, row in enumerate(broken.tolist()):
    page.say(f"εγ = {row[1] * row[2]:g}: H rises between samples on {int((ups[:, k] > 1e-10).any(0).sum())} of {ups.shape[2]} trajectories, at most by {float(ups[:, k].max()):.1e}")

# %% [markdown]
# :::{exercise}
# :label: lion-lyapunov-ex2
# Keep two features of the data and plot the trajectory of the two weights for Lion, for $K = \lVert\cdot\rVert_2$ and for AdamW, from the same start outside
# the box. Which path bends at the edge of a square, which at the edge of a disc?
# :::

# %% [markdown]
# ## References
#
# The paper: {cite:p}`chen2024lion`. Lion: {cite:p}`chen2023symbolic`. AdamW: {cite:p}`loshchilov2019decoupled`, and what it minimises: {cite:p}`xie2024implicit`. Related pages: `lion`
# (how Lion was found and how it trains), `target-surrogates`, `gradient-normalized-smoothness`.

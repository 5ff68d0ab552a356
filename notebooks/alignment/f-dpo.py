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
# # Beyond Reverse KL: Generalizing Direct Preference Optimization with Diverse Divergence Constraints
#
# %% [markdown]
# ## The idea
#
# Learning from human preferences means: find a policy that answers well, but do not let it run away from the reference policy it started
# from. The leash is nearly always the reverse KL divergence. It is mode-seeking, and aligned models are known to repeat themselves. Swapping
# the leash sounds easy and is not: direct preference optimisation (DPO) {cite:p}`rafailov2023direct` avoids a reward model and an RL loop only because, under
# reverse KL, the reward can be written as a log ratio of two policies plus a constant, and the constant cancels in a comparison of two
# answers.
#
# {cite:p}`wang2024beyond` show that the cancellation is no privilege of the logarithm. For any $f$-divergence whose derivative $f'$ can be
# inverted and is not defined at zero, the best policy satisfies *reward = $\beta f'$(ratio) + constant*. So the same pairwise loss works with forward
# KL, Jensen-Shannon and the $\alpha$-divergences: only the function applied to the ratio changes.
#
# Two things are easily overlooked. The same number $\beta$ is a different leash for every $f$. And what a divergence does at its
# optimum need not be what a short training run shows. This page measures both apart.
#
# %% [markdown]
# ## The method
#

# %% tags=["parameters"]
profile = "book"
seed = 0

# %%
from collections import namedtuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import kendalltau
from torch.nn.functional import logsigmoid, one_hot, softplus
from torchmetrics.functional.classification import binary_calibration_error

import encore
from encore import datasets, figures, seeds, stats

page = encore.open("alignment/f-dpo", profile, seed)

# %% [markdown]
# **Divergences.** With $u(y) = \pi(y)/\pi_{\rm ref}(y)$, a convex $f$ and $f(1) = 0$, the divergence is $D_f = \sum_y \pi_{\rm ref}(y) f(u(y))$.
# All code works with $t = \log u$, so each entry below holds three functions: $f(u)$, the derivative $f'(e^t)$, and $\log u$ as a function of
# the derivative's value.
#
# | | $f(u)$ | $f'(u)$ | highest value of $f'$ |
# |---|---|---|---|
# | reverse KL | $u\log u$ | $\log u + 1$ | $\infty$ |
# | $\alpha$, $0<\alpha<1$ | $\frac{u^{1-\alpha}-(1-\alpha)u-\alpha}{\alpha(\alpha-1)}$ | $(1-u^{-\alpha})/\alpha$ | $1/\alpha$ |
# | forward KL | $-\log u$ | $-1/u$ | $0$ |
# | Jensen-Shannon | $u\log u-(u+1)\log\frac{u+1}{2}$ | $\log\frac{2u}{1+u}$ | $\log 2$ |
# | chi-square | $(u-1)^2$ | $2(u-1)$, defined at $0$ | $\infty$ |
#
# As $\alpha$ goes from 0 to 1 the $\alpha$-divergence goes from reverse to forward KL. Near $u=1$ all of them look alike except for a factor: $f''(1)$ is 1 for
# the KL family, one half for Jensen-Shannon, two for chi-square. At the same $\beta$ Jensen-Shannon is the looser leash from the start.

# %%
Divergence = namedtuple("Divergence", "f slope inverse")


def alpha_divergence(a: float) -> Divergence:
    f = lambda u: (u ** (1 - a) - (1 - a) * u - a) / (a * (a - 1))
    return Divergence(f, lambda t: -torch.expm1(-a * t) / a, lambda x: -torch.log1p(-a * x) / a)


REVERSE_KL = Divergence(lambda u: u * u.log(), lambda t: t + 1, lambda x: x - 1)
FORWARD_KL = Divergence(lambda u: -u.log(), lambda t: -torch.exp(-t), lambda x: -torch.log(-x))
JENSEN_SHANNON = Divergence(lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log(), lambda t: np.log(2) - softplus(-t), lambda x: -torch.log(2 * torch.exp(-x) - 1))
CHI_SQUARE = Divergence(lambda u: (u - 1) ** 2, lambda t: 2 * torch.expm1(t), lambda x: torch.log((1 + x / 2).clamp_min(0)))
PATH = {"reverse KL": REVERSE_KL} | {f"α = {a}": alpha_divergence(a) for a in (0.3, 0.5, 0.7)} | {"forward KL": FORWARD_KL}  # in this order
LEGAL = PATH | {"Jensen-Shannon": JENSEN_SHANNON}
COLOUR = dict(zip([*LEGAL, "RLOO"], figures.PALETTE, strict=True))

# %% [markdown]
# **The loss.** The regularised problem is $\max_\pi\, \mathbb E_\pi r(y) - \beta D_f(\pi\,\|\,\pi_{\rm ref})$. Its stationarity condition reads
#
# $$r(y) = \beta f'(u^*(y)) + \lambda .$$
#
# Under the Bradley-Terry model the probability that $y_w$ is preferred to $y_l$ is $\sigma(r(y_w)-r(y_l))$. The multiplier $\lambda$ cancels, and the
# negative log-likelihood of the observed preferences becomes a loss on the policy itself:
#
# $$\mathcal L(\pi) = -\,\mathbb E\,\log\sigma\bigl(\beta f'(u(y_w)) - \beta f'(u(y_l))\bigr).$$
#
# 1. With $f'(u)=\log u + 1$ this is DPO.
# 2. The log ratio is clamped to $[-30, 30]$: $e^{-t}$ of a forgotten answer would overflow.
# 3. The ratio must be of *normalised* policies. In DPO the normaliser cancels, for the other divergences it does not.


# %%
def f_dpo_margin(d: Divergence, beta, log_u_w, log_u_l):
    """Implied difference of rewards, winner minus loser, from log ratios of any (broadcastable) shape."""
    return beta * (d.slope(log_u_w.clamp(-30, 30)) - d.slope(log_u_l.clamp(-30, 30)))


def f_dpo_loss(d: Divergence, beta, log_u_w, log_u_l):  # mean over the last axis
    return -logsigmoid(f_dpo_margin(d, beta, log_u_w, log_u_l)).mean(-1)


# %% [markdown]
# **The exact optimum**, for comparison. If the reward is known and the answers can be listed, $\pi^*(y) = \pi_{\rm ref}(y)\,(f')^{-1}((r(y)-\lambda)/\beta)$ and only
# $\lambda$ is missing. We bisect for it through $t^*$, the log ratio of the answer with the highest reward, for which $\lambda = r_{\max}-\beta f'(e^{t^*})$: at $t^* = 0$ the
# probabilities sum to at most one, at $t^* = -\log\pi_{\rm ref}$ to at least one.


# %%
def optimum(d: Divergence, r, log_ref, beta, rounds=60):
    """Maximiser of E r - beta D_f; r, log_ref: (..., K), beta: (..., 1), broadcast together; returns probabilities (..., K)."""
    r, log_ref, beta = torch.broadcast_tensors(r, log_ref, torch.as_tensor(beta, dtype=r.dtype))
    top = r.argmax(-1, keepdim=True)
    gap = (r.gather(-1, top) - r) / beta
    low, high = torch.zeros_like(top, dtype=r.dtype), -log_ref.gather(-1, top)
    for _ in range(rounds):
        middle = (low + high) / 2
        log_p = log_ref + d.inverse(d.slope(middle) - gap)
        short = log_p.logsumexp(-1, keepdim=True) < 0
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return log_p.softmax(-1)


# %% [markdown]
# **The f-DPO minimiser when all preference probabilities are known.** With 50 answers the expected loss over all pairs is a smooth function of
# 50 logits. L-BFGS, which the loss invites, stops early under forward KL: where the policy puts its mass $f'$ is flat, and what is left to gain is
# below the rounding error of the loss. So we take damped Newton steps (Levenberg's rule) with the Gauss-Newton matrix, which know how flat each
# direction is. No logit moves by more than 3 in a step: an answer whose probability underflows to zero could not come back. Neither the reward
# nor $\lambda$ enters, only preference probabilities.


# %%
def population_minimiser(d: Divergence, prefer, log_ref, beta, steps=200):
    """Policies (n, K) that minimise the f-DPO loss over all pairs; prefer: (n, K, K) with the probability that row beats column."""
    logits, eye = log_ref.clone(), torch.eye(log_ref.shape[-1], dtype=log_ref.dtype)
    damping = torch.full_like(log_ref[:, :1, None], 1e-2)
    margins = lambda t: f_dpo_margin(d, beta, t[:, :, None], t[:, None])
    loss = lambda log_p: -(prefer * logsigmoid(margins(log_p - log_ref))).sum((1, 2))
    for _ in range(steps):
        log_p = logits.log_softmax(-1)
        t = (log_p - log_ref).requires_grad_()
        (rise,) = torch.autograd.grad(beta * d.slope(t).sum(), t)
        q = torch.sigmoid(margins(t)).detach()
        weight = q * (1 - q)
        jacobian = rise[:, :, None] * (eye - log_p.exp()[:, None])  # of the implied reward with respect to the logits
        hessian = jacobian.mT @ ((torch.diag_embed(weight.sum(-1)) - weight) @ jacobian)
        damped = hessian + damping * (torch.diag_embed(hessian.diagonal(dim1=-2, dim2=-1)) + 1e-9 * eye)
        step = torch.linalg.solve(damped, jacobian.mT @ (q - prefer).sum(-1, keepdim=True))[..., 0]
        trial = logits - step.clamp(-3, 3)
        good = (loss(trial.log_softmax(-1)) <= loss(log_p))[:, None]
        logits = torch.where(good, trial, logits)
        damping = torch.where(good[..., None], damping / 4, damping * 4).clamp(1e-14, 1e6)
    return logits.softmax(-1)

# %% [markdown]
# **A tiny language model whose distribution can be written down.** Eight symbols, four positions, 4,096 answers. A network reads the one-hot
# prefix and gives a score to each next symbol; the 585 prefixes form a tree, and adding up along its branches gives a number for *every*
# answer. Added log-softmaxes are the answers' log-probabilities; added raw scores make a reward model of the same size. Expected reward, entropy
# and KL are then sums, not estimates. Parameters carry a leading dimension of *runs* (seeds and values of $\beta$) that train side by side and
# never mix. One loop trains everything below: Adam, and each run keeps the parameters with the best validation score.

# %%
V, T = 8, 4
ANSWERS = torch.cartesian_prod(*[torch.arange(V)] * T)  # (4096, 4)
PREFIXES = torch.cat([torch.where(torch.arange(T - 1) < k, ANSWERS[:: V ** (T - k), :-1], V) for k in range(T)])  # (585, 3), V: not yet
INPUTS = one_hot(PREFIXES, V + 1).flatten(1).float()  # (585, 27)


def scores(params):  # of the next symbol after each prefix: (runs, 585, 8)
    return torch.relu(INPUTS @ params[0] + params[1]) @ params[2] + params[3]


def along_branches(values):  # sums of (runs, 585, 8) along the tree, one per answer: (runs, 4096)
    total, *levels = values.split([V**k for k in range(T)], 1)
    for level in levels:
        total = total.flatten(1)[:, :, None] + level
    return total.flatten(1)


log_policy = lambda params: along_branches(scores(params).log_softmax(-1))


def train(params, loss, score, steps, lr):
    """Adam on `loss` (runs,): each run's parameters at its lowest `score` (runs,), that score, and the last parameters."""
    params = [p.clone().requires_grad_() for p in params]
    best, low = [p.detach().clone() for p in params], torch.full((len(params[0]),), torch.inf)
    adam = torch.optim.Adam(params, lr=lr)
    for step in range(1, steps + 1):
        adam.zero_grad()
        loss(params).sum().backward()
        adam.step()
        if step % 5 == 0:
            now = score(params).detach()
            for kept, p in zip(best, params, strict=True):
                kept[now < low] = p.detach()[now < low]
            low = torch.minimum(now, low)
    return best, low, [p.detach() for p in params]

# %% [markdown]
# **Calibration.** Show a held-out pair in random order, predict that the first answer wins with probability $\sigma(\text{margin})$, sort predictions
# into 15 bins and compare the mean prediction with the observed frequency. The expected calibration error (ECE) {cite:p}`guo2017calibration` is the mean
# absolute gap, weighted by the bins' shares.


# %%
def reliability(p, first_wins, bins=15):
    """Mean prediction, frequency and share of each non-empty bin, and the ECE; p in (0, 1) and first_wins in {0, 1}, both (n,)."""
    _, index, count = np.unique(np.minimum((p * bins).astype(int), bins - 1), return_inverse=True, return_counts=True)
    predicted, observed, share = np.bincount(index, p) / count, np.bincount(index, first_wins) / count, count / len(p)
    return predicted, observed, share, float((share * abs(predicted - observed)).sum())


# %% [markdown]
# ## A check
#
# Each $f'$ against PyTorch's automatic differentiation of $f$, and each inverse against its function; the reverse-KL loss against DPO's formula, written from four
# log-probabilities; our ECE against torchmetrics. (The protocol names netcal for the last one; it is not among this project's packages.)

# %%
rng = torch.Generator().manual_seed(seed)
t = torch.linspace(-6, 6, 241, dtype=torch.float64)
u = t.exp().requires_grad_()
automatic = {d: torch.autograd.grad(d.f(u).sum(), u)[0] for d in LEGAL.values()}
page.check("f' equals torch.autograd on f, six divergences (relative)", max(((d.slope(t) - a) / (1 + abs(a))).abs().max() for d, a in automatic.items()), tol=1e-10)
page.check("the inverse of f' returns log u", max((d.inverse(a) - t).abs().max() for d, a in automatic.items()), tol=1e-7)
log_p_w, log_p_l, log_ref_w, log_ref_l = torch.randn(4, 1000, generator=rng, dtype=torch.float64)
dpo = -torch.log(torch.sigmoid(0.1 * ((log_p_w - log_p_l) - (log_ref_w - log_ref_l)))).mean()
page.check("reverse KL gives DPO's loss", (f_dpo_loss(REVERSE_KL, 0.1, log_p_w - log_ref_w, log_p_l - log_ref_l) - dpo).abs(), tol=1e-7)

p, chance = torch.rand(2, 5000, generator=rng, dtype=torch.float64)
theirs = binary_calibration_error(p, (chance < p**2).long(), n_bins=15, norm="l1")
page.check("ECE equals torchmetrics' binary_calibration_error", abs(reliability(p.numpy(), (chance < p**2).numpy())[3] - float(theirs)), tol=1e-6)

# %% [markdown]
# ## The experiment
#
# | The paper | Here |
# |---|---|
# | language models (Pythia-2.8B among them) on IMDB, Anthropic HH, MT-bench | A: 50 answers; B: a language with 4,096 answers; C: films rated by people |
# | theorem: KKT mapping | A: 20 random rewards, $r \sim \mathcal N(0,1)$, $\pi_{\rm ref}\propto e^{\mathcal N(0,1)}$, float64; $\beta = 0.5$, for chi-square $0.2$ |
# | reward judged by another model | A, B: the true reward is known and every expectation exact |
# | human preferences | B: 1,500 sampled Bradley-Terry pairs, 6 seeds; C: pairs of one user's star ratings, 6 splits |
# | $\beta$: not read | $\beta \in \{0.03, 0.1, 0.3, 1, 3, 10\}$, chosen per divergence and seed by validation likelihood |
# | PPO with a KL penalty | reward model on the same pairs, then RLOO {cite:p}`ahmadian2024back` with a reverse-KL penalty at the same strengths |
#
# *Part A* asks what the divergences want. *Part B* asks what training on finite data makes of it: the reference is the tiny language model with random
# weights, the reward is the branch sum of another random network, scaled to mean zero and variance one under the reference. *Part C* uses MovieLens
# {cite:p}`harper2015movielens`: 400 of the 943 users and all films with at least 150 ratings; the reference is a two-tower softmax policy over films
# fitted to which films a user has seen, and preferences are that user's own stars. Ratings are split 70 : 10 : 20 into training, validation and test.
#
# *Baselines and tuning.* Every divergence, reverse KL included, has the same start, pairs, learning rate, steps, grid of $\beta$ and early
# stopping on the validation loss. The reward model starts from the reference network and stops early on the same validation pairs. RLOO
# takes as many steps, with 64 samples in each, and keeps its best policy by its own objective. Test data choose nothing.

# %%
n_problems, n_seeds = page.pick(smoke=3, book=20, paper=200), page.pick(smoke=2, book=6, paper=20)
reward, noise = torch.randn(2, n_problems, 50, generator=rng, dtype=torch.float64)
log_ref, flat_ref = noise.log_softmax(-1), torch.zeros_like(noise).log_softmax(-1)
prefer = torch.sigmoid(reward[:, :, None] - reward[:, None])
mapping_error = [(population_minimiser(d, prefer, log_ref, 0.5) - optimum(d, reward, log_ref, 0.5)).abs().amax(-1) for d in LEGAL.values()]
strict = optimum(CHI_SQUARE, reward, log_ref, 0.2)  # a weak leash, so a strong reward
zeros, distance = (strict == 0).sum(-1), (strict - population_minimiser(CHI_SQUARE, prefer, log_ref, 0.2)).abs().sum(-1) / 2

# %% [markdown]
# The same 20 problems, now along a sweep of $\beta$. For the claim about one shared $\beta$ each problem gets its own value, log-uniform between 0.1, where DPO is
# often run, and 1, the standard deviation of the reward: a single value would decide the answer.


# %%
entropy = lambda p: -torch.xlogy(p, p).sum(-1)


def exact_optima(arms, r, log_ref, beta):
    """Expected reward and entropy in nats of the exact optima of several divergences, each (..., arms) as NumPy arrays."""
    policies = [optimum(d, r, log_ref, beta, rounds=45) for d in arms.values()]
    return torch.stack([(p * r).sum(-1) for p in policies], -1).numpy(), torch.stack([entropy(p) for p in policies], -1).numpy()


own_beta = 10 ** (torch.rand(n_problems, 1, generator=rng, dtype=torch.float64) - 1)
shared_reward, shared_entropy = exact_optima(PATH, reward, log_ref, own_beta)
sweep = torch.logspace(-1.5, 1.5, 61, dtype=torch.float64)
exact_reward, exact_entropy = exact_optima(LEGAL, reward[:, None], log_ref[:, None], sweep[:, None])  # each (problems, betas, 6)
flat_reward, flat_entropy = exact_optima(LEGAL, reward[:, None], flat_ref[:, None], sweep[:, None])

# %% [markdown]
# **Part B.** All runs of one divergence train together: seeds times values of $\beta$. First the reference, the reward and the pairs.

# %%
BETAS = torch.tensor([0.03, 0.1, 0.3, 1.0, 3.0, 10.0])
lm_steps, film_steps = page.pick(smoke=5, book=100, paper=2000), page.pick(smoke=5, book=50, paper=200)
draw = lambda *shape: torch.randn(n_seeds, *shape, generator=rng)
reference, oracle = ([draw(INPUTS.shape[1], 32), torch.zeros(n_seeds, 1, 32), draw(32, V) / 32**0.5, torch.zeros(n_seeds, 1, V)] for _ in range(2))
lm_log_ref, lm_reward = log_policy(reference), along_branches(scores(oracle))
p_ref = lm_log_ref.exp()
lm_reward = lm_reward - (p_ref * lm_reward).sum(1, keepdim=True)
lm_reward = lm_reward / (p_ref * lm_reward**2).sum(1, keepdim=True).sqrt()


def ask(n):  # n pairs per seed, drawn from the reference and labelled by the Bradley-Terry model: winners and losers, (seeds, n)
    a, b = torch.multinomial(p_ref, 2 * n, True, generator=rng).chunk(2, 1)
    b_wins = torch.rand(a.shape, generator=rng) < torch.sigmoid(lm_reward.gather(1, b) - lm_reward.gather(1, a))
    return torch.where(b_wins, b, a), torch.where(b_wins, a, b)


pairs, held_out = ask(1500), ask(500)

# %% [markdown]
# Then f-DPO for every divergence, and the RL baseline: a reward model $\hat r$ fitted to the same pairs, and a policy gradient on
# $\hat r - \beta\log(\pi/\pi_{\rm ref})$ in which the mean of the other samples is the baseline.

# %%
each = lambda x: x.repeat_interleave(len(BETAS), 0)  # a row per seed -> a row per run
beta_runs, start, run_ref = BETAS.repeat(n_seeds)[:, None], [each(p) for p in reference], each(lm_log_ref)


def pair_loss(d, beta, policy, log_ref, chosen):
    """The f-DPO loss as a function of batched parameters; chosen: indices of winners and of losers, (runs, pairs)."""
    return lambda params: f_dpo_loss(d, beta, *[(policy(params) - log_ref).gather(1, c) for c in chosen])


def measure(params):
    """Expected reward, entropy, expected distinct answers among 100 samples, KL to the reference: (4, seeds, betas), exact."""
    log_pi = log_policy(params).double()
    p = log_pi.exp()
    rows = [(p * each(lm_reward)).sum(1), entropy(p), (1 - (1 - p) ** 100).sum(1), (p * (log_pi - run_ref)).sum(1)]
    return torch.stack(rows).reshape(4, n_seeds, len(BETAS)).numpy()


lm, lm_last, validation = {}, {}, {}
for name, d in encore.progress(LEGAL.items(), "aligning the tiny language model", total=len(LEGAL)):
    losses = [pair_loss(d, beta_runs, log_policy, run_ref, [each(c) for c in chosen]) for chosen in (pairs, held_out)]
    kept, low, last = train(start, *losses, lm_steps, 5e-3)
    lm[name], lm_last[name], validation[name] = measure(kept), measure(last), low.reshape(n_seeds, -1).numpy()

judged = lambda chosen: lambda q: -logsigmoid(torch.sub(*[along_branches(scores(q)).gather(1, c) for c in chosen])).mean(1)
estimate = each(along_branches(scores(train(reference, judged(pairs), judged(held_out), lm_steps, 5e-3)[0])))
objective = lambda log_pi: estimate - beta_runs * (log_pi - run_ref)


def rloo_loss(params, k=64):
    log_pi = log_policy(params)
    y = torch.multinomial(log_pi.detach().exp(), k, True, generator=rng)
    value = objective(log_pi.detach()).gather(1, y)
    return -((value - value.mean(1, keepdim=True)) * k / (k - 1) * log_pi.gather(1, y)).mean(1)


lm["RLOO"] = measure(train(start, rloo_loss, lambda q: -(log_policy(q).exp() * objective(log_policy(q))).sum(1), lm_steps, 5e-3)[0])
lm_exact = exact_optima(PATH, each(lm_reward).double(), run_ref.double(), beta_runs)[1].reshape(n_seeds, -1, 5)

# %% [markdown]
# **Part C.** A user is the average of the films in the training part; a policy is a softmax over all films of the product of user and film
# vectors. Liking is never told to the reference, only seeing.

# %%
films = datasets.load("movielens-100k")
page.say(films.provenance)
FILM_ARMS = {name: LEGAL[name] for name in ("reverse KL", "α = 0.5", "forward KL", "Jensen-Shannon")}


def star_pairs(user, film, stars, index, n, gen):
    """Pairs of ratings (at most n) by one user with different stars: entries of the user-film matrix, better and worse."""
    drawn = gen.choice(index, n)
    a, b = np.lib.stride_tricks.sliding_window_view(drawn[np.argsort(user[drawn], kind="stable")], 2).T  # neighbours, mostly of one user
    a, b = np.where(stars[a] > stars[b], (a, b), (b, a))[:, (stars[a] != stars[b]) & (user[a] == user[b])]
    return [torch.as_tensor(user[x] * (film.max() + 1) + film[x]).expand(len(BETAS), -1) for x in (a, b)]


def run_split(split_seed):
    """divergence -> validation loss, accuracy and ECE per beta, test predictions at the best beta, and who won."""
    gen = np.random.default_rng(split_seed)
    kept = np.isin(films["user"], gen.choice(943, 400, replace=False)) & (np.bincount(films["item"])[films["item"]] >= 150)
    user, film = (np.unique(films[k][kept], return_inverse=True)[1] for k in ("user", "item"))
    part = np.searchsorted([0.7, 0.8], gen.random(len(user)), side="right")  # 0 training, 1 validation, 2 test
    seen = torch.zeros(3, user.max() + 1, film.max() + 1).index_put_([torch.as_tensor(x) for x in (part, user, film)], torch.ones(1))
    history, seen = seen[0] / seen[0].sum(1, keepdim=True).clamp_min(1), seen.flatten(1)
    policy = lambda q: ((history @ q[0]) @ q[1].mT + q[2]).log_softmax(-1).flatten(1)
    towers = [torch.as_tensor(0.3 * gen.normal(size=(1, history.shape[1], 16)), dtype=torch.float32) for _ in range(2)]
    likelihoods = [lambda q, k=k: -(seen[k] * policy(q)).sum(1) / seen[k].sum() for k in range(2)]
    reference, *_ = train([*towers, torch.zeros(1, 1, history.shape[1])], *likelihoods, film_steps, 3e-2)
    sets = [star_pairs(user, film, films["rating"][kept], np.flatnonzero(part == k), n, gen) for k, n in enumerate((20_000, 6_000, 20_000))]
    first_wins, ref, out = gen.random(sets[2][0].shape[1]) < 0.5, policy(reference), {}
    for name, d in FILM_ARMS.items():
        losses = [pair_loss(d, BETAS[:, None], policy, ref, chosen) for chosen in sets[:2]]
        best, low, _ = train([each(q) for q in reference], *losses, film_steps, 5e-3)
        margin = f_dpo_margin(d, BETAS[:, None], *[(policy(best) - ref).gather(1, c) for c in sets[2]]).double().numpy()
        p = 1 / (1 + np.exp(np.where(first_wins, -margin, margin)))
        out[name] = low.numpy(), (margin > 0).mean(1), np.array([reliability(q, first_wins)[3] for q in p]), p[low.argmin()], first_wins
    return out


splits = [run_split(s) for s in encore.progress(seeds.spread(seed, n_seeds), "aligning the film policies")]

# %% [markdown]
# ## Results
#
# ### What the divergences want, and what training delivers
#
# A leash is a means; what counts is how much diversity a given gain of reward costs. So both axes below are outcomes, and $\beta$ only moves a policy along
# its curve.

# %%
limits = lambda y: np.array([(i.low, i.high) for i in map(stats.mean_interval, y.T)]).T  # 95 % intervals of the columns, (2, columns)
exact = {name: (exact_reward[..., k], exact_entropy[..., k] - entropy(log_ref.exp()).numpy()[:, None]) for k, name in enumerate(LEGAL)}
trained = {name: (r, h - entropy(p_ref).numpy()[:, None]) for name, (r, h, *_) in lm.items()}
fig, panels = plt.subplots(1, 2, figsize=(7, 4.1))
for ax, arms, shared in zip(panels, (exact, trained), (abs(sweep - 0.3).argmin(), 2), strict=True):
    for name, (x, y) in arms.items():
        style = {"color": COLOUR[name], "label": name, "ls": "--" if name == "RLOO" else "-", "lw": 1.3, "elinewidth": 0.6}
        ax.errorbar(x.mean(0), y.mean(0), abs(limits(y) - y.mean(0)), capsize=1.5, errorevery=max(1, len(sweep) // 15 * (ax is panels[0])), **style)
        ax.plot(x.mean(0)[shared], y.mean(0)[shared], "o", color=COLOUR[name], markersize=7)
    ax.set(title="B: trained language model" if "RLOO" in arms else "A: exact optimum, 50 answers", xlabel="expected reward (standard deviations)")
panels[0].set_ylabel("entropy, change from the reference (nats)")
fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4)
page.figure(fig, "frontier", caption="Expected reward and entropy as β varies; mean and 95 % interval of the entropy. B: sampled pairs, stopped by validation loss. Dots: all at β = 0.3.",
            alt="Falling curves. Left, six nearly coincide, with the dots of equal beta at different places. Right, α and forward KL end early, the others reach far to the right.")

# %%
interval = lambda x: "{0.value:+.2f} [{0.low:+.2f}, {0.high:+.2f}]".format(stats.mean_interval(x))
at = lambda value, x, y: np.array([np.interp(value, *line) for line in zip(x[:, ::-1], y[:, ::-1], strict=True)])  # x falls with beta
gap = [at(1, r[..., 4], h[..., 4]) - at(1, r[..., 0], h[..., 0]) for r, h in ((exact_reward, exact_entropy), (flat_reward, flat_entropy))]
reach = 0.9 * min(r.max(1).min() for r, _ in trained.values())
trained_gap = at(reach, *trained["forward KL"]) - at(reach, *trained["reverse KL"])
per_nat = [at(1, lm[name][3], lm[name][0]) for name in ("reverse KL", "RLOO")]
page.say(f"""At matched reward (one standard deviation) the exact forward-KL policy has {interval(gap[0])} nats of entropy relative to reverse KL with the random reference and
{interval(gap[1])} with a flat one, where reverse KL has the largest entropy of all policies of equal reward. Trained, and compared at a reward of {reach:.2f}, which every arm
reaches in every seed, the difference is {interval(trained_gap)} nats. On average no β takes trained forward KL beyond a reward of {lm['forward KL'][0].mean(0).max():.2f}; reverse KL gets to
{lm['reverse KL'][0].mean(0).max():.2f}. For one nat of KL, DPO gets {interval(per_nat[0] - per_nat[1])} of reward more than RLOO.""")

# %% [markdown]
# ### The same β for everybody
#
# Now the comparison that the claim asks for: all divergences at one $\beta$. Kendall's $\tau$ compares the order of the five entropies with the order reverse
# KL, $\alpha=0.3, 0.5, 0.7$, forward KL. It is $1$ if entropy rises along it and $-1$ if it falls.
#
# What should one expect? At $u = 1$ the five have the same $f''$, and constants in $f'$ go into $\lambda$, so the tails of the reward decide. With a long leash (small $\beta$) reverse KL suppresses bad answers
# exponentially, while forward KL leaves each of them the mass $\beta\,\pi_{\rm ref}/(\lambda-r)$, which looks like diversity. But forward KL also saturates: $f'$ has the ceiling
# zero, and once the best answer is near it, its share grows with little resistance. Which of the two effects wins depends on $\beta$.


# %%
tau = lambda h: np.apply_along_axis(lambda row: np.nan_to_num(kendalltau(range(5), row).statistic), -1, h)
stack = lambda arms: np.stack([arms[name][1] for name in PATH], -1)  # (seeds, betas, 5)
grid, fine = BETAS.numpy(), sweep[:51:5].numpy()
arms = {"exact, 50 answers": exact_entropy[:, :51:5, :5], "exact, language": lm_exact, "trained, early stopping": stack(lm), "trained, all steps": stack(lm_last)}
taus = {name: tau(h) for name, h in arms.items()}  # each (problems or seeds, betas)
fig, ax = plt.subplots(figsize=(6.4, 4))
for (name, y), x, style in zip(taus.items(), (fine, grid, 1.05 * grid, grid / 1.05), ("-s", "-^", "-o", "-D"), strict=True):
    ax.errorbar(x, y.mean(0), abs(limits(y) - y.mean(0)), fmt=style, capsize=2, elinewidth=0.8, label=name)
ax.axhline(0, color="0.4", lw=0.8)
ax.set(xscale="log", xlabel="β, the same for all divergences", ylabel="Kendall τ of entropy\nfrom reverse to forward KL", ylim=(-1.1, 1.1))
fig.legend(loc="outside lower center", ncols=2)
page.figure(fig, "shared-beta", caption="Does entropy rise from reverse to forward KL at equal β? Mean τ with 95 % intervals over problems or seeds. Trained curves are shifted sideways a little.",
            alt="Kendall's τ against β. The exact curves and full training start above zero, dip deep below it near β = 1 and rise again; early stopping starts at plus one.")

# %%
mean, at_tenth = taus["exact, 50 answers"].mean(0), {name: interval(y[:, 1]) for name, y in taus.items()}
page.say(f"""The mean τ of the exact optima {'changes sign' if mean.min() < 0 < mean.max() else 'keeps its sign'} along the sweep, from {mean[0]:+.2f} at β = {fine[0]:.2f} to
{mean.min():+.2f} at β = {fine[mean.argmin()]:.1f}. At β = {grid[1]:.1f} the language model has τ = {at_tenth['exact, language']} at its exact optimum,
{at_tenth['trained, early stopping']} after early stopping, and {at_tenth['trained, all steps']} when every arm takes all its steps.""")
page.say(f"""On the {n_problems} problems the minimiser of the f-DPO loss is the exact optimum up to {max(e.max() for e in mapping_error):.0e} in any probability. With chi-square the optimum
sets at least {zeros.min()} of 50 answers to exactly zero, and the minimiser is at least {distance.min():.2f} away in total variation.""")
page.claim("mapping", encore.exact(torch.stack(mapping_error)))
page.claim("counterexample", encore.bound(1e-2, distance), encore.bound(1, zeros))
page.claim("trade-off", encore.trend(range(5), shared_entropy), encore.trend(range(5), shared_reward))

# %% [markdown]
# What each divergence reaches in the language model at the $\beta$ that validation chose for each seed (means over seeds):

# %%
rows = ["| | median chosen β | E r* (sd) | entropy (nats) | distinct in 100 | KL spent (nats) |", "|---|---|---|---|---|---|"]
for name, low in validation.items():
    values = lm[name][:, np.arange(n_seeds), low.argmin(1)].mean(1)
    rows.append(f"| {name} | {np.median(BETAS[low.argmin(1)]):.1f} | {values[0]:.2f} | {values[1]:.2f} | {values[2]:.0f} | {values[3]:.2f} |")
page.say("\n".join(rows))

# %% [markdown]
# ### Where the gradient comes from
#
# One unit of $\log u$ changes the implied reward by $\beta\, u f''(u)$: a constant for reverse KL, $u^{-\alpha}$ for the others of the family. Times the sigmoid this is the
# weight of an answer's gradient.

# %%
t = torch.linspace(-5, 5, 201, dtype=torch.float64, requires_grad=True)
fig, axes = plt.subplots(1, 2, figsize=(7, 3.6))
derivative = lambda y: torch.autograd.grad(y.sum(), t)[0]
for name, d in FILM_ARMS.items():
    axes[0].plot(t.detach(), derivative(d.slope(t)), color=COLOUR[name], label=name)
    axes[1].plot(t.detach(), derivative(f_dpo_loss(d, 1.0, torch.zeros_like(t)[:, None], t[:, None])), color=COLOUR[name])
axes[0].set(yscale="log", xlabel="log u", ylabel="implied reward per unit of log u, over β", ylim=(5e-3, 2e2))
axes[1].set(xlabel="log u of the rejected answer", ylabel="gradient of the loss on it")
fig.legend(loc="outside lower center", ncols=4)
page.figure(fig, "gradient-weight", caption="Left: implied reward that a unit of log ratio is worth. Right: gradient of the loss on the rejected answer, at β = 1 and with log u = 0 for the chosen one.",
            alt="Left, on a log scale, reverse KL is flat and forward KL falls as a straight line. Right, reverse KL is a rising sigmoid and forward KL a hump around zero.")
page.say(f"""On an answer already {t.detach()[-1].exp():.0f} times more likely than under the reference, a change of its log ratio is worth
{derivative(REVERSE_KL.slope(t))[-1] / derivative(FORWARD_KL.slope(t))[-1]:.0f} times less implied reward under forward KL than under reverse KL: the loss has little to say about answers that have
grown, and much about those that have shrunk.""")

# %% [markdown]
# ### Calibration on people's ratings

# %%
chosen = {name: [s[name][0].argmin() for s in splits] for name in FILM_ARMS}
accuracy, ece = ({name: np.array([s[name][k][b] for s, b in zip(splits, chosen[name], strict=True)]) for name in FILM_ARMS} for k in (1, 2))
fig, ax = plt.subplots(figsize=(5.2, 4.2))
ax.plot([0, 1], [0, 1], color="0.4", lw=0.8)
for name, marker in zip(FILM_ARMS, "osD^", strict=True):
    predicted, observed, share, _ = reliability(*[np.concatenate([s[name][k] for s in splits]) for k in (3, 4)])
    ax.plot(predicted[share > 1e-3], observed[share > 1e-3], marker=marker, color=COLOUR[name], label=f"{name}, ECE {ece[name].mean():.3f}")
ax.set(xlabel="predicted probability that the first film wins", ylabel="observed frequency")
ax.legend()
page.figure(fig, "reliability", caption="Held-out MovieLens pairs, each divergence at its best validation β; all splits pooled, bins with a thousandth of the pairs or more. ECE: mean of the splits.",
            alt="Reliability diagram: four curves close to the diagonal and to each other, rising from lower left to upper right.")
ratio = {name: np.exp(np.ptp(np.log(np.mean([s[name][2] for s in splits], 0)))) for name in FILM_ARMS}
page.say(f"""ECE of Jensen-Shannon minus reverse KL, in thousandths: {interval(1000 * (ece['Jensen-Shannon'] - ece['reverse KL']))}; pair accuracies are
{accuracy['Jensen-Shannon'].mean():.3f} and {accuracy['reverse KL'].mean():.3f}. Between the best and the worst β of the grid the mean ECE changes by a factor of
{ratio['reverse KL']:.1f} for reverse KL and {ratio['Jensen-Shannon']:.1f} for Jensen-Shannon: the strength of the leash matters for calibration.""")
page.claim("calibration", encore.lower(ece["Jensen-Shannon"], ece["reverse KL"]))

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
page.verdict()

# %% [markdown]
# ## What this page does not show
#
# * **No language was generated.** A response is one of 50 or 4,096 answers, or a film. The mapping from reward to policy is exact at any
#   scale; orders of magnitude of reward or entropy are not to be carried over.
# * **The shared-β claim has no single answer.** Its sign depends on β, on the reference and on the stopping rule. We judge it on exact
#   optima, one β drawn per problem, because then nothing depends on training. Judged at a small β only, or on early-stopped
#   models, it would look better; judged at a β near the reward's standard deviation, worse. That early-stopped models
#   keep the claimed order at values of β where the exact optimum of the very same task does not suggests that the order comes from
#   stopping: under α and forward KL validation loss turns up sooner, so these policies have moved less. This is
#   our reading of the figure, not a separate experiment.
# * **A larger entropy at equal β is not a better trade-off.** The comparison at matched reward is the one to look at.
# * **RLOO is not PPO.** There is no critic and no clipping, and the reward model is as small as the policy. With more samples and a better
#   reward model it would gain; the comparison is at an equal number of policy steps.
# * **ECE is small and noisy** for every arm here, because β is chosen by likelihood, which rewards calibration. The paper's statement about
#   ECE (a bound on its difference by the divergence between two policies) is not tested; we ask whether Jensen-Shannon calibrates better.
# * **Part C uses four of the six divergences** and fewer than half of the users. One learning rate per part serves all arms.
# * **What went wrong on the way.** L-BFGS missed the tolerance of the mapping under forward KL by orders of magnitude; the
#   loss is too flat there for its line search. Unbounded Newton steps trapped the chi-square problem at a wrong corner, because a probability
#   that underflows to zero has no gradient. With bounded steps it agrees with SLSQP in SciPy, run once outside this page on four problems.

# %% [markdown]
# ## Exercises
#
# :::{exercise}
# :label: f-dpo-ex1
# Bring $\alpha$ close to one. How strongly does the loss pull at a rejected answer that has already become $e^2, e^4, \dots$ times less likely
# than under the reference, while the chosen one has not moved? Why does that not throw the policy away, and when would it?
# :::

# %% tags=["hide-cell", "solution"]
# The factor u^-alpha explodes, but the margin explodes with it and the sigmoid closes. At a small beta there is a window in which the sigmoid
# is still open and the factor already large; there a noisy pair, with winner and loser exchanged, does its damage.
depth = torch.tensor([0.0, -2.0, -4.0, -6.0], dtype=torch.float64, requires_grad=True)
page.say("Gradient of the loss, divided by β, on a rejected answer with log u = " + ", ".join(f"{x:.0f}" for x in depth.tolist()) + ":")
for name, d in {"reverse KL": REVERSE_KL, "α = 0.5": LEGAL["α = 0.5"], "α = 0.99": alpha_divergence(0.99)}.items():
    for beta in (1.0, 0.01):
        (push,) = torch.autograd.grad(f_dpo_loss(d, beta, 0 * depth[:, None], depth[:, None]).sum(), depth)
        page.say(f"{name}, β = {beta}: " + ", ".join(f"{x:.2g}" for x in (push / beta).tolist()))

# %% [markdown]
# :::{exercise}
# :label: f-dpo-ex2
# Make the reference peaked (`log_ref = (3 * noise).log_softmax(-1)`) and draw the first figure again. Does reverse KL still give the largest entropy at a given reward?
# What does the answer have to do with whose entropy the KL divergence counts?
# :::
#
# :::{exercise}
# :label: f-dpo-ex3
# Total variation has $f(u) = |u-1|/2$. What is its $f'$, and what would the loss do with it? Replace it by a smooth version and watch
# where the minimiser goes as the smoothing vanishes.
# :::

# %% [markdown]
# ## References
#
# The method: {cite:p}`wang2024beyond`; DPO: {cite:p}`rafailov2023direct`; the RL baseline: {cite:p}`ahmadian2024back`; calibration error: {cite:p}`guo2017calibration`; data:
# {cite:p}`harper2015movielens`. Related pages: Curry-DPO, HyPO, utility-probability duality, comp-sum losses.

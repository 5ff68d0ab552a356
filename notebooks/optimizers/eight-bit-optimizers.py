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
# # 8-bit Optimizers via Block-wise Quantization
#
# %% [markdown]
# ## The idea
#
# Adam remembers two numbers for every weight: a running mean of its gradient and a running mean of the squared gradient. In 32 bits that is eight bytes
# per weight, twice the weight itself. One byte each would do, if 256 levels were enough. Evenly spaced levels are not: the squared gradients of one
# layer can span many powers of ten, the small ones fall on the level zero, and Adam divides by their root. One outlier makes it worse,
# because it stretches the scale for everybody.
#
# {cite:p}`dettmers2022eightbit` change both. The levels are spread over seven powers of ten, finer towards the top (*dynamic* code), and
# every small block of the tensor has a scale of its own (*block-wise*), so that an outlier harms only its neighbours. A third change concerns
# word embeddings. This page trains a small language model with states that really are stored in bytes, takes the ingredients apart, and
# finds which of them carries the weight here.
#
# %% [markdown]
# ## The method
#

# %% tags=["parameters"]
profile = "book"
seed = 0

# %%
import logging
import time
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of an optional package that 4-bit matrix products would use
import bitsandbytes as bnb

import encore
from encore import figures, seeds, stats
from encore.bases.optimizer_bench import per_member
from encore.bases.tiny_gpt_char import CharBench, TinyGPT, load

page = encore.open("optimizers/eight-bit-optimizers", profile, seed)

# %% [markdown]
# **The codes.** A code is a sorted list of at most 256 values in $[-1, 1]$. The dynamic code has for every decade $i = 0,\dots,6$ a number $k_i$ of cells: cut
# $[0.1, 1]$ into $k_i$ equal cells, take their centres $c_j$, and scale them,
#
# $$Q = \{0, 1\} \cup \bigl\{\pm 10^{\,i-6} c_j : 0\le i\le 6,\ 1 \le j \le k_i\bigr\}, \qquad k_i = 2^i .$$
#
# 1. Each decade upwards has twice as many levels as the one below.
# 2. The second moment is never negative. Its code drops the minus signs and has $k_i = 2^{i+1}$ cells instead.
# 3. $+1$ is a level and $-1$ is not: the largest entry of a block is exact only if it is positive.
#
# The linear code, the baseline, has 255 evenly spaced values in $[-1, 1]$ (so that 0 is one of them) or 256 in $[0, 1]$.


# %%
def dynamic_code(signed):
    """The 256 sorted values of the dynamic code, float32."""
    values = [0.0, 1.0]
    for i in range(7):
        cells = torch.linspace(0.1, 1, 2 ** (i if signed else i + 1) + 1)
        centres = 10.0 ** (i - 6) * (cells[1:] + cells[:-1]) / 2
        values += torch.cat([centres, -centres] if signed else [centres]).tolist()
    return torch.tensor(sorted(values))


def linear_code(signed):
    """Evenly spaced values: 255 from -1 to 1, or 256 from 0 to 1."""
    return torch.arange(-127, 128) / 127 if signed else torch.arange(256) / 255


# %% [markdown]
# **Nearest level.** The stored byte is $q = \arg\min_j |Q_j - x|$, the number of midpoints between levels that lie below $x$. A binary search finds
# it in eight steps. One look into a table is faster: the first 17 bits of a float32 are its sign, its exponent and eight bits of its fraction, so they name an interval
# around $x$ that is narrow near zero and wider near one, like the code itself. No such interval holds more than one midpoint, and one
# comparison settles on which side $x$ lies. The result is the exact nearest level.


# %%
class Code:
    """A code and its search. values: (k,) sorted, in [-1, 1], neighbours near +-1 at least 1/256 apart."""

    def __init__(self, values):
        self.values, middle = values, (values[1:] + values[:-1]) / 2
        self.middle = torch.cat([middle, torch.tensor([torch.inf])])
        first = torch.arange(1 << 17, dtype=torch.int32) << 15  # bit patterns of the intervals' ends
        lowest = torch.where(first < 0, first | 0x7FFF, first).view(torch.float32)  # a larger pattern is a smaller negative number
        self.table = torch.bucketize(lowest.nan_to_num(1.0), middle, out_int32=True)

    def nearest(self, x):
        """x: float32 in [-1, 1], any shape. The index of the nearest value, uint8."""
        q = self.table.index_select(0, ((x.flatten().view(torch.int32) >> 15) & 0x1FFFF))
        return (q + (x.flatten() > self.middle.index_select(0, q))).to(torch.uint8).view_as(x)

    def __getitem__(self, q):
        """Values at the indices q, uint8 of any shape."""
        return self.values.index_select(0, q.flatten().int()).view_as(q)


CODES = {name: (Code(make(True)), Code(make(False))) for name, make in {"dynamic": dynamic_code, "linear": linear_code}.items()}
(dm, dv), (lm, lv) = CODES["dynamic"], CODES["linear"]  # of m and of v

# %% [markdown]
# **Block-wise quantisation.** Flatten the tensor $T$, cut it into blocks of $B$ elements (the last may be short), and store for block $b$ the scale $N_b$ and
# for each element one byte,
#
# $$N_b = \max_{i\in b} |T_i|, \qquad q_i = \arg\min_j \bigl|Q_j - T_i/N_b\bigr|, \qquad \hat T_i = N_b\, Q_{q_i} .$$
#
# That is $1 + 4/B$ bytes per element. *Tensor-wise* quantisation has one block, the tensor. Tensors carry a leading dimension of *members*: five
# networks that train side by side, one per seed; a block never crosses it.


# %%
class Packed(NamedTuple):
    """A quantised tensor: index (members, ...) uint8, scale (members, blocks) float32."""

    index: torch.Tensor
    scale: torch.Tensor


def blocks(x, size):
    """(members, ...) -> (members, blocks, size), padded with zeros; size None: one block."""
    x = x.flatten(1)
    size = size or x.shape[1]
    return F.pad(x, (0, -x.shape[1] % size)).view(len(x), -1, size)


def pack(x, code, size):
    """Quantise x (members, ...) float32."""
    cut = blocks(x, size)
    scale = cut.abs().amax(-1)
    index = code.nearest(cut / scale.clamp(min=1e-38)[..., None])
    return Packed(index.flatten(1)[:, : x[0].numel()].view_as(x), scale)


def unpack(packed, code, size):
    """Dequantise to float32, the shape of `packed.index`."""
    x = blocks(code[packed.index], size) * packed.scale[..., None]
    return x.flatten(1)[:, : packed.index[0].numel()].view_as(packed.index)


# %% [markdown]
# **8-bit AdamW.** Nothing else changes. In every step the states of a tensor are unpacked, an ordinary step is made in 32 bits, and the new states are packed again; between steps
# only bytes and scales exist. The weights see the moments *before* they are rounded, so the rounding acts on later steps.
#
# $$m \leftarrow \beta_1 \hat m + (1-\beta_1) g,\qquad v \leftarrow \beta_2 \hat v + (1-\beta_2) g^2,\qquad
# \theta \leftarrow \theta - \eta\Bigl(\frac{m/(1-\beta_1^t)}{\sqrt{v/(1-\beta_2^t)}+\epsilon} + \lambda\theta\Bigr).$$
#
# Tensors of fewer than two blocks keep 32 bits, as in the released code, and so does the token embedding, as the paper's *stable
# embedding layer* demands.

# %%
BETA1, BETA2, EPS, B = 0.9, 0.999, 1e-8, 256


def packable(params, tokens=False):
    """Positions of the tensors with 8-bit states: at least two blocks; the token embedding, the first, only if asked for."""
    return [k for k, p in enumerate(params) if p[0].numel() >= 2 * B and (k > 0 or tokens)]


def update(m, v, t):
    """The direction of Adam's step, from the moments after step t."""
    return m / (1 - BETA1**t) / ((v / (1 - BETA2**t)).sqrt() + EPS)


def adamw(codes=None, size=None, tokens=False):
    """An update rule. codes: (code of m, code of v) or None for 32-bit states; state[k] = (m, v) of tensor k, Packed or float32."""
    def rule(params, grads, state, lr, wd):
        packed = packable(params, tokens) if codes else []
        t = state["t"] = state.get("t", 0) + 1
        for k, (p, g) in enumerate(zip(params, grads, strict=True)):
            m, v = state.get(k, (torch.zeros_like(p), torch.zeros_like(p)))
            if isinstance(m, Packed):
                m, v = (unpack(s, c, size) for s, c in zip((m, v), codes, strict=True))
            m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g
            p -= per_member(lr, p) * (update(m, v, t) + per_member(wd, p) * p)
            state[k] = tuple(pack(s, c, size) for s, c in zip((m, v), codes, strict=True)) if k in packed else (m, v)
    return rule


# %% [markdown]
# ## A check
#
# The reference is bitsandbytes {cite:p}`bitsandbytes2026`, the authors' library, which has a compiled CPU path. Its CPU search for the nearest level is
# approximate, so bytes may differ; the test there is that ours is never farther from the value. Its 8-bit AdamW uses blocks of 256
# as we do. Because both make their own rounding, we hand over its bytes before every step and compare the weights after it.

# %%
for name, signed in (("first", True), ("second", False)):
    ours, theirs = dynamic_code(signed), bnb.functional.create_dynamic_map(signed)
    page.check(f"dynamic code of the {name} moment equals bitsandbytes.functional.create_dynamic_map", float((ours - theirs).abs().max()), tol=0)

generator = torch.Generator().manual_seed(seed)
sample = torch.randn(10_000, generator=generator) * 10 ** (-7 * torch.rand(10_000, generator=generator))  # many magnitudes
sample = sample / sample.abs().max()
for name, pair in CODES.items():
    for code, x in zip(pair, (sample, sample.abs()), strict=True):
        far, near = (code[code.nearest(x)] - x).abs(), (code.values - x[:, None]).abs().amin(1)
        page.check(f"{name} code of {len(code.values)} values: nearest level equals a brute-force search, {len(x):,} values", float((far - near).abs().max()), tol=1e-9)

# %%
tensor = torch.randn(1, page.pick(smoke=1 << 16, book=1 << 20, paper=1 << 24), generator=generator)
same, farther = [], []
for code, x in zip(CODES["dynamic"], (tensor, tensor**2), strict=True):
    theirs = bnb.functional.quantize_blockwise(x, code=code.values, blocksize=B)
    ours = pack(x, code, B)
    gap = [(y - x).abs() for y in (unpack(ours, code, B), bnb.functional.dequantize_blockwise(*theirs))]
    farther += [float((gap[0] - gap[1]).max()), float((ours.scale - theirs[1].absmax).abs().max())]
    same.append(float((ours.index == theirs[0]).float().mean()))
page.check("no element farther from its value than in bitsandbytes, same scales", max(farther), tol=1e-6)
page.say(f"The two agree in {same[0]:.2%} of the bytes of a signed and {same[1]:.2%} of an unsigned tensor; where they differ, ours is the nearer level.")

outlier = tensor.clone()
outlier[0, 1000] = 1e4
changed = {size: pack(outlier, CODES["dynamic"][0], size).index != pack(tensor, CODES["dynamic"][0], size).index for size in (B, None)}
changed[B].view(-1, B)[1000 // B] = False
page.check("an outlier leaves all bytes of the other blocks as they were", int(changed[B].sum()), tol=0)
share = float(changed[None].float().mean())
page.check(f"with one scale for the tensor it changes more than half of them ({share:.1%})", max(0.0, 0.5 - share), tol=0)


# %%
def library(optimiser, **settings):
    """A rule that lets a library's optimiser do the step (one member); its state is left in state["library"]."""
    def rule(params, grads, state, lr, wd):
        state.setdefault("library", optimiser(params, lr=float(lr), weight_decay=float(wd), **settings))
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        state["library"].step()
    return rule


corpus = load(n_valid=page.pick(smoke=16, book=256, paper=2048))
pair, worst = [CharBench(corpus, [seed], [3e-3], wd=0.1) for _ in range(2)], {"adamw": 0.0, "8-bit": 0.0}
for _ in range(20):
    pair[0].step(adamw()), pair[1].step(library(torch.optim.AdamW))
    worst["adamw"] = max(worst["adamw"], *(float((p - q).detach().abs().max()) for p, q in zip(*(b.params for b in pair), strict=True)))
pair = [CharBench(corpus, [seed], [3e-3], wd=0.1) for _ in range(2)]
for _ in range(20):
    pair[0].step(adamw(CODES["dynamic"], B, tokens=True)), pair[1].step(library(bnb.optim.AdamW8bit, min_8bit_size=2 * B))
    for k, (p, q) in enumerate(zip(*(b.params for b in pair), strict=True)):
        worst["8-bit"] = max(worst["8-bit"], float((p - q).detach().abs().max()))
        theirs = pair[1].state["library"].state[q]
        if "absmax1" in theirs:  # continue from the library's bytes
            pair[0].state[k] = tuple(Packed(theirs[f"state{i}"].clone(), theirs[f"absmax{i}"][None].clone()) for i in (1, 2))
page.check("32-bit AdamW equals torch.optim.AdamW, 20 steps of the language model", worst["adamw"], tol=1e-5)
page.check("8-bit AdamW equals bitsandbytes.optim.AdamW8bit from the same bytes, 20 steps", worst["8-bit"], tol=1e-5)

# %% [markdown]
# **Speed.** Both run on one thread, in turn, on the same tensor; the ratio of medians depends on the machine and is not judged.


# %%
timed = (lambda: unpack(pack(tensor, dm, B), dm, B), lambda: bnb.functional.dequantize_blockwise(*bnb.functional.quantize_blockwise(tensor, code=dm.values, blocksize=B)),
         lambda: torch.bucketize(blocks(tensor, B), dm.middle[:-1]))
clock = {f: [] for f in timed}
for _ in range(page.pick(smoke=3, book=15, paper=50)):
    for f, taken in clock.items():
        begin = time.perf_counter()
        f()
        taken.append(time.perf_counter() - begin)
mine, bits, search = (np.median(taken) / tensor.numel() * 1e9 for taken in clock.values())
page.say(f"Quantising and dequantising {tensor.numel():,} numbers takes {mine:.1f} ns per number here and {bits:.1f} ns in the compiled CPU path of bitsandbytes {bnb.__version__}: "
         f"ours needs {mine / bits:.2f} times as long. A binary search alone would take {search:.0f} ns.")

# %% [markdown]
# ## The experiment
#
# | The paper | Here |
# |---|---|
# | language models of up to 1.5 billion parameters, RoBERTa, translation, ImageNet | causal character transformer: 1 layer, width 48, 4 heads, context 32, 35,568 parameters, Tiny Shakespeare {cite:p}`karpathy2015char` |
# | blocks of 2048 | blocks of 256, because tensors are small (2048 is counted); the library's optimiser uses 256 today |
# | tensors below 4096 elements in 32 bits | below 512, again two blocks: the norms |
# | stable embedding layer: Xavier start, layer norm, 32-bit states | 32-bit states; the network's first operation after the positions is a layer norm already |
# | settings of the 32-bit optimiser, untouched | η = 0.003, β = (0.9, 0.999), ε = 10⁻⁸, λ = 0.01, batch 16, 250 steps, for every arm |
# | linear tensor-wise quantisation as the naive form | the same, plus the two forms with one ingredient each |
#
# Five seeds; all arms of a seed share start and minibatches. The loss is measured on 256 fixed windows of the last tenth of the text, in nats per character. A run whose
# loss is above $\log 65$, that of guessing, counts as diverged and enters as $\log 65$.
#
# *The baselines.* No arm is tuned, as the paper's claim demands. η was fixed beforehand as a usual rate for 32-bit AdamW on this
# network. To see whether a gentler rate would have saved the linear code, that arm and 32-bit AdamW are also trained at smaller rates. Three more arms
# take the recipe apart: one state linear and one dynamic, and the token embedding in 8 bits as well.

# %%
steps = page.pick(smoke=5, book=250, paper=10_000)
marks = sorted({-(-steps * k // 10) for k in (1, 2, 4, 6, 8, 10)})
saved = [steps // 5, steps // 2, steps]  # whose states are quantised offline; those of step 1 only explain
repeats, chance = seeds.spread(seed, 5), np.log(65)
page.say(corpus.provenance)
ARMS = {
    "32-bit": adamw(), "dynamic, block-wise": adamw((dm, dv), B), "dynamic, tensor-wise": adamw((dm, dv)), "linear, block-wise": adamw((lm, lv), B),
    "linear, tensor-wise": adamw((lm, lv)), "m linear, v dynamic": adamw((lm, dv), B), "m dynamic, v linear": adamw((dm, lv), B),
    "dynamic, block-wise, tokens too": adamw((dm, dv), B, tokens=True)}
MAIN, COLOURS = list(ARMS)[:5], dict(zip(ARMS, [figures.PALETTE[i] for i in (6, 0, 5, 4, 1, 2, 3, 3)], strict=True))


def train(rule, marks=marks):
    """Train five members. Returns the last state, losses (seeds, marks) in nats, the longest move of one weight in units of the rate, saved states."""
    bench, losses, longest, states = CharBench(corpus, repeats, [3e-3], 16, wd=0.01), [], 0.0, {}
    for _ in range(steps):
        before = [p.detach().clone() for p in bench.params]
        bench.step(rule)
        longest = max(longest, *(float((p - q).detach().abs().max()) / 3e-3 for p, q in zip(bench.params, before, strict=True)))
        if bench.t in marks:
            losses.append(np.minimum(bench.loss("valid")[:, 0], chance))
        if bench.t in [1, *saved]:
            fresh = torch.randint(len(corpus.x["train"]), (5, 16), generator=generator)
            states[bench.t] = {k: (*bench.state[k], g) for k, g in enumerate(bench.gradients(fresh))}
    return bench.state, np.array(losses).T, longest, states


# %%
state, curve, longest, states = {}, {}, {}, {}
for name in encore.progress(list(ARMS), "training with different states"):
    state[name], curve[name], longest[name], states[name] = train(ARMS[name], marks if name in MAIN else [steps])
final = {name: losses[:, -1] for name, losses in curve.items()}

gentle = [3e-5, 1e-4, 3e-4]
slow = {name: CharBench(corpus, repeats[:1], gentle, 16, wd=0.01) for name in ("32-bit", "linear, block-wise")}
for name in encore.progress(list(slow), "training at smaller rates"):
    for _ in range(steps):
        slow[name].step(ARMS[name])

# %% [markdown]
# ## Results
#
# ### Does it train?

# %%
fig, (ax, paired) = plt.subplots(1, 2, figsize=(8.2, 3.6), width_ratios=[1.25, 1])
for name in MAIN:
    line = figures.band(ax, marks, curve[name], name, color=COLOURS[name], marker="o" if name in MAIN[1::2] else None)
    line.set(linewidth=7, alpha=0.4) if name == "32-bit" else None
ax.axhline(chance, color=figures.PALETTE[6], linestyle=":", linewidth=1)
ax.set(xlabel="step", ylabel="validation loss (nats per character)")
ax.legend(loc="center right")
tests = ["dynamic, block-wise", "dynamic, tensor-wise", "m linear, v dynamic", "dynamic, block-wise, tokens too"]
gaps = {name: 1e3 * (final[name] - final["32-bit"]) for name in tests}
for row, (name, gap) in enumerate(gaps.items()):
    interval = stats.mean_interval(gap)
    paired.plot(gap, np.full(5, row), "o", color=COLOURS[name], alpha=0.5)
    paired.plot([interval.low, interval.high], [row, row], color=COLOURS[name], linewidth=3)
paired.axvline(0, color=figures.PALETTE[6], linewidth=1)
paired.set(yticks=range(4), ylim=(3.5, -0.5), xlabel="loss minus 32-bit\n(millinats per character)", yticklabels=["dynamic,\nblock-wise", "dynamic,\ntensor-wise", "m linear,\nv dynamic", "token states\nin 8 bits too"])
page.figure(fig, "training", caption="Left: validation loss; mean and 95 % band over five seeds, capped at the loss of guessing (dotted). Right: final loss minus that of 32-bit AdamW with the same seed; a dot per seed, bars are 95 % intervals.",
            alt="Left: the 32-bit and the two dynamic curves fall together on one line, while the two linear curves lie on the dotted line of guessing. Right: four rows of dots scattered around zero within a few thousandths of a nat.")

# %%
gap = stats.mean_interval(gaps["dynamic, block-wise"])
lost = {name: int((final[name] >= chance).sum()) for name in ARMS}
page.say(f"With dynamic block-wise states the final loss is {final['dynamic, block-wise'].mean():.3f} nats against {final['32-bit'].mean():.3f} in 32 bits: a difference of {gap.value:+.1f} "
         f"[{gap.low:+.1f}, {gap.high:+.1f}] thousandths of a nat. With one scale per tensor it is {gaps['dynamic, tensor-wise'].mean():+.1f} thousandths. "
         f"Diverged runs of five: {', '.join(f'{name} {lost[name]}' for name in MAIN)}.")
page.say(f"One state at a time: with a linear first moment {lost['m linear, v dynamic']} of five runs diverge, with a linear second moment {lost['m dynamic, v linear']}.")
page.say("Smaller rates, first seed, final loss in nats: " + "; ".join(
    f"{name} " + ", ".join(f"{loss:.2f} (η = {rate:g})" for rate, loss in zip(gentle, slow[name].loss("valid")[0], strict=True)) for name in slow) + ".")
page.claim("parity", encore.close(final["dynamic, block-wise"] - final["32-bit"]), encore.close(np.mean(final["dynamic, block-wise"] - final["32-bit"])))
page.claim("ablation", encore.lower(final["dynamic, block-wise"], final["linear, tensor-wise"]))

# %% [markdown]
# The token embedding shows in another number: the longest move that any single weight makes in one step, in units of the learning rate. Adam's moves are
# of the order of one.

# %%
length = {name: longest[name] for name in ("32-bit", "dynamic, block-wise", "dynamic, block-wise, tokens too")}
page.say("Longest single move: " + ", ".join(f"{name} {value:.1f} η" for name, value in length.items()) + ". " + (
    "A rare character gets almost no gradient between two appearances. Its second moment, tiny beside those of frequent characters in the block, is rounded to zero; its first is not, and cannot even decay, "
    "because at the coarse end of the code nine tenths of a level round back to that level. The step divides by almost nothing. The mean loss hardly notices, but the paper's 32-bit embedding states prevent it." if length["dynamic, block-wise, tokens too"] > 3 * length["dynamic, block-wise"]
    else "In this run the rare characters caused no unusual move."))

# %% [markdown]
# ### Memory
#
# Counted are the bytes of the tensors that the optimiser keeps between two steps.


# %%
def state_bytes(state, k):
    """Bytes per element of the two states of tensor k."""
    return sum(t.nbytes for s in state[k] for t in (s if isinstance(s, Packed) else (s,))) / (5 * size[k])


def expected(n, size):
    """Two states of n elements: a byte each, four for the scale of every begun block."""
    return 2 * (1 + 4 * -(-n // size) / n)


small, full = state["dynamic, block-wise"], state["32-bit"]
names, size = TinyGPT().names, [int(np.prod(shape)) for shape in TinyGPT().shapes.values()]
eight = [k for k in range(len(size)) if isinstance(small[k][0], Packed)]
errors = [state_bytes(small, k) - expected(size[k], B) for k in eight] + [state_bytes(full, k) - 8 for k in range(len(size))]
errors += [expected(size[k], B) - 2 * (1 + 4 / B) for k in eight if size[k] % B == 0]
for k in eight:
    large = {k: tuple(pack(s, c, 2048) for s, c in zip(full[k], CODES["dynamic"], strict=True))}
    errors.append(state_bytes(large, k) - expected(size[k], 2048))
page.say(f"A quantised tensor of whole blocks keeps {2 * (1 + 4 / B):.4f} bytes per parameter at B = {B} ({2 * (1 + 4 / 2048):.4f} at the paper's 2048), AdamW {state_bytes(full, 0):.0f}. "
         f"With embedding and norms in 32 bits our whole model keeps {sum(state_bytes(small, k) * n for k, n in enumerate(size)) / sum(size):.2f}.")
page.claim("memory", encore.exact(errors))

# %% [markdown]
# ### Where the levels are, and where they are needed

# %%
SHOWN = {"block0.up, step 1": ("block0.up", 1), f"block0.up, step {steps}": ("block0.up", steps), f"head, step {steps}": ("head", steps)}
fig, axes = plt.subplots(2, 1, figsize=(6.4, 4.8), sharex=True)
zeroed = {}
for ax, moment, label in zip(axes, (0, 1), ("first moment m", "second moment v"), strict=True):
    for (shown, (tensor_name, t)), color in zip(SHOWN.items(), figures.PALETTE[2::2], strict=False):
        values = states["32-bit"][t][names.index(tensor_name)][moment]
        cut = blocks(values, B)
        relative = (cut / cut.abs().amax(-1, keepdim=True)).abs().flatten(1)[:, : values[0].numel()].flatten().double()
        ax.hist(relative.clamp(min=1e-8).log10().numpy(), bins=np.linspace(-8, 0, 65), weights=np.full(len(relative), 100 / len(relative)), histtype="step", color=color, linewidth=1.6, label=shown)
        zeroed[shown, moment] = [float((relative < code.values[code.values > 0].min() / 2).double().mean()) for code in (lm, dm) if moment == 0] or [
            float((relative < code.values[1] / 2).double().mean()) for code in (lv, dv)]
    top = ax.get_ylim()[1]
    for row, (name, color) in enumerate((("dynamic", figures.PALETTE[0]), ("linear", figures.PALETTE[1]))):
        levels = CODES[name][moment].values
        ax.plot(levels[levels > 0].log10(), np.full(int((levels > 0).sum()), -top * (0.1 + 0.14 * row)), "|", color=color, markersize=8, markeredgewidth=0.7)
        ax.text(-7.9, -top * (0.1 + 0.14 * row), f"{name} code", va="center", fontsize=8, color=color)
    ax.set(ylabel="share of elements (%)", title=label, ylim=(-0.32 * top, top))
axes[0].legend(loc="upper left")
axes[1].set_xlabel("log10 of the size relative to the block's largest")
page.figure(fig, "levels", caption=f"Sizes of 32-bit states of two matrices relative to the largest of their block of {B}, all seeds; the leftmost bin holds all that is smaller. Below: positive levels of the two codes.",
            alt="Two panels of histogram outlines over a logarithmic axis with rows of tick marks below. The linear code's levels begin two decades below the largest, the dynamic code's six. Second moments spread far left of the linear levels at step one and in the head, and lie within two decades for the hidden matrix at the last step.")

# %%
page.say("Share of second moments that the linear code rounds to zero: " + ", ".join(f"{shown} {zeroed[shown, 1][0]:.1%}" for shown in SHOWN) + "; the dynamic code: " + ", ".join(f"{zeroed[shown, 1][1]:.2%}" for shown in SHOWN)
         + ". First moments rounded to zero by the linear code: " + ", ".join(f"{zeroed[shown, 0][0]:.1%}" for shown in SHOWN) + ". A first moment of zero is a small error of the step; a second moment of zero stands in a denominator.")

# %% [markdown]
# ### The error of the update
#
# The states of the 32-bit run are quantised once, and $u = \hat m/(\sqrt{\hat v}+\epsilon)$ is computed from them. Where $v$ has become zero, $u$ is
# divided by $\epsilon$ alone. Training is kinder: a fresh gradient is added to the states before they are used. Both are shown, the second with gradients of
# other minibatches. The claim is about the stored states at the three registered steps; the first step is there to see how training begins.


# %%
FORMS = {"dynamic, block-wise": ("dynamic", B), "dynamic, tensor-wise": ("dynamic", None), "linear, block-wise": ("linear", B), "linear, tensor-wise": ("linear", None)}


def update_error(m, v, g, t, code, size):
    """Mean |u from quantised states - u|, (2, members): at once, and after gradient g has been added. m, v, g: (members, ...)."""
    rounded = [unpack(pack(s, c, size), c, size) for s, c in zip((m, v), CODES[code], strict=True)]
    fresh = [(BETA1 * a + (1 - BETA1) * g, BETA2 * b + (1 - BETA2) * g * g) for a, b in ((m, v), rounded)]
    now = update(*rounded, t) - update(m, v, t)
    later = update(*fresh[1], t + 1) - update(*fresh[0], t + 1)
    return np.array([e.abs().flatten(1).mean(1).double().numpy() for e in (now, later)])


times = [1, *saved]
error = {name: np.array([[update_error(*states["32-bit"][t][k], t, *form) for k in eight] for t in times]) for name, form in FORMS.items()}  # (times, tensors, 2, seeds)
fig, axes = plt.subplots(1, 3, figsize=(8.6, 3.6), sharey=True)
for ax, (row, form, title) in zip(axes, ((0, 1, "step 1, next gradient added"), (-1, 0, f"step {steps}, as stored"), (-1, 1, f"step {steps}, next gradient added")), strict=True):
    for shift, (name, values) in zip((-0.24, -0.08, 0.08, 0.24), error.items(), strict=True):
        ax.plot(values[row, :, form], np.arange(len(eight))[:, None] + np.full((1, 5), shift), "o", color=COLOURS[name], alpha=0.7, markersize=3.5)
        ax.plot([], [], "o", color=COLOURS[name], label=name)
    ax.set(xscale="log", xlabel="mean error of u", yticks=range(len(eight)), yticklabels=[names[k] for k in eight], ylim=(len(eight) - 0.5, -0.5))
    ax.set_title(title, fontsize=9)
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
page.figure(fig, "update-error", caption="Mean absolute error of Adam's update by tensor, one dot per seed, if the states of the 32-bit run are quantised: with or without one more gradient added, as training does.",
            alt="Three panels of dots on logarithmic axes, six tensors each. At step one the linear codes lie far right of the dynamic ones in every tensor. At the last step the four forms lie close together except in the head, where the linear codes are far to the right.")

# %%
ratio = error["dynamic, block-wise"] / error["linear, block-wise"]  # (times, tensors, 2, seeds)
middle = np.exp(np.log(ratio[:, :, 0]).mean((1, 2)))[1:]  # geometric mean over tensors and seeds, per registered step
held, dots = int((ratio[1:, :, 0] <= 0.5).sum()), ratio[1:, :, 0].size
own = np.exp(np.log(error["dynamic, block-wise"] / error["dynamic, tensor-wise"])[1:].mean((0, 1, 3)))
page.say(f"Stored states, block-wise: the dynamic code's error divided by the linear code's is {', '.join(f'{x:.2g} at step {t}' for x, t in zip(middle, saved, strict=True))} in the geometric mean over tensors and seeds. "
         f"Tensor by tensor it is at most one half in {held} of {dots} cases: between {ratio[1:, :, 0].min():.1g} and {ratio[1:, :, 0].max():.2g}. In the head alone the largest ratio is {ratio[1:, -1, 0].max():.1g}; in the other tensors at the last step the geometric mean is "
         f"{np.exp(np.log(ratio[-1, :-1, 0]).mean()):.2f}. After the first step and one more gradient the ratio is at most {ratio[0, :, 1].max():.2g} in every tensor.")
page.say(f"Own scales for blocks multiply the dynamic code's error by {own[0]:.2f} (stored) and {own[1]:.2f} (next gradient added) in the geometric mean.")
logs = {name: np.log(values[1:, :, 0]).mean(1).ravel() for name, values in error.items()}  # mean over tensors; checkpoints x seeds
page.claim("error", encore.lower(logs["dynamic, block-wise"], logs["linear, block-wise"]), encore.bound(ratio[1:, :, 0].ravel(), 0.5))

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
page.verdict()

# %% [markdown]
# ## What this page does not show
#
# * **That blocks matter.** The registered test of `ablation` compares both ingredients together with neither. The arms in between tell more: here the dynamic code alone separates
#   a run that trains from one that diverges, and one scale per tensor costs nothing that we can measure in the loss. Our tensors are small and have no outliers of
#   the kind that large models grow. The check with a planted outlier shows what blocks are for; it does not show that training needs them.
# * **That the dynamic code is the better code everywhere.** A running mean over many steps makes second moments of one block alike. Once they lie
#   within two decades, evenly spaced levels are as good as any or slightly better, and the strict test of `error`, tensor by tensor, sees this. The linear code fails where second moments really differ by many
#   decades: after the first step, when each is one squared gradient, and in the head, where a block mixes rare and frequent characters. A few such entries
#   suffice to ruin a run. Averaged over the tensors the dynamic code wins by a wide margin, but the average is owed to those few.
# * **Instability at scale.** The paper's unstable runs belong to models many thousand times larger, and they are a share of runs, not all of them. That our linear runs all diverge says that
#   the code fails on the second moment of a small transformer. It says nothing about the share in a large one.
# * **The best naive baseline.** A square root before the linear code, stochastic rounding, a floor under the second moment or a larger ε might rescue the
#   linear code. We tried smaller rates only. The first and the third exercise start there.
# * **The stable embedding layer.** Only its 32-bit states are used. Its initialisation and layer norm were not compared.
# * **Time and memory of training.** The library fuses the three stages on a GPU. Our ratio is about one CPU thread and says nothing about a GPU. Weights, gradients
#   and activations are not smaller, and a moment is held in 32 bits while its tensor is updated.
# * **Long runs.** Parity after some hundred steps at a constant rate is not parity after a hundred thousand with a schedule.
# * **Independent checkpoints.** The interval of `error` treats checkpoints of one run as separate; they are related. The bound on every tensor does not depend on that.
#
# We know the paper's ablation table only from summaries, so its numbers are not compared.
#
# %% [markdown]
# ## Exercises
#
# :::{exercise}
# :label: eight-bit-optimizers-ex1
# Store $\sqrt v$ instead of $v$ with the linear code, block-wise, and square it when it is unpacked. How much smaller does the error of the update become in the head?
# :::

# %% tags=["hide-cell", "solution"]
m, v, g = states["32-bit"][steps][names.index("head")]
root = unpack(pack(v.sqrt(), lv, B), lv, B) ** 2
for name, rounded in {"linear code of v": unpack(pack(v, lv, B), lv, B), "linear code of sqrt(v)": root, "dynamic code of v": unpack(pack(v, dv, B), dv, B)}.items():
    gap = (update(unpack(pack(m, dm, B), dm, B), rounded, steps) - update(m, v, steps)).abs().mean()
    page.say(f"{name}: {float((rounded == 0).double().mean()):.2%} zeros, mean error of the update {float(gap):.2g}")

# %% [markdown]
# :::{exercise}
# :label: eight-bit-optimizers-ex2
# Write the dynamic code with 4 bits: three decades, 16 values. Train with it, first for $m$ only, then for $v$ only. Which state breaks first?
# :::
#
# :::{exercise}
# :label: eight-bit-optimizers-ex3
# Give the second moment the signed code. Half of its levels are wasted. What happens to the error of the update, and what to the loss?
# Then try the linear code with 32-bit states for the head, and with 32-bit states for the first 50 steps. Which of the two does it need?
# :::
#
# %% [markdown]
# ## References
#
# The paper: {cite:p}`dettmers2022eightbit`, and its library {cite:p}`bitsandbytes2026`. The dynamic code comes from {cite:p}`dettmers2016eightbit`. Adam: {cite:p}`kingma2015adam`; AdamW:
# {cite:p}`loshchilov2019decoupled`. Text: {cite:p}`karpathy2015char`. Related pages: `lion` (one state in place of two), `svd-free-low-rank` (states in a
# subspace), `diffgrad`.

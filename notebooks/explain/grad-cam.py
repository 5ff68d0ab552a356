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
# # Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization

# %% [markdown]
# ## The idea
#
# A network calls a picture "tiger". Which part of the picture did it use? The gradient of the score with respect to the pixels gives
# one answer, but a noisy one, and its popular clean-up, guided backpropagation {cite:p}`springenberg2014striving`, draws nearly the
# same sharp edges whichever class is asked for.
#
# Class activation maps (CAM) {cite:p}`zhou2016learning` are class-specific, but only exist for networks that end in global average
# pooling and one linear layer; other networks had to be rebuilt and retrained. Grad-CAM {cite:p}`selvaraju2017gradcam` reads the
# weights of the maps off the gradient instead. It works with any convolutional network, leaves it as it is and costs one backward pass.

# %% [markdown]
# ## The method

# %% tags=["parameters"]
profile = "book"
seed = 0

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from captum.attr import GuidedBackprop, LayerGradCam
from scipy.stats import kendalltau, spearmanr
from torch import nn
from torch.nn import functional as F

import encore
from encore import datasets, figures
from encore.nets import efficientnet_lite0 as lite0
from encore.stats import mean_interval

page = encore.open("explain/grad-cam", profile, seed)
weights = datasets.load("efficientnet-lite0")
net = lite0.load(weights["state"])

# %% [markdown]
# Let $A^k$, $k = 1 \dots K$, be the maps of a convolutional layer, $u \times v$ each with $Z = uv$, and $y^c$ the score of class $c$.
# The importance of map $k$ is its gradient, averaged over positions; the explanation is the weighted sum of the maps:
#
# $$\alpha_k^c = \frac{1}{Z}\sum_{i,j} \frac{\partial y^c}{\partial A^k_{ij}}, \qquad
#   L^c = \mathrm{ReLU}\Big(\sum_k \alpha_k^c A^k\Big).$$
#
# 1. $y^c$ is the score *before* the softmax. A probability also rises when the scores of other classes fall (Exercise 1).
# 2. The ReLU comes last and keeps what speaks *for* $c$. With $-\alpha_k^c$ in its place the same formula shows what speaks against it.
#    `grad_cam` returns the sum before the ReLU, because we need both.
# 3. The map has the size of the layer, 7 x 7 here, and is enlarged bilinearly.

# %%
def score_gradients(network, x, classes, layers):
    """Scores y (n, 1000) and {layer: (A, dy^c/dA)}, each (n, K, u, v); the layer "input" is x itself.

    x: (n, 3, h, w) network input; classes: (n,) the class c asked for in each image.
    """
    x = x.clone().requires_grad_()
    y, maps = network.with_maps(x, [name for name in layers if name != "input"])
    maps = {"input": x} | maps
    score = y.gather(1, torch.as_tensor(classes)[:, None]).sum()
    gradients = torch.autograd.grad(score, [maps[name] for name in layers])
    return y.detach(), {name: (maps[name].detach(), g) for name, g in zip(layers, gradients, strict=True)}


def grad_cam(A, gradient):
    """sum_k alpha_k A^k before the ReLU, (n, u, v)."""
    alpha = gradient.mean((2, 3))
    return torch.einsum("nk,nkuv->nuv", alpha, A)


def upsample(L, size=lite0.SIZE):
    """(n, u, v) -> (n, size, size), bilinear."""
    return F.interpolate(L[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]


# %% [markdown]
# The rival and partner is guided backpropagation: the gradient with respect to the pixels, except that a rectifier passes a gradient $G$
# on only where its own input is positive *and* $G$ is positive. Our network clips at 6: its rectifier is $\mathrm{ReLU6}(z) = \min(\max(z,
# 0), 6)$. The paper knows no such unit. We keep the true local derivative, zero above 6, and add the rule for the sign:
#
# $$G_{\text{in}} = \max(G_{\text{out}}, 0)\cdot \mathbb{1}[0 < z < 6].$$

# %%
class GuidedStep(torch.autograd.Function):
    """ReLU6 forward, the guided rule backward."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z.clamp(0, 6)

    @staticmethod
    def backward(ctx, gradient):
        (z,) = ctx.saved_tensors
        return gradient.clamp(min=0) * ((z > 0) & (z < 6))


class GuidedReLU6(nn.Module):
    def forward(self, z):
        return GuidedStep.apply(z)


guided_net = lite0.load(weights["state"], activation=GuidedReLU6)

# %% [markdown]
# Guided Grad-CAM multiplies the two: guided backpropagation is fine, Grad-CAM knows the class. The pixel-space methods have three
# colour channels of either sign; we reduce each to its positive part, summed over the channels. Two controls complete the list. The
# *class-blind* map is the mean of the maps $A^k$ and never hears which class is asked. *Random classifier* is Grad-CAM after the weights
# of the last linear layer are drawn anew (normal, same standard deviation). Every map below is non-negative and 224 x 224.

# %%
random_classifier = torch.randn(net.classifier.weight.shape, generator=torch.Generator().manual_seed(seed)) * net.classifier.weight.std()
LAYERS = ["stem", "blocks.2.depthwise", "blocks.4.depthwise", "blocks.10.depthwise", "head"]  # the last rectified maps of each resolution
BETWEEN = ["blocks.11.depthwise", "blocks.13.depthwise", "blocks.15.depthwise"]  # three more of the last resolution, outside the test
METHODS = ["Grad-CAM", "Guided Grad-CAM", "plain gradient", "guided backprop", "class-blind", "random classifier"]


def explain(x, classes):
    """{method or layer: map (n, 224, 224)} and the scores (n, 1000); under a layer's name, its Grad-CAM."""
    y, layers = score_gradients(net, x, classes, ["input", *LAYERS, *BETWEEN])
    guided = score_gradients(guided_net, x, classes, ["input"])[1]["input"][1]
    maps = {name: upsample(grad_cam(*layers[name]).clamp(min=0)) for name in LAYERS + BETWEEN}
    A, gradient = layers["head"]
    maps["Grad-CAM"] = maps["head"]
    maps["against"] = upsample(grad_cam(A, -gradient).clamp(min=0))
    maps["plain gradient"] = layers["input"][1].clamp(min=0).sum(1)
    maps["guided backprop"] = guided.clamp(min=0).sum(1)
    maps["guided backprop, absolute"] = guided.abs().sum(1)
    maps["Guided Grad-CAM"] = maps["guided backprop"] * maps["Grad-CAM"]
    maps["class-blind"] = upsample(A.mean(1))
    maps["random classifier"] = upsample(torch.einsum("nk,nkuv->nuv", random_classifier[classes], A).clamp(min=0))
    return maps, y


# %% [markdown]
# ## A check
#
# Grad-CAM against captum's `LayerGradCam`. Guided backpropagation against captum's `GuidedBackprop`, which works by another mechanism:
# it hooks modules of the class `nn.ReLU`, so we hand it the network with a subclass of `nn.ReLU` that clips at 6. (The package
# pytorch-grad-cam needs torchvision, which this book does not depend on.)

# %%
class ClippedReLU(nn.ReLU):
    def forward(self, z):
        return F.relu6(z)


def relative(ours, reference):
    return float((ours - reference).abs().max() / reference.abs().max())


photo_sets = [datasets.load("skimage-photos"), datasets.load("sklearn-photos")]
photos = {name: lite0.centre_square(picture) for d in photo_sets for name, picture in d.arrays.items()}
photo_x = lite0.to_input(np.stack(list(photos.values())))
with torch.no_grad():
    photo_class = net(photo_x).argmax(1)
A, g = score_gradients(net, photo_x[:2], photo_class[:2], ["head"])[1]["head"]
theirs = LayerGradCam(net, net.head).attribute(photo_x[:2], photo_class[:2])[:, 0].detach()
page.check("Grad-CAM equals captum's LayerGradCam", relative(grad_cam(A, g), theirs), tol=1e-5)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # captum announces that it sets hooks
    theirs = GuidedBackprop(lite0.load(weights["state"], activation=ClippedReLU)).attribute(photo_x[:2].clone(), photo_class[:2])
guided = score_gradients(guided_net, photo_x[:2], photo_class[:2], ["input"])[1]["input"][1]
page.check("guided backprop equals captum's GuidedBackprop", relative(guided, theirs), tol=1e-5)
x = photo_x[:2].clone().requires_grad_()
y, maps = net.with_maps(x, ["head"])
(flipped,) = torch.autograd.grad(-y.gather(1, photo_class[:2, None]).sum(), maps["head"])
page.check("negating the score flips alpha exactly", float((flipped.mean((2, 3)) + g.mean((2, 3))).abs().max()), tol=0)

# %% [markdown]
# ## The experiment
#
# | the paper | here |
# |---|---|
# | VGG-16, AlexNet, GoogLeNet, ResNet on ImageNet and VOC; captioning and question answering | EfficientNet-Lite0, trained on ImageNet, frozen, 224 x 224 |
# | people tell two objects in one photo apart by their maps | 30 mosaics of 2 x 2 photos, two classes asked for in each: *focus*, the fraction of a map's mass inside the right quadrant (chance 1/4) |
# | rank correlation with occlusion on VOC photos | the same with 32 x 32 grey patches, 49 positions: 8 whole photos (class: the network's first choice), and 10 of the mosaics |
# | maps at several layers, by eye | focus at the last rectified maps of each of five resolutions |
# | counterfactual maps, by eye | focus of the map against the class |
#
# A photo may enter a mosaic if the network, shown it alone at the size of a quadrant, gives it the right class with a probability of at
# least 0.3. No method has anything to tune. A map without positive mass locates nothing and counts as chance. Quadrants are exact
# masks, but coarse ones.

# %%
imagenet = datasets.load("imagenet-1000x1-96")
class_names = imagenet["class_names"]
shown = page.pick(smoke=60, book=1000, paper=1000)
rng = np.random.default_rng(seed)
candidates = np.sort(rng.choice(1000, shown, replace=False))
tiles = dict(zip(candidates.tolist(), lite0.to_input(np.stack([lite0.centre_square(imagenet["images"][c], 112) for c in candidates])), strict=True))
with torch.no_grad():
    batches = torch.stack(list(tiles.values())).split(20)
    probability = torch.cat([net(b).softmax(1) for b in encore.progress(batches, "classifying single photos")]).numpy()
right = (probability.argmax(1) == candidates) & (probability[np.arange(shown), candidates] >= 0.3)
pool = candidates[right]
page.say(f"{right.sum()} of {shown} photos, {right.mean():.0%}, enter the pool. " + " ".join(d.provenance for d in [weights, imagenet, *photo_sets]))


# %%
def mosaic(four):
    """Four classes -> network input (1, 3, 224, 224), one photo per quadrant, row by row."""
    a, b, c, d = (tiles[k] for k in four)
    return torch.cat([torch.cat([a, b], 2), torch.cat([c, d], 2)], 1)[None]


def focus(m, quadrant):
    """Fraction of the mass of a map (224, 224) >= 0 inside a quadrant 0-3; chance if the map is empty."""
    row, column = divmod(int(quadrant), 2)
    total = float(m.sum())
    return float(m[112 * row : 112 * row + 112, 112 * column : 112 * column + 112].sum()) / total if total > 0 else 0.25


n_mosaics = page.pick(smoke=3, book=30, paper=300)
drawn = [(rng.choice(pool, 4, replace=False).tolist(), rng.choice(4, 2, replace=False)) for _ in range(n_mosaics)]
focused, ranks, empty = {}, [], dict.fromkeys(LAYERS + BETWEEN, 0)
for four, asked in encore.progress(drawn, "explaining mosaics"):
    classes = [four[q] for q in asked]
    maps, y = explain(mosaic(four).expand(2, -1, -1, -1), classes)
    ranks += [int((y[0] > y[0, c]).sum()) + 1 for c in classes]
    for name, m in maps.items():
        focused.setdefault(name, []).append(np.mean([focus(m[i], q) for i, q in enumerate(asked)]))
    for name in empty:
        empty[name] += int((maps[name].sum((1, 2)) == 0).sum())
focused = {name: np.array(values) for name, values in focused.items()}  # one number per mosaic: the mean over its two classes

# %% [markdown]
# Occlusion needs no gradient: cover a patch with grey, run the network, and see how far $y^c$ falls. An explanation is faithful if its mass,
# averaged over the same patches, ranks them alike (Spearman correlation).

# %%
PATCH = page.pick(smoke=56, book=32, paper=32)


def occlusion_drop(x, classes):
    """Fall of y^c when one patch is grey, (len(classes), m, m) for m x m patches. x: (1, 3, 224, 224)."""
    m = lite0.SIZE // PATCH
    covered = x.repeat(m * m, 1, 1, 1)
    for k in range(m * m):
        i, j = PATCH * (k // m), PATCH * (k % m)
        covered[k, :, i : i + PATCH, j : j + PATCH] = 0  # the input value of mid-grey
    with torch.no_grad():
        y, occluded = net(x)[0], torch.cat([net(part) for part in covered.split(4)])
    return (y - occluded)[:, classes].T.reshape(-1, m, m).numpy()


def agreement(x, classes):
    """{method: rank correlation with occlusion, mean over the classes}, the maps, the falls (len(classes), m, m)."""
    drops = occlusion_drop(x, classes)
    maps, _ = explain(x.expand(len(classes), -1, -1, -1), classes)
    pooled = {name: F.avg_pool2d(maps[name][:, None], PATCH)[:, 0].numpy() for name in METHODS}
    rho = {name: np.mean([spearmanr(p.ravel(), d.ravel()).statistic for p, d in zip(ps, drops, strict=True)]) for name, ps in pooled.items()}
    return rho, maps, drops


n_photos, n_occluded = page.pick(smoke=2, book=8, paper=8), page.pick(smoke=2, book=10, paper=100)
tasks = [(photo_x[i : i + 1], [int(photo_class[i])]) for i in range(n_photos)]
tasks += [(mosaic(four), [four[q] for q in asked]) for four, asked in drawn[:n_occluded]]
agreed = [agreement(*task) for task in encore.progress(tasks, "occluding patches")]
rho_photos, rho_mosaics = ({name: np.array([rho[name] for rho, _, _ in part]) for name in METHODS} for part in (agreed[:n_photos], agreed[n_photos:]))

# %% [markdown]
# ## Results

# %%
display_four = [class_names.index(name) for name in ("tiger", "monarch", "zebra", "castle")]  # chosen by class, before any map was seen
tiles |= {c: lite0.to_input(lite0.centre_square(imagenet["images"][c], 112)[None])[0] for c in display_four}
shown_x, shown_classes = mosaic(display_four), display_four[:2]
shown_maps, _ = explain(shown_x.expand(2, -1, -1, -1), shown_classes)


def panel(ax, x, m=None, title="", cmap="inferno"):
    """Network input x (3, h, w) as a photo, or greyed under a map; the colours run from 0 to the map's 99.5th percentile."""
    photo = ((x.permute(1, 2, 0) * 128 + 127) / 255).clamp(0, 1).numpy()
    ax.imshow(photo if m is None else photo.mean(2), cmap="gray", vmin=0, vmax=1)
    if m is not None:
        ax.imshow(m, cmap=cmap, vmin=0, vmax=max(float(np.quantile(m, 0.995)), 1e-12), alpha=0.72)
    ax.set_title(title, fontsize=9)
    ax.set(xticks=[], yticks=[])


fig, axes = plt.subplots(2, 3, figsize=(5.4, 3.7))
panel(axes[0, 0], shown_x[0], title="mosaic")
axes[1, 0].axis("off")
axes[1, 0].text(0, 0.5, "Maps over the greyed\nmosaic; bright: much\npositive mass.", fontsize=9, va="center")
for row, method in zip(axes, ("Grad-CAM", "guided backprop"), strict=True):
    row[1].set_ylabel(method)
    for i, c in enumerate(shown_classes):
        panel(row[i + 1], shown_x[0], shown_maps[method][i].numpy(), f"asked: {class_names[c]}")
page.figure(fig, "mosaic", caption="One mosaic, two questions: Grad-CAM above, guided backpropagation below.",
            alt="A mosaic of tiger, monarch butterfly, zebra and castle. Grad-CAM for the monarch marks the butterfly alone, for the tiger it marks the tiger and the striped zebra. Guided backpropagation draws edges of the tiger and the butterfly for either class.")
shift = {name: float(F.cosine_similarity(*shown_maps[name].flatten(1), dim=0)) for name in METHODS}
on = [[f"{focus(shown_maps['Grad-CAM'][i], q):.0%}" for q in range(4)] for i in (0, 1)]
page.say(
    f"The two Grad-CAM maps have a cosine similarity of {shift['Grad-CAM']:.2f}, those of guided backpropagation {shift['guided backprop']:.2f}. Of the map for the "
    f"monarch {on[1][1]} lies on the butterfly; of the map for the tiger {on[0][0]} on the tiger and {on[0][2]} on the zebra, the other animal with stripes."
)

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.4))
jitter = np.linspace(-0.17, 0.17, n_mosaics)
for i, name in enumerate(reversed(METHODS)):
    colour, interval = figures.PALETTE[len(METHODS) - 1 - i], mean_interval(focused[name])
    ax.plot(focused[name], i + jitter, "o", color=colour, alpha=0.35, markersize=3.5)
    ax.plot([interval.low, interval.high], [i, i], color="black", linewidth=4, solid_capstyle="butt")
    ax.plot(interval.value, i, "o", color="white", markeredgecolor="black", markersize=7)
ax.axvline(0.25, color="#5c5c5c", linestyle="--", linewidth=1)
ax.text(0.255, len(METHODS) - 0.45, "chance", fontsize=9, color="#5c5c5c")
ax.set(yticks=range(len(METHODS)), yticklabels=METHODS[::-1], xlim=(0, 1), ylim=(-0.5, len(METHODS) - 0.1))
ax.set_xlabel("focus: fraction of the map's mass in the right quadrant")
ax.grid(axis="y", visible=False)
page.figure(fig, "focus", caption="Focus on the class asked for. A dot is a mosaic (mean of its two classes); ring and bar: mean with its 95 % interval.",
            alt="Strip plot of focus for six methods. Grad-CAM and Guided Grad-CAM lie far above chance, the plain gradient and guided backpropagation a little above, the two controls at chance.")
mean = {name: float(values.mean()) for name, values in focused.items()}
page.say(
    f"Grad-CAM puts {mean['Grad-CAM']:.0%} of its mass into the right quadrant, guided backpropagation {mean['guided backprop']:.0%}, the plain "
    f"gradient {mean['plain gradient']:.0%}, Guided Grad-CAM {mean['Guided Grad-CAM']:.0%}; the class-blind map {mean['class-blind']:.0%} and the random classifier "
    f"{mean['random classifier']:.0%}. With absolute values in place of positive parts "
    f"guided backpropagation has {mean['guided backprop, absolute']:.0%}. The class asked for has the median rank {np.median(ranks):.0f} of 1000 in the whole mosaic."
)
page.claim("class-discriminative", encore.higher(focused["Grad-CAM"], focused["guided backprop"]), encore.close(focused["class-blind"], 0.25))

# %%
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.1), sharey=True)
lines = [("Grad-CAM", 0), ("guided backprop", 3), ("plain gradient", 2), ("class-blind", 4)]
for ax, rho, title in zip(axes, (rho_photos, rho_mosaics), (f"{n_photos} whole photos", f"{n_occluded} mosaics"), strict=True):
    for i, (name, colour) in enumerate(lines):
        x = i + np.linspace(-0.15, 0.15, len(rho[name]))
        ax.plot(x, rho[name], "o", color=figures.PALETTE[colour], alpha=0.6)
        ax.plot([i - 0.3, i + 0.3], [rho[name].mean()] * 2, color="black", linewidth=2)
    ax.axhline(0, color="#5c5c5c", linewidth=1)
    ax.set(title=title, xticks=range(len(lines)))
    ax.set_xticklabels([name.replace(" ", "\n").replace("-b", "-\nb") for name, _ in lines], fontsize=8)
    ax.grid(axis="x", visible=False)
axes[0].set_ylabel("Spearman correlation\nwith the occlusion map")
page.figure(fig, "faithful", caption="Agreement with occlusion, on whole photos and on mosaics. A dot is an image, the bar the mean.",
            alt="Two strip plots of the correlation with occlusion for Grad-CAM, guided backpropagation, plain gradient and class-blind map. On whole photos the methods overlap; on mosaics Grad-CAM is highest and the class-blind map is near zero.")
page.claim("faithful", encore.higher(rho_photos["Grad-CAM"], rho_photos["guided backprop"]))
for where, rho in (("whole photos", rho_photos), ("mosaics", rho_mosaics)):
    a, b = (mean_interval(rho["Grad-CAM"] - rho[other]) for other in ("guided backprop", "class-blind"))
    page.say(
        f"On {where} Grad-CAM's correlation minus guided backpropagation's is {a.value:.2f} [{a.low:.2f}, {a.high:.2f}], "
        f"minus the class-blind map's {b.value:.2f} [{b.low:.2f}, {b.high:.2f}]."
    )

# %%
fig, axes = plt.subplots(2, 4, figsize=(5.8, 3.2))
correlations = []
rows = [(photo_x[:1], int(photo_class[0]), agreed[0]), (shown_x, shown_classes[1], agreement(shown_x, shown_classes[1:]))]
for row, (x, c, (rho, maps, drops)) in zip(axes, rows, strict=True):
    correlations.append(f"{round(rho['Grad-CAM'], 2) + 0:.2f}")  # no minus zero
    fall = np.kron(drops[0], np.ones((PATCH, PATCH))).clip(min=0)
    titled = [(class_names[c], None), ("fall if occluded", fall)] + [(name, maps[name][0].numpy()) for name in ("Grad-CAM", "guided backprop")]
    for ax, (title, m) in zip(row, titled, strict=True):
        panel(ax, x[0], m, title)
page.figure(fig, "occlusion", caption="The fall of the score under each patch beside two explanations: a photo of a cat, and the mosaic above asked for the monarch.",
            alt="Two rows: the image, a grid of score falls under occlusion, the Grad-CAM map, the guided-backpropagation map. For the mosaic the grid and Grad-CAM are both bright on the butterfly; for the cat they are bright at different places.")
page.say(
    f"Grad-CAM's correlation with occlusion is {correlations[0]} for the cat and {correlations[1]} for the monarch in the mosaic; over the whole photos it ranges from "
    f"{rho_photos['Grad-CAM'].min():.2f} to {rho_photos['Grad-CAM'].max():.2f}."
)

# %%
by_layer = np.stack([focused[name] for name in LAYERS], 1)
depth = np.arange(1, len(LAYERS) + 1)
fig, ax = plt.subplots(figsize=(6.4, 3.0))
figures.band(ax, depth, by_layer, "the five layers of the test", marker="o")
ax.plot([4.25, 4.5, 4.75], [mean[name] for name in BETWEEN], "s", color=figures.PALETTE[1], markerfacecolor="white", label="blocks 11, 13 and 15, outside the test")
ax.legend(loc="upper left")
ax.axhline(0.25, color="#5c5c5c", linestyle="--", linewidth=1)
ax.text(1.4, 0.18, "chance", fontsize=9, color="#5c5c5c")
ax.set(xticks=depth, ylim=(0, 1), xlabel="layer, and height and width of its maps", ylabel="focus")
ax.set_xticklabels([f"{name.removesuffix('.depthwise')}\n{size} x {size}" for name, size in zip(LAYERS, (112, 56, 28, 14, 7), strict=True)])
page.figure(fig, "layers", caption="Focus of Grad-CAM by layer: mean over mosaics, with the 95 % interval for the five layers of the test.",
            alt="Focus stays near chance at the first four layers and is far above it at the last. Of three further layers between the last two, the first two lie low and the third lies above the head.")
page.claim("last-layer", encore.trend(depth, by_layer))
early = mean_interval(np.array([np.nan_to_num(kendalltau(depth[:-1], row[:-1]).statistic) for row in by_layer]))
page.say(
    f"Focus is {by_layer.mean(0)[-1]:.2f} at the last layer and between {by_layer.mean(0)[:-1].min():.2f} and {by_layer.mean(0)[:-1].max():.2f} at the four before. "
    f"Among those four alone Kendall's tau is {early.value:.2f} [{early.low:.2f}, {early.high:.2f}]: "
    + ("the whole trend is the step to the last layer." if early.low <= 0 else "there is a trend before the last layer too.")
    + f" The three further layers have {', '.join(f'{mean[name]:.2f}' for name in BETWEEN)}. Of {2 * n_mosaics} maps a layer, "
    f"{max(empty.values())} have no positive mass at all at {max(empty, key=empty.get).removesuffix('.depthwise')}, where that happens most."
)

# %%
fig, axes = plt.subplots(1, 3, figsize=(5.4, 2.1))
panel(axes[0], shown_x[0], title="mosaic")
for i, c in enumerate(shown_classes):
    panel(axes[i + 1], shown_x[0], shown_maps["against"][i].numpy(), f"against: {class_names[c]}", cmap="viridis")
page.figure(fig, "counterfactual", caption="What speaks against a class: Grad-CAM with the sign of alpha turned.",
            alt="Two maps over the mosaic; each avoids the quadrant of its own class and is bright in others.")
page.say(f"The map against a class has {mean['against']:.0%} of its mass in the quadrant of that class, where chance would put a quarter.")

# %% [markdown]
# The last claim is an identity. With $y^c = \sum_k w_k^c \frac1Z \sum_{ij} A^k_{ij} + b^c$ the gradient is $w_k^c / Z$ at every position, so
# $Z \sum_k \alpha_k^c A^k = \sum_k w_k^c A^k$, which is CAM. EfficientNet-Lite0 ends this way.

# %%
def cam_error(network, x, classes):
    """max |Z sum_k alpha_k A^k - CAM| / max |CAM| per image, (n,)."""
    A, g = score_gradients(network, x, classes, ["head"])[1]["head"]
    cam = torch.einsum("nk,nkuv->nuv", network.classifier.weight[classes], A)
    return ((A.shape[2] * A.shape[3] * grad_cam(A, g) - cam).abs().amax((1, 2)) / cam.abs().amax((1, 2))).numpy()


tried = torch.cat([photo_x, *[mosaic(four) for four, _ in drawn]])[: page.pick(smoke=2, book=16, paper=38)]
asked = rng.integers(0, 1000, len(tried))
net64 = lite0.load(weights["state"]).double()
single = np.concatenate([cam_error(net, tried[i : i + 1], asked[i : i + 1]) for i in range(len(tried))])
double = np.concatenate([cam_error(net64, tried[i : i + 1].double(), asked[i : i + 1]) for i in range(len(tried))])
page.claim("generalises-cam", encore.exact(single), encore.exact(double))
page.say(f"The largest relative difference to CAM over {len(tried)} images, each with a class drawn at random, is {single.max():.0e} in float32 and {double.max():.0e} in float64.")

# %% [markdown]
# ## Verdict

# %% tags=["nbval-check-output"]
page.verdict()

# %% [markdown]
# ## What this page does not show
#
# * No person judged a map. Focus and agreement with occlusion stand in for the paper's human studies; captioning, question answering and
#   weakly supervised localisation are left out.
# * Focus is blunt: quadrants are large, and no map was held against the exact outline of an object. A map of 7 x 7 cells also has a middle
#   row and column that belong to two quadrants each.
# * Mosaics are not natural scenes, their seams are sharp, and photos enter only if the network knows them alone. Chance and the two controls
#   would show a bias from that, other images could still behave differently.
# * The comparison with occlusion on whole photos is small, and three of them (galaxies, stained tissue, an eye) show nothing that ImageNet has a
#   class for. It uses neither the paper's photos nor its networks. The mosaics beside it were added because they resemble the paper's scenes, which hold several objects;
#   they are not part of the test. On a photo of one object, a map that never hears the class is a rival to be taken seriously;
#   where several objects compete, it is not.
# * A rank correlation counts the many patches on which little happens as much as the few on which much does: in the row of the monarch
#   the maps look alike and correlate weakly.
# * "Worse at earlier layers" is true here in a special sense: read the figure, not only the verdict. The five layers are the last rectified maps
#   of each resolution, chosen before any was measured. The open squares were added afterwards: a layer of the last block does
#   better than the head, so "the last convolution is best" is not what the figure says.
# * That Grad-CAM is CAM for this network means that, at the last layer, nothing here tests the step beyond CAM. The weights by gradient
#   only matter for other heads and for the earlier layers.
# * Guided backpropagation for ReLU6 is our reading. Clipped units pass nothing, as in the plain gradient.

# %% [markdown]
# ## Exercises
#
# :::{exercise}
# :label: grad-cam-ex1
# Explain the softmax probability $p^c$ instead of the score $y^c$. What becomes of $\alpha$, and does the focus change?
# :::

# %% tags=["hide-cell", "solution"]
scores = {"score": [], "probability": []}
for four, asked in drawn[:5]:
    x = mosaic(four).requires_grad_()
    y, maps = net.with_maps(x, ["head"])
    for q in asked:
        for name, target in (("score", y[0, four[q]]), ("probability", y.softmax(1)[0, four[q]])):
            (g,) = torch.autograd.grad(target, maps["head"], retain_graph=True)
            scores[name].append(focus(upsample(grad_cam(maps["head"].detach(), g).clamp(min=0))[0], q))
page.say(
    f"Mean focus {np.mean(scores['score']):.2f} with the score, {np.mean(scores['probability']):.2f} with the probability. "
    r"Since $\partial p^c = p^c (\partial y^c - \sum_k p^k \partial y^k)$, the map becomes evidence for $c$ minus the evidence for what the network believes "
    "instead: a contrast between classes. Its size is scaled by $p^c$, so for an unlikely class it can vanish numerically."
)

# %% [markdown]
# :::{exercise}
# :label: grad-cam-ex2
# Drop the ReLU: correlate `grad_cam` without `clamp` with the occlusion map of the mosaics. Patches whose occlusion *raises* the score are
# now explained too. Does the agreement improve?
# :::
#
# :::{exercise}
# :label: grad-cam-ex3
# Perturb a photo with a few steps of the sign of the gradient until its label flips. Ask for the map of the old class. Is it still found?
# :::

# %% [markdown]
# ## References
#
# The method: {cite:p}`selvaraju2017gradcam`; CAM: {cite:p}`zhou2016learning`; guided backpropagation: {cite:p}`springenberg2014striving`; occlusion as a
# yardstick: {cite:p}`zeiler2014visualizing`; the network: {cite:p}`tan2019efficientnet`; the reference implementation: {cite:p}`kokhlikyan2020captum`.
# Why controls such as the random classifier are needed: {cite:p}`adebayo2018sanity`.

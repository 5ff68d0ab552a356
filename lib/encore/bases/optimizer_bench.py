"""Optimiser bench: many small networks, of many seeds and many learning rates, trained side by side in one batched program.

    split = optimizer_bench.load()
    bench = Bench(split, seeds=[0, 1, 2], rates=[1e-3, 1e-2], batch=128)     # 6 members
    for _ in range(200):
        bench.step(rule)
    bench.loss("valid")                                                     # (3, 2)

Every parameter carries a leading `members` dimension (members = seeds x rates, rates fastest), the forward pass is a batched matrix
product and one backward pass of the *summed* loss gives each member its own gradient. Members of the same seed start from the same
weights and see the same minibatches (in every bench with that seed, and the same batch size), so comparisons between rates and
between update rules are paired. The update rule stays on the page: a function

    rule(params, grads, state, lr, wd)     changes `params` in place

with `params` and `grads` lists of (members, ...) tensors, `state` a dict that is empty at the first step and then belongs to the rule,
`lr` and `wd` (members,) tensors; `per_member(lr, p)` shapes them for arithmetic with p.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from encore import datasets

Rule = Callable[[list[torch.Tensor], list[torch.Tensor], dict, torch.Tensor, torch.Tensor], None]


@dataclass(frozen=True)
class Split:
    """Images (n, pixels), grey values standardised with the training images' mean and deviation, and labels (n,) int64, by part."""

    x: dict[str, torch.Tensor]
    y: dict[str, torch.Tensor]
    provenance: str


def load(n_train: int = 10_000, n_valid: int = 5_000, n_test: int = 10_000, dtype: torch.dtype = torch.float32) -> Split:
    """Fashion-MNIST, mean-pooled 2 x 2 to 14 x 14 (196 pixels), as parts "train", "valid" and "test".

    Training and validation images are consecutive pieces of the official training file, of which at least 15,000 images are at hand;
    the test images are the first of the official test file. Raises ValueError if a part asks for more images than there are.
    """
    data = datasets.load("fashion-mnist")
    source = {"train": ("train", 0, n_train), "valid": ("train", n_train, n_valid), "test": ("test", 0, n_test)}
    x, y = {}, {}
    for part, (file, start, n) in source.items():
        images, labels = data[f"{file}_images"], data[f"{file}_labels"]
        if start + n > len(images):
            raise ValueError(f"optimizer_bench.load: {part} needs {start + n} {file} images, there are {len(images)}; ask for fewer")
        pooled = images[start : start + n].reshape(n, 14, 2, 14, 2).mean((2, 4)).reshape(n, 196) / 255
        x[part], y[part] = torch.tensor(pooled, dtype=dtype), torch.tensor(np.asarray(labels[start : start + n]), dtype=torch.int64)
    mean, deviation = x["train"].mean(), x["train"].std()
    return Split({part: (v - mean) / deviation for part, v in x.items()}, y, data.provenance)


@dataclass(frozen=True)
class MLP:
    """ReLU network; `sizes` from pixels to classes. Parameters [W1, b1, W2, b2, ...]: W (in, out), b (1, out) of each member."""

    sizes: tuple[int, ...] = (196, 64, 10)

    def init(self, generator: torch.Generator, dtype: torch.dtype) -> list[torch.Tensor]:
        """One member's weights, uniform in +-1/sqrt(fan in) as in torch.nn.Linear."""
        out = []
        for a, b in zip(self.sizes, self.sizes[1:], strict=False):
            out += [torch.empty(shape, dtype=dtype).uniform_(-(a**-0.5), a**-0.5, generator=generator) for shape in ((a, b), (1, b))]
        return out

    def __call__(self, params: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """params: (members, ...) tensors; x: (members, n, pixels). Returns logits (members, n, classes)."""
        for k in range(0, len(params), 2):
            x = torch.baddbmm(params[k + 1], x.relu() if k else x, params[k])
        return x


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """logits (members, n, classes), labels (members, n). Mean cross-entropy of each member in nats, (members,)."""
    return (logits.logsumexp(-1) - logits.gather(-1, labels[..., None])[..., 0]).mean(-1)


def per_member(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(members,) -> (members, 1, ..., 1), to multiply a (members, ...) tensor."""
    return value.view(-1, *[1] * (like.ndim - 1))


class Bench:
    """len(seeds) x len(rates) members in training.

    `params`: list of (members, ...); `state`: the rule's own; `t`: steps done; `lr`, `wd`: (members,), a schedule may replace them.

    rates: learning rates, (rates,) for all seeds or (seeds, rates); wd: weight decay, a number or anything that broadcasts to
    (seeds, rates); net: has `init(generator, dtype)` and `net(params, x)` like `MLP`; loss: like `cross_entropy`.
    """

    def __init__(self, split: Split, seeds: Sequence[int], rates, batch: int, wd=0.0, net=None, loss: Callable = cross_entropy):
        x, self.split, self.batch, self.net, self._loss = split.x["train"], split, batch, net or MLP(), loss
        rates = np.broadcast_to(np.asarray(rates, float), (len(seeds), np.shape(rates)[-1]))
        if not 1 <= batch <= len(x):
            raise ValueError(f"Bench: the batch size lies between 1 and the {len(x)} training images, not {batch}")
        if not (np.isfinite(rates).all() and (rates > 0).all()):
            raise ValueError("Bench: learning rates are positive numbers; one is not")
        self.shape = rates.shape
        self.lr = torch.tensor(rates.ravel(), dtype=x.dtype)
        self.wd = torch.tensor(np.broadcast_to(np.asarray(wd, float), self.shape).ravel(), dtype=x.dtype)
        weights = [self.net.init(torch.Generator().manual_seed(s), x.dtype) for s in seeds]
        self.params = [torch.stack(p).repeat_interleave(self.shape[1], 0).requires_grad_() for p in zip(*weights, strict=True)]
        self._generators = [torch.Generator().manual_seed(s + 2**31) for s in seeds]  # batches do not depend on the network's size
        self._order, self._at = None, len(x)
        self.state, self.t = {}, 0

    def next_batch(self) -> torch.Tensor:
        """Indices (seeds, batch) of the next minibatches: consecutive pieces of a fresh shuffle per epoch, a short rest is dropped."""
        if self._at + self.batch > len(self.split.y["train"]):
            self._order = torch.stack([torch.randperm(len(self.split.y["train"]), generator=g) for g in self._generators])
            self._at = 0
        self._at += self.batch
        return self._order[:, self._at - self.batch : self._at]

    def gradients(self, index: torch.Tensor) -> list[torch.Tensor]:
        """Gradient of each member's own mean loss on training images `index` (seeds, n): list of (members, ...) tensors."""
        x, y = (data["train"][index].repeat_interleave(self.shape[1], 0) for data in (self.split.x, self.split.y))
        loss = self._loss(self.net(self.params, x), y)
        return list(torch.autograd.grad(loss.sum(), self.params))

    def step(self, rule: Rule) -> None:
        """One update of all members on the next minibatch of their seed."""
        grads = self.gradients(self.next_batch())
        with torch.no_grad():
            rule(self.params, grads, self.state, self.lr, self.wd)
        self.t += 1

    @torch.no_grad()
    def _logits(self, part: str):
        x, y = self.split.x[part], self.split.y[part]
        for piece, labels in zip(x.split(1000), y.split(1000), strict=True):
            yield self.net(self.params, piece.expand(len(self.lr), -1, -1)), labels.expand(len(self.lr), -1)

    def loss(self, part: str) -> np.ndarray:
        """Mean loss in nats on "train", "valid" or "test", (seeds, rates); infinite where a member has diverged."""
        pieces = [self._loss(logits, labels) * labels.shape[1] for logits, labels in self._logits(part)]
        mean = (torch.stack(pieces).sum(0) / len(self.split.y[part])).double().numpy().reshape(self.shape)
        return np.where(np.isfinite(mean), mean, np.inf)

    def accuracy(self, part: str) -> np.ndarray:
        """Share of images classified correctly, (seeds, rates), in [0, 1]."""
        right = sum((logits.argmax(-1) == labels).sum(-1) for logits, labels in self._logits(part))
        return (right / len(self.split.y[part])).double().numpy().reshape(self.shape)


def best_rate(rates, losses) -> np.ndarray:
    """Learning rate of least validation loss: the vertex of the parabola through the three best points of loss against log rate.

    rates: (k,) with k >= 3; losses: (..., k), infinite where training diverged. Returns (...). The vertex never leaves the range
    of its three points; where they do not bend upwards the best point itself is returned. Raises ValueError if fewer than three are finite.
    """
    rates, losses = np.asarray(rates, float), np.asarray(losses, float)
    if losses.ndim > 1:
        return np.array([best_rate(rates, row) for row in losses])
    if np.isfinite(losses).sum() < 3:
        raise ValueError("best_rate: fewer than three learning rates gave a finite loss; sweep smaller rates")
    three = np.argsort(np.where(np.isnan(losses), np.inf, losses), kind="stable")[:3]
    u, origin = np.log(rates[three]), np.log(rates[three[0]])
    a, b, _ = np.polyfit(u - origin, losses[three], 2)
    return np.exp(origin + np.clip(-b / (2 * a), (u - origin).min(), (u - origin).max())) if a > 0 else rates[three[0]]

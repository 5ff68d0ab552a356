"""Per-example gradients of many two-layer ReLU networks in factored form, training with any average of them, the winsorised average.

A layer computes z = a theta, where the row a ends with a one (the last row of theta is the bias). With delta = d loss / d z the gradient of
one example is the outer product of a and delta, so (a, delta) from one forward and backward pass hold every per-example gradient
(Goodfellow, 2015, arXiv:1510.01799, uses this for their norms). M networks run as one batch: theta = [(M, p + 1, h), (M, h + 1, classes)].
"""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numba
import numpy as np
import torch
from torch.nn.functional import cross_entropy

from encore.bases.seed_batched_mlp import SeedBatchedMLP


def initial(sizes: Sequence[int], seeds: Sequence[int], dtype=torch.float32) -> list[torch.Tensor]:
    """theta of one network per seed, drawn like torch.nn.Linear. sizes: (inputs, hidden, classes)."""
    net = SeedBatchedMLP(sizes, seeds, dtype=dtype)
    return [torch.cat([w, b], 1).detach() for w, b in zip(net.weights, net.biases, strict=True)]


def forward(theta, x):
    """Both layers' inputs, each with its column of ones, and the logits. x: (M, m, p + 1), its last column ones."""
    hidden = (x @ theta[0]).relu_()
    h = torch.cat([hidden, torch.ones_like(hidden[..., :1])], 2)
    return [x, h], h @ theta[1]


def factors(theta, x, y):
    """Per-example gradients of the cross-entropy as pairs (a, delta) per layer: (M, m, p), (M, m, q); and the logits. y: (M, m)."""
    inputs, z = forward(theta, x)
    top = torch.softmax(z, 2)
    top.scatter_add_(2, y[..., None], -torch.ones_like(top[..., :1]))
    hidden = inputs[1][..., :-1]
    below = torch.ops.aten.threshold_backward(top @ theta[1][:, :-1].mT, hidden, 0)  # the derivative of ReLU
    return list(zip(inputs, (below, top), strict=True)), z


def gram(pairs):
    """All inner products of per-example gradients, (M, m, m)."""
    return sum((a @ a.mT) * (d @ d.mT) for a, d in pairs)


INFINITY = np.float32(np.inf)  # of single precision, so that the loop stays in it


@numba.njit
def winsorise(a, d, out, top, bottom, up, down):
    """Fills out (M, p, q) with the winsorised mean over examples of a[m, i, k] d[m, i, j].

    Work space: top, bottom (c, q) and up, down (q,).
    """
    b, c, q = a.shape[1], len(top), len(up)
    for m in range(len(a)):
        for k in range(a.shape[2]):
            for i in range(b):
                for j in range(q):
                    up[j] = down[j] = a[m, i, k] * d[m, i, j]
                    out[m, k, j] = up[j] if i == 0 else out[m, k, j] + up[j]
                for r in range(c):  # insert into both sorted lists; the displaced value moves on
                    for j in range(q):
                        t, s = (top[r, j], bottom[r, j]) if i > r else (-INFINITY, INFINITY)
                        top[r, j], up[j] = max(t, up[j]), min(t, up[j])
                        bottom[r, j], down[j] = min(s, down[j]), max(s, down[j])
            for j in range(q):
                for r in range(c):
                    out[m, k, j] += top[c - 1, j] - top[r, j] + bottom[c - 1, j] - bottom[r, j]
                out[m, k, j] /= b


def winsorised(a: torch.Tensor, d: torch.Tensor, c: int = 4) -> torch.Tensor:
    """Per coordinate of the outer products, clip the b values to the c-th smallest and c-th largest, then average.

    a: (M, b, p), d: (M, b, q), single or double precision, b >= 2 c -> (M, p, q). Raises ValueError for a smaller batch.
    """
    if a.shape[1] < 2 * c:
        raise ValueError(f"winsorised: {a.shape[1]} examples, but c = {c} needs at least {2 * c}; use a larger batch or a smaller c")
    a, d = (t.contiguous().numpy() for t in (a, d))
    (M, _, p), q = a.shape, d.shape[2]
    out, lists, row = np.empty((M, p, q), a.dtype), np.empty((2, c, q), a.dtype), np.empty((2, q), a.dtype)
    winsorise(a, d, out, *lists, *row)
    return torch.from_numpy(out)


def train(task: SimpleNamespace, labels: torch.Tensor, average: Callable, rates, decays, steps: int, watch, at, sizes, batch: int):
    """SGD, theta <- theta - rate (average + decay theta), on arms x seeds networks. Returns theta and [watch(k, theta) for k in at].

    task: x (seeds, N, p + 1) with a last column of ones, n <= N examples to train on, seeds (they fix the initial weights and the order of
    the examples, so that arms are paired); labels: (arms, seeds, N); average: (M, batch, p), (M, batch, q) -> (M, p, q); rates, decays:
    (arms,). Members are ordered by arm, then by seed. An epoch has n // batch steps and leaves the rest of its permutation out.
    """
    arms, S = labels.shape[:2]
    theta = [t.repeat(arms, 1, 1) for t in initial(sizes, task.seeds)]
    eta, lam = (torch.tensor(v, dtype=torch.float32).repeat_interleave(S)[:, None, None] for v in (rates, decays))
    rngs, seat = [np.random.default_rng([s, 1]) for s in task.seeds], torch.arange(S)[:, None]
    per_epoch, history = task.n // batch, []
    for k in range(steps + 1):
        if k in at:
            history.append(watch(k, theta))
        if k == steps:
            return theta, history
        if k % per_epoch == 0:
            order = torch.from_numpy(np.stack([r.permutation(task.n) for r in rngs]))
        chosen = order[:, k % per_epoch * batch :][:, :batch]
        pairs, _ = factors(theta, task.x[seat, chosen].repeat(arms, 1, 1), labels[:, seat, chosen].flatten(0, 1))
        for t, (a, d) in zip(theta, pairs, strict=True):
            t.mul_(1 - eta * lam).addcmul_(average(a, d), eta, value=-1)


def watch_accuracy(task, labels):
    """A `watch` for `train` under label noise; it returns, per member, (5, M): accuracy on clean and on corrupted training labels,
    on held-out labels (those after the first task.n), test accuracy, training loss in nats.

    labels: (arms, seeds, N); task also has true (seeds, N), x_test (seeds, T, p + 1), y_test (seeds, T). An empty group has accuracy 0.
    """
    clean, y, n = (labels == task.true).flatten(0, 1), labels.flatten(0, 1), task.n

    def look(k, theta):
        z, test = (forward(theta, v.repeat(len(labels), 1, 1))[1] for v in (task.x, task.x_test))
        right, good = z.argmax(2) == y, clean[:, :n]
        loss = cross_entropy(z[:, :n].flatten(0, 1), y[:, :n].flatten(), reduction="none").view(-1, n).mean(1)
        fitted = [(right[:, :n] & g).sum(1) / g.sum(1).clamp_min(1) for g in (good, ~good)]
        tested = (test.argmax(2) == task.y_test.repeat(len(labels), 1)).float().mean(1)
        return torch.stack([*fitted, right[:, n:].float().mean(1), tested, loss])

    return look

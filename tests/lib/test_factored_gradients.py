"""Factored per-example gradients, the winsorised average and training, against autograd, sorting and torch.optim.SGD."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from encore.bases import factored_gradients as fg

SIZES = (5, 7, 3)


def task(n=12, seeds=(3, 4)):
    x = torch.randn(len(seeds), n, 6, generator=torch.Generator().manual_seed(0))
    x[..., -1] = 1
    return SimpleNamespace(x=x, n=n, seeds=list(seeds)), torch.randint(3, (1, len(seeds), n), generator=torch.Generator().manual_seed(1))


def loss(theta, x, y):
    hidden = torch.relu(x @ theta[0])
    return cross_entropy(hidden @ theta[1][:-1] + theta[1][-1], y)


def mean(a, d):
    return a.mT @ d / a.shape[1]


def test_factors_and_gram_equal_autograd():
    t, y = task()
    theta = fg.initial(SIZES, t.seeds)
    pairs, _ = fg.factors(theta, t.x, y[0])
    for s in range(2):
        leaves = [w[s].clone().requires_grad_() for w in theta]
        flat = []
        for i in range(t.n):
            flat.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss(leaves, t.x[s, i : i + 1], y[0, s, i : i + 1]), leaves)]))
        flat = torch.stack(flat)
        ours = torch.cat([torch.einsum("ip,iq->ipq", a[s], d[s]).flatten(1) for a, d in pairs], 1)
        assert torch.allclose(ours, flat, atol=1e-6)
        assert torch.allclose(fg.gram(pairs)[s], flat @ flat.T, atol=1e-5)


@pytest.mark.parametrize("c", [1, 2, 4])
def test_winsorised_equals_sort_clip_average(c):
    rng = np.random.default_rng(c)
    a, d = rng.standard_normal((2, 9, 4)).astype(np.float32), rng.standard_normal((2, 9, 3)).astype(np.float32)
    values = np.einsum("mip,miq->impq", a, d)
    ordered = np.sort(values, 0)
    expected = np.clip(values, ordered[c - 1], ordered[-c]).mean(0)
    assert np.allclose(fg.winsorised(torch.from_numpy(a), torch.from_numpy(d), c), expected, atol=1e-6)


def test_winsorised_needs_two_c_examples():
    with pytest.raises(ValueError, match="larger batch"):
        fg.winsorised(torch.zeros(1, 5, 2), torch.zeros(1, 5, 2), 3)


def test_train_equals_torch_sgd_with_weight_decay():
    t, y = task()
    theta, seen = fg.train(t, y.repeat(2, 1, 1), mean, [0.3, 0.1], [0.0, 0.02], 5, lambda k, _: k, (0, 5), sizes=SIZES, batch=4)
    assert seen == [0, 5]
    for arm, (rate, decay) in enumerate(((0.3, 0.0), (0.1, 0.02))):
        for s, seed in enumerate(t.seeds):
            leaves = [w[s].clone().requires_grad_() for w in fg.initial(SIZES, t.seeds)]
            optimiser, rng = torch.optim.SGD(leaves, lr=rate, weight_decay=decay), np.random.default_rng([seed, 1])
            batches = [b for _ in range(2) for b in torch.from_numpy(rng.permutation(t.n)).split(4)][:5]
            for b in batches:
                optimiser.zero_grad()
                loss(leaves, t.x[s, b], y[0, s, b]).backward()
                optimiser.step()
            for ours, theirs in zip(theta, leaves, strict=True):
                assert torch.allclose(ours[2 * arm + s], theirs, atol=1e-6)


def test_watch_accuracy_counts_by_hand():
    t, y = task(n=8)
    t.n, t.true, t.x_test, t.y_test = 5, y[0].clone(), t.x[:, :4], y[0, :, :4]
    labels = y.clone()
    labels[0, :, 0] = (labels[0, :, 0] + 1) % 3  # one corrupted training label
    theta = fg.initial(SIZES, t.seeds)
    out = fg.watch_accuracy(t, labels)(0, theta)
    for s in range(2):
        z = torch.relu(t.x[s] @ theta[0][s]) @ theta[1][s][:-1] + theta[1][s][-1]
        right = (z.argmax(1) == labels[0, s]).float()
        tested = (z[:4].argmax(1) == t.y_test[s]).float().mean()
        expected = [right[1:5].mean(), right[0], right[5:].mean(), tested, cross_entropy(z[:5], labels[0, s, :5])]
        assert torch.allclose(out[:, s], torch.stack(expected), atol=1e-6)

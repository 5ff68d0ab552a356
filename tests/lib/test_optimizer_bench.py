"""The optimiser bench: a member of a batch is the network that torch trains alone, runs are paired, and sweeps pick the right rate."""

import numpy as np
import pytest
import torch

from encore.bases import optimizer_bench
from encore.bases.optimizer_bench import MLP, Bench, Split, best_rate, per_member

RATES = [0.01, 0.05]


@pytest.fixture(scope="module")
def split():
    g = torch.Generator().manual_seed(0)
    x = {part: torch.randn(n, 12, generator=g, dtype=torch.float64) for part, n in (("train", 50), ("valid", 30), ("test", 1030))}
    return Split(x, {part: v[:, :4].argmax(1) for part, v in x.items()}, "synthetic")


def bench(split, seeds=(0, 1), rates=RATES, batch=16, **more):
    return Bench(split, seeds, rates, batch, net=MLP((12, 8, 4)), **more)


def sgd(params, grads, state, lr, wd):
    for p, g in zip(params, grads, strict=True):
        p -= per_member(lr, p) * (g + per_member(wd, p) * p)


def adamw(params, grads, state, lr, wd):
    m, v = (state.setdefault(name, [torch.zeros_like(p) for p in params]) for name in "mv")
    t = state["t"] = state.get("t", 0) + 1
    for p, g, mk, vk in zip(params, grads, m, v, strict=True):
        mk.mul_(0.9).add_(0.1 * g)
        vk.mul_(0.999).add_(0.001 * g * g)
        p *= 1 - per_member(lr * wd, p)
        p -= per_member(lr, p) * mk / (1 - 0.9**t) / ((vk / (1 - 0.999**t)).sqrt() + 1e-8)


@pytest.mark.parametrize(("rule", "alone"), [(sgd, torch.optim.SGD), (adamw, torch.optim.AdamW)])
def test_a_member_is_the_network_trained_alone(split, rule, alone):
    b = bench(split, seeds=[3, 4], wd=0.1)
    feed, start = bench(split, seeds=[3, 4]), [p.detach().clone() for p in b.params]
    batches = [feed.next_batch() for _ in range(20)]
    for _ in batches:
        b.step(rule)
    for member, (seed, rate) in enumerate((s, r) for s in range(2) for r in RATES):
        net = torch.nn.Sequential(torch.nn.Linear(12, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4)).double()
        for p, q in zip(net.parameters(), start, strict=True):
            p.data = q[member].T.reshape(p.shape).clone()
        optimiser = alone(net.parameters(), lr=rate, weight_decay=0.1)
        for index in batches:
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(split.x["train"][index[seed]]), split.y["train"][index[seed]]).backward()
            optimiser.step()
        for p, q in zip(net.parameters(), b.params, strict=True):
            assert (p - q[member].T.reshape(p.shape)).abs().max() < 1e-6
        for part in ("train", "valid", "test"):
            logits = net(split.x[part]).detach()
            loss = float(torch.nn.functional.cross_entropy(logits, split.y[part]))
            assert b.loss(part)[seed, member % 2] == pytest.approx(loss, abs=1e-6)
            assert b.accuracy(part)[seed, member % 2] == pytest.approx(float((logits.argmax(1) == split.y[part]).double().mean()))


def test_the_same_seed_gives_the_same_start_and_batches(split):
    a, b = bench(split, seeds=[5, 6]), bench(split, seeds=[6], rates=[0.1, 0.2, 0.3])
    for p, q in zip(a.params, b.params, strict=True):
        assert torch.equal(p[2], p[3])
        assert torch.equal(p[2], q[1])
        assert not torch.equal(p[0], p[2])
    for _ in range(10):
        i, j = a.next_batch(), b.next_batch()
        assert torch.equal(i[1], j[0])
        assert not torch.equal(i[0], i[1])


def test_an_epoch_uses_no_image_twice(split):
    b = bench(split)
    epoch = torch.cat([b.next_batch() for _ in range(3)], 1)  # 3 x 16 of 50
    assert all(len(set(row.tolist())) == 48 for row in epoch)
    assert len(set(b.next_batch()[0].tolist())) == 16


def test_divergence_is_infinite_and_bad_input_is_refused(split):
    b = bench(split, rates=[0.01, 1e300])
    for _ in range(5):
        b.step(sgd)
    assert np.isfinite(b.loss("valid")[:, 0]).all()
    assert np.isinf(b.loss("valid")[:, 1]).all()
    with pytest.raises(ValueError, match="batch size"):
        bench(split, batch=51)
    with pytest.raises(ValueError, match="positive"):
        bench(split, rates=[0.1, 0.0])


def test_rates_may_differ_by_seed(split):
    b = bench(split, rates=[[0.1], [0.2]], wd=[[1.0], [2.0]])
    assert b.lr.tolist() == [0.1, 0.2]
    assert b.wd.tolist() == [1.0, 2.0]
    assert b.loss("valid").shape == (2, 1)


def test_best_rate_is_the_vertex_of_the_three_best_points():
    rates = np.geomspace(1e-4, 1, 9)
    losses = np.stack([(np.log(rates) - np.log(best)) ** 2 for best in (3e-3, 2e-2)])
    np.testing.assert_allclose(best_rate(rates, losses), [3e-3, 2e-2])
    losses[0, 6:] = np.inf
    np.testing.assert_allclose(best_rate(rates, losses), [3e-3, 2e-2])
    assert rates[0] <= best_rate(rates, rates) <= rates[2]  # best at the edge: the vertex stays among its three points
    np.testing.assert_allclose(best_rate(rates, (np.log(rates) + 20) ** 2), rates[0])
    np.testing.assert_allclose(best_rate([1e-3, 1e-2, 1e-1], [0.0, 3.0, 1.0]), 1e-3)  # bends downwards: the best point itself
    with pytest.raises(ValueError, match="fewer than three"):
        best_rate([1e-3, 1e-2, 1e-1], [1.0, np.inf, np.nan])


def test_load_pools_standardises_and_keeps_the_parts_apart(monkeypatch):
    class Fake(dict):
        provenance = "made up"

    rng = np.random.default_rng(0)
    fake = Fake({k: rng.integers(0, 256, (30, 28, 28), dtype=np.uint8) for k in ("train_images", "test_images")})
    fake |= {k: np.arange(30, dtype=np.uint8) % 10 for k in ("train_labels", "test_labels")}
    monkeypatch.setattr(optimizer_bench.datasets, "load", {"fashion-mnist": fake}.__getitem__)
    s = optimizer_bench.load(20, 10, 5)
    assert {part: tuple(v.shape) for part, v in s.x.items()} == {"train": (20, 196), "valid": (10, 196), "test": (5, 196)}
    assert s.y["valid"].tolist() == list(range(10))
    assert abs(float(s.x["train"].mean())) < 1e-5
    assert float(s.x["train"].std()) == pytest.approx(1, abs=1e-5)
    raw = fake["train_images"][20].astype(float)
    scaled = s.x["valid"][0, 15] - s.x["valid"][0, 0]  # pixel 15 is row 1, column 1 of the pooled image
    gap = (raw[2:4, 2:4].mean() - raw[:2, :2].mean()) / 255
    spread = fake["train_images"][:20].reshape(20, 14, 2, 14, 2).mean((2, 4)).std(ddof=1) / 255
    assert float(scaled) == pytest.approx(gap / spread, rel=1e-4)
    with pytest.raises(ValueError, match="ask for fewer"):
        optimizer_bench.load(25, 10, 5)

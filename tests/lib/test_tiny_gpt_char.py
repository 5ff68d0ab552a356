"""The tiny GPT: attention as in torch, no look into the future, members that train as if alone, paired windows of text."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from encore.bases import tiny_gpt_char
from encore.bases.optimizer_bench import per_member
from encore.bases.tiny_gpt_char import ALPHABET, CharBench, Split, TinyGPT, attention, cross_entropy, decode, encode, load, windows

NET = TinyGPT(depth=2, width=12, heads=3, context=8, mlp=20)


@pytest.fixture(scope="module")
def corpus():
    codes = torch.randint(len(ALPHABET), (400,), generator=torch.Generator().manual_seed(0))
    parts = {"train": windows(codes[:300], 8, 1, torch.float64), "valid": windows(codes[300:], 8, 8, torch.float64)}
    return Split(*({part: pair[k] for part, pair in parts.items()} for k in (0, 1)), "synthetic")


def bench(corpus, seeds=(3, 4), rates=(0.01, 0.1), net=NET, **more):
    return CharBench(corpus, seeds, rates, 6, net=net, **more)


def sgd(params, grads, state, lr, wd):
    for p, g in zip(params, grads, strict=True):
        p -= per_member(lr, p) * (g + per_member(wd, p) * p)


def alone(p, x):
    """The same network for one member, in torch's own words. p: name -> tensor; x: (n, length) int64. Logits (n, length, vocabulary)."""
    norm = lambda h, gain: F.layer_norm(h, gain.shape, gain)
    heads = lambda a: a.view(*a.shape[:2], NET.heads, -1).transpose(1, 2)
    h = p["token"][x] + p["position"][: x.shape[1]]
    for k in range(NET.depth):
        w = {name: p[f"block{k}.{name}"] for name in ("norm1", "qkv", "out", "norm2", "up", "down")}
        q, key, v = map(heads, F.linear(norm(h, w["norm1"]), w["qkv"].T).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, key, v, is_causal=True).transpose(1, 2).reshape(h.shape)
        h = h + F.linear(mixed, w["out"].T)
        h = h + F.linear(F.gelu(F.linear(norm(h, w["norm2"]), w["up"].T), approximate="tanh"), w["down"].T)
    return F.linear(norm(h, p["norm"]), p["head"].T)


def test_attention_is_torchs_causal_attention():
    q, k, v = torch.randn(3, 4, 2, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(attention(q, k, v), F.scaled_dot_product_attention(q, k, v, is_causal=True))
    np.testing.assert_allclose(attention(q, k, v)[..., 0, :], v[..., 0, :])


def test_a_member_is_the_network_trained_alone(corpus):
    b, feed = bench(corpus, wd=0.1), bench(corpus)
    start = [p.detach().clone() for p in b.params]
    batches = [feed.next_batch() for _ in range(4)]
    for _ in batches:
        b.step(sgd)
    for member, (seed, rate) in enumerate((s, r) for s in range(2) for r in (0.01, 0.1)):
        p = {name: q[member].clone().requires_grad_() for name, q in zip(NET.names, start, strict=True)}
        optimiser = torch.optim.SGD(p.values(), lr=rate, weight_decay=0.1)
        for index in batches:
            optimiser.zero_grad()
            x, y = corpus.x["train"][index[seed]].long(), corpus.y["train"][index[seed]]
            F.cross_entropy(alone(p, x).flatten(0, 1), y.flatten()).backward()
            optimiser.step()
        for name, q in zip(NET.names, b.params, strict=True):
            torch.testing.assert_close(p[name], q[member], msg=name)
        logits, y = alone(p, corpus.x["valid"].long()).detach(), corpus.y["valid"]
        assert b.loss("valid")[seed, member % 2] == pytest.approx(float(F.cross_entropy(logits.flatten(0, 1), y.flatten())))
        assert b.accuracy("valid")[seed, member % 2] == pytest.approx(float((logits.argmax(-1) == y).double().mean()))


def test_the_future_is_not_seen(corpus):
    b = bench(corpus)
    x = corpus.x["valid"][:4].expand(4, -1, -1).clone()
    before = b.net(b.params, x)
    x[..., 5] = (x[..., 5] + 1) % len(ALPHABET)
    after = b.net(b.params, x)
    assert torch.equal(before[..., :5, :], after[..., :5, :])
    assert (before[..., 5:, :] - after[..., 5:, :]).abs().amax((0, 1, 3)).min() > 1e-6
    torch.testing.assert_close(b.net(b.params, x[..., :5]), after[..., :5, :])  # a short window, as in sampling


def test_the_same_seed_gives_the_same_start_and_windows(corpus):
    a, b = bench(corpus, seeds=(5, 6)), bench(corpus, seeds=(6,), rates=(0.1, 0.2, 0.3))
    c = bench(corpus, seeds=(6,), net=TinyGPT(depth=1, width=8, heads=2, context=8))
    for p, q in zip(a.params, b.params, strict=True):
        assert torch.equal(p[2], p[3])
        assert torch.equal(p[2], q[1])
    for _ in range(60):  # more than one epoch
        i, j, k = a.next_batch(), b.next_batch(), c.next_batch()
        assert torch.equal(i[1], j[0])
        assert torch.equal(i[1], k[0])
        assert not torch.equal(i[0], i[1])


def test_every_matrix_product_goes_through_product(corpus):
    seen = {}

    def spy(name, x, w):
        seen[name] = tuple(x.shape), tuple(w.shape)
        return x @ w

    net = TinyGPT(depth=2, width=12, heads=3, context=8, mlp=20, product=spy)
    x = corpus.x["valid"][:3].expand(4, -1, -1)
    b = bench(corpus)
    torch.testing.assert_close(net(b.params, x), b.net(b.params, x))
    assert list(seen) == [*net.matrices, "head"]
    assert seen["block1.down"] == ((4, 24, 20), (4, 20, 12))
    assert [tuple(p.shape[1:]) for p in b.params] == list(net.shapes.values())


def test_the_default_is_the_s_size_and_starts_at_chance():
    net = TinyGPT()
    assert sum(int(np.prod(s)) for s in net.shapes.values()) == 35_568
    assert net.matrices == ["block0.qkv", "block0.out", "block0.up", "block0.down"]
    params = [p[None] for p in net.init(torch.Generator().manual_seed(0), torch.float64)]
    x = torch.randint(65, (1, 200, 32), generator=torch.Generator().manual_seed(1))
    assert float(cross_entropy(net(params, x.double()), x)[0]) == pytest.approx(np.log(65), abs=0.1)


def test_windows_cover_the_text_and_labels_are_one_character_on():
    codes = encode("to be, or not to be")
    x, y = windows(codes, 5, 1)
    assert x.dtype == torch.float32
    assert len(x) == len(codes) - 5
    assert [decode(x[3]), decode(y[3])] == ["be, o", "e, or"]
    with pytest.raises(ValueError, match="do not fit"):
        windows(codes[:5], 5, 1)
    with pytest.raises(ValueError, match="'ß'"):
        encode("Maß")
    with pytest.raises(ValueError, match="divisor"):
        TinyGPT(width=10, heads=4)
    with pytest.raises(ValueError, match="longer than the context"):
        NET([p[None] for p in NET.init(torch.Generator(), torch.float32)], torch.zeros(1, 1, 9))


def test_load_keeps_the_parts_apart(monkeypatch):
    class Fake(dict):
        provenance = "made up"

    text = "".join(ALPHABET[i] for i in np.random.default_rng(0).integers(0, 65, 2000))
    monkeypatch.setattr(tiny_gpt_char.datasets, "load", {"tinyshakespeare": Fake(text=text)}.__getitem__)
    s = load(context=16, n_valid=5, dtype=torch.float64)
    assert decode(s.x["train"][0]) == text[:16]
    assert decode(s.y["train"][-1]) == text[1784:1800]
    valid = [decode(x) + decode(y[-1:]) for x, y in zip(s.x["valid"], s.y["valid"], strict=True)]
    assert valid == [text[1800 + 16 * k : 1817 + 16 * k] for k in (0, 2, 4, 7, 9)]
    assert s.x["train"].dtype == torch.float64
    with pytest.raises(ValueError, match="12 validation windows"):
        load(context=16, n_valid=13)

"""A batched network is the sum of its members: each equals a torch.nn network trained alone."""

import pytest
import torch

from encore.bases.seed_batched_mlp import MemberAdam, SeedBatchedMLP

SIZES = [3, 16, 16, 2]


def alone(net: SeedBatchedMLP, i: int) -> torch.nn.Sequential:
    layers = []
    for w, b in zip(net.weights, net.biases, strict=True):
        linear = torch.nn.Linear(w.shape[1], w.shape[2], dtype=w.dtype)
        linear.weight.data, linear.bias.data = w[i].T.clone().detach(), b[i, 0].clone().detach()
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def data(members: int):
    g = torch.Generator().manual_seed(0)
    return (torch.randn(members, 20, n, generator=g, dtype=torch.float64) for n in (3, 2))


def test_training_equals_single_networks_with_torch_adam():
    net = SeedBatchedMLP(SIZES, range(4), dtype=torch.float64)
    rates = [1e-3, 3e-3, 1e-2, 3e-2]
    singles = [alone(net, i) for i in range(4)]
    x, y = data(4)
    adam = MemberAdam(net.parameters(), torch.tensor(rates))
    for _ in range(30):
        adam.step(((net(x) - y) ** 2).mean((1, 2)).sum())
    for i, single in enumerate(singles):
        reference = torch.optim.Adam(single.parameters(), lr=rates[i])
        for _ in range(30):
            reference.zero_grad()
            ((single(x[i]) - y[i]) ** 2).mean().backward()
            reference.step()
        assert torch.allclose(net(x)[i], single(x[i]), atol=1e-7)


def test_a_member_does_not_depend_on_its_company():
    many, few = SeedBatchedMLP(SIZES, [5, 6, 7]), SeedBatchedMLP(SIZES, [7])
    for p, q in zip(many.parameters(), few.parameters(), strict=True):
        assert torch.equal(p[2], q[0])
        assert not torch.equal(p[0], p[1])


def test_initial_spread_is_that_of_torch_linear():
    w = SeedBatchedMLP([100, 100], range(20)).weights[0].detach()
    assert abs(float(w.std()) - 0.1 / 3**0.5) < 1e-3
    assert float(w.abs().max()) <= 0.1


def test_frozen_weights_get_no_gradient_but_the_input_does():
    net = SeedBatchedMLP(SIZES, range(2), dtype=torch.float64)
    x = next(data(2)).requires_grad_()
    frozen = net(x, frozen=True)
    assert torch.equal(frozen, net(x))
    frozen.sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None for p in net.parameters())


def test_take_copies_and_follow_averages():
    net = SeedBatchedMLP(SIZES, range(3))
    copy = net.take([2, 0])
    assert torch.equal(copy.weights[0][0], net.weights[0][2])
    before, goal = copy.weights[0].clone(), net.take([1, 1])
    copy.follow(goal, 0.25)
    assert torch.allclose(copy.weights[0], 0.75 * before + 0.25 * goal.weights[0])
    assert torch.equal(net.weights[0][2], before[0])


def test_a_rate_of_zero_leaves_a_member_alone():
    net = SeedBatchedMLP(SIZES, range(2), dtype=torch.float64)
    start = net.take(slice(None))
    x, y = data(2)
    MemberAdam(net.parameters(), torch.tensor([0.0, 1e-2])).step(((net(x) - y) ** 2).sum())
    assert torch.equal(net.weights[0][0], start.weights[0][0])
    assert not torch.equal(net.weights[0][1], start.weights[0][1])


def test_errors_name_the_thing():
    net = SeedBatchedMLP(SIZES, range(2))
    with pytest.raises(ValueError, match=r"\(20, 3\), expected \(2, batch, 3\)"):
        net(torch.zeros(20, 3))
    with pytest.raises(ValueError, match="two sizes and one seed"):
        SeedBatchedMLP([3], [0])
    with pytest.raises(ValueError, match="no|one seed"):
        SeedBatchedMLP(SIZES, [])
    with pytest.raises(ValueError, match="one rate per member"):
        MemberAdam(net.parameters(), torch.ones(3))

"""Steps on stacks of matrices against torch's own optimisers and against the singular value decomposition."""

import pytest
import torch

from encore.bases import matrix_optimizers


def gradients(runs=3, shape=(7, 4), steps=6):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(steps, runs, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("method", "theirs"),
    [
        ("Adam", lambda p: torch.optim.Adam([p], lr=0.1)),
        ("SGD", lambda p: torch.optim.SGD([p], lr=0.1, momentum=0.9)),
        ("GD", lambda p: torch.optim.SGD([p], lr=0.1)),
    ],
)
def test_steps_equal_torch(method, theirs):
    W, state, p = torch.zeros(3, 7, 4, dtype=torch.float64), [], torch.zeros(3, 7, 4, dtype=torch.float64, requires_grad=True)
    optimiser = theirs(p)
    for t, g in enumerate(gradients(), 1):
        W = W - 0.1 * matrix_optimizers.direction(method, g, state, t)
        p.grad = g.clone()
        optimiser.step()
    assert torch.allclose(W, p.detach(), rtol=1e-10, atol=1e-12)


def test_muon_equals_torch_up_to_its_bfloat16():
    for shape in ((7, 4), (4, 7)):
        W, state, p = torch.zeros(1, *shape, dtype=torch.float64), [], torch.zeros(shape, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.Muon([p], lr=0.1, momentum=0.95, weight_decay=0.0)
        for t, g in enumerate(gradients(1, shape), 1):
            W = W - 0.1 * matrix_optimizers.direction("Muon", g, state, t)
            p.grad = g[0].clone()
            optimiser.step()
        assert float((W[0] - p.detach()).abs().max()) < 0.03


@pytest.mark.parametrize("shape", [(6, 6), (9, 5), (5, 9)])
def test_orthogonalise_keeps_singular_vectors(shape):
    G = gradients(2, shape, 1)[0]
    U, s, Vh = torch.linalg.svd(G, full_matrices=False)
    s = s / G.norm(dim=(-2, -1))[:, None]
    for _ in range(5):
        s = sum(c * s**power for c, power in zip(matrix_optimizers.NEWTON_SCHULZ, (1, 3, 5), strict=True))
    assert torch.allclose(matrix_optimizers.orthogonalise(G), U * s[:, None] @ Vh, atol=1e-5)


def test_another_method_is_refused():
    with pytest.raises(ValueError, match="no method 'Lion'"):
        matrix_optimizers.direction("Lion", gradients()[0], [], 1)

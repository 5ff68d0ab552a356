"""Curvature of a loss through Hessian-vector products, for many networks at once.

Parameters are tensors (members, ...) and `loss` is the SUM over members of each one's own loss, as in `seed_batched_mlp`; a single network
has one member. Then one product serves all members, and nothing of size (parameters x parameters) is formed.
"""

from collections.abc import Callable, Sequence

import torch

Tensors = Sequence[torch.Tensor]


def hessian_product(gradients: Tensors, parameters: Tensors, vectors: Tensors) -> list[torch.Tensor]:
    """H v by differentiating the gradient a second time (Pearlmutter 1994), shapes as `parameters`.

    `gradients` come from torch.autograd.grad(loss, parameters, create_graph=True); the graph is kept.
    """
    return [h.detach() for h in torch.autograd.grad(gradients, parameters, list(vectors), retain_graph=True)]


def _inner(a: Tensors, b: Tensors) -> torch.Tensor:
    """Inner products (members,)."""
    return sum((x * y).flatten(1).sum(1) for x, y in zip(a, b, strict=True))


def _unit(vectors: Tensors) -> list[torch.Tensor]:
    norms = _inner(vectors, vectors).sqrt().clamp_min(torch.finfo(vectors[0].dtype).tiny)
    return [v / norms.view(-1, *[1] * (v.dim() - 1)) for v in vectors]


def top_eigenvalue(
    loss: Callable[[], torch.Tensor], parameters: Tensors, steps: int, start: Tensors | int = 0
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The Hessian's eigenvalue of largest modulus, (members,), as a Rayleigh quotient after `steps` power iterations, and the unit vectors.

    start: vectors shaped like `parameters`, such as those of the last call (a warm start needs few steps), or a seed for random ones.
    Raises ValueError for fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"curvature.top_eigenvalue: {steps} steps; power iteration needs at least one")
    if isinstance(start, int):
        g = torch.Generator().manual_seed(start)
        start = [torch.randn(p.shape, generator=g, dtype=p.dtype) for p in parameters]
    gradients, v = torch.autograd.grad(loss(), parameters, create_graph=True), _unit(start)
    for _ in range(steps):
        product = hessian_product(gradients, parameters, v)
        value, v = _inner(v, product), _unit(product)
    return value, v


def trace(loss: Callable[[], torch.Tensor], parameters: Tensors, probes: int, seed: int) -> torch.Tensor:
    """Hutchinson's estimate of the Hessian's trace, (members, probes): one column per random vector of signs (Hutchinson 1990)."""
    g = torch.Generator().manual_seed(seed)
    gradients, found = torch.autograd.grad(loss(), parameters, create_graph=True), []
    for _ in range(probes):
        signs = [torch.randint(0, 2, p.shape, generator=g).to(p.dtype) * 2 - 1 for p in parameters]
        found.append(_inner(signs, hessian_product(gradients, parameters, signs)))
    return torch.stack(found, 1)

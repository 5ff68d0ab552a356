"""Value and Laplacian of batched tanh networks in two variables, by propagating derivatives forward through the layers.

    value, laplacian = jet(net, x)      # net: SeedBatchedMLP([2, ..., 1], seeds, torch.tanh_), x (members, n, 2) -> (members, n) each

Every layer carries four numbers per unit: the value, both first derivatives and the Laplacian. A linear map acts on each alone. Through
a = tanh(z) the chain rule gives a_i = (1 - a^2) z_i and lap a = (1 - a^2) lap z - 2 a (1 - a^2) (z_1^2 + z_2^2). One ordinary backward
pass then gives the gradient with respect to weights, where nested automatic differentiation would need three.
"""

import torch

from encore.bases.seed_batched_mlp import SeedBatchedMLP


class TanhJet(torch.autograd.Function):
    """tanh of (value, d1, d2, Laplacian): z and result (members, 4, n, units); the bias b (members, 1, units) moves the value only.
    The gradient is written out, to save memory traffic."""

    @staticmethod
    def forward(ctx, z, b):
        a = torch.tanh(z[:, 0] + b)
        s = 1 - a * a
        curve, q = -2 * a * s, z[:, 1].square() + z[:, 2].square()
        out = s[:, None] * z
        out[:, 0] = a
        out[:, 3].addcmul_(curve, q)
        ctx.save_for_backward(z, a, s, curve, q)
        return out

    @staticmethod
    def backward(ctx, g):
        z, a, s, curve, q = ctx.saved_tensors
        out = s[:, None] * g
        out[:, 1:3].addcmul_((2 * curve * g[:, 3])[:, None], z[:, 1:3])
        out[:, 0].addcmul_(curve, (z[:, 1:] * g[:, 1:]).sum(1))
        out[:, 0].addcmul_((-2 * s - 3 * a * curve) * q, g[:, 3])
        return out, out[:, 0].sum(1, keepdim=True)


def jet(net: SeedBatchedMLP, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Value and Laplacian at x (members, n, 2) of networks with two inputs, one output and tanh between layers: each (members, n).

    Differentiable in the weights. Raises ValueError if x has another shape.
    """
    if x.dim() != 3 or len(x) != net.members or x.shape[2] != 2:
        raise ValueError(f"jet: x has shape {tuple(x.shape)}, expected ({net.members}, n, 2)")
    h = x.new_zeros(len(x), 4, x.shape[1], 2)
    h[:, 0], h[:, 1, :, 0], h[:, 2, :, 1] = x, 1, 1
    *hidden, (W, b) = zip(net.weights, net.biases, strict=True)
    for V, c in hidden:
        h = TanhJet.apply(torch.bmm(h.flatten(1, 2), V).unflatten(1, h.shape[1:3]), c)
    out = torch.bmm(h.flatten(1, 2), W).view(h.shape[:3])
    return out[:, 0] + b[..., 0], out[:, 3]

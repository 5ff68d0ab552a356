"""MLPs whose parameters carry a leading member dimension, so that seeds, arms and settings train in one program.

    net = SeedBatchedMLP([3, 64, 64, 1], seeds=range(10))    # ten independent networks
    y = net(x)                                               # x (10, batch, 3) -> (10, batch, 1)
    loss = per_member(x, y).sum()                            # SUM over members: each gets the gradient of its own loss

A layer is one `baddbmm` over all members. Members never mix, so each trains as it would alone, provided that the losses are summed
(not averaged) over members and that the optimiser is elementwise (`MemberAdam`, or torch's SGD, Adam, AdamW). Member i starts from
weights drawn with its own seed: its start does not depend on who else is in the batch. The idea is that of `torch.func`'s stacked
ensembles, without the vmap.
"""

import copy
import ctypes
import functools
import platform
from collections.abc import Callable, Iterable, Sequence

import torch


@functools.cache
def _keep_freed_memory() -> None:
    """Let glibc keep freed buffers instead of handing each back to the kernel: 1.2-1.7 times the speed here, same numbers.

    Activations of many members are blocks of 0.1-30 MB, which glibc maps anew for every operation, so that each touches fresh pages.
    mallopt's parameters: -3 is M_MMAP_THRESHOLD, -1 is M_TRIM_THRESHOLD (malloc.h). Nothing happens on other systems.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 2**30)
        libc.mallopt(-1, 2**31 - 1)


class SeedBatchedMLP(torch.nn.Module):
    """`members` MLPs with layer widths `sizes` and `activation` (it may work in place) between layers, initialised like torch.nn.Linear.

    sizes: at least (inputs, outputs); seeds: one integer per member (equal seeds give equal weights); weights[l]: (members, in, out),
    biases[l]: (members, 1, out); dtype: torch's default unless given. Raises ValueError for fewer than two sizes or no seed.
    """

    def __init__(self, sizes: Sequence[int], seeds: Iterable[int], activation: Callable = torch.relu_, dtype=None):
        super().__init__()
        seeds, dtype = [int(s) for s in seeds], dtype or torch.get_default_dtype()
        _keep_freed_memory()
        if len(sizes) < 2 or not seeds:
            raise ValueError(f"SeedBatchedMLP needs at least two sizes and one seed, got sizes {list(sizes)} and {len(seeds)} seeds")
        self.activation = activation
        weights, biases = [[] for _ in sizes[1:]], [[] for _ in sizes[1:]]
        for s in seeds:
            g = torch.Generator().manual_seed(s)
            for k, (n, m) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
                weights[k].append((torch.rand(n, m, generator=g, dtype=dtype) * 2 - 1) / n**0.5)
                biases[k].append((torch.rand(1, m, generator=g, dtype=dtype) * 2 - 1) / n**0.5)
        self.weights = torch.nn.ParameterList([torch.stack(w) for w in weights])
        self.biases = torch.nn.ParameterList([torch.stack(b) for b in biases])

    @property
    def members(self) -> int:
        return self.weights[0].shape[0]

    def forward(self, x: torch.Tensor, frozen: bool = False) -> torch.Tensor:
        """x (members, batch, inputs) -> (members, batch, outputs). With `frozen` gradients reach x but not the parameters.

        Raises ValueError if the member dimension or the width does not fit.
        """
        if x.dim() != 3 or x.shape[0] != self.members or x.shape[2] != self.weights[0].shape[1]:
            expected = f"({self.members}, batch, {self.weights[0].shape[1]})"
            raise ValueError(f"SeedBatchedMLP: input {tuple(x.shape)}, expected {expected}; repeat or reshape it")
        last = len(self.weights) - 1
        for k, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(b.detach() if frozen else b, x, w.detach() if frozen else w)
            x = self.activation(x) if k < last else x
        return x

    def take(self, members) -> "SeedBatchedMLP":
        """An independent copy of some members (a list, slice or index tensor along the member dimension)."""
        other = copy.deepcopy(self)
        for p in other.parameters():
            p.data = p.data[members].clone()
        return other

    @torch.no_grad()
    def follow(self, other: "SeedBatchedMLP", tau: float) -> None:
        """Polyak averaging, in place: self <- (1 - tau) self + tau other."""
        for mine, theirs in zip(self.parameters(), other.parameters(), strict=True):
            mine.lerp_(theirs, tau)


class MemberAdam:
    """Adam (Kingma and Ba, 2015) for parameters (members, ...), with one learning rate for all or one per member.

    lr: a number or (members,). `step(loss)` takes the gradient of the scalar `loss` for these parameters alone and moves them; other
    leaves of the graph get no gradient.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], lr, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8):
        self.parameters, self.betas, self.eps, self.count = list(parameters), betas, eps, 0
        lr = torch.as_tensor(lr, dtype=self.parameters[0].dtype)
        if lr.dim() > 1 or (lr.dim() == 1 and any(len(p) != len(lr) for p in self.parameters)):
            raise ValueError(f"MemberAdam: lr has shape {tuple(lr.shape)}; give one rate, or one rate per member")
        self.lr = [lr if lr.dim() == 0 else lr.view(-1, *[1] * (p.dim() - 1)) for p in self.parameters]
        self.first = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        self.second = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]

    def step(self, loss: torch.Tensor) -> None:
        """One update from a scalar loss (summed over members)."""
        gradients = torch.autograd.grad(loss, self.parameters)
        self.count += 1
        (b1, b2), t = self.betas, self.count
        root = (1 - b2**t) ** 0.5  # both bias corrections, folded into the step as in the paper's section 2
        with torch.no_grad():
            for p, g, m, v, lr in zip(self.parameters, gradients, self.first, self.second, self.lr, strict=True):
                m.lerp_(g, 1 - b1)
                v.mul_(b2).addcmul_(g, g, value=1 - b2)
                p.addcdiv_(m * (-lr * root / (1 - b1**t)), v.sqrt().add_(self.eps * root))

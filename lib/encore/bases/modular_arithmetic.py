"""Addition modulo p: the whole table of pairs, its one-hot encoding, and random splits into training and test pairs.

    table = Table(31)
    train, test = table.split(0.6, seeds=range(5))     # index tensors (5, 576) and (5, 385)
    x, y = table.one_hot(torch.float32)[train], table.labels[train]     # (5, 576, 62), (5, 576)

The task of Power et al. 2022 (arXiv 2201.02177) on which grokking was first described.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Table:
    """All p^2 pairs (a, b) with 0 <= a, b < p. Raises ValueError for p < 2."""

    p: int

    def __post_init__(self):
        if self.p < 2:
            raise ValueError(f"modular_arithmetic.Table: p = {self.p}; addition modulo p needs p >= 2")

    @property
    def pairs(self) -> torch.Tensor:
        """(p^2, 2) int64; row a * p + b is the pair (a, b)."""
        return torch.cartesian_prod(torch.arange(self.p), torch.arange(self.p))

    @property
    def labels(self) -> torch.Tensor:
        """(p^2,) int64: (a + b) mod p."""
        return self.pairs.sum(1) % self.p

    def one_hot(self, dtype: torch.dtype) -> torch.Tensor:
        """(p^2, 2p): a 1 at position a and one at position p + b."""
        pairs = self.pairs + torch.tensor([0, self.p])
        return torch.zeros(self.p**2, 2 * self.p, dtype=dtype).scatter_(1, pairs, 1.0)

    def split(self, share: float, seeds: Iterable[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Row indices of training pairs (seeds, n) and of the others (seeds, p^2 - n), n = round(share p^2), drawn anew for every seed.

        Raises ValueError if a part would be empty.
        """
        n = round(share * self.p**2)
        if not 0 < n < self.p**2:
            raise ValueError(f"modular_arithmetic.split: a share of {share} gives {n} of {self.p**2} pairs; keep it inside (0, 1)")
        order = torch.stack([torch.randperm(self.p**2, generator=torch.Generator().manual_seed(int(s))) for s in seeds])
        return order[:, :n], order[:, n:]

"""Random seeds: one number fixes a page."""

import random
import sys

import numpy as np


def everything(seed: int) -> None:
    """Seed `random`, numpy's global generator and, where it is loaded, torch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries a page calls may still draw from it
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def spread(seed: int, n: int) -> list[int]:
    """n different seeds for the repetitions of an experiment; another page seed gives n others (disjoint for n <= 1000)."""
    return [1000 * seed + i for i in range(n)]

"""NumPy archives as they are. The loader takes the verified files, name -> path, and returns name -> array."""

from pathlib import Path

import numpy as np


def npz(files: dict[str, Path], *, file: str, **members: str) -> dict[str, np.ndarray]:
    """Members of the archive `file`, under the names of the remaining arguments; read without pickle. KeyError for a member it lacks."""
    with np.load(files[file], allow_pickle=False) as archive:
        return {name: archive[member] for name, member in members.items()}

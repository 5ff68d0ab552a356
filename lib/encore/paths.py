"""Where the compendium lies on disk."""

import os
from pathlib import Path


def root() -> Path:
    """The folder that holds `data/papers`: `$ENCORE_ROOT`, else the checkout this package is installed from.

    Raises FileNotFoundError if neither holds a register.
    """
    place = Path(os.environ.get("ENCORE_ROOT") or Path(__file__).resolve().parents[2])
    if not (place / "data" / "papers").is_dir():
        raise FileNotFoundError(
            f"no register (data/papers) in {place}: set ENCORE_ROOT to a checkout of the compendium, "
            "or install the package from one with `make setup`"
        )
    return place

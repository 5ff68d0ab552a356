"""A progress bar for long loops."""

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def progress(items: Iterable[T], doing: str, total: int | None = None) -> Iterator[T]:
    """Iterate over `items` with a bar that says what is being done and how long is left.

    Silent where the press runs the page (`$ENCORE_QUIET`), so that stored outputs hold results only.
    """
    from tqdm import tqdm

    return iter(tqdm(items, desc=doing, total=total, disable=bool(os.environ.get("ENCORE_QUIET")), file=sys.stderr, leave=False))

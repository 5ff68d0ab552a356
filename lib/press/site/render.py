"""Render the book."""

import atexit
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def build(root: Path, out: Path, strict: bool = True) -> int:
    """Bring _toc.yml up to date and render the book below `root` into `out`; only what changed is read and written again.

    strict: warnings (among them missing references) are errors. Returns the exit status. The cache lies beside `out`, in .doctrees.
    """
    from jupyter_book.sphinx import build_sphinx

    from press import toc

    root, out = root.resolve(), out.resolve()
    toc.write(root)
    with _no_collection():
        status = build_sphinx(
            root,
            out,
            noconfig=True,
            path_config=root / "_config.yml",
            doctreedir=out.parent / ".doctrees",
            confoverrides={"external_toc_path": "_toc.yml", "latex_individualpages": False, "nitpicky": True},
            quiet=True,
            jobs=os.cpu_count() or 1,
            warningiserror=strict,
            keep_going=True,
        )
    if status == 0:
        return 0
    if isinstance(status, BaseException):
        print(f"the book was not rendered: {status}")
    else:
        print("the book has warnings (above); mend them and build again")
    return 1


@contextmanager
def _no_collection() -> Iterator[None]:
    """Search for no garbage among the millions of nodes of a book: there is little, and a build is soon over. Nor when the process ends."""
    gc.disable()
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.enable()

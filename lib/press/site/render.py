"""Render the book."""

import os
from pathlib import Path


def build(root: Path, out: Path, strict: bool = True) -> int:
    """Bring _toc.yml up to date and render the book below `root` into `out`; only what changed is read and written again.

    strict: warnings (among them missing references) are errors. Returns the exit status. The cache lies beside `out`, in .doctrees.
    """
    from jupyter_book.sphinx import build_sphinx

    from press import toc

    root, out = root.resolve(), out.resolve()
    toc.write(root)
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

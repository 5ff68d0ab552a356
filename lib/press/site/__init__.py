"""The Sphinx extension that makes a book of the register, the executed pages and their results; `press.site.build` renders it."""

import zlib
from pathlib import Path

from press.site.links import broken as broken_links
from press.site.render import build

__all__ = ["broken_links", "build", "setup"]

BIBLIOGRAPHY = "book/bibliography"
REDIRECT = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Encore</title><meta http-equiv="refresh" content="0; url={0}"></head>
<body><a href="{0}">Encore</a></body></html>
"""


def setup(app) -> dict:
    """Register events, directives and the figure renderer."""
    from press.site import directives, figures, mathjax

    app.connect("config-inited", _configure)
    app.connect("builder-inited", _read)
    app.connect("source-read", _prepare)
    app.connect("env-get-outdated", _outdated)
    app.connect("env-updated", _rewrite)
    app.connect("build-finished", _finish)
    app.config.mathjax_path = mathjax.PATH
    figures.setup(app)
    directives.setup(app)
    return {"version": "1", "env_version": _version(), "parallel_read_safe": False, "parallel_write_safe": True}


def _version() -> int:
    """Changes with this package's code, so that an edit of it reads every document again."""
    return zlib.crc32(b"".join(p.read_bytes() for p in sorted(Path(__file__).parent.glob("*.py"))))


def _configure(app, config) -> None:
    """The bibliography is book/references.bib and one file per page, book/bib/<chapter>--<slug>.bib."""
    root = Path(app.srcdir)
    found = [root / "book" / "references.bib", *sorted((root / "book" / "bib").glob("*.bib"))]
    config.bibtex_bibfiles = [str(f.relative_to(root)) for f in found]


def _read(app) -> None:
    from press.site import model

    app.encore_site = model.read(Path(app.srcdir))


def _prepare(app, docname: str, source: list[str]) -> None:
    from sphinx.util import logging

    from press.site import header

    if docname.startswith("notebooks/"):
        try:
            source[0] = header.prepare(source[0])
        except ValueError as e:
            logging.getLogger(__name__).warning("%s", e, location=docname)


def _outdated(app, env, added, changed, removed) -> list[str]:
    """Documents that show all papers are read again when a page appears or disappears (other changes are dependencies),
    the bibliography when anything is, because what is cited may have changed."""
    from press.site.directives import GENERATED

    now = [p.entry.name for p in app.encore_site.published]
    before, env.encore_pages = getattr(env, "encore_pages", None), now
    env.encore_moved = now != before
    shows_all = [d for d, meta in env.metadata.items() if GENERATED in meta and env.encore_moved]
    cites = [BIBLIOGRAPHY] if added or changed or removed else []
    return [d for d in shows_all + cites if d in env.found_docs]


def _rewrite(app, env) -> list[str]:
    """A new page stands in every page's sidebar."""
    return sorted(env.found_docs) if env.encore_moved else []


def _finish(app, problem) -> None:
    if app._warncount:  # a document is only warned about when it is read: forget the cache, or the next build would be silent
        (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)
    if problem is not None or app.builder.name != "html":
        return
    from press.site import mathjax, scoreboard

    out = Path(app.outdir)
    mathjax.copy(out)
    scoreboard.write(app.encore_site, out)
    (out / "index.html").write_text(REDIRECT.format(app.builder.get_target_uri(app.config.root_doc)), encoding="utf-8")

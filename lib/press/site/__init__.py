"""The Sphinx extension that makes a book of the register, the executed pages and their results; `press.site.build` renders it."""

import zlib
from pathlib import Path

from press.site.links import broken as broken_links
from press.site.render import build

__all__ = ["broken_links", "build", "setup"]

BIBLIOGRAPHY = "book/bibliography"
PLUGINS = (
    ("pybtex.style.formatting", "plain"),
    ("pybtex.style.names", "plain"),
    ("pybtex.style.names", "last"),
    ("pybtex.style.labels", "number"),
    ("pybtex.style.labels", "alpha"),
    ("pybtex.style.sorting", "none"),
    ("pybtex.style.sorting", "author_year_title"),
    ("pybtex.backends", "docutils"),
    ("pybtex.backends", "plaintext"),
)
REDIRECT = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Encore</title><link rel="icon" href="_static/favicon.svg">
<meta http-equiv="refresh" content="0; url={0}"></head>
<body><a href="{0}">Encore</a></body></html>
"""


def setup(app) -> dict:
    """Register events, directives and the figure renderer."""
    from press.site import accessible, bibliography, chapter_map, directives, exercises, figures, glossary, mathjax, search

    for name in ("encore_repository", "encore_branch", "encore_pages"):
        app.add_config_value(name, "", "env")
    app.connect("config-inited", _configure)
    app.connect("builder-inited", _read)
    app.connect("source-read", _prepare)
    app.connect("env-get-outdated", _outdated)
    app.connect("env-updated", _rewrite)
    app.connect("build-finished", _finish)
    app.config.mathjax_path, app.config.mathjax3_config = mathjax.PATH, mathjax.CONFIG
    app.add_domain(mathjax.PageMath, override=True)
    bibliography.setup(app)
    figures.setup(app)
    directives.setup(app)
    _remember_plugins()
    app.connect("builder-inited", _declare_safe)
    chapter_map.setup(app)
    glossary.setup(app)
    exercises.setup(app)
    search.setup(app)
    accessible.setup(app)
    return {"version": "1", "env_version": _version(), "parallel_read_safe": True, "parallel_write_safe": True}


def _declare_safe(app) -> None:
    """The extension that numbers sections across parts says nothing about parallel reading; this book has no numbers."""
    app.extensions["sphinx_multitoc_numbering"].parallel_read_safe = True


def _remember_plugins() -> None:
    """pybtex looks its plugins up among all installed packages at every use, which took an eighth of a large build."""
    from pybtex.plugin import find_plugin, register_plugin

    for group, name in PLUGINS:
        register_plugin(group, name, find_plugin(group, name), force=True)


def _version() -> int:
    """Changes with this package's code, so that an edit of it reads every document again."""
    return zlib.crc32(b"".join(p.read_bytes() for p in sorted(Path(__file__).parent.rglob("*")) if p.suffix in (".py", ".html", ".js")))


def _configure(app, config) -> None:
    """The bibliography is book/references.bib and one file per page, book/bib/<chapter>--<slug>.bib. Figures have names, no numbers."""
    root = Path(app.srcdir)
    found = [root / "book" / "references.bib", *sorted((root / "book" / "bib").glob("*.bib"))]
    config.bibtex_bibfiles = [str(f.relative_to(root)) for f in found]
    config.templates_path.insert(0, str(Path(__file__).parent / "templates"))  # before the theme's own
    config.numfig = False  # sphinx-exercise switches it on


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
    from press.site import icons, launch, mathjax, scoreboard, search

    out = Path(app.outdir)
    mathjax.copy(out)
    icons.write(out)
    scoreboard.write(app.encore_site, out)
    search.write(app.encore_site, out)
    if app.config.encore_repository:
        launch.write(app.encore_site.published, Path(app.srcdir), out, app.config.encore_repository, app.config.encore_branch)
    (out / "index.html").write_text(REDIRECT.format(app.builder.get_target_uri(app.config.root_doc)), encoding="utf-8")

"""The book's table of contents, _toc.yml, generated from the register."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from encore import paths, register
from press import files
from press.site import model

FRONT = (
    "book/how-to-read",
    "book/gallery",
    "book/scoreboard",
    "book/teaching",
    "book/status",
    "book/results-file",
    "book/library",
    "book/glossary",
    "book/bibliography",
)
HEADER = """\
# Generated from data/chapters.yml, data/papers and the pages that have been run.
# `press book` writes it, `press check` compares it.
"""


def toc(entries: Iterable[register.Entry]) -> str:
    """The text of _toc.yml for the tree: front matter, then the chapters, each with those of `entries` whose page has been run."""
    root = paths.root()
    return render([e for e in entries if model.is_published(root, e)], model.read_chapters(root))


def render(pages: Iterable[register.Entry], chapters: Sequence[model.Chapter]) -> str:
    """The text of _toc.yml with these pages. Chapters keep their order; pages have the chapter's reading order."""
    pages = list(pages)
    parts = []
    for c in chapters:
        item = {"file": c.docname}
        if below := [{"file": f"notebooks/{e.name}"} for e in sorted((e for e in pages if e.chapter == c.id), key=c.place)]:
            item["sections"] = below
        parts.append(item)
    tree = {
        "format": "jb-book",
        "root": "book/index",
        "parts": [
            {"caption": "The compendium", "chapters": [{"file": f} for f in FRONT]},
            {"caption": "Chapters", "chapters": parts},
        ],
    }
    return HEADER + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def write(root: Path) -> bool:
    """Bring _toc.yml below `root` up to date. Returns whether it changed."""
    site = model.read(root)
    path, text = root / "_toc.yml", render([p.entry for p in site.published], site.chapters)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    files.write(path, text)
    return True

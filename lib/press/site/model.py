"""What the book shows, read from the tree: chapters, register entries, results. Nothing here knows Sphinx."""

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from encore import register
from encore.claims import VERDICTS
from press.files import PressError

CHAPTERS = "data/chapters.yml"
DATASETS = "data/datasets.yml"


@dataclass(frozen=True)
class Chapter:
    id: str
    title: str

    @property
    def docname(self) -> str:
        return f"book/chapters/{self.id}"


@dataclass(frozen=True)
class Paper:
    """A register entry, with the result of its last run if its page is in the book."""

    entry: register.Entry
    result: dict[str, Any] | None

    @property
    def published(self) -> bool:
        return self.result is not None

    @property
    def docname(self) -> str:
        return f"notebooks/{self.entry.name}"

    @property
    def stage(self) -> str:
        """`published`, `being written` or `planned`."""
        if self.published:
            return "published"
        return "being written" if self.entry.status == "page" else "planned"

    @cached_property
    def verdicts(self) -> list[tuple[str, str]]:
        """(claim id, verdict) in the register's order."""
        return [(c["id"], c["verdict"]) for c in self.result["claims"]] if self.result else []


@dataclass(frozen=True)
class DataSet:
    title: str
    licence: str


@dataclass(frozen=True)
class Site:
    """Everything the generated parts of the book are made from."""

    root: Path
    chapters: tuple[Chapter, ...]
    papers: tuple[Paper, ...]
    datasets: dict[str, DataSet]

    @property
    def published(self) -> list[Paper]:
        return [p for p in self.papers if p.published]

    def of_chapter(self, id: str) -> list[Paper]:
        return [p for p in self.papers if p.entry.chapter == id]

    def chapter(self, id: str) -> Chapter:
        """Raises PressError for an id that data/chapters.yml does not list."""
        for c in self.chapters:
            if c.id == id:
                return c
        raise PressError(f"no chapter {id!r} in {CHAPTERS}; it has {', '.join(c.id for c in self.chapters)}")

    def paper(self, docname: str) -> Paper:
        """The paper of a document `notebooks/<chapter>/<slug>`. Raises PressError if the register has no such paper."""
        for p in self.papers:
            if p.docname == docname:
                return p
        name = docname.removeprefix("notebooks/")
        raise PressError(f"{docname}.ipynb has no entry data/papers/{name}.yml; add the entry or remove the notebook")

    def files(self, papers: list[Paper]) -> list[Path]:
        """The existing files that these papers' entries and results come from."""
        places = [self.root / CHAPTERS, self.root / DATASETS]
        for p in papers:
            places += [self.root / "data" / "papers" / f"{p.entry.name}.yml", _result_path(self.root, p.entry)]
        return [f for f in places if f.is_file()]


def read_chapters(root: Path) -> tuple[Chapter, ...]:
    """Chapters in reading order. Raises PressError for a missing or malformed data/chapters.yml."""
    path = root / CHAPTERS
    try:
        return tuple(Chapter(**c) for c in yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, yaml.YAMLError) as e:
        raise PressError(f"{path}: must be a list of {{id, title}}, one per chapter ({e})") from None


def read(root: Path) -> Site:
    """Read chapters, register, results and licences below `root`.

    Raises PressError for a chapter without a title, a broken results file, or a page whose register entry does not parse.
    """
    chapters = read_chapters(root)
    order = {c.id: k for k, c in enumerate(chapters)}
    entries = [register.parse(path) for path in sorted((root / "data" / "papers").glob("*/*.yml"))]
    if unknown := sorted({e.chapter for e in entries} - set(order)):
        raise PressError(f"{CHAPTERS} does not list the chapter {', '.join(unknown)}; add its id and title")
    entries.sort(key=lambda e: (order[e.chapter], e.year, e.title.lower()))
    return Site(root, chapters, tuple(Paper(e, _result(root, e)) for e in entries), _datasets(root))


def is_published(root: Path, entry: register.Entry) -> bool:
    """True if the entry's page has been run: its notebook and its results file exist."""
    return entry.status == "page" and _result_path(root, entry).is_file() and (root / "notebooks" / f"{entry.name}.ipynb").is_file()


def _result_path(root: Path, entry: register.Entry) -> Path:
    return root / "data" / "results" / f"{entry.name}.json"


def _result(root: Path, entry: register.Entry) -> dict[str, Any] | None:
    if not is_published(root, entry):
        return None
    path = _result_path(root, entry)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise PressError(f"{path} is not valid JSON ({e}); run the page again: press run {entry.name} --force") from None


def _datasets(root: Path) -> dict[str, DataSet]:
    path = root / DATASETS
    if not path.is_file():
        return {}
    return {id: DataSet(d["title"], d["licence"]) for id, d in yaml.safe_load(path.read_text(encoding="utf-8")).items()}


def tally(papers: list[Paper]) -> dict[str, int]:
    """Number of claims with each verdict, in the order of `encore.claims.VERDICTS`."""
    counts = Counter(v for p in papers for _, v in p.verdicts)
    return {v: counts[v] for v in VERDICTS}


def scoreboard(site: Site) -> list[dict[str, Any]]:
    """One row per claim of every published page: what data/results says, without the raw samples."""
    numbers = ("value", "low", "high", "n", "baseline", "detail")
    rows = []
    for p in site.published:
        for c in p.result["claims"]:
            claim = p.entry.claim(c["id"])
            rows.append(
                {
                    "page": p.entry.name,
                    "chapter": p.entry.chapter,
                    "title": p.entry.title,
                    "year": p.entry.year,
                    "claim": c["id"],
                    "says": claim.says,
                    "kind": c["kind"],
                    "paper": claim.paper,
                    "verdict": c["verdict"],
                    **{k: c[k] for k in numbers},
                    "tests": [{k: t[k] for k in ("name", "kind", "verdict", *numbers)} for t in c["tests"]],
                    "date": p.result["date"],
                }
            )
    return rows

"""What the book shows, read from the tree: chapters, register entries, results. Nothing here knows Sphinx."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from encore import register
from encore.claims import VERDICTS
from press import similar
from press.files import PressError

CHAPTERS = "data/chapters.yml"
DATASETS = "data/datasets.yml"
ALIKE = 4
"""Similar papers named on a page."""

STRICT = ConfigDict(extra="forbid")
YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Reading:
    """A paper in a chapter's reading order: its slug, a short name for maps and links, and one line on what its page is read for."""

    slug: str
    name: str = ""
    line: str = ""
    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class Group:
    """Papers of a chapter that are read together, in this order."""

    title: str
    papers: list[Reading]
    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class Root:
    """A work that is not in the compendium and that papers of the chapter build on."""

    id: str
    name: str
    year: int
    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class Builds:
    """`paper` builds on `base` (a paper of the chapter or a root), and how."""

    paper: str
    base: str
    how: str
    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class Chapter:
    """A chapter; `groups` give the reading order, papers they do not list follow by year and title."""

    id: str
    title: str
    groups: list[Group] = field(default_factory=list)
    roots: list[Root] = field(default_factory=list)
    builds_on: list[Builds] = field(default_factory=list)
    __pydantic_config__ = STRICT

    @property
    def docname(self) -> str:
        return f"book/chapters/{self.id}"

    @cached_property
    def readings(self) -> dict[str, Reading]:
        """The listed papers by slug, in reading order."""
        return {r.slug: r for g in self.groups for r in g.papers}

    @cached_property
    def _places(self) -> dict[str, int]:
        return {slug: k for k, slug in enumerate(self.readings)}

    def place(self, entry: register.Entry) -> tuple:
        """Sort key of an entry of this chapter: the reading order, then year and title."""
        return self._places.get(entry.slug, len(self._places)), entry.year, entry.title.lower()

    def name(self, entry: register.Entry) -> str:
        """The paper's short name, or its title."""
        reading = self.readings.get(entry.slug)
        return reading.name if reading and reading.name else entry.title

    def line(self, entry: register.Entry) -> str:
        """One line on what the page is read for: what data/chapters.yml says, or the first sentence of the paper's idea."""
        reading = self.readings.get(entry.slug)
        return reading.line if reading and reading.line else re.split(r"(?<=[.?!])\s+(?=[A-Z])", entry.idea.strip(), maxsplit=1)[0]


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
    loader: str = ""


@dataclass(frozen=True)
class Site:
    """Everything the generated parts of the book are made from."""

    root: Path
    chapters: tuple[Chapter, ...]
    papers: tuple[Paper, ...]
    datasets: dict[str, DataSet]
    similar: dict[str, list[str]] = field(default_factory=dict)

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

    def alike(self, paper: Paper) -> list[Paper]:
        """The few papers of the register most like this one, best first."""
        named = {p.entry.name: p for p in self.papers}
        return [named[n] for n in self.similar.get(paper.entry.name, []) if n in named][:ALIKE]

    def files(self, papers: list[Paper]) -> list[Path]:
        """The existing files that these papers' entries and results come from."""
        places = [self.root / CHAPTERS, self.root / DATASETS, self.root / similar.FILE]
        for p in papers:
            places += [self.root / "data" / "papers" / f"{p.entry.name}.yml", _result_path(self.root, p.entry)]
        return [f for f in places if f.is_file()]


def read_chapters(root: Path) -> tuple[Chapter, ...]:
    """Chapters in reading order. Raises PressError for a missing or malformed data/chapters.yml."""
    path = root / CHAPTERS
    try:
        chapters = TypeAdapter(list[Chapter]).validate_python(yaml.load(path.read_text(encoding="utf-8"), YAML))
    except ValidationError as e:
        first = e.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        fields = "every chapter is {id, title} and, if it has them, groups, roots and builds_on"
        raise PressError(f"{path}: {place}: {first['msg']} ({fields})") from None
    except (OSError, yaml.YAMLError) as e:
        raise PressError(f"{path}: must be a list of {{id, title}}, one per chapter ({e})") from None
    for chapter in chapters:
        if problem := _problem(chapter):
            raise PressError(f"{path}: chapter {chapter.id}: {problem}")
    return tuple(chapters)


def _problem(chapter: Chapter) -> str | None:
    """What is wrong with a chapter's reading order or its map, as far as the file itself shows it."""
    listed = [r.slug for g in chapter.groups for r in g.papers] + [r.id for r in chapter.roots]
    for name, times in Counter(listed).items():
        if times > 1:
            return f"{name} is listed {times} times; a paper or root stands in one place"
    for b in chapter.builds_on:
        if b.paper not in chapter.readings:
            return f"builds_on names {b.paper}, which no group lists"
        if b.base not in listed or b.base == b.paper:
            return f"{b.paper} builds on {b.base}, which is neither another paper of the groups nor a root"
    if idle := {r.id for r in chapter.roots} - {b.base for b in chapter.builds_on}:
        return f"nothing builds on the root {', '.join(sorted(idle))}; remove it"
    return None


def read(root: Path) -> Site:
    """Read chapters, register, results and licences below `root`.

    Papers come in reading order. Raises PressError for a chapter without a title or with papers that the register does not have, a broken
    results file, or a page whose register entry does not parse.
    """
    chapters = read_chapters(root)
    order = {c.id: k for k, c in enumerate(chapters)}
    by_id = {c.id: c for c in chapters}
    entries = [register.parse(path) for path in sorted((root / "data" / "papers").glob("*/*.yml"))]
    if unknown := sorted({e.chapter for e in entries} - set(order)):
        raise PressError(f"{CHAPTERS} does not list the chapter {', '.join(unknown)}; add its id and title")
    for c in chapters:
        if missing := set(c.readings) - {e.slug for e in entries if e.chapter == c.id}:
            raise PressError(f"{CHAPTERS}: chapter {c.id} lists {', '.join(sorted(missing))}, which data/papers/{c.id} does not have")
    entries.sort(key=lambda e: (order[e.chapter], by_id[e.chapter].place(e)))
    return Site(root, chapters, tuple(Paper(e, _result(root, e)) for e in entries), _datasets(root), similar.read(root))


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
    return {id: DataSet(d["title"], d["licence"], d["loader"]) for id, d in yaml.load(path.read_text(encoding="utf-8"), YAML).items()}


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
                    "tests": [
                        {**{k: t[k] for k in ("name", "kind", "verdict", *numbers)}, "rule": rule.parsed_rule()}
                        for t, rule in zip(c["tests"], claim.tests, strict=False)  # of a claim set aside there is one
                    ],
                    "seconds": p.result["seconds"],
                    "date": p.result["date"],
                }
            )
    return rows

"""A chapter's map: its papers in reading order, who builds on whom, and what is related, drawn as SVG with the same as a list behind it.

The `paper` role links to a paper's page by its short name, and is plain text as long as the page does not exist.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from math import sqrt

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from press.files import PressError
from press.site.directives import GENERATED, Generated
from press.site.model import Chapter, Paper, Site
from press.site.parts import container, inline, link, paragraph

WIDTH, LEFT, RIGHT = 360, 64, 296
"""Width of the drawing and of its column of boxes, in pixels on a phone."""
ROW, BOX, HEAD = 34, 27, 30
"""Height of a paper's row, of its box, and of a group's title."""
PORT = 5
"""Distance between the ends of two arcs at one box."""


@dataclass
class Row:
    """A line of the map: a paper, or (without one) a work that is not in the compendium. `y` is the middle of its box."""

    id: str
    name: str
    year: int
    y: float
    paper: Paper | None = None

    @property
    def stage(self) -> str:
        return "elsewhere" if self.paper is None else "page" if self.paper.published else "planned"


@dataclass(frozen=True)
class Arc:
    """A line between two rows, `first` above `second` in no particular order of age; with `how`, `second` builds on `first`."""

    first: str
    second: str
    how: str = ""


@dataclass
class Map:
    rows: dict[str, Row] = field(default_factory=dict)
    heads: list[tuple[str, float]] = field(default_factory=list)
    arcs: list[Arc] = field(default_factory=list)
    height: float = 0


def layout(site: Site, chapter: Chapter) -> Map:
    """Rows of the chapter in reading order; a work from elsewhere stands above the group that builds on it first."""
    papers = {p.entry.slug: p for p in site.of_chapter(chapter.id)}
    groups = [(g.title, [r.slug for r in g.papers]) for g in chapter.groups]
    if rest := [slug for slug in papers if slug not in chapter.readings]:
        groups.append(("Others" if groups else "", rest))
    out, roots = Map(), {r.id: r for r in chapter.roots}
    for title, slugs in groups:
        if title:
            out.heads.append((title, out.height + HEAD - 9))
            out.height += HEAD
        first = [b.base for b in chapter.builds_on if b.paper in slugs and b.base in roots]
        for id in dict.fromkeys(first):
            _append(out, Row(id, roots[id].name, roots.pop(id).year, 0))
        for slug in slugs:
            entry = papers[slug].entry
            _append(out, Row(slug, chapter.name(entry), entry.year, 0, papers[slug]))
    out.arcs = [Arc(b.base, b.paper, b.how) for b in chapter.builds_on]
    known = {frozenset((a.first, a.second)) for a in out.arcs}
    for slug, p in papers.items():
        for other in p.entry.related:
            pair = frozenset((slug, other))
            if other in papers and other != slug and pair not in known:
                known.add(pair)
                out.arcs.append(Arc(slug, other))
    return out


def _append(out: Map, row: Row) -> None:
    row.y = out.height + ROW / 2
    out.rows[row.id] = row
    out.height += ROW


def svg(drawn: Map, id: str, title: str, url: Callable[[Paper], str]) -> str:
    """The map as inline SVG. Colours come from the style sheet; `url` gives the address of a published paper's page."""
    rows = drawn.rows
    longest = max((abs(rows[a.first].y - rows[a.second].y) for a in drawn.arcs), default=1)
    parts = [
        f'<svg class="encore-map-drawing" viewBox="0 0 {WIDTH} {drawn.height:g}" role="group" aria-label="{escape(title)}">',
        f'<defs><marker id="{id}-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    parts += [f'<text class="head" x="{LEFT}" y="{y:g}">{escape(words)}</text>' for words, y in drawn.heads]
    for built in (False, True):
        arcs = [a for a in drawn.arcs if bool(a.how) == built]
        ends = _ports(arcs, rows)
        parts += [_arc(a, rows, ends, longest, id) for a in arcs]
    parts += [_box(r, url) for r in rows.values()]
    return "".join([*parts, "</svg>"])


def _ports(arcs: list[Arc], rows: dict[str, Row]) -> dict[tuple[str, str], float]:
    """For both ends of every arc, (row, other row) -> y: ends at one box are spread so that arcs do not merge."""
    others = defaultdict(list)
    for a in arcs:
        others[a.first].append(a.second)
        others[a.second].append(a.first)
    out = {}
    for id, ids in others.items():
        ids.sort(key=lambda other: rows[other].y)
        step = min(PORT, (BOX - 8) / len(ids))
        for k, other in enumerate(ids):
            out[id, other] = rows[id].y + step * (k - (len(ids) - 1) / 2)
    return out


def _arc(a: Arc, rows: dict[str, Row], ends: dict[tuple[str, str], float], longest: float, id: str) -> str:
    y1, y2 = ends[a.first, a.second], ends[a.second, a.first]
    bulge = (16 + 56 * sqrt(abs(rows[a.first].y - rows[a.second].y) / longest)) * (-1 if a.how else 1)
    x = LEFT if a.how else RIGHT
    path = f'd="M{x} {y1:g}C{x + bulge:.1f} {y1:g} {x + bulge:.1f} {y2:g} {x} {y2:g}"'
    if a.how:
        words = f"{rows[a.second].name} builds on {rows[a.first].name}: {a.how}."
        return f'<path class="builds" {path} marker-end="url(#{id}-arrow)"><title>{escape(words)}</title></path>'
    return f'<path class="related" {path}><title>{escape(rows[a.first].name)} and {escape(rows[a.second].name)} are related.</title></path>'


def _box(r: Row, url: Callable[[Paper], str]) -> str:
    shape = f'<rect x="{LEFT}" y="{r.y - BOX / 2:g}" width="{RIGHT - LEFT}" height="{BOX}" rx="5"/>'
    y = f"{r.y + 4.5:g}"
    words = f'<text x="{LEFT + 9}" y="{y}">{escape(r.name)}</text><text class="year" x="{RIGHT - 9}" y="{y}">{r.year}</text>'
    box = f'<g class="{r.stage}"><title>{escape(_said(r))}</title>{shape if r.paper else ""}{words}</g>'
    return f'<a href="{escape(url(r.paper))}">{box}</a>' if r.stage == "page" else box


def _said(r: Row) -> str:
    if r.paper is None:
        return f"{r.name}, {r.year}: not in the compendium"
    return f"{r.paper.entry.title}, {r.year}" + ("" if r.paper.published else f": {r.paper.stage}")


def listed(drawn: Map, docname: str) -> nodes.bullet_list:
    """The same as a list: every paper with what it builds on and what is related to it."""
    built, related = defaultdict(list), defaultdict(list)
    for a in drawn.arcs:
        if a.how:
            built[a.second].append(a)
        else:
            related[a.first].append(a.second)
            related[a.second].append(a.first)
    out = nodes.bullet_list("")
    for r in drawn.rows.values():
        if r.paper is None:
            continue
        name = link(r.paper.docname, r.name, docname) if r.paper.published else inline(r.name)
        said = [name, f" ({r.year}{'' if r.paper.published else ', ' + r.paper.stage})"]
        facts = [f"builds on {drawn.rows[a.first].name}: it {a.how}" for a in built[r.id]]
        if near := [drawn.rows[x].name for x in sorted(related[r.id], key=lambda x: drawn.rows[x].y)]:
            facts.append(f"related to {', '.join(near)}")
        out += nodes.list_item("", paragraph(*said, *([": " + "; ".join(facts) + "."] if facts else ["."])))
    return out


class ChapterMap(Generated):
    """The map of a chapter; nothing for a chapter of which the register has no paper."""

    required_arguments = 1

    def papers(self):
        return self.site.of_chapter(self.site.chapter(self.arguments[0]).id)

    def build(self):
        chapter = self.site.chapter(self.arguments[0])
        drawn = layout(self.site, chapter)
        if not drawn.rows:
            return []

        def url(p: Paper) -> str:
            return self.env.app.builder.get_relative_uri(self.env.docname, p.docname)

        title = f"Map of the chapter {chapter.title}: who builds on whom. The same stands in the list below it."
        legend = [
            inline("page", classes=["encore-map-page"]),
            inline("planned", classes=["encore-map-planned"]),
            " A work without a box is not in the compendium. An arrow on the left leads from a work to a paper that builds on it; "
            "a line on the right joins related papers.",
        ]
        return [
            container(
                _raw(svg(drawn, f"encore-map-{chapter.id}", title, url)),
                paragraph(*legend, classes=["encore-note"]),
                _raw('<details class="encore-map-list"><summary>The map as a list</summary>'),
                listed(drawn, self.env.docname),
                _raw("</details>"),
                classes=["encore-map"],
            )
        ]


def _raw(html: str) -> nodes.raw:
    return nodes.raw("", html, format="html")


class PaperRole(SphinxRole):
    """`{paper}`chapter/slug``, or `{paper}`words <chapter/slug>``: a link to the page, or the words alone while there is none."""

    def run(self):
        words, _, name = self.text.rpartition("<")
        name = name.removesuffix(">").strip()
        site: Site = self.env.app.encore_site
        try:
            paper = site.paper(f"notebooks/{name}")
        except PressError:
            logging.getLogger(__name__).warning("{paper}: the register has no %s", name, location=self.get_location())
            return [nodes.Text(self.text)], []
        for file in site.files([paper]):
            self.env.note_dependency(str(file))
        self.env.metadata[self.env.docname][GENERATED] = True
        shown = words.strip() or site.chapter(paper.entry.chapter).name(paper.entry)
        return [link(paper.docname, shown, self.env.docname) if paper.published else inline(shown, classes=["encore-planned"])], []


def setup(app) -> None:
    app.add_directive("encore-map", ChapterMap)
    app.add_role("paper", PaperRole())

"""Directives: the header of a paper's page, and what the book's own pages show of the register and the results."""

from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from encore.claims import REPRODUCED
from press import files, library
from press.site import filters, furniture, gallery, header, launch, rates, scoreboard, teaching, thumbnails, wording
from press.site.model import Paper, Site, tally
from press.site.parts import badge, bullets, code, container, inline, link, paragraph, table, title
from press.teach import course

GENERATED = "encore_generated"
"""Key in a document's metadata: it shows all papers, so it is read again when the set of pages changes."""


class Generated(SphinxDirective):
    """Base: the site model, the dependencies of what is shown, and an error that names the document."""

    has_content = False

    @property
    def site(self) -> Site:
        return self.env.app.encore_site

    def papers(self) -> list[Paper]:
        return list(self.site.papers)

    def run(self) -> list[nodes.Node]:
        for file in self.site.files(self.papers()):
            self.env.note_dependency(str(file))
        self.env.metadata[self.env.docname][GENERATED] = True
        return self.build()

    def build(self) -> list[nodes.Node]:
        raise NotImplementedError


class Header(Generated):
    """The header of a paper's page."""

    def papers(self):
        return [self.site.paper(self.env.docname)]

    def build(self):
        (paper,) = self.papers()
        return header.build(paper, self.site, self.env.docname, launch.addresses(paper, self.config))


class Furniture(Generated):
    """What stands below a paper's page."""

    def papers(self):
        paper = self.site.paper(self.env.docname)
        return [paper, *self.site.alike(paper)]

    def build(self):
        return furniture.build(self.papers()[0], self.site, self.env.docname)


class Progress(Generated):
    """How much has been reproduced so far: a sentence, and the number of claims by verdict, linked to the scoreboard."""

    def build(self):
        pages, counts = self.site.published, tally(self.site.published)
        total = sum(counts.values())
        said = (
            f"{wording.count(len(pages), 'paper')} of {len(self.site.papers)} so far. Of {wording.count(total, 'claim')}, "
            f"{counts[REPRODUCED]} {'was' if counts[REPRODUCED] == 1 else 'were'} reproduced:"
        )
        tiles = [[self.tile(v, n)] for v, n in counts.items()]
        return [paragraph(said, classes=["encore-lead"]), bullets(tiles, classes=["encore-tiles"])]

    def tile(self, verdict: str, n: int) -> nodes.reference:
        words = [inline(str(n), classes=["encore-number"]), nodes.Text(" "), badge(verdict)]
        return nodes.reference("", "", *words, internal=True, refuri=scoreboard.url(self.env, verdict))


class GalleryFilter(Generated):
    """The form by which the cards of the gallery are chosen."""

    def build(self):
        return gallery.form(self.site, self.known())

    def known(self) -> dict[str, filters.Values]:
        """What the filter knows of every paper; read once a build."""
        app = self.env.app
        if not hasattr(app, "encore_values"):
            app.encore_values = gallery.all_values(self.site)
        return app.encore_values


class Gallery(GalleryFilter):
    """Cards: `pages`, `planned`, or `preview`, a few pages of different chapters."""

    required_arguments = 1

    def build(self):
        chosen = {
            "pages": self.site.published,
            "planned": [p for p in self.site.papers if not p.published],
            "preview": gallery.preview(self.site),
        }
        if self.arguments[0] not in chosen:
            raise self.error(f"encore-gallery takes {', '.join(chosen)}, not {self.arguments[0]!r}")
        cache = Path(self.env.app.doctreedir) / "thumbnails"
        return gallery.cards(chosen[self.arguments[0]], self.site, self.known(), self.env.docname, cache)


class Rates(Generated):
    """How many claims were reproduced, by chapter, beside published replication rates."""

    def build(self):
        return rates.build(self.site, self.env.docname, self.cite)

    def cite(self, key: str) -> list[nodes.Node]:
        return self.parse_inline(f"{{cite:t}}`{key}`")[0]


class Chapters(Generated):
    """All chapters with how many of their papers have a page and how those pages' claims came out."""

    def build(self):
        rows = []
        for c in self.site.chapters:
            papers = self.site.of_chapter(c.id)
            done = [p for p in papers if p.published]
            found = [x for v, n in tally(done).items() if n for x in (f"{n} ", badge(v), " ")]
            cells = [[link(c.docname, c.title, self.env.docname)], [f"{len(done)} of {len(papers)}"], found or ["–"]]
            rows.append(([[paragraph(*cell)] for cell in cells], ["has-pages"] if done else []))
        return [table(["Chapter", "Pages", "Claims"], rows, ["encore-chapters"])]


class ChapterList(Generated):
    """The papers of a chapter in reading order: pages with a line each and their verdicts, then what is planned, plainly marked."""

    required_arguments = 1

    def papers(self):
        return self.site.of_chapter(self.site.chapter(self.arguments[0]).id)

    def build(self):
        done = [p for p in self.papers() if p.published]
        rest = [p for p in self.papers() if not p.published]
        out = []
        if done:
            out += [nodes.rubric("", "Pages, in reading order"), container(*self.cards(done), classes=["encore-cards"])]
        if rest:
            said = f"{wording.count(len(rest), 'paper')} of this chapter without a page yet. Nothing is claimed about them."
            plans = container(*map(self.plan, rest), classes=["encore-plans"])
            out += [nodes.rubric("", "Planned"), paragraph(said, classes=["encore-note"]), plans]
        return out

    def cards(self, done: list[Paper]) -> Iterator[nodes.Node]:
        """The cards of the published pages, under the titles of their groups."""
        chapter = self.site.chapter(self.arguments[0])
        groups = {r.slug: g.title for g in chapter.groups for r in g.papers}
        shown = None
        for p in done:
            if (group := groups.get(p.entry.slug)) != shown:
                yield paragraph(group or "Others", classes=["encore-group"])
                shown = group
            yield self.card(p, chapter.line(p.entry))

    def card(self, p: Paper, line: str) -> nodes.Node:
        verdicts = [x for id, v in p.verdicts for x in (code(id), " ", badge(v), "  ")]
        return container(
            paragraph(link(p.docname, title(p.entry.title), self.env.docname), classes=["encore-title"]),
            paragraph(f"{wording.authors(p.entry, 3)}, {p.entry.year}", classes=["encore-source"]),
            paragraph(line),
            paragraph(*verdicts, classes=["encore-claims"]),
            classes=["encore-card"],
        )

    def plan(self, p: Paper) -> nodes.Node:
        stage = [" ", inline(p.stage, classes=["encore-stage"])] if p.stage != "planned" else []
        source = [f"{wording.authors(p.entry, 3)}, {p.entry.year}. "]
        for node in header.links(p.entry)[:1]:
            source += [node]
        return container(
            paragraph(title(p.entry.title), *stage, classes=["encore-title"]),
            paragraph(*source, classes=["encore-source"]),
            paragraph(p.entry.idea),
            classes=["encore-plan"],
        )


class Scoreboard(Generated):
    """One row per claim of every page that has been run."""

    def build(self):
        return scoreboard.build(self.site, self.env.docname)


class Status(Generated):
    """When and where every page was run, what it took, and with which versions."""

    def build(self):
        pages = self.site.published
        rows = [(self.row(p), []) for p in pages]
        seconds, peak = sum(p.result["seconds"] for p in pages), max((p.result["peak_mb"] for p in pages), default=0)
        said = f"{wording.count(len(pages), 'page')}, {wording.duration(seconds)} in all on one thread, at most {peak} MB."
        head = ["Page", "Run on", "Time", "Memory", "CPU", "Key", "Versions"]
        return [paragraph(said, classes=["encore-lead"]), *([table(head, rows, ["encore-status"])] if pages else [])]

    def row(self, p: Paper):
        r = p.result
        versions = ", ".join([f"Python {r['python']}", *(f"{name} {v}" for name, v in sorted(r["packages"].items()))])
        cells = [r["date"], wording.seconds(r["seconds"]), f"{r['peak_mb']} MB", r["cpu"]]
        return [
            [paragraph(link(p.docname, title(p.entry.title), self.env.docname))],
            *([paragraph(c)] for c in cells),
            [paragraph(code(r["key"][:12]))],
            [paragraph(versions)],
        ]


class Library(Generated):
    """Every module of the library with what it offers and the pages that use it."""

    def build(self):
        pages = {p.entry.name: p for p in self.site.published}
        for path in library.sources().values():
            self.env.note_dependency(str(path))
        for name in pages:
            self.env.note_dependency(str(files.source(name)))
        return [container(*(self.entry(m, pages) for m in library.modules([p.entry for p in pages.values()])), classes=["encore-plans"])]

    def entry(self, module: library.Module, pages: dict[str, Paper]) -> nodes.Node:
        offers = [x for name in module.offers for x in (code(name), " ")]
        users = [x for p in module.pages for x in (link(pages[p].docname, p, self.env.docname), "  ")]
        return container(
            paragraph(code(module.name), classes=["encore-title"]),
            paragraph(module.says),
            *([paragraph("Offers ", *offers)] if offers else []),
            paragraph(
                "Used by ",
                *(["every page"] if len(module.pages) == len(pages) else users or ["no page directly"]),
                classes=["encore-source"],
            ),
            classes=["encore-plan"],
        )


class Courses(Generated):
    """Every course with its weeks."""

    def build(self):
        root = self.site.root
        for path in course.places(root):
            self.env.note_dependency(str(path))
        courses = course.load(root)
        for _, entry in (page for c in courses for page in c.pages):
            self.env.note_dependency(str(files.source(entry.name)))
        return teaching.build(courses, self.site, self.env.docname)


def setup(app) -> None:
    thumbnails.setup(app)
    for name, directive in {
        header.DIRECTIVE: Header,
        furniture.DIRECTIVE: Furniture,
        "encore-progress": Progress,
        "encore-gallery-filter": GalleryFilter,
        "encore-gallery": Gallery,
        "encore-rates": Rates,
        "encore-chapters": Chapters,
        "encore-chapter": ChapterList,
        "encore-scoreboard": Scoreboard,
        "encore-status": Status,
        "encore-library": Library,
        "encore-courses": Courses,
    }.items():
        app.add_directive(name, directive)

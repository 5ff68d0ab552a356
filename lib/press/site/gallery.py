"""The gallery: one card per paper, with what it can be chosen by."""

from pathlib import Path

from docutils import nodes

from encore.claims import VERDICTS
from encore.register import RULES, Entry
from press import library
from press.site import filters, header, thumbnails, wording
from press.site.model import DataSet, Paper, Site, tally
from press.site.parts import badge, bullets, container, inline, link, paragraph, slug

DOCNAME = "book/gallery"
PREVIEW = 6
TIMES = (("under-30-s", "under 30 s", 30), ("30-to-60-s", "30 to 60 s", 60), ("over-60-s", "over 60 s", float("inf")))
NO_RUN = "not-run"
SIMULATED, WEIGHTS, OTHER = "simulated", "pretrained weights", "not in the catalogue yet"
KINDS = {"binary": "tabular", "tables": "tabular", "weights": WEIGHTS}
"""Loader module of a data set -> kind of data, where the module's name is not a word for it."""
PREFIXES = {"synthetic": SIMULATED, "simulator": SIMULATED, "gymnasium": SIMULATED, "pretrained": WEIGHTS}


def catalogue_id(data: str, datasets: dict[str, DataSet]) -> str | None:
    """The id in data/datasets.yml that an entry of a paper's data means, None if it means none; `sklearn:digits` is `sklearn-digits`."""
    plain = data.split(" (")[0]
    return next((id for id in (plain, plain.replace(":", "-").replace("_", "-")) if id in datasets), None)


def data_kinds(entry: Entry, datasets: dict[str, DataSet]) -> set[str]:
    """Kinds of the paper's data in words: from the loaders of its data sets, and from prefixes of what is generated."""
    found = set()
    for d in entry.data:
        if id := catalogue_id(d, datasets):
            module = datasets[id].loader.split(".")[0]
            found.add(KINDS.get(module, module))
        elif ":" in d and (kind := PREFIXES.get(d.split(":")[0])):
            found.add(kind)
    return found or ({OTHER} if entry.data else set())


def bases(script: Path) -> list[str]:
    """The shared bases (modules of encore.bases) that a page's script imports, with - for _; none without a script."""
    named = library.named_in(script) if script.is_file() else set()
    return sorted({m.split(".")[2].replace("_", "-") for m in named if m.startswith("encore.bases.")})


def tags(entry: Entry, datasets: dict[str, DataSet], bases: list[str]) -> set[str]:
    """What a paper can be found by besides words: kinds of its claims, data sets of the catalogue, shared bases."""
    kinds = {t.kind for c in entry.claims for t in c.tests}
    sets = {id for d in entry.data if (id := catalogue_id(d, datasets))}
    return {f"claim-{k}" for k in kinds} | {f"data-{d}" for d in sets} | {f"base-{b}" for b in bases}


def values(paper: Paper, datasets: dict[str, DataSet], bases: list[str]) -> filters.Values:
    """What the filter knows of a card."""
    seconds = paper.result["seconds"] if paper.published else None
    return {
        "chapter": {paper.entry.chapter},
        "tag": tags(paper.entry, datasets, bases),
        "verdict": {slug(v) for _, v in paper.verdicts} or {NO_RUN},
        "time": {next(v for v, _, most in TIMES if seconds < most)} if seconds is not None else set(),
        "data": {slug(k) for k in data_kinds(paper.entry, datasets)},
    }


def all_values(site: Site) -> dict[str, filters.Values]:
    """Paper name -> what the filter knows of it."""
    scripts = {p.entry.name: site.root / f"{p.docname}.py" for p in site.published}
    return {p.entry.name: values(p, site.datasets, bases(scripts[p.entry.name]) if p.published else []) for p in site.papers}


def form(site: Site, known: dict[str, filters.Values]) -> list[nodes.Node]:
    """The filter form above the lists; known: see `all_values`."""
    kinds = sorted({k for p in site.papers for k in data_kinds(p.entry, site.datasets)} - {OTHER})
    used = sorted({t.split("-", 1)[1] for v in known.values() for t in v["tag"] if t.startswith("base-")})
    groups = {
        "Kind of claim": [(f"claim-{k}", k) for k in RULES],
        "Data set": [(f"data-{d}", s.title) for d, s in sorted(site.datasets.items(), key=lambda x: x[1].title.lower())],
        "Shared base": [(f"base-{b}", b.replace("-", " ")) for b in used],
    }
    fields = [
        filters.Field("chapter", "Chapter", {"": [(c.id, c.title) for c in site.chapters]}),
        filters.Field("verdict", "Verdict", {"": [*((slug(v), v) for v in VERDICTS), (NO_RUN, "no run yet")]}),
        filters.Field("data", "Kind of data", {"": [(slug(k), k) for k in (*kinds, OTHER)]}),
        filters.Field("time", "Run time", {"": [(v, words) for v, words, _ in TIMES]}),
        filters.Field("tag", "Tag", groups),
    ]
    return [filters.form(fields, list(known.values()), "ul.encore-gallery > li", "papers", "section:has(> ul.encore-gallery)")]


def cards(papers: list[Paper], site: Site, known: dict[str, filters.Values], docname: str, cache: Path) -> list[nodes.Node]:
    """The papers as a list of cards; one that has no page yet is marked as such. cache: folder for the thumbnails."""
    shown = nodes.bullet_list("", classes=["encore-gallery"])
    for p in papers:
        card = _page(p, site, docname, cache) if p.published else _plan(p, site)
        shown += nodes.list_item("", *card, classes=[*([] if p.published else ["is-planned"]), *filters.classes(known[p.entry.name])])
    return [shown] if papers else [paragraph("None.", classes=["encore-note"])]


def preview(site: Site) -> list[Paper]:
    """Pages for the front page: the first of every chapter that has any, at most PREVIEW."""
    firsts = [next((p for p in site.of_chapter(c.id) if p.published), None) for c in site.chapters]
    return [p for p in firsts if p][:PREVIEW]


def _page(p: Paper, site: Site, docname: str, cache: Path) -> list[nodes.Node]:
    image = thumbnails.node(p, site.root, cache)
    verdicts = [[f"{n} ", badge(v)] for v, n in tally([p]).items() if n]
    took = inline(f"runs in {wording.seconds(p.result['seconds'])}")
    return [
        *([container(image, classes=["encore-thumb"])] if image else []),
        paragraph(link(p.docname, wording.plain(p.entry.title), docname), classes=["encore-title"]),
        paragraph(f"{wording.authors(p.entry, 2)}, {p.entry.year}", classes=["encore-source"]),
        bullets(verdicts, classes=["encore-claims"]),
        paragraph(f"{site.chapter(p.entry.chapter).title} · ", took, classes=["encore-small"]),
    ]


def _plan(p: Paper, site: Site) -> list[nodes.Node]:
    where = header.links(p.entry)[:1]
    return [
        paragraph(wording.plain(p.entry.title), classes=["encore-title"]),
        paragraph(f"{wording.authors(p.entry, 2)}, {p.entry.year}", *([". ", *where] if where else []), classes=["encore-source"]),
        paragraph(f"{site.chapter(p.entry.chapter).title} · ", inline(p.stage, classes=["encore-stage"]), classes=["encore-small"]),
    ]

"""What stands below a page: its last run, how to cite it, and the papers most like it."""

import re

from docutils import nodes

from encore.register import Entry
from press.site import wording
from press.site.model import Paper, Site
from press.site.parts import badge, bullets, code, container, inline, link, paragraph, title

DIRECTIVE = "encore-furniture"


def build(paper: Paper, site: Site, docname: str) -> list[nodes.Node]:
    parts = []
    if alike := site.alike(paper):
        parts += [nodes.rubric("", "Similar papers"), bullets((_similar(p, site, docname) for p in alike), classes=["encore-similar"])]
    return [container(*parts, *_citation(paper), _run(paper), classes=["encore-furniture"])]


def _similar(p: Paper, site: Site, docname: str) -> list:
    if p.published:
        verdicts = [x for v in dict.fromkeys(v for _, v in p.verdicts) for x in (" ", badge(v))]
        return [link(p.docname, title(p.entry.title), docname), f", {p.entry.year}", *verdicts]
    chapter = site.chapter(p.entry.chapter)
    stage = inline(p.stage, classes=["encore-stage"])
    return [title(p.entry.title), f", {p.entry.year} ", stage, " in ", link(chapter.docname, chapter.title, docname)]


def _citation(paper: Paper) -> list[nodes.Node]:
    """A <details> with BibTeX of the page and of the paper."""
    text = f"{page_bibtex(paper)}\n\n{paper_bibtex(paper.entry)}"
    block = nodes.literal_block(text, text, language="bibtex", classes=["encore-bibtex"])
    return [
        nodes.raw("", '<details class="encore-cite"><summary>Cite this page and the paper</summary>', format="html"),
        block,
        nodes.raw("", "</details>", format="html"),
    ]


def _run(paper: Paper) -> nodes.paragraph:
    r = paper.result
    said = f"Last run {r['date']} on {r['cpu']} in {wording.seconds(r['seconds'])}, profile {r['profile']}, seed {r['seed']}; key "
    return paragraph(said, code(r["key"][:12]), ".", classes=["encore-small", "encore-last-run"])


def page_bibtex(paper: Paper) -> str:
    """BibTeX of the page; its key names the exact code and data."""
    e, r = paper.entry, paper.result
    return _bibtex(
        "misc",
        f"encore-{e.slug}",
        title=f"{{{_escape(e.title)}}}, played again",
        author="{The Encore contributors}",
        howpublished=f"Encore, page {e.name}",
        year=r["date"][:4],
        note=f"Run on {r['date']}, key {r['key'][:12]}",
    )


def paper_bibtex(e: Entry) -> str:
    """BibTeX of the paper, as far as the register knows it."""
    fields = {"title": f"{{{_escape(e.title)}}}", "year": str(e.year)}
    if e.authors:
        fields["author"] = " and ".join(map(_escape, e.authors))
    if e.venue:
        fields["howpublished"] = _escape(e.venue)
    if e.doi:
        fields["doi"] = e.doi
    if e.arxiv:
        fields |= {"eprint": e.arxiv, "archiveprefix": "arXiv"}
    return _bibtex("misc", e.slug, **fields)


def _escape(words: str) -> str:
    """What BibTeX reads otherwise gets a backslash, but not in mathematics, `$...$`."""
    pieces = words.split("$")
    return "$".join(p if k % 2 else re.sub(r"[&%#_]", r"\\\g<0>", p) for k, p in enumerate(pieces))


def _bibtex(kind: str, key: str, **fields: str) -> str:
    return f"@{kind}{{{key},\n" + ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items()) + "\n}"

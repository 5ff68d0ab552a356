"""Below a page: citations that BibTeX reads, similar papers, the last run."""

import pytest
from docutils import nodes
from pybtex.database import parse_string
from sphinx import addnodes

from encore import register
from press.site import furniture, model

RESULT = {
    "date": "2026-01-31",
    "cpu": "A processor",
    "seconds": 31.24,
    "profile": "book",
    "seed": 3,
    "key": "0123456789abcdef" * 4,
    "claims": [{"id": "small", "verdict": "reproduced"}, {"id": "same", "verdict": "not reproduced"}],
}
AWKWARD = {
    "title": "100 % of R&D: the #1 of $x_1$ and snake_case",
    "authors": ["Ann A. Author", "Bo van der Writer", "Cé Ñandú"],
    "venue": "Trans. A & B 7_2, #3",
    "year": 2019,
    "doi": "10.1000/a_b-c",
    "arxiv": "1901.00001",
}


def paper(compendium, slug, result=None, **changes):
    return model.Paper(register.load(compendium.add(slug, **changes)), result)


def entry_of(text):
    (found,) = parse_string(text, "bibtex").entries.values()
    return found


def plain(words):
    """What stands in a field, without the braces and backslashes that BibTeX needs."""
    for c in "&%#_":
        words = words.replace(f"\\{c}", c)
    return words.replace("{", "").replace("}", "")


def name(person):
    return " ".join([*person.first_names, *person.middle_names, *person.prelast_names, *person.last_names])


def test_the_paper_is_cited_with_what_the_register_knows(compendium):
    found = entry_of(furniture.paper_bibtex(paper(compendium, "odd", **AWKWARD).entry))
    assert found.key == "odd"
    assert found.fields["title"] == r"{100 \% of R\&D: the \#1 of $x_1$ and snake\_case}"
    assert plain(found.fields["howpublished"]) == AWKWARD["venue"]
    assert {k: found.fields[k] for k in ("year", "doi", "eprint", "archiveprefix")} == {
        "year": "2019",
        "doi": AWKWARD["doi"],
        "eprint": AWKWARD["arxiv"],
        "archiveprefix": "arXiv",
    }
    assert [name(p) for p in found.persons["author"]] == AWKWARD["authors"]
    bare = entry_of(furniture.paper_bibtex(paper(compendium, "bare", authors=[]).entry))
    assert (set(bare.fields), list(bare.persons)) == ({"title", "year"}, [])


def test_the_page_is_cited_with_its_key_and_date(compendium):
    found = entry_of(furniture.page_bibtex(paper(compendium, "odd", RESULT, **AWKWARD)))
    assert found.key == "encore-odd"
    assert plain(found.fields["title"]) == f"{AWKWARD['title']}, played again"
    assert found.fields["howpublished"] == "Encore, page lab/odd"
    assert found.fields["year"] == "2026"
    assert found.fields["note"] == "Run on 2026-01-31, key 0123456789ab"
    assert [name(p) for p in found.persons["author"]] == ["{The Encore contributors}"]


@pytest.mark.parametrize("entry", register.load_all(), ids=lambda e: e.name)
def test_every_paper_of_the_register_can_be_cited(entry):
    found = entry_of(furniture.paper_bibtex(entry))
    assert plain(found.fields["title"]) == plain(entry.title)
    assert [name(p) for p in found.persons.get("author", [])] == entry.authors
    assert plain(found.fields.get("howpublished", "")) == (entry.venue or "")
    assert (found.fields.get("doi"), found.fields.get("eprint")) == (entry.doi, entry.arxiv)


def test_similar_papers_lead_to_their_page_or_to_their_chapter(compendium):
    this, done, plan = (paper(compendium, s, r, title=t) for s, r, t in (("a", RESULT, "A"), ("b", RESULT, "Bees"), ("c", None, "Cars")))
    chapters = (model.Chapter("lab", "The lab"),)
    site = model.Site(compendium.root, chapters, (this, done, plan), {}, {"lab/a": ["lab/c", "lab/gone", "lab/b"]})
    (box,) = furniture.build(this, site, this.docname)
    items = list(box.findall(nodes.list_item))
    targets = [[x["reftarget"] for x in item.findall(addnodes.pending_xref)] for item in items]
    assert targets == [["/book/chapters/lab"], [f"/{done.docname}"]]
    assert items[0].astext() == "Cars, 2020 being written in The lab"
    assert items[1].astext() == "Bees, 2020 reproduced not reproduced"
    assert [x.astext() for x in box.findall(nodes.rubric)] == ["Similar papers"]
    (cited,) = box.findall(nodes.literal_block)
    assert cited["language"] == "bibtex"
    assert list(parse_string(cited.astext(), "bibtex").entries) == ["encore-a", "a"]
    raw = "".join(x.astext() for x in box.findall(nodes.raw))
    assert raw.count("<details") == raw.count("</details>") == raw.count("<summary>") == 1
    assert box.children[-1].astext() == "Last run 2026-01-31 on A processor in 31 s, profile book, seed 3; key 0123456789ab."


def test_without_stored_neighbours_nothing_is_said_of_similar_papers(compendium):
    this = paper(compendium, "a", RESULT)
    (box,) = furniture.build(this, model.Site(compendium.root, (), (this,), {}), this.docname)
    assert not list(box.findall(nodes.rubric))
    assert not list(box.findall(nodes.bullet_list))
    assert len(list(box.findall(nodes.literal_block))) == 1


def test_only_so_many_similar_papers_are_named(compendium):
    papers = [paper(compendium, f"p{k}", title=f"Paper {k}") for k in range(model.ALIKE + 3)]
    named = {papers[0].entry.name: [p.entry.name for p in papers[1:]]}
    site = model.Site(compendium.root, (), tuple(papers), {}, named)
    assert site.alike(papers[0]) == papers[1 : model.ALIKE + 1]
    assert site.alike(papers[1]) == []

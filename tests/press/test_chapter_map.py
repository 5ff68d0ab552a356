"""Reading order and map of a chapter: data/chapters.yml, the order of pages, the drawing and the list behind it."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from test_site import publish

from encore import register
from press import toc
from press.files import PressError
from press.site import chapter_map, model

PROJECT = Path(__file__).resolve().parents[2]
LAB = {
    "id": "lab",
    "title": "The lab",
    "groups": [
        {"title": "First", "papers": [{"slug": "late", "name": "Late & loud", "line": "Read it first."}, {"slug": "early"}]},
        {"title": "Second", "papers": [{"slug": "idea", "name": "Idea"}]},
    ],
    "roots": [{"id": "old", "name": "Old work", "year": 1901}],
    "builds_on": [
        {"paper": "late", "base": "old", "how": "does it faster"},
        {"paper": "idea", "base": "late", "how": "turns it round"},
    ],
}


@pytest.fixture
def lab(compendium):
    publish(compendium, "late", year=2021, related=["early", "idea", "elsewhere"])
    publish(compendium, "early", year=1999, related=["late"], idea="It is small, e.g. tiny. And more.")
    compendium.add("idea", status="planned", year=2022)
    compendium.add("new", status="planned", year=1998, title="New")
    return write(compendium)


def write(compendium, **changes):
    (compendium.root / "data" / "chapters.yml").write_text(yaml.safe_dump([{**LAB, **changes}]))
    return compendium


def drawn(root):
    site = model.read(root)
    return site, chapter_map.layout(site, site.chapter("lab"))


def test_the_reading_order_is_that_of_the_groups_and_new_papers_follow(lab):
    assert [p.entry.slug for p in model.read(lab.root).papers] == ["late", "early", "idea", "new"]
    pages = [line.split("/")[-1] for line in toc.toc(register.load_all()).splitlines() if "notebooks/" in line]
    assert pages == ["late", "early"]


def test_name_and_line_fall_back_to_what_the_register_says(lab):
    site = model.read(lab.root)
    chapter, entries = site.chapter("lab"), {p.entry.slug: p.entry for p in site.papers}
    assert (chapter.name(entries["late"]), chapter.line(entries["late"])) == ("Late & loud", "Read it first.")
    assert (chapter.name(entries["early"]), chapter.line(entries["early"])) == ("A page", "It is small, e.g. tiny.")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group": []}, r"0\.group: Unexpected"),
        ({"groups": [{"title": "First", "papers": [{"name": "No slug"}]}]}, r"papers\.0\.slug: Field required"),
        ({"groups": [*LAB["groups"], LAB["groups"][1]]}, "chapter lab: idea is listed 2 times"),
        ({"builds_on": [{"paper": "new", "base": "old", "how": "x"}]}, "builds_on names new, which no group lists"),
        ({"builds_on": [{"paper": "late", "base": "nowhere", "how": "x"}]}, "late builds on nowhere, which is neither"),
        ({"builds_on": []}, "nothing builds on the root old"),
    ],
)
def test_a_mistake_in_the_chapters_file_is_named(lab, changes, message):
    write(lab, **changes)
    with pytest.raises(PressError, match=rf"chapters\.yml.*{message}"):
        model.read_chapters(lab.root)


def test_a_listed_paper_must_be_in_the_register(lab):
    write(lab, groups=[*LAB["groups"], {"title": "Third", "papers": [{"slug": "ghost"}]}])
    with pytest.raises(PressError, match="chapter lab lists ghost, which data/papers/lab does not have"):
        model.read(lab.root)


def test_rows_and_arcs_of_the_map(lab):
    _, found = drawn(lab.root)
    assert list(found.rows) == ["old", "late", "early", "idea", "new"]
    assert [r.stage for r in found.rows.values()] == ["elsewhere", "page", "page", "planned", "planned"]
    assert [title for title, _ in found.heads] == ["First", "Second", "Others"]
    heights = [r.y for r in found.rows.values()]
    assert heights == sorted(heights)
    assert {(a.first, a.second) for a in found.arcs if a.how} == {("old", "late"), ("late", "idea")}
    assert [{a.first, a.second} for a in found.arcs if not a.how] == [{"late", "early"}]  # once, and no relation that is an arrow already


def test_the_drawing_is_valid_and_links_published_pages_only(lab):
    _, found = drawn(lab.root)
    text = chapter_map.svg(found, "m", "Map <1>", lambda p: f"{p.entry.slug}.html?a&b")
    root = ET.fromstring(text)
    assert root.get("aria-label") == "Map <1>"
    assert [a.get("href") for a in root.iter("a")] == ["late.html?a&b", "early.html?a&b"]
    assert sum(p.get("class") == "builds" for p in root.iter("path")) == 2
    width, height = map(float, root.get("viewBox").split()[2:])
    for rect in root.iter("rect"):
        assert 0 <= float(rect.get("y")) <= height - float(rect.get("height"))
    for path in root.iter("path"):
        numbers = [float(x) for x in re.findall(r"-?[\d.]+", path.get("d"))]
        assert path.get("class") is None or all(-0.1 * width <= x <= 1.1 * width for x in numbers[::2])
    assert "#" not in re.sub(r"url\(#m-arrow\)", "", text)  # no fixed colours: they come from the style sheet


def test_the_list_says_what_the_drawing_shows(lab):
    _, found = drawn(lab.root)
    said = [item.astext() for item in chapter_map.listed(found, "book/chapters/lab").children]
    assert said == [
        "Late & loud (2021): builds on Old work: it does it faster; related to A page.",
        "A page (1999): related to Late & loud.",
        "Idea (2022, planned): builds on Late & loud: it turns it round.",
        "New (1998, planned).",
    ]


def test_the_project_s_own_chapters():
    site = model.read(PROJECT)
    for p in site.published:
        chapter = site.chapter(p.entry.chapter)
        reading = chapter.readings.get(p.entry.slug)
        assert reading is not None, f"{p.entry.name} needs a place in the reading order, in data/chapters.yml"
        assert all((reading.name, reading.line)), f"{p.entry.name} needs a short name and a line in data/chapters.yml"
    for chapter in site.chapters:
        assert all(len(r.name) <= 24 for r in chapter.readings.values()), "a name of the map is too long for its box"
        if chapter.groups:
            prose = (PROJECT / f"{chapter.docname}.md").read_text(encoding="utf-8")
            assert f"{{encore-map}} {chapter.id}" in prose
            words = len(re.sub(r"```.*?```|\$\$.*?\$\$", "", prose, flags=re.DOTALL).split())
            assert 300 <= words <= 720, f"{chapter.docname} has {words} words"
            for p in site.of_chapter(chapter.id):
                assert p.entry.name in prose, f"{chapter.docname}.md does not say how {p.entry.name} relates to the others"

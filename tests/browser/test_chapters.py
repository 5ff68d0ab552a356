"""Chapter pages and glossary tips in a real browser: the map and its list, reading order, tips by pointer, keyboard and touch."""

from pathlib import Path

import pytest

from press.site import model

ROOT = Path(__file__).resolve().parents[2]
SITE = model.read(ROOT)
CHAPTERS = [c for c in SITE.chapters if c.groups]
FIRST = CHAPTERS[0]
DESK, PHONE = 1280, 390

pytestmark = pytest.mark.slow


def pages(chapter):
    return [p for p in SITE.of_chapter(chapter.id) if p.published]


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.id)
def test_the_map_fits_and_leads_to_every_page(visit, chapter, width):
    tab = visit(width).open(f"{chapter.docname}.html")
    assert tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    svg = tab.locator("svg.encore-map-drawing")
    assert svg.get_attribute("aria-label")
    wanted = [f"{p.entry.slug}.html" for p in pages(chapter)]
    assert [a.rsplit("/", 1)[-1] for a in svg.locator("a").evaluate_all("(all) => all.map((a) => a.getAttribute('href'))")] == wanted
    assert svg.locator(".planned").count() == len(SITE.of_chapter(chapter.id)) - len(wanted)
    column = tab.locator("article").bounding_box()
    for shape in svg.locator("text, path.builds, path.related").all():
        box = shape.bounding_box()
        assert box["x"] >= column["x"] - 1
        assert box["x"] + box["width"] <= column["x"] + column["width"] + 1
    names = svg.locator("g text:first-of-type").evaluate_all("(all) => all.map((t) => t.getBoundingClientRect().right)")
    years = svg.locator("text.year").evaluate_all("(all) => all.map((t) => t.getBoundingClientRect().left)")
    assert all(name < year for name, year in zip(names, years, strict=True)), "a name runs into its year"
    assert min(svg.locator("rect").evaluate_all("(all) => all.map((r) => r.getBoundingClientRect().height)")) >= 24


def test_the_list_behind_the_map_opens_by_keyboard(visit):
    tab = visit(PHONE).open(f"{FIRST.docname}.html")
    listed = tab.locator("details.encore-map-list")
    listed.locator("summary").focus()
    tab.keyboard.press("Enter")
    assert listed.locator("li").count() == len(SITE.of_chapter(FIRST.id))
    assert listed.locator("li").first.is_visible()


def test_pages_follow_one_another_in_reading_order(visit):
    v, done = visit(), pages(FIRST)
    tab = v.open(f"{FIRST.docname}.html")
    shown = tab.locator(".encore-card .encore-title a").evaluate_all("(all) => all.map((a) => a.getAttribute('href').split('/').pop())")
    assert shown == [f"{p.entry.slug}.html" for p in done]
    for p in done:
        tab.locator("a.right-next").click()
        tab.wait_for_url(f"**/{p.docname}.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_tip_comes_by_pointer_and_by_keyboard_and_goes(visit, scheme):
    tab = visit(scheme=scheme).open(f"{FIRST.docname}.html")
    term, tip = tab.locator("a.encore-term").first, tab.locator("#encore-tip")
    assert tip.is_hidden()
    term.hover()
    assert tip.is_visible()
    tip.hover()
    tab.wait_for_timeout(400)
    assert tip.is_visible(), "the pointer may rest on a tip"
    tab.mouse.move(1, 1)
    tip.wait_for(state="hidden")
    term.focus()
    assert tip.is_visible()
    assert term.get_attribute("aria-describedby") == "encore-tip"
    assert len(tip.inner_text()) > 20
    tab.keyboard.press("Escape")
    assert tip.is_hidden()
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/book/glossary.html#term-*")


def test_on_a_phone_the_first_tap_shows_the_tip_and_the_second_opens_the_glossary(browser, address):
    context = browser.new_context(viewport={"width": PHONE, "height": 844}, has_touch=True)
    tab = context.new_page()
    tab.goto(f"{address}{FIRST.docname}.html")
    tip = tab.locator("#encore-tip")
    for term in tab.locator("a.encore-term").all():
        term.tap()
        box = tip.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE
        assert tab.url.endswith(f"{FIRST.docname}.html")
        tab.keyboard.press("Escape")  # a tip may cover the next word
    term = tab.locator("a.encore-term").first
    term.tap()
    assert tip.is_visible()
    tab.locator("article h1").tap()
    assert tip.is_hidden()
    term.tap()
    term.tap()
    tab.wait_for_url("**/book/glossary.html#term-*")
    context.close()


def test_without_scripts_a_term_is_a_link_with_a_title(browser, address):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{address}{FIRST.docname}.html")
    terms = tab.locator("a.encore-term")
    links = terms.evaluate_all("(all) => all.map((a) => [a.getAttribute('href'), a.title])")
    assert len(links) >= 5
    assert len({href for href, _ in links}) == len(links), "a term has at most one tip on a page"
    assert all("glossary.html#term-" in href and len(title) > 20 for href, title in links)
    assert tab.locator("#encore-tip").count() == 0
    context.close()

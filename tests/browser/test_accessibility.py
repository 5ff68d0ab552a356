"""What axe-core finds, by day and by night, with everything unfolded; what is cut off can be reached by keyboard."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from test_book import DESK, PHONE, ROOT, SOME

from press.site import model

CHAPTERS = [c.docname for c in model.read(ROOT).chapters if c.groups]
PLACES = [*(f"book/{name}" for name in ("index", "gallery", "scoreboard", "teaching", "glossary")), CHAPTERS[0], *SOME]
ALL_RULES = {"resultTypes": ["violations"], "preload": False}
"""Without axe's own look for style sheets, which only a rule on the screen's orientation needs."""
COLOURS = ALL_RULES | {"runOnly": ["color-contrast"]}
"""What differs between the themes."""
OUTSIDE = {"exclude": ["mjx-math"]}
"""The glyphs of a formula, hidden from screen readers; its MathML is looked at."""

pytestmark = pytest.mark.slow


def serious(tab, rules):
    """One line per element with a violation of impact serious or critical."""
    tab.add_style_tag(content="* { animation: none !important; transition: none !important; }")  # what unfolds fades in
    tab.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    found = Axe().run(tab, OUTSIDE, rules).response["violations"]
    bad = [v for v in found if v["impact"] in ("serious", "critical")]
    return [f"{v['id']}: {n['target']} {n['html'][:120]} {n['failureSummary']}" for v in bad for n in v["nodes"]]


@pytest.mark.parametrize("place", PLACES)
def test_nothing_serious_at_a_desk(visit, place):
    assert serious(visit(DESK).open(f"{place}.html"), ALL_RULES) == []


@pytest.mark.parametrize("place", PLACES)
def test_the_dark_theme_can_be_read(visit, place):
    tab = visit(DESK, "dark").open(f"{place}.html")
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    assert serious(tab, COLOURS) == []


@pytest.mark.parametrize("place", [SOME[0], "book/scoreboard"])
def test_nothing_serious_on_a_phone(visit, place):
    assert serious(visit(PHONE).open(f"{place}.html"), ALL_RULES) == []


def test_axe_would_find_something(visit):
    tab = visit(DESK).open("book/how-to-read.html")
    tab.evaluate("document.querySelector('article').innerHTML += '<img src=\"../_static/favicon.svg\"><p style=\"color: #ccc\">Pale.</p>'")
    assert {line.split(":")[0] for line in serious(tab, ALL_RULES)} == {"image-alt", "color-contrast"}


@pytest.mark.parametrize("width", [DESK, 320])
@pytest.mark.parametrize("docname", SOME)
def test_what_scrolls_sideways_takes_the_focus(visit, docname, width):
    tab = visit(width).open(f"{docname}.html")
    tab.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    tab.wait_for_timeout(600)  # the theme waits 300 ms after a change of size
    found = tab.evaluate(
        """() => Array.from(document.querySelectorAll("article *"))
          .filter((x) => x.scrollWidth > x.clientWidth + 1 && x.checkVisibility())
          .filter((x) => ["auto", "scroll"].includes(getComputedStyle(x).overflowX))
          .map((x) => [x.tabIndex >= 0 || x.querySelector("a, button, [tabindex='0']") !== null, x.outerHTML.slice(0, 100)])"""
    )
    assert [html for reached, html in found if not reached] == []


@pytest.mark.parametrize("docname", SOME)
def test_names_and_nesting(visit, docname):
    tab = visit(DESK).open(f"{docname}.html")
    assert tab.locator("a a").count() == 0
    for folded in tab.locator("article details.hide > summary").all():
        assert folded.get_attribute("aria-label") is None, "what stands on it is its name"
    assert tab.locator("nav.bd-docs-nav summary:not([aria-label])").count() == 0
    assert tab.locator("[role=list] > .citation:not([role=listitem])").count() == 0

"""A page on paper: the article alone, in full width, light, with nothing cut off and nothing unfolded."""

import pytest
from test_book import SOME, brightness

WIDTH = 794
"""A4 at 96 dots per inch."""
AROUND = (
    ".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header, .bd-header-article, .prev-next-footer, .bd-footer, .bd-footer-content,"
    " button, form, .encore-buttons, .encore-tip, .headerlink, #jb-print-toc"
)

pytestmark = pytest.mark.slow


def printed(visit, docname, scheme="light"):
    tab = visit(WIDTH, scheme).open(f"{docname}.html")
    tab.emulate_media(media="print")
    tab.wait_for_function("document.documentElement.dataset.theme === 'light'")
    return tab


@pytest.mark.parametrize("docname", [*SOME, "book/gallery", "book/scoreboard"])
def test_only_the_article_is_printed_and_in_full_width(visit, docname):
    tab = printed(visit, docname)
    shown = tab.locator(AROUND).evaluate_all("(all) => all.filter((x) => x.checkVisibility()).map((x) => x.outerHTML.slice(0, 100))")
    assert shown == []
    box = tab.locator("article").bounding_box()
    assert box["x"] <= 20
    assert box["width"] >= WIDTH - 40
    assert tab.evaluate("document.documentElement.scrollWidth") <= WIDTH
    headings = tab.locator("h1").evaluate_all("(all) => all.filter((h) => h.checkVisibility()).map((h) => h.innerText)")
    assert len(headings) == 1


@pytest.mark.parametrize("docname", SOME)
def test_nothing_is_cut_off_and_what_is_folded_stays_folded(visit, docname):
    tab = printed(visit, docname)
    assert tab.locator("article details[open]").count() == 0
    assert tab.locator("article details").count() >= 1
    for kind in ("figure", "table tr"):
        rules = tab.locator(f"article {kind}").evaluate_all("(all) => all.map((x) => getComputedStyle(x).breakInside)")
        assert set(rules) == {"avoid"}
    cut = tab.evaluate(
        """() => Array.from(document.querySelectorAll("article :is(pre, table, img, .cell_output)"))
          .filter((x) => x.checkVisibility() && (x.getBoundingClientRect().right > innerWidth + 1 || x.scrollWidth > x.clientWidth + 1))
          .map((x) => x.outerHTML.slice(0, 100))"""
    )
    assert cut == []
    assert tab.locator(".encore-last-run").is_visible()


def test_the_dark_theme_is_printed_light_and_comes_back(visit):
    tab = printed(visit, SOME[0], "dark")
    assert brightness(tab) > 250
    text = tab.locator("article p").first.evaluate("(x) => getComputedStyle(x).color")
    assert max(int(c) for c in text[4:-1].split(",")[:3]) < 100
    assert tab.locator("img.encore-drawing").first.evaluate("(x) => getComputedStyle(x).filter") == "none"
    tab.emulate_media(media="screen")
    tab.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert brightness(tab) < 60


def test_a_file_can_be_made(visit):
    paper = visit().open(f"{SOME[0]}.html").pdf(format="A4", print_background=True)
    assert paper.startswith(b"%PDF")
    assert 3 <= paper.count(b"/Type /Page\n") <= 40

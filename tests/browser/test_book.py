"""What a reader's browser makes of the book: at a desk and on a phone, by day and by night, without a network."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from press.site import links, model

ROOT = Path(__file__).resolve().parents[2]
ALL = [p.docname for p in model.read(ROOT).published]
PAGES = ALL[:: max(1, len(ALL) // 12)]
SOME = [PAGES[0], PAGES[-1]] if len(PAGES) > 1 else PAGES
DESK, PHONE = 1280, 390
OWN = ["index", "how-to-read", "gallery", "teaching", "scoreboard", "status", "results-file", "library", "bibliography"]
OWN += ["chapters/optimizers", "chapters/audio"]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("docname", [f"book/{name}" for name in OWN] + PAGES)
def test_nothing_overflows_fails_or_leaves_the_host(visit, docname, width):
    tab = visit(width).open(f"{docname}.html")
    assert tab.title().endswith("Encore")
    assert tab.locator("article h1").first.is_visible()
    assert tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_no_internal_link_is_broken(address):
    assert links.broken(ROOT / "_build" / "html") == []


def test_the_front_door_leads_in(visit):
    tab = visit().open("")
    tab.wait_for_url("**/book/index.html")
    assert tab.locator(".encore-tiles a").count() == 4
    tab.locator(".encore-tiles a", has_text="inconclusive").click()
    tab.wait_for_url("**/scoreboard.html?verdict=inconclusive")


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("docname", SOME)
def test_a_page_has_its_figures_its_formulas_and_its_verdicts(visit, docname, width):
    tab = visit(width).open(f"{docname}.html")
    pictures = tab.locator("article figure img").evaluate_all("(all) => all.map((i) => [i.naturalWidth, i.alt, i.width])")
    assert pictures
    for real, alt, shown in pictures:
        assert real > 0, "a figure did not load"
        assert len(alt) > 20, "a figure has no alt text worth the name"
        assert 0 < shown <= width
    assert tab.locator("article figure[id]:has(figcaption)").count() == tab.locator("article figure").count() == len(pictures)
    assert tab.locator("mjx-container").count() > 0
    assert tab.locator("mjx-merror").count() == 0
    assert tab.evaluate("document.fonts.check('16px MJXTEX')")
    assert tab.locator("table.encore-verdicts .encore-verdict").count() >= 1
    assert tab.locator(".encore-header .encore-verdict").count() == tab.locator("table.encore-verdicts .encore-verdict").count()


@pytest.mark.parametrize("docname", SOME)
def test_notebook_and_script_can_be_downloaded(visit, docname):
    v = visit()
    tab = v.open(f"{docname}.html")
    for end in (".ipynb", ".py"):
        answer = tab.request.get(tab.locator(f".encore-buttons a.download[href$='{end}']").evaluate("(a) => a.href"))
        assert answer.ok
        assert answer.body() == (ROOT / f"{docname}{end}").read_bytes()


def brightness(tab):
    """Mean of the red, green and blue of the page's background, 0 to 255."""
    colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(float(x) for x in re.findall(r"[\d.]+", colour)[:3]) / 3


def test_dark_mode_follows_the_system_and_the_switch(visit):
    night = visit(scheme="dark").open(f"{SOME[0]}.html")
    assert brightness(night) < 60
    day = visit(scheme="light").open(f"{SOME[0]}.html")
    assert brightness(day) > 200
    for _ in range(3):  # auto, light, dark
        day.locator("button.theme-switch-button:visible").first.click()
        if day.evaluate("document.documentElement.dataset.theme") == "dark":
            break
    assert brightness(day) < 60


def test_drawings_turn_dark_and_pictures_do_not(visit):
    seen = set()
    v = visit(scheme="dark")
    for docname in PAGES:
        tab = v.open(f"{docname}.html")
        images = tab.locator("article figure img")
        for kind, value in images.evaluate_all("(all) => all.map((i) => [i.className, getComputedStyle(i).filter])"):
            drawing = "encore-drawing" in kind
            assert drawing != ("encore-picture" in kind)
            assert value.startswith("invert(1)") if drawing else value == "none"
            seen.add(drawing)
    assert True in seen


def visible(tab):
    return tab.locator("table.encore-scoreboard tbody tr:visible").count()


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_scoreboard_can_be_searched_and_filtered(visit, width):
    tab = visit(width).open("book/scoreboard.html")
    rows = tab.locator("table.encore-scoreboard tbody tr").count()
    assert visible(tab) == rows
    search = tab.locator(".encore-filter input")
    search.fill("no claim says this")
    assert visible(tab) == 0
    search.fill(tab.locator("table.encore-scoreboard code").first.inner_text())
    assert 1 <= visible(tab) < rows
    search.fill("")
    for name in ("verdict", "chapter", "kind"):
        select, total = tab.locator(f".encore-filter select[name={name}]"), 0
        for value in select.evaluate("(s) => Array.from(s.options, (o) => o.value).filter(Boolean)"):
            select.select_option(value)
            assert visible(tab) >= 1
            total += visible(tab)
        select.select_option("")
        assert total == rows
    assert tab.locator(".encore-filter output").inner_text() == f"{rows} of {rows} claims"


def test_the_scoreboard_is_complete_without_scripts(browser, address):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(address + "book/scoreboard.html")
    assert visible(tab) == len(model.scoreboard(model.read(ROOT)))
    context.close()


def test_the_scoreboard_files_hold_the_same_claims(visit):
    v = visit()
    tab = v.open("book/scoreboard.html")
    rows = tab.locator("table.encore-scoreboard tbody tr").count()
    found = {}
    for link in tab.locator("article a[href^='scoreboard.']").all():
        answer = tab.request.get(link.evaluate("(a) => a.href"))
        assert answer.status == 200
        found[link.inner_text()] = answer.text()
    claims = json.loads(found["scoreboard.json"])["claims"]
    table = list(csv.DictReader(io.StringIO(found["scoreboard.csv"])))
    assert len(claims) == len(table) == rows
    assert [c["claim"] for c in claims] == [r["claim"] for r in table]


def test_the_keyboard_reaches_code_and_solutions(visit):
    tab = visit().open(f"{SOME[0]}.html")
    assert tab.locator("button.copybtn").count() > 0
    solution = tab.locator("details.hide").first
    solution.locator("summary").focus()
    tab.keyboard.press("Enter")
    assert solution.get_attribute("open") is not None

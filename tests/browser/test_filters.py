"""Choosing: the gallery and the scoreboard, their filters, the address that remembers a choice, and what they weigh."""

import gzip
import re
from pathlib import Path

import pytest
from test_book import PAGES, SOME

from press.site import gallery, model, thumbnails

ROOT = Path(__file__).resolve().parents[2]
DESK, PHONE = 1280, 390
CARDS = "ul.encore-gallery > li"
ROWS = "table.encore-scoreboard > tbody > tr"
PLACES = {"gallery": (CARDS, "papers"), "scoreboard": (ROWS, "claims")}
FIRST_LOAD = 400_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site():
    return model.read(ROOT)


def seen(tab, items):
    return tab.evaluate("(s) => Array.from(document.querySelectorAll(s)).filter((x) => x.checkVisibility()).length", items)


def soon(tab, items, number):
    """Wait until so many are seen: going back or forward within a document takes a moment."""
    tab.wait_for_function(f"document.querySelector('.encore-filter output').value.startsWith('{number} of')")
    assert seen(tab, items) == number


def choices(tab, name):
    return tab.locator(f".encore-filter select[name={name}] option").evaluate_all("(all) => all.map((o) => o.value).filter(Boolean)")


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_every_choice_of_the_gallery_shows_what_it_promises(visit, site, width):
    tab = visit(width).open("book/gallery.html")
    total = len(site.papers)
    output = tab.locator(".encore-filter output")
    assert output.get_attribute("aria-live") == "polite"
    assert output.inner_text() == f"{total} of {total} papers"
    for name in ("chapter", "verdict", "data", "time", "tag"):
        select = tab.locator(f".encore-filter select[name={name}]")
        for value in choices(tab, name):
            select.select_option(value)
            promised = int(re.search(r"\((\d+)\)$", select.evaluate("(s) => s.selectedOptions[0].textContent"))[1])
            assert seen(tab, CARDS) == promised > 0
            assert output.inner_text() == f"{promised} of {total} papers"
        select.select_option("")
    assert seen(tab, CARDS) == total


def test_choices_add_up_and_headings_without_cards_disappear(visit, site):
    tab = visit().open("book/gallery.html")
    unfinished = {p.entry.chapter for p in site.papers if not p.published}
    p = next(p for p in site.published if p.entry.chapter in unfinished)
    tab.locator("select[name=chapter]").select_option(p.entry.chapter)
    here = seen(tab, CARDS)
    tab.locator("select[name=verdict]").select_option(gallery.NO_RUN)
    assert seen(tab, CARDS) < here
    assert not tab.get_by_role("heading", name="Pages").is_visible()
    assert tab.get_by_role("heading", name="Planned").is_visible()
    tab.locator("select[name=verdict]").select_option("")
    tab.locator("input[name=search]").fill(p.entry.title.split(":")[0])
    assert 1 <= seen(tab, CARDS) < here
    assert not tab.get_by_role("heading", name="Planned").is_visible()
    tab.locator("input[name=search]").fill("no paper is called this")
    assert tab.locator(".encore-filter output").inner_text() == f"0 of {len(site.papers)} papers"
    tab.get_by_role("button", name="Show all").click()
    tab.wait_for_function("!location.search")
    assert seen(tab, CARDS) == len(site.papers)


@pytest.mark.parametrize("place", PLACES)
def test_the_address_remembers_a_choice(visit, place):
    items, noun = PLACES[place]
    v = visit()
    tab = v.open(f"book/{place}.html")
    total = seen(tab, items)
    counts = [total]
    for name in ("chapter", "verdict"):
        tab.locator(f".encore-filter select[name={name}]").select_option(index=1)
        counts.append(seen(tab, items))
    chosen = {n: tab.locator(f"select[name={n}]").input_value() for n in ("chapter", "verdict")}
    assert tab.evaluate("location.href").endswith(f"?chapter={chosen['chapter']}&verdict={chosen['verdict']}")
    tab.reload(wait_until="networkidle")
    assert seen(tab, items) == counts[2]
    assert tab.locator("select[name=verdict]").input_value() == chosen["verdict"]
    tab.go_back()
    soon(tab, items, counts[1])
    assert tab.locator("select[name=verdict]").input_value() == ""
    tab.go_back()
    soon(tab, items, total)
    tab.go_forward()
    soon(tab, items, counts[1])
    tab.locator("input[name=search]").fill("a b&c=d")
    assert tab.evaluate("location.href").endswith("&search=a+b%26c%3Dd")
    other = v.open(f"book/{place}.html?search=zzz&verdict=unheard-of&unknown=1#scoreboard")
    assert other.locator(".encore-filter output").inner_text() == f"0 of {total} {noun}"
    assert other.locator("select[name=verdict]").input_value() == "unheard-of"
    other.get_by_role("button", name="Show all").click()
    other.wait_for_function("location.search === '?unknown=1'")
    assert seen(other, items) == total


def test_a_verdict_of_the_front_page_leads_to_its_claims(visit, site):
    tab = visit().open("book/index.html")
    counts = model.tally(site.published)
    for k, (verdict, n) in enumerate(counts.items()):
        tile = tab.locator(".encore-tiles a").nth(k)
        assert tile.inner_text().split() == [str(n), *verdict.split()]
        tile.click()
        tab.wait_for_load_state("networkidle")
        assert seen(tab, ROWS) == n
        tab.go_back(wait_until="networkidle")


def test_the_keyboard_is_enough(visit, site):
    tab = visit().open("book/gallery.html")
    tab.locator("input[name=search]").focus()
    tab.keyboard.type("optimi")
    assert 1 <= seen(tab, CARDS) < len(site.papers)
    tab.keyboard.press("Enter")  # does not send the form
    assert "search=optimi" in tab.evaluate("location.href")
    names = []
    for _ in range(6):
        tab.keyboard.press("Tab")
        names.append(tab.evaluate("document.activeElement.name || document.activeElement.type"))
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert names == ["chapter", "verdict", "data", "time", "tag", "reset"]
    tab.keyboard.press("Enter")
    tab.wait_for_function("!location.search")
    tab.keyboard.press("Tab")
    first = tab.evaluate("document.activeElement.closest('li') === document.querySelector('ul.encore-gallery > li')")
    assert first
    assert tab.locator(CARDS).first.evaluate("(x) => getComputedStyle(x).outlineStyle") == "solid"
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"**/{site.published[0].docname}.html")


@pytest.mark.parametrize("place", PLACES)
def test_without_scripts_everything_is_listed(browser, address, site, place):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{address}book/{place}.html?chapter=optimizers&search=zzz")
    assert not tab.locator(".encore-filter").is_visible()
    items = tab.locator(PLACES[place][0])
    assert items.count() == (len(site.papers) if place == "gallery" else len(model.scoreboard(site)))
    assert items.last.is_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_cards_show_a_figure_and_plans_are_grey(visit, site, scheme):
    tab = visit(scheme=scheme).open("book/gallery.html")
    tab.evaluate("document.querySelectorAll('.encore-thumb img').forEach((i) => (i.loading = 'eager'))")
    tab.wait_for_load_state("networkidle")
    images = tab.locator(".encore-thumb img").evaluate_all(
        "(all) => all.map((i) => [i.naturalWidth, +i.getAttribute('width'), i.alt, i.className, getComputedStyle(i).filter])"
    )
    assert len(images) == len(site.published)
    for real, stated, alt, kind, shown in images:
        assert real == stated > 0
        assert len(alt) > 20
        assert shown.startswith("invert(1)") if scheme == "dark" and "encore-drawing" in kind else shown == "none"
    assert tab.locator(f"{CARDS}.is-planned").count() == len(site.papers) - len(site.published)
    assert tab.locator(f"{CARDS}.is-planned .encore-thumb, {CARDS}.is-planned .encore-verdict").count() == 0
    backgrounds = [tab.locator(s).first.evaluate("(x) => getComputedStyle(x).backgroundColor") for s in (CARDS, f"{CARDS}.is-planned")]
    assert backgrounds[0] != backgrounds[1]
    for source in tab.locator(".encore-thumb img").evaluate_all("(all) => all.map((i) => i.src)"):
        assert len(tab.request.get(source).body()) <= thumbnails.LIMIT


def test_a_choice_among_all_cards_is_made_at_once(visit):
    tab = visit().open("book/gallery.html")
    spent = tab.evaluate(
        """() => {
          const form = document.querySelector(".encore-filter"), start = performance.now();
          for (const word of ["a", "ab", "", "learning"]) {
            form.elements.search.value = word;
            form.elements.search.dispatchEvent(new Event("input", { bubbles: true }));
            document.body.getBoundingClientRect();
          }
          return (performance.now() - start) / 4;
        }"""
    )
    assert spent < 200, f"{spent:.0f} ms for one choice"


LOADED = ["book/index", *(f"book/{place}" for place in PLACES), *SOME]


@pytest.mark.parametrize(("docname", "width"), [*((d, w) for d in LOADED for w in (DESK, PHONE)), *((d, DESK) for d in PAGES[1:-1])])
def test_the_first_load_is_light(visit, docname, width):
    """What a reader's browser fetches before scrolling, compressed as a server would."""
    v, sizes = visit(width), {}

    def weigh(response):
        if response.status == 200 and response.url.startswith("http"):
            body = response.body()
            text = re.search(r"html|css|javascript|json|svg", response.headers.get("content-type", ""))
            sizes[response.url] = len(gzip.compress(body, 6)) if text else len(body)

    v.tab.on("requestfinished", lambda request: weigh(request.response()))
    v.tab.goto(f"{v.address}{docname}.html", wait_until="networkidle")
    heaviest = sorted(sizes.items(), key=lambda x: -x[1])[:5]
    assert 10_000 < sum(sizes.values()) <= FIRST_LOAD, heaviest


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_measured_value_is_drawn(visit, site, width, scheme):
    tab = visit(width, scheme).open("book/scoreboard.html")
    drawn = tab.locator("svg.encore-interval")
    assert drawn.count() == sum(t["value"] is not None for r in model.scoreboard(site) for t in r["tests"])
    boxes = drawn.evaluate_all("(all) => all.map((s) => { const b = s.getBoundingClientRect(); return [b.left, b.right, b.width]; })")
    assert all(left >= 0 and right <= width and 150 <= w <= 201 for left, right, w in boxes)
    ids = tab.locator("svg [id]").evaluate_all("(all) => all.map((x) => x.id)")
    assert len(set(ids)) == len(ids)
    assert tab.locator(f"{ROWS} .encore-verdict").last.evaluate("(x) => x.getBoundingClientRect().right") <= width
    if width == PHONE:  # the verdict follows the claim
        tops = tab.locator(f"{ROWS}:first-child > td").evaluate_all("(all) => all.map((x) => x.getBoundingClientRect().top)")
        assert sorted(range(7), key=tops.__getitem__) == [0, 1, 6, 2, 3, 4, 5]


def luminance(colour):
    channels = [float(x) / 255 for x in re.findall(r"[\d.]+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_summary_can_be_read(visit, scheme):
    tab = visit(PHONE, scheme).open("book/scoreboard.html")
    chart = tab.locator("svg.encore-rates")
    assert chart.is_visible()
    back = luminance(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
    for colour in chart.locator("text").evaluate_all("(all) => all.map((t) => getComputedStyle(t).fill)"):
        light, dark = sorted((luminance(colour), back), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5
    inside = chart.evaluate(
        "(s) => { const o = s.getBoundingClientRect(); return Array.from(s.querySelectorAll('text'), (t) => t.getBoundingClientRect())"
        ".every((b) => b.left >= o.left - 1 && b.right <= o.right + 1 && b.height > 8); }"
    )
    assert inside, "words of the drawing are cut off or too small"
    apart = chart.evaluate(
        "(s) => Array.from(s.querySelectorAll('text.n')).every((n) =>"
        " n.previousElementSibling.getBoundingClientRect().right < n.getBoundingClientRect().left)"
    )
    assert apart, "a label runs into its number"
    numbers = tab.locator("details.encore-numbers")
    numbers.locator("summary").focus()
    tab.keyboard.press("Enter")
    assert numbers.locator("table").is_visible()
    assert numbers.locator("tbody tr").count() == chart.locator("text.n").count()
    assert numbers.locator("tbody tr", has_text="Gundersen").locator("a").count() >= 1

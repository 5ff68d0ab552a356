"""The search page finds a paper by who wrote it, what it is called, its data, and what it claims."""

from pathlib import Path

import pytest

from press.site import model

ROOT = Path(__file__).resolve().parents[2]
SITE = model.read(ROOT)

pytestmark = pytest.mark.slow

QUERIES = [
    ("Lau batch", "optimizers/adadagrad"),  # author
    ("Dettmers", "optimizers/eight-bit-optimizers"),
    ("Lion", "optimizers/lion"),  # method
    ("AdAdaGrad", "optimizers/adadagrad"),
    ("batch size learning rate", "optimizers/batch-size-learning-rate"),
    ("tiny shakespeare quantization", "optimizers/eight-bit-optimizers"),  # data set
    ("fashion-mnist adagrad", "optimizers/adadagrad"),
    ("Lyapunov trajectory decreases", "optimizers/lion-lyapunov"),  # claim
    ("stalls noise floor batch", "optimizers/adadagrad"),
]


def found(tab, query: str) -> list[str]:
    """The pages found, best first, each once."""
    tab.goto(tab.url.split("?")[0] + "?q=" + query.replace(" ", "+"), wait_until="networkidle")
    tab.wait_for_function("document.querySelector('.search-summary')?.textContent")
    links = tab.locator("ul.search > li > a").evaluate_all("(all) => all.map((a) => new URL(a.href).pathname)")
    return list(dict.fromkeys(links))


@pytest.mark.parametrize(("query", "page"), QUERIES, ids=[q for q, _ in QUERIES])
def test_a_paper_is_among_the_first_three(visit, query, page):
    if page not in {p.entry.name for p in SITE.published}:
        pytest.skip(f"{page} has no page")
    tab = visit().open("search.html")
    assert f"/notebooks/{page}.html" in found(tab, query)[:3]


@pytest.mark.parametrize("width", [1280, 390])
def test_results_say_who_wrote_the_paper_and_fetch_no_page(visit, width):
    here = visit(width)
    fetched = []
    here.tab.on("request", lambda r: fetched.append(r.url))
    tab = here.open("search.html")
    assert found(tab, "gradient")
    line = tab.locator("ul.search > li:has(a[href*='notebooks/']) .encore-source").first
    assert ", 20" in line.text_content()
    assert [u for u in fetched if "/notebooks/" in u] == []
    assert tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_the_field_of_a_page_leads_to_the_search(visit):
    tab = visit().open("book/gallery.html")
    tab.evaluate("() => { const form = document.querySelector('form.bd-search'); form.elements.q.value = 'Lion'; form.submit(); }")
    tab.wait_for_url("**/search.html?q=Lion*")
    tab.wait_for_function("document.querySelector('.search-summary')?.textContent")
    assert tab.locator("ul.search > li").count() >= 1


def test_nothing_found_is_said(visit):
    tab = visit().open("search.html")
    assert found(tab, "qqzzxx") == []
    assert "did not match" in tab.locator(".search-summary").text_content()


def test_other_pages_do_not_load_the_index(visit):
    here = visit()
    fetched = []
    here.tab.on("request", lambda r: fetched.append(r.url))
    here.open("book/gallery.html")
    assert [u for u in fetched if "searchindex" in u or "papers.json" in u] == []

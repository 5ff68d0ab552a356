"""How well, and at what cost, a search finds a paper's page: Sphinx's own index, and pagefind beside it.

    python benchmarks/search.py FOLDER [PAGEFIND]

FOLDER is a rendered copy of the project (benchmarks/synthetic.py, then benchmarks/book.py); PAGEFIND the program pagefind, if it is to be
compared. Queries with a known answer are made from the register: an author and a word of the title, the method's short name, a data set
and a word of the title, words of a claim. Prints a Markdown table; needs Chromium.
"""

import functools
import gzip
import http.server
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import yaml

CHROMIUM = "/usr/bin/chromium"
PAPERS = 12
"""Papers asked for; every one in four ways."""
STOP = set("with from that this than into over their where which when does other while after under between through using towards".split())
SPHINX = """async () => {
  const begun = performance.now();
  const done = () => document.querySelector('.search-summary')?.textContent && !document.querySelector('#search-results h2 span');
  while (!done()) await new Promise((r) => setTimeout(r, 5));
  return [performance.now() - begun, [...document.querySelectorAll('ul.search > li > a')].map((a) => new URL(a.href).pathname)];
}"""
SPHINX_QUERY = """(q) => {
  const begun = performance.now();
  Search._performSearch(...Search._parseQuery(q));
  return performance.now() - begun;
}"""
PAGEFIND = """async (q) => {
  const pagefind = await import('/pagefind/pagefind.js');
  const begun = performance.now();
  const found = await pagefind.search(q);
  const first = await Promise.all(found.results.slice(0, 30).map((r) => r.data()));
  return [performance.now() - begun, first.map((r) => r.url.split('#')[0])];
}"""


def words(text: str) -> list[str]:
    return [w for w in re.findall(r"[A-Za-z][A-Za-z-]{3,}", text) if w.lower() not in STOP]


def queries(root: Path) -> Iterator[tuple[str, str, str]]:
    """(kind, query, the paper it means) for papers spread over the register; of a text the words that the fewest papers use."""
    files = sorted((root / "data" / "papers").glob("*/*.yml"))
    entries = [yaml.safe_load(f.read_text()) for f in files]
    titles = {i: d["title"] for i, d in yaml.safe_load((root / "data" / "datasets.yml").read_text()).items()}
    text = {e["slug"]: " ".join([e["title"], *(c["says"] for c in e["claims"])]).lower() for e in entries}
    used = Counter(w for t in text.values() for w in set(words(t)))

    def rarest(said: str, n: int) -> list[str]:
        return sorted(dict.fromkeys(w.lower() for w in words(said)), key=lambda w: used[w])[:n]

    known = [e for e in entries if any(d in titles for d in e["data"])]
    for e in known[4 :: len(known) // PAPERS][:PAPERS]:
        page, topic = f"{e['chapter']}/{e['slug']}", sorted(rarest(e["title"], 4))[0]
        yield "author and topic", f"{e['authors'][0].split()[-1]} {topic}", page
        yield "method", e["slug"].replace("-", " "), page
        yield "data set and topic", f"{titles[next(d for d in e['data'] if d in titles)].split(',')[0].split(' (')[0]} {topic}", page
        yield "claim", " ".join(rarest(e["claims"][0]["says"], 4)), page


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def packed(files: list[Path]) -> float:
    """kB of the files as a server sends them; what is packed already is not packed again."""
    return sum(len(gzip.compress(f.read_bytes())) for f in files) / 1000


def rank(found: list[str], page: str) -> int | None:
    """Place of the paper's page among the pages found, from 1."""
    return next((k for k, p in enumerate(dict.fromkeys(found), 1) if p == f"/notebooks/{page}.html"), None)


class Engine:
    """Ranks, milliseconds and kB of the queries that an engine was asked."""

    def __init__(self):
        self.ranks: dict[str, list[int | None]] = {}
        self.times: list[float] = []
        self.sent: list[float] = []

    def note(self, kind: str, query: str, place: int | None, ms: float, sent: float) -> None:
        self.ranks.setdefault(kind, []).append(place)
        self.times.append(ms)
        self.sent.append(sent)
        if place is None or place > 3:
            print(f"  rank {place}: {query}", file=sys.stderr)

    def row(self, kind: str) -> str:
        places = self.ranks[kind] if kind != "all" else [p for found in self.ranks.values() for p in found]
        n = len(places)
        good = [sum(p is not None and p <= k for p in places) / n for k in (1, 3, 5)]
        return " | ".join(f"{g:.2f}" for g in (*good, sum(1 / p for p in places if p) / n))


def ask_sphinx(browser, address: str, html: Path, asked) -> Engine:
    engine = Engine()
    for kind, query, page in asked:
        tab = browser.new_page()
        got = []
        tab.on("response", lambda r, got=got: got.append(r.url.split("?")[0]))
        tab.goto(f"{address}/search.html?q={query.replace(' ', '+')}", wait_until="domcontentloaded")
        _, found = tab.evaluate(SPHINX)
        tab.wait_for_load_state("networkidle")
        fetched = [html / u.removeprefix(f"{address}/") for u in got if "/_static/" not in u and "search.html" not in u]
        engine.note(kind, query, rank(found, page), tab.evaluate(SPHINX_QUERY, query), packed([f for f in fetched if f.is_file()]))
        tab.close()
    return engine


def ask_pagefind(browser, address: str, html: Path, asked) -> Engine:
    engine = Engine()
    for kind, query, page in asked:
        tab = browser.new_context().new_page()
        got = []
        tab.on("response", lambda r, got=got: got.append(r.url.split("?")[0]))
        tab.goto(f"{address}/index.html", wait_until="networkidle")
        ms, found = tab.evaluate(PAGEFIND, query)
        fetched = {html / u.removeprefix(f"{address}/") for u in got if "/pagefind/" in u}
        engine.note(kind, query, rank(found, page), ms, packed([f for f in fetched if f.is_file()]))
        tab.context.close()
    return engine


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    from playwright.sync_api import sync_playwright

    root = Path(sys.argv[1]).resolve()
    html = root / "_build" / "html"
    asked = list(queries(root))
    notes = [f"Sphinx: index {packed([html / 'searchindex.js']):.0f} kB packed, made with the pages"]
    if len(sys.argv) == 3:
        begun = time.perf_counter()
        command = [sys.argv[2], "--site", html, "--glob", "{notebooks,book}/**/*.html", "--root-selector", "article.bd-article"]
        subprocess.run(command, check=True, capture_output=True)
        files = [f for f in (html / "pagefind").rglob("*") if f.is_file()]
        size = sum(f.stat().st_size for f in files) / 1000
        notes.append(f"pagefind: {len(files)} files, {size:.0f} kB, made in {time.perf_counter() - begun:.1f} s")
    engines = {}
    with served(html) as address, sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        engines["Sphinx"] = ask_sphinx(browser, address, html, asked)
        if len(sys.argv) == 3:
            engines["pagefind"] = ask_pagefind(browser, address, html, asked)
        browser.close()
    print("\n".join(notes), f"\n{len(asked)} queries\n")
    print("| engine | queries | first | first 3 | first 5 | MRR |\n|---|---|---|---|---|---|")
    for name, engine in engines.items():
        for kind in (*engine.ranks, "all"):
            print(f"| {name} | {kind} | {engine.row(kind)} |")
    for name, e in engines.items():
        sent = f"sent for the first query of a visit {median(e.sent):.0f} kB, at most {max(e.sent):.0f}"
        print(f"\n{name}: {median(e.times):.0f} ms a query, at most {max(e.times):.0f}; {sent}")


if __name__ == "__main__":
    main()

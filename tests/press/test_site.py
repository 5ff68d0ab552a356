"""The book: table of contents, header, scoreboard, figures, links, and one small book built for real."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml

import encore
from encore import figures, page, register
from press import site, toc
from press.files import PressError
from press.site import furniture, header, icons, links, model, parts, scoreboard, thumbnails, wording

PROJECT = Path(__file__).resolve().parents[2]
FACTS = {
    "key": "0123456789abcdef" * 4,
    "judge": "a" * 64,
    "outputs": "b" * 64,
    "date": "2026-01-31",
    "seconds": 31.24,
    "peak_mb": 612,
    "cpu": "A processor",
    "python": "3.11.7",
    "packages": {"numpy": "2.4.6"},
}


COURSE = """\
title: A short course
audience: Anyone.
prerequisites: [Counting.]
goals: [Count further.]
weeks:
- {title: The first, goals: [See it.], pages: [lab/done], minutes: 90}
- {title: The second, goals: [See more.], pages: [lab/idea], minutes: 60}
"""


def measured(entry):
    """A result with one reproduced and one contradicted claim."""
    ours, other = np.arange(8) / 10, np.arange(8) / 10 + 1 + np.arange(8) % 2
    samples = {"small": [encore.lower(ours, other)], "same": [encore.exact(1e-3)]}
    claims = [page.claim_result(c, samples[c.id]) for c in entry.claims]
    return {
        "schema": 1,
        "slug": entry.slug,
        "chapter": entry.chapter,
        "profile": "book",
        "seed": 0,
        "claims": claims,
        "checks": [{"name": "a sum", "error": 0.0, "tol": 1e-9, "ok": True}],
        "figures": [],
    }


def drawing():
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(3, 2))
    ax.plot([1, 2, 4])
    data, metadata = figures.bundle(fig, "results", "Growth with $n$.", "A rising line.")
    plt.close(fig)
    return nbformat.v4.new_output("display_data", data=data, metadata=metadata)


def publish(compendium, slug, **changes):
    """A page as the press would leave it: script, executed notebook, results file."""
    entry = register.load(compendium.add(slug, **changes))
    result = measured(entry)
    v4, told = nbformat.v4, {"text/markdown": "It is $2^3$ **times** better.", "text/plain": "<Markdown>"}
    metadata = {"language_info": {"name": "python"}, "encore": {"slug": entry.name, **FACTS}}
    nb = v4.new_notebook(
        metadata=metadata,
        cells=[
            v4.new_markdown_cell(f"# {entry.title}"),
            v4.new_markdown_cell("## Results\n\nWith $x^2$."),
            v4.new_code_cell("page.figure(fig)", outputs=[drawing(), v4.new_output("display_data", data=told)]),
            v4.new_markdown_cell("## Verdict"),
            v4.new_code_cell("page.verdict()", outputs=[v4.new_output("display_data", data=page.verdict_bundle(entry, result))]),
            v4.new_markdown_cell(f"## Exercises\n\n:::{{exercise}}\n:label: {slug}-ex1\nAdd.\n:::"),
            v4.new_code_cell("1 + 1", metadata={"tags": ["hide-cell", "solution"]}),
        ],
    )
    stored = json.dumps({**result, **FACTS})
    for path, text in ((compendium.notebook(entry.name), nbformat.writes(nb)), (compendium.result(entry.name), stored)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return entry


@pytest.fixture
def chapters(compendium):
    (compendium.root / "data" / "chapters.yml").write_text("- {id: attic, title: The attic}\n- {id: lab, title: The lab}\n")
    return compendium


def test_the_contents_list_only_pages_that_have_been_run(chapters):
    publish(chapters, "late", year=2021)
    publish(chapters, "early", year=1999)
    chapters.add("unwritten")
    chapters.add("idea", status="planned")
    text = toc.toc(register.load_all())
    assert text == toc.toc(register.load_all())
    assert [line.split("/")[-1] for line in text.splitlines() if "notebooks/" in line] == ["early", "late"]
    assert text.index("chapters/attic") < text.index("chapters/lab") < text.index("notebooks/lab/early")
    assert toc.write(chapters.root)
    assert (chapters.root / "_toc.yml").read_text() == text
    assert not toc.write(chapters.root)


def test_stages_and_order_of_the_papers(chapters):
    publish(chapters, "done")
    chapters.add("begun", year=2022)
    chapters.add("idea", status="planned", year=1990)
    site_ = model.read(chapters.root)
    assert [(p.entry.slug, p.stage) for p in site_.papers] == [("idea", "planned"), ("done", "published"), ("begun", "being written")]
    assert model.tally(site_.papers) == {"reproduced": 1, "inconclusive": 0, "not reproduced": 1, "not tested": 0}


def test_a_chapter_without_a_title_is_named(chapters):
    chapters.add("stray", chapter="cellar")
    with pytest.raises(PressError, match=r"chapters\.yml does not list the chapter cellar"):
        model.read(chapters.root)
    with pytest.raises(PressError, match="no chapter 'roof'.*attic, lab"):
        model.Site(chapters.root, model.read_chapters(chapters.root), (), {}).chapter("roof")


def test_a_broken_results_file_names_the_remedy(chapters):
    publish(chapters, "done")
    chapters.result("lab/done").write_text("{")
    with pytest.raises(PressError, match=r"done\.json is not valid JSON.*press run lab/done --force"):
        model.read(chapters.root)


def test_the_scoreboard_has_one_row_per_claim(chapters):
    publish(chapters, "done")
    site_ = model.read(chapters.root)
    rows = json.loads(scoreboard.as_json(site_))["claims"]
    assert [(r["page"], r["claim"], r["verdict"]) for r in rows] == [
        ("lab/done", "small", "reproduced"),
        ("lab/done", "same", "not reproduced"),
    ]
    assert rows[0]["low"] < rows[0]["value"] < rows[0]["high"] < 0
    assert rows[0]["n"] == 8
    assert "samples" not in json.dumps(rows)
    table = list(csv.DictReader(io.StringIO(scoreboard.as_csv(site_))))
    assert [r["claim"] for r in table] == ["small", "same"]
    assert float(table[0]["value"]) == rows[0]["value"]


BELOW = f"```{{{furniture.DIRECTIVE}}}\n```\n"


def test_the_header_is_put_below_the_title_and_the_furniture_at_the_end():
    cells = [
        {"cell_type": "markdown", "source": ["# A page\n", "\n"], "metadata": {}},
        {"cell_type": "code", "source": "2", "metadata": {"tags": ["hide-input"]}},
    ]
    out = json.loads(header.prepare(json.dumps({"cells": cells})))["cells"]
    top = "# A page\n\n```{encore-header}\n```\n"
    assert [c["source"] for c in out] == [f"{top}\n{BELOW}", "2"]
    assert out[1] == cells[1]
    last = {"cell_type": "markdown", "source": "## References\n", "metadata": {}}
    out = json.loads(header.prepare(json.dumps({"cells": [*cells, last, cells[1]]})))["cells"]
    assert [c["source"] for c in out] == [top, "2", f"## References\n\n{BELOW}", "2"]


def test_a_solution_is_folded_under_the_name_of_its_exercise():
    def block(n):
        return f":::{{exercise}}\n:label: a-page-ex{n}\nTry {n}.\n:::\n"

    solution = {"cell_type": "code", "source": "1", "metadata": {"tags": ["hide-cell", "solution"]}}
    cells = [{"cell_type": "markdown", "source": text, "metadata": {}} for text in ("# A page", block(1), f"{block(2)}\n{block(3)}")]
    cells = [*cells[:2], solution, cells[2], solution, solution]
    out = json.loads(header.prepare(json.dumps({"cells": cells})))["cells"]
    names = [c["metadata"].get("mystnb", {}).get("code_prompt_show") for c in out]
    assert [n for n in names if n] == ["Solution to Exercise 1", "Solution to Exercise 3", "Solution to Exercise 3, continued"]


def test_a_page_that_cites_lists_what_it_cites_at_its_end():
    def cells(*texts):
        return json.dumps({"cells": [{"cell_type": "markdown", "source": t, "metadata": {}} for t in ("# A page", *texts)]})

    said = cells("As {cite:t}`hall1992removal` says.", "## References")
    assert json.loads(header.prepare(said))["cells"][-1]["source"] == f"## References\n\n{header.CITED}\n{BELOW}"
    assert header.CITED not in header.prepare(cells("Nothing.", "## References"))
    assert json.loads(header.prepare(cells("{cite:p}`a`", header.CITED)))["cells"][-1]["source"] == f"{header.CITED}\n{BELOW}"


@pytest.mark.parametrize(("kind", "source"), [("code", "# no"), ("markdown", "no")])
def test_a_page_begins_with_its_title(kind, source):
    for cells in ([], [{"cell_type": kind, "source": source, "metadata": {}}]):
        with pytest.raises(ValueError, match="paper's title"):
            header.prepare(json.dumps({"cells": cells}))


def test_data_sets_are_shown_with_their_licence():
    known = {"digits": model.DataSet("Digits", "CC BY 4.0")}
    assert header.data("digits", known) == "Digits. Licence: CC BY 4.0"
    assert header.data("letters", known) == "letters"
    assert header.data("simulator:a pendulum", known) == "a pendulum (simulator)"


def test_mathematics_in_a_title():
    assert [n.tagname for n in parts.title("$BT^2$: a title")] == ["math", "#text"]
    assert parts.title("No mathematics").astext() == "No mathematics"


def test_numbers_in_words():
    assert page.number(4.95e-10) == "4.95×10⁻¹⁰"
    assert page.ours({"value": -0.5, "low": -0.75, "high": -0.25}) == "−0.5 [−0.75, −0.25]"
    assert page.ours({"value": None, "low": None, "high": None}) == "–"
    assert [wording.duration(s) for s in (3.14, 60, 600, 36_000)] == ["3.1 s", "60 s", "10 min", "10.0 h"]
    assert [wording.count(n, "page") for n in (1, 2)] == ["1 page", "2 pages"]


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="b.html#there">1</a><a href="b.html#gone">2</a><a href="c.html">3</a><a href="#here">4</a>'
        '<a href="https://example.org/x">5</a><img src="sub/no.png"><a href="../outside.html">6</a>'
    )
    (tmp_path / "b.html").write_text('<h2 id="there"><a href="a.html?x=1#here">ok</a></h2>')
    assert links.broken(tmp_path) == [
        "a.html: ../outside.html (outside the book)",
        "a.html: b.html#gone (no such anchor)",
        "a.html: c.html (no such file)",
        "a.html: sub/no.png (no such file)",
    ]


@pytest.fixture
def book(compendium):
    """The project's own prose with one page and one planned paper."""
    root = compendium.root
    shutil.copytree(PROJECT / "book", root / "book", ignore=shutil.ignore_patterns("*--*.bib"))
    shutil.copy(PROJECT / "_config.yml", root)
    chapters = [{"id": c.id, "title": c.title} for c in model.read_chapters(PROJECT)]
    (root / "data" / "chapters.yml").write_text(yaml.safe_dump([*chapters, {"id": "lab", "title": "The lab"}]))
    for c in chapters:  # the chapters' prose speaks of papers that are not in this register
        (root / "book" / "chapters" / f"{c['id']}.md").write_text(f"# {c['title']}\n")
    (root / "book" / "chapters" / "lab.md").write_text("# The lab\n\n```{encore-chapter} lab\n```\n")
    publish(compendium, "done", authors=["Ann Author", "Bo Writer"], arxiv="2302.06675")
    compendium.add("idea", status="planned", title="A mere plan")
    (root / "data" / "similar.json").write_text(json.dumps({"register": "", "similar": {"lab/done": ["lab/idea"]}}))
    (root / "data" / "courses").mkdir()
    (root / "data" / "courses" / "short.yml").write_text(COURSE)
    return compendium


def build(root, out, strict=True):
    """Render in a process of its own, as `press book` does."""
    call = (
        "import sys; from pathlib import Path; from press import site; "
        "sys.exit(site.build(Path(sys.argv[1]), Path(sys.argv[2]), bool(sys.argv[3])))"
    )
    return subprocess.run([sys.executable, "-c", call, root, out, "1" * strict], capture_output=True, text=True, check=False)


class Nesting(HTMLParser):
    """Counts the links that stand in a link."""

    def __init__(self):
        super().__init__()
        self.open = self.nested = 0

    def handle_starttag(self, tag, attributes):
        if tag == "a":
            self.nested += self.open > 0
            self.open += 1

    def handle_endtag(self, tag):
        self.open -= tag == "a"


def nested_links(text):
    parser = Nesting()
    parser.feed(text)
    assert parser.open == 0
    return parser.nested


def shown_icons(out):
    """Names of the icons in the pages of a built book."""
    pages = [p.read_text() for p in out.rglob("*.html") if "_static" not in p.parts]
    classes = {c for text in pages for found in re.findall(r'class="([^"]*fa-[^"]*)"', text) for c in found.split()}
    return {c.removeprefix("fa-") for c in classes if c.startswith("fa-")} - {"solid", "lg"}


@pytest.mark.slow
def test_a_book_is_built_without_a_warning_and_only_what_changed_is_written_again(book):
    out = book.root / "_build" / "html"
    assert build(book.root, out).returncode == 0
    assert site.broken_links(out) == []
    shown = (out / "notebooks" / "lab" / "done.html").read_text()
    assert shown.index("<h1>") < shown.index("Ann Author, Bo Writer") < shown.index('id="results"')
    assert 'href="https://arxiv.org/abs/2302.06675"' in shown
    assert "31 s and 612 MB on one thread of A processor" in shown
    assert len(re.findall(r'_downloads/\w+/done\.(?:ipynb|py)"', shown)) == 2
    assert re.search(r'<figure class="encore-figure[^>]* id="figure-results"', shown)  # a heading already has the id "results"
    assert re.search(r'<img alt="A rising line."[^>]*height="300"[^>]*loading="lazy"[^>]*width="450"', shown)
    assert '<p>It is <span class="math' in shown
    assert re.search(r'<div class="exercise admonition" id="done-ex1">\s*<p class="admonition-title">Exercise 1</p>', shown)
    assert shown.count('<summary>\n<p class="collapsed admonition-title">Solution to Exercise 1</p>') == 1
    taught = (out / "book" / "teaching.html").read_text()
    assert "1 week, 90 min of a student’s work; 1 week planned." in taught
    assert re.search(r'Exercises: </span><a [^>]*href="../notebooks/lab/done.html#done-ex1"', taught)
    assert taught.index("<h3>Week 1: The first") < taught.index("done.html#done-ex1") < taught.index("<h3>Week 2: The second")
    assert re.search(r"A mere plan</span> \(<a [^>]*lab.html", taught)
    assert "Fig. 1" not in shown  # sphinx-exercise would number figures, through the whole book
    assert shown.count('class="encore-verdicts"') == 1
    assert "vnd.encore" not in shown
    assert not nested_links(shown)
    below = shown[shown.index('<div class="encore-furniture') :]
    assert re.search(r"Similar papers</p>.*A mere plan</span>, 2020 .*planned</span> in <a [^>]*book/chapters/lab.html", below, re.S)
    assert "Last run 2026-01-31 on A processor in 31 s, profile book, seed 0; key <code" in below
    assert FACTS["key"][:12] in below
    assert below.count(">@misc<") == shown.count(">@misc<") == 2
    assert shown.count("<summary>Cite this page and the paper</summary>") == 1
    repository = yaml.safe_load((PROJECT / "_config.yml").read_text())["sphinx"]["config"]["encore_repository"]
    for label, place in (("Colab", "blob/gh-pages/colab/lab/done.ipynb"), ("Binder", "main?labpath=notebooks%2Flab%2Fdone.ipynb")):
        address = re.search(rf'href="([^"]*)"><span[^>]*>Open in {label}<', shown)[1]
        assert address.endswith(f"/{repository.removeprefix('https://github.com/')}/{place}")
    assert [c["outputs"] for c in nbformat.read(out / "colab/lab/done.ipynb", 4).cells if c.cell_type == "code"] == [[]] * 4
    lacking = shown_icons(out) - set(icons.SHOWN)
    assert not lacking, f"icons.SHOWN of press/site/icons.py lacks {', '.join(sorted(lacking))}"
    assert (out / "_static" / icons.FONT).stat().st_size < 6_000
    chapter = (out / "book" / "chapters" / "lab.html").read_text()
    assert chapter.index("notebooks/lab/done.html") < chapter.index("Planned") < chapter.index("A mere plan")
    assert "idea.html" not in chapter
    front = (out / "book" / "index.html").read_text()
    assert "1 paper of 2 so far. Of 2 claims, 1 was reproduced:" in front
    listed = (out / "book" / "gallery.html").read_text()
    cards = re.findall(r'<li class="([^"]*)">\s*(?:<div class="encore-thumb|<p class="encore-title)', listed)
    assert [("is-planned" in c, "verdict-not-run" in c) for c in cards] == [(False, False), (True, True)]
    assert front.count('class="encore-thumb') == 1
    (thumb,) = (out / "_images").glob("lab--done-*.webp")
    assert thumb.stat().st_size <= thumbnails.LIMIT
    assert json.loads((out / "book" / "scoreboard.json").read_text())["claims"][0]["page"] == "lab/done"
    assert (out / "_static" / "mathjax" / "startup.js").is_file()

    watched = {f: out / f for f in ("notebooks/lab/done.html", "book/scoreboard.html", "book/gallery.html", "book/how-to-read.html")}
    times = {f: p.stat().st_mtime_ns for f, p in watched.items()}
    assert build(book.root, out).returncode == 0
    assert {f: p.stat().st_mtime_ns for f, p in watched.items()} == times
    result = book.result("lab/done")
    result.write_text(result.read_text().replace("A processor", "Another processor"))
    assert build(book.root, out).returncode == 0
    assert {f for f, p in watched.items() if p.stat().st_mtime_ns != times[f]} == set(watched) - {"book/how-to-read.html"}
    assert "Another processor" in watched["notebooks/lab/done.html"].read_text()


@pytest.mark.slow
def test_a_reference_that_leads_nowhere_fails_the_strict_build_only(book):
    intro = book.root / "book" / "chapters" / "lab.md"
    intro.write_text(intro.read_text() + "\nSee [that](no-such-page).\n")
    out = book.root / "_build" / "html"
    for _ in range(2):  # the second time, nothing has changed
        run = build(book.root, out)
        assert run.returncode == 1
        assert "no-such-page" in run.stderr
    assert build(book.root, out, strict=False).returncode == 0

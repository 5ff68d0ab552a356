"""Search with Sphinx's own index: the order of results, and what is said of a paper below its title.

Sphinx would fetch every page it finds, whole, to quote a line of it; the book says who wrote the paper instead, from one small file.
"""

import json
from pathlib import Path

from docutils import nodes

from press.site import wording
from press.site.model import Paper, Site

SCRIPT = Path(__file__).with_name("search.js")
LINES = "_static/papers.json"


def setup(app) -> None:
    app.connect("config-inited", _configure)
    app.connect("doctree-read", _part_cells)


def _configure(app, config) -> None:
    config.html_search_scorer = str(SCRIPT)
    config.html_show_search_summary = False


def _part_cells(app, doctree: nodes.document) -> None:
    """Sphinx indexes a table of an output without its tags, and would run the last word of a cell into the first of the next."""
    for table in doctree.findall(nodes.raw):
        html = table.astext()
        if 'class="encore-verdicts"' in html:
            table.children = [nodes.Text(html.replace("</td>", "</td> ").replace("<br>", "<br> "))]


def line(site: Site, paper: Paper) -> str:
    """Authors, year, chapter and verdicts of a published paper."""
    verdicts = ", ".join(dict.fromkeys(v for _, v in paper.verdicts))
    return f"{wording.authors(paper.entry, 3)}, {paper.entry.year}. {site.chapter(paper.entry.chapter).title}: {verdicts}"


def write(site: Site, out: Path) -> None:
    """Write papers.json: name of each published paper -> its line."""
    lines = {p.entry.name: line(site, p) for p in site.published}
    (out / LINES).write_text(json.dumps(lines, ensure_ascii=False), encoding="utf-8")

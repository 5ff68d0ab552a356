"""What the search page is given, and what makes a large book quick: shortcuts that must not change what is found."""

import ast
import json
from pathlib import Path

from docutils import nodes

from press import key, library
from press.site import bibliography, exercises, header, model, search

ROOT = Path(__file__).resolve().parents[2]


def test_the_line_of_every_published_paper(tmp_path):
    (tmp_path / "_static").mkdir()
    site = model.read(ROOT)
    search.write(site, tmp_path)
    lines = json.loads((tmp_path / "_static" / "papers.json").read_text())
    assert list(lines) == [p.entry.name for p in site.published]
    for p in site.published:
        assert p.entry.authors[0] in lines[p.entry.name]
        assert str(p.entry.year) in lines[p.entry.name]


def test_words_of_neighbouring_cells_stay_apart():
    document = nodes.container("", nodes.raw("", '<table class="encore-verdicts"><td><code>rate</code><br>It falls.</td><td>Theorem</td>'))
    search._part_cells(None, document)
    assert "</code><br> It falls.</td> <td>" in document[0].astext()


def test_a_page_s_own_bibliography_is_recognised():
    filter_ = next(line for line in header.CITED.splitlines() if line.startswith(":filter:")).removeprefix(":filter:").strip()
    assert ast.dump(ast.parse(filter_)) == bibliography.HERE


def test_a_stored_exercise_lets_go_of_its_page():
    document = nodes.document(None, None)
    stored = nodes.container("", nodes.paragraph("", "Add."))
    document += stored
    assert stored.document is document
    copy = stored.deepcopy()
    exercises._detach(copy)
    assert [part._document for part in copy.findall()] == [None] * 3


def test_the_imports_of_a_script_are_found_without_parsing_it():
    scripts = sorted((ROOT / "notebooks").glob("*/*.py"))
    assert scripts
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        statements = "\n".join(library.IMPORT.findall(text))
        assert {m for m in key.imports(text) if m.split(".")[0] == "encore"} == key.imports(statements)

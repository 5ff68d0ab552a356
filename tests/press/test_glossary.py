"""Glossary tips: which words become tips, where, and when pages are written again."""

import re
from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from sphinx.testing.util import SphinxTestApp

from press.site import glossary

PROJECT = Path(__file__).resolve().parents[2]
RATE = glossary.Entry("rate", ("learning rate",), "How far.", False)
HESSIAN = glossary.Entry("hessian", ("Hessian",), "Second derivatives.", False)
POLICY = glossary.Entry("policy", ("policy",), "A rule.", False)
SGD = glossary.Entry("sgd", ("stochastic gradient descent", "SGD"), "With minibatches.", False)
DESCENT = glossary.Entry("gd", ("gradient descent",), "With everything.", False)
TRACE = glossary.Entry("trace", ("trace (of a matrix)",), "A sum.", False)
ALL = (RATE, HESSIAN, POLICY, SGD, DESCENT, TRACE)


def found(text, known=ALL):
    return [(text[a:b], entry.id) for a, b, entry in glossary.Terms(known).find(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The learning rate and learning\nrates; Learning rates too.", ["learning rate", "learning\nrates", "Learning rates"]),
        ("LEARNING RATE, learning-rate schedule, unlearning rate, learning rate-free", []),
        ("The Hessian's trace; Hessians; hessian; Hessian-vector; Gauss-Hessian", ["Hessian", "Hessians"]),
        ("policies, Policy, policymaker", ["policies", "Policy"]),
        ("stochastic gradient descent, gradient descent, SGD, SGDs, sgd", ["stochastic gradient descent", "gradient descent", "SGD"]),
    ],
)
def test_whole_words_plurals_and_capitals(text, words):
    assert [w for w, _ in found(text)] == words


def test_an_empty_glossary_finds_nothing():
    assert found("any words", ()) == []


def marked(source, known=ALL):
    doctree = publish_doctree(source, settings_overrides={"report_level": 5})
    glossary.mark(doctree, glossary.Terms(known), "../glossary.html")
    return [(r.astext(), r["refuri"]) for r in doctree.findall(nodes.reference) if glossary.CLASS in r["classes"]], doctree


def test_only_the_first_use_in_prose_becomes_a_tip():
    source = """
The learning rate
=================

See `learning rate <https://example.org>`_, ``learning rate``, *learning rate* and **learning rate**.

===============  ===
 learning rate    1
===============  ===

.. figure:: x.png

   A learning rate.

.. class:: encore-note

Generated: learning rate.

- A learning rate, then another learning rate.

The Hessian and the learning rate.
"""
    tips, doctree = marked(source)
    assert tips == [("learning rate", "../glossary.html#rate"), ("Hessian", "../glossary.html#hessian")]
    first = next(r for r in doctree.findall(nodes.reference) if glossary.CLASS in r["classes"])
    assert (first.parent.astext(), first["reftitle"]) == ("A learning rate, then another learning rate.", "How far.")


def test_terms_of_one_entry_share_one_tip():
    assert [w for w, _ in marked("SGD is stochastic gradient descent.")[0]] == ["SGD"]


SOURCE = """\
Glossary
========

Words of this book
------------------

.. glossary::

   claim
     A sentence made testable.

Words of the field
------------------

.. glossary::
   :sorted:

   momentum
     An average.

     And more.

   Adam
     An optimiser.
"""


@pytest.fixture
def small(tmp_path):
    """A book of three documents; returns a function that builds it and says which documents were read and written."""
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "conf.py").write_text("extensions = ['press.site.glossary']\nhtml_static_path = []\n")
    (tmp_path / "index.rst").write_text("Top\n===\n\nA claim.\n\n.. toctree::\n\n   book/glossary\n   notebooks/page\n")
    (tmp_path / "book" / "glossary.rst").write_text(SOURCE)
    (tmp_path / "notebooks" / "page.rst").write_text("Page\n====\n\nA claim on momentum and Adam.\n")

    def build():
        app = SphinxTestApp("html", srcdir=tmp_path)
        read, written = [], []
        app.connect("source-read", lambda app, name, source: read.append(name))
        app.connect("doctree-resolved", lambda app, doctree, name: written.append(name))
        app.build()
        page = Path(app.outdir, "notebooks", "page.html").read_text()
        top = Path(app.outdir, "index.html").read_text()
        app.cleanup()
        return sorted(set(read)), sorted(set(written)), page, top

    build.root = tmp_path
    return build


def test_pages_follow_the_glossary_without_being_read_again(small):
    read, _, page, top = small()
    assert len(read) == 3
    assert '<a class="encore-term reference internal" href="../book/glossary.html#term-momentum" title="An average.">momentum</a>' in page
    assert "A claim on" in page  # the book's own words are everyday words on a paper's page
    assert 'href="book/glossary.html#term-claim" title="A sentence made testable.">claim</a>' in top
    assert small()[:2] == ([], [])
    source = small.root / "book" / "glossary.rst"
    source.write_text(SOURCE.replace("An average.", "A running average."))
    read, written, page, _ = small()
    assert read == ["book/glossary"]
    assert written == ["book/glossary", "index", "notebooks/page"]
    assert 'title="A running average."' in page
    source.write_text(source.read_text() + "\nMore words about nothing.\n")
    read, written, *_ = small()
    assert read == ["book/glossary"]
    assert "notebooks/page" not in written  # the entries are the same


def test_the_project_s_glossary_is_fit_for_tips():
    text = (PROJECT / "book" / "glossary.md").read_text(encoding="utf-8")
    said = [" ".join(block.split()) for block in re.findall(r"(?:^  \S.*\n)+", text, flags=re.MULTILINE)]
    assert len(said) >= 60
    for tip in said:
        assert not set(tip) & set("${}\\"), f"a tip is plain text, without formulas and roles: {tip}"
        assert tip.endswith("."), f"a tip is made of sentences: {tip}"
        assert len(tip) < 260, f"a tip is one or two sentences: {tip}"

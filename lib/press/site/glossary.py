"""Glossary tips: the first use of a term in a page's prose becomes a link to its entry, with the entry's first paragraph as a tip.

Nothing is edited in the pages: tips are put in when a page is written. The glossary is book/glossary.md. Its terms are matched as
whole words, in the plural too; a term in small letters also at the beginning of a sentence. The book's own words (claim, key, ...)
are everyday words, or words of the field, on the papers' pages, so there they are left alone. A term with a note in parentheses,
`trace (of a matrix)`, is too common a word to be matched anywhere.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from docutils import nodes
from sphinx import addnodes

DOCNAME = "book/glossary"
OWN = "words-of-this-book"
"""Id of the glossary's section with the book's own words."""
PAGES = "notebooks/"
CLASS = "encore-term"
SCRIPT = "glossary.js"
NO_PROSE = (
    nodes.table,
    nodes.figure,
    nodes.title,
    nodes.term,
    nodes.rubric,
    nodes.topic,
    nodes.footnote,
    nodes.citation,
    nodes.literal_block,
    nodes.math_block,
    nodes.raw,
    addnodes.glossary,
    addnodes.toctree,
)
NO_WORDS = (
    nodes.reference,
    nodes.literal,
    nodes.math,
    nodes.raw,
    nodes.strong,
    nodes.emphasis,
    nodes.image,
    nodes.citation_reference,
    nodes.footnote_reference,
    addnodes.pending_xref,
    addnodes.download_reference,
)


@dataclass(frozen=True)
class Entry:
    """A glossary entry: the id of its first term, its terms, what the tip says, and whether it is one of the book's own words."""

    id: str
    terms: tuple[str, ...]
    tip: str
    own: bool


def entries(doctree: nodes.document) -> tuple[Entry, ...]:
    """The entries of the glossary's document."""
    found = []
    for glossary in doctree.findall(addnodes.glossary):
        own = OWN in glossary.parent.get("ids", [])
        for item in glossary.findall(nodes.definition_list_item):
            terms = [n for n in item.children if isinstance(n, nodes.term)]
            said = next(item.findall(nodes.paragraph)).astext()
            found.append(Entry(terms[0]["ids"][0], tuple(t.astext() for t in terms), " ".join(said.split()), own))
    return tuple(found)


def forms(term: str) -> list[str]:
    """How a term may be written: singular and plural, and with a capital if it has none of its own. None for a term with a note."""
    if term.endswith(")"):
        return []
    last = term.split()[-1]
    out = [term]
    if not last.isupper() and not last.endswith("s") and last[-1].isalpha():
        if re.search(r"[^aeiou]y$", last):
            out.append(term[:-1] + "ies")
        else:
            out.append(term + ("es" if re.search(r"(x|z|ch|sh)$", last) else "s"))
    if term == term.lower():
        out += [form[0].upper() + form[1:] for form in out]
    return out


class Terms:
    """Finds terms in text."""

    def __init__(self, known: tuple[Entry, ...]):
        self.entries = {form: entry for entry in known for term in entry.terms for form in forms(term)}
        longest_first = sorted(self.entries, key=len, reverse=True)
        words = "|".join(r"\s+".join(map(re.escape, form.split())) for form in longest_first)
        self.pattern = re.compile(rf"(?<![\w-])(?:{words})(?![\w-])") if words else re.compile(r"(?!)")

    def find(self, text: str) -> Iterator[tuple[int, int, Entry]]:
        """(start, end, entry) of every term in `text`, from left to right."""
        for match in self.pattern.finditer(text):
            yield match.start(), match.end(), self.entries[" ".join(match.group().split())]


@lru_cache(maxsize=4)
def _terms(known: tuple[Entry, ...], page: bool) -> Terms:
    return Terms(tuple(e for e in known if not (page and e.own)))


def texts(node: nodes.Element, prose: bool = False) -> Iterator[nodes.Text]:
    """The text nodes in which tips may stand: paragraphs outside tables, captions, outputs of cells and generated parts; in them no links,
    code, formulas, or emphasised words, which are often headings or definitions themselves."""
    for child in node.children:
        if isinstance(child, nodes.Text):
            if prose:
                yield child
        elif not isinstance(child, NO_WORDS if prose else NO_PROSE) and not _generated(child):
            yield from texts(child, prose or isinstance(child, nodes.paragraph))


def _generated(node: nodes.Element) -> bool:
    return any(c == "cell_output" or c.startswith("encore-") for c in node.get("classes", ()))


def mark(doctree: nodes.document, terms: Terms, address: str) -> None:
    """Turn the first use of every entry in `doctree` into a link to `address#id`."""
    used: set[str] = set()
    for text in list(texts(doctree)):
        pieces, done, words = [], 0, text.astext()
        for start, end, entry in terms.find(words):
            if entry.id in used:
                continue
            used.add(entry.id)
            shown = words[start:end]
            tip = nodes.reference("", shown, refuri=f"{address}#{entry.id}", reftitle=entry.tip, internal=True, classes=[CLASS])
            pieces += [nodes.Text(words[done:start]), tip]
            done = end
        if pieces:
            text.parent.replace(text, [n for n in [*pieces, nodes.Text(words[done:])] if n.astext()])


def setup(app) -> None:
    app.connect("doctree-read", _collect)
    app.connect("env-merge-info", _merge)
    app.connect("env-updated", _changed)
    app.connect("doctree-resolved", _mark)
    app.add_js_file(SCRIPT, loading_method="defer")


def _collect(app, doctree) -> None:
    if app.env.docname == DOCNAME:
        app.env.encore_glossary = entries(doctree)


def _merge(app, env, docnames, other) -> None:
    if DOCNAME in docnames:
        env.encore_glossary = other.encore_glossary


def _changed(app, env) -> list[str]:
    """All documents are written again, but not read, when an entry has changed."""
    now = getattr(env, "encore_glossary", ())
    before, env.encore_glossary_shown = getattr(env, "encore_glossary_shown", ()), now
    return sorted(env.found_docs) if now != before else []


def _mark(app, doctree, docname: str) -> None:
    known = getattr(app.env, "encore_glossary", ())
    if known and docname != DOCNAME and app.builder.format == "html":
        mark(doctree, _terms(known, docname.startswith(PAGES)), app.builder.get_relative_uri(docname, DOCNAME))

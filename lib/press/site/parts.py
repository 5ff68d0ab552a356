"""Small docutils builders, so that generated pages are real documents: their links are checked, and every builder can write them."""

from collections.abc import Iterable

from docutils import nodes
from sphinx import addnodes

Content = nodes.Node | str


def inline(*content: Content, classes: Iterable[str] = ()) -> nodes.inline:
    return nodes.inline("", "", *map(text, content), classes=list(classes))


def text(content: Content) -> nodes.Node:
    return nodes.Text(content) if isinstance(content, str) else content


def title(words: str) -> nodes.inline:
    """A paper's title; `$...$` in it is mathematics."""
    pieces = words.split("$")
    return inline(*(nodes.math(p, p) if k % 2 else p for k, p in enumerate(pieces) if p))


def paragraph(*content: Content, classes: Iterable[str] = ()) -> nodes.paragraph:
    return nodes.paragraph("", "", *map(text, content), classes=list(classes))


def container(*content: nodes.Node, classes: Iterable[str]) -> nodes.container:
    return nodes.container("", *content, classes=list(classes))


def code(value: str) -> nodes.literal:
    return nodes.literal("", value)


def bullets(items: Iterable[Iterable[Content]], classes: Iterable[str] = ()) -> nodes.bullet_list:
    rows = [nodes.list_item("", paragraph(*item)) for item in items]
    return nodes.bullet_list("", *rows, classes=list(classes))


def external(label: str, url: str) -> nodes.reference:
    return nodes.reference("", label, refuri=url, internal=False)


def link(docname: str, label: Content, refdoc: str) -> addnodes.pending_xref:
    """A link to a document of the book; Sphinx warns if it does not exist."""
    return addnodes.pending_xref(
        "", inline(label), refdomain="std", reftype="doc", reftarget=f"/{docname}", refexplicit=True, refdoc=refdoc, refwarn=True
    )


def slug(verdict: str) -> str:
    """A verdict as a CSS class or a query value: `not reproduced` -> `not-reproduced`."""
    return verdict.replace(" ", "-")


def badge(verdict: str) -> nodes.inline:
    """A verdict as text with a shape and a colour (the shape comes from the style sheet)."""
    return inline(verdict, classes=["encore-verdict", f"is-{slug(verdict)}"])


def table(head: list[str], rows: Iterable[tuple[list[list[nodes.Node]], list[str]]], classes: Iterable[str]) -> nodes.table:
    """A table; each row is (cells, classes) and each cell a list of block nodes."""

    def row(cells, classes=()):
        return nodes.row("", *(nodes.entry("", *cell) for cell in cells), classes=list(classes))

    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", row([[paragraph(h)] for h in head]))
    group += nodes.tbody("", *(row(*r) for r in rows))
    return nodes.table("", group, classes=["encore-table", *classes])

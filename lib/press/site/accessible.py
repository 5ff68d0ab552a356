"""Repairs of what other packages tell screen readers: cited works are a list, and what is folded is called by its name."""

from docutils import nodes
from myst_nb import sphinx_ as myst_nb


def visit_citation(writer, node: nodes.citation) -> None:
    """docutils gives the entries of its list a role that is no longer one."""
    type(writer).visit_citation(writer, node)
    writer.body[-1] = writer.body[-1].replace('role="doc-biblioentry"', 'role="listitem"')


def depart_citation(writer, node: nodes.citation) -> None:
    type(writer).depart_citation(writer, node)


def visit_folded(writer, node: myst_nb.HideCodeCellNode) -> None:
    """myst-nb calls every folded cell "Toggle hidden content", whatever stands on it."""
    start = len(writer.body)
    myst_nb.visit_HideCellInput(writer, node)
    writer.body[start:] = [part.replace(' aria-label="Toggle hidden content"', "") for part in writer.body[start:]]


def setup(app) -> None:
    app.add_node(nodes.citation, override=True, html=(visit_citation, depart_citation))
    app.add_node(myst_nb.HideCodeCellNode, override=True, html=(visit_folded, myst_nb.depart_HideCellInput))

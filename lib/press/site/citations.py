"""The list of cited works as a list that screen readers know: docutils gives its entries a role that is no longer one."""

from docutils import nodes


def visit_html(writer, node: nodes.citation) -> None:
    type(writer).visit_citation(writer, node)
    writer.body[-1] = writer.body[-1].replace('role="doc-biblioentry"', 'role="listitem"')


def depart_html(writer, node: nodes.citation) -> None:
    type(writer).depart_citation(writer, node)


def setup(app) -> None:
    app.add_node(nodes.citation, override=True, html=(visit_html, depart_html))

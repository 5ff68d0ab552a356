"""sphinxcontrib-bibtex as it is, in a fraction of the time: with a bibliography on every page its own work grows with their square.

At 274 pages it took ten seconds of every build, also of one that has nothing to do.
"""

import ast
from collections.abc import Iterable, Iterator

from sphinxcontrib.bibtex.domain import BibtexDomain

HERE = ast.dump(ast.parse("docname in docnames"))
"""The filter of a page's own bibliography."""


class Bibliographies(BibtexDomain):
    """What was read decides: citations are collected again if anything was, and a page's own from what that page cites."""

    def env_updated(self) -> Iterable[str]:
        if not self.env.app.encore_reading:
            return []
        return super().env_updated()

    def get_filtered_entries(self, bibliography_key) -> Iterator[tuple]:
        bibliography = self.bibliographies[bibliography_key]
        if ast.dump(bibliography.filter_) != HERE:
            yield from super().get_filtered_entries(bibliography_key)
            return
        cited = {t.key for ref in self.citation_refs if ref.docname == bibliography_key.docname for t in ref.targets}
        for entry in self.get_entries(bibliography.bibfiles):
            key = bibliography.keyprefix + entry.key
            if key in cited or entry.key in bibliography.keys:
                yield key, entry

    def get_all_cited_keys(self, docnames: list[str]) -> Iterator[str]:
        place = {name: k for k, name in enumerate(docnames)}
        for ref in sorted(self.citation_refs, key=lambda r: place[r.docname]):
            yield from (t.key for t in ref.targets)

    def get_formatted_entries(self, bibliography_key, docnames, tooltips, tooltips_style) -> Iterator[tuple]:
        """A tip says what the bibliography says, so it is not formatted a second time."""
        for entry, formatted, _ in super().get_formatted_entries(bibliography_key, docnames, False, ""):
            yield entry, formatted, formatted if tooltips else None


def setup(app) -> None:
    app.add_domain(Bibliographies, override=True)
    app.connect("env-before-read-docs", _note)


def _note(app, env, docnames: list[str]) -> None:
    app.encore_reading = bool(docnames)

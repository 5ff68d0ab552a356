"""Internal links of the built book: every address and every anchor must exist."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """Collects a page's anchors and the addresses it refers to."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.addresses: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        for key in ("id", "name"):
            if found.get(key) and (key == "id" or tag == "a"):
                self.ids.add(found[key])
        for key in ("href", "src"):
            if found.get(key) and tag != "base":
                self.addresses.add(found[key])


def broken(out: Path) -> list[str]:
    """One line per internal link of the HTML below `out` that leads nowhere: `page: address (reason)`. Nothing is fetched."""
    out = out.resolve()
    found = [path for path in sorted(out.rglob("*.html")) if path.relative_to(out).parts[0] != "_static"]  # the theme's templates lie there
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in found}
    problems = []
    for path, page in pages.items():
        for address in sorted(page.addresses):
            if reason := _problem(address, path, pages, out):
                problems.append(f"{path.relative_to(out)}: {address} ({reason})")
    return problems


def _problem(address: str, path: Path, pages: dict[Path, _Page], out: Path) -> str | None:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return None
    target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
    if target.is_dir():
        target = target / "index.html"
    if not target.is_relative_to(out):
        return "outside the book"
    if not target.is_file():
        return "no such file"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].ids:
        return "no such anchor"
    return None

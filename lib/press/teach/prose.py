"""The prose of a page as plain Markdown, its citations written out: a notebook program knows neither MyST nor our .bib files."""

import re
from functools import cache
from pathlib import Path

from pybtex.database import Entry, parse_file
from pybtex.richtext import Text

_CITE = re.compile(r"\{cite:?(\w*)\}`([^`]+)`")


@cache
def bibliography(root: Path) -> dict[str, Entry]:
    """Every work of book/references.bib and book/bib, by key. Read once; pybtex's errors pass through."""
    works: dict[str, Entry] = {}
    for path in (root / "book" / "references.bib", *sorted((root / "book" / "bib").glob("*.bib"))):
        if path.is_file():
            works.update(parse_file(str(path)).entries)
    return works


def written_out(text: str, works: dict[str, Entry]) -> str:
    """`{cite:t}` becomes "Chen et al. (2023)", every other citation "(Chen et al., 2023; ...)". An unknown key stays as it is."""

    def replace(m: re.Match) -> str:
        cited = [(k.strip(), works.get(k.strip())) for k in m[2].split(",")]
        if m[1] == "t":
            return ", ".join(f"{_who(w)} ({w.fields['year']})" if w else k for k, w in cited)
        return "(" + "; ".join(f"{_who(w)}, {w.fields['year']}" if w else k for k, w in cited) + ")"

    return _CITE.sub(replace, text)


def cited(texts: list[str]) -> list[str]:
    """Keys of the works that the texts cite, in the order of their first citation."""
    return list(dict.fromkeys(k.strip() for text in texts for m in _CITE.finditer(text) for k in m[2].split(",")))


def reference(work: Entry) -> str:
    """One line of a list of references: authors, year, title, where it appeared, a link if one is known."""
    fields = work.fields
    names = [_plain(" ".join(p.first_names + p.middle_names + p.prelast_names + p.last_names)) for p in _people(work)]
    shown = ", ".join(names) if len(names) < 7 else f"{', '.join(names[:6])} et al."
    where = _plain(next((fields[f] for f in ("journal", "booktitle", "publisher") if f in fields), ""))
    address = next((base + fields[f] for f, base in (("doi", "https://doi.org/"), ("url", ""), ("howpublished", "")) if f in fields), "")
    address = re.sub(r"^\\url\{(.*)\}$", r"\1", address)
    if not address and fields.get("archiveprefix", "").lower() == "arxiv":
        address = f"https://arxiv.org/abs/{fields['eprint']}"
    made = f"{shown} ({fields['year']})" if shown else fields["year"]
    told = [made, f"*{_plain(fields['title'])}*", where, f"<{address}>" if address else ""]
    return ". ".join(t for t in told if t) + ("" if address else ".")


def _people(work: Entry):
    return work.persons.get("author") or work.persons.get("editor") or []


def _who(work: Entry) -> str:
    last = [_plain(" ".join(p.prelast_names + p.last_names)) for p in _people(work)]
    if not last:
        return _plain(work.fields["title"])
    return " and ".join(last) if len(last) < 3 else f"{last[0]} et al."


def _plain(latex: str) -> str:
    return str(Text.from_latex(latex))

"""Numbers and names as the book writes them."""

import re
import unicodedata

from encore.register import Entry

_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_BRACES = str.maketrans("", "", "{}")


def authors(entry: Entry, most: int | None = None) -> str:
    """Names separated by commas, at most `most` of them; says so where none are known."""
    names = entry.authors
    if not names:
        return "authors not recorded"
    return ", ".join(names) if most is None or len(names) <= most else f"{', '.join(names[:most])} et al."


def source(entry: Entry) -> str:
    """All authors, then where and when: `A. Author. Venue, 2024.`; the year once."""
    venue = entry.venue or str(entry.year)
    return f"{authors(entry)}. {venue}{'' if str(entry.year) in venue else f', {entry.year}'}."


def plain(title: str) -> str:
    """A title without mathematics: `$BT^2$` is BT², `$\\infty$` is ∞, `$\\alpha$` is α. For lists that need no formula renderer."""

    def letter(found: re.Match) -> str:
        name = found[1]
        if name == "infty":
            return "∞"
        try:
            return unicodedata.lookup(f"GREEK {'CAPITAL' if name[0].isupper() else 'SMALL'} LETTER {name.upper()}")
        except KeyError:
            return name

    def formula(found: re.Match) -> str:
        text = re.sub(r"\^\{?(\d+)\}?", lambda power: power[1].translate(_RAISED), found[1])
        return re.sub(r"\\([A-Za-z]+)", letter, text).translate(_BRACES)

    return re.sub(r"\$([^$]*)\$", formula, title)


def seconds(s: float) -> str:
    return f"{s:.0f} s" if s >= 10 else f"{s:.1f} s"


def duration(s: float) -> str:
    """Seconds below two minutes, minutes below two hours, then hours."""
    if s < 120:
        return seconds(s)
    return f"{s / 60:.0f} min" if s < 7200 else f"{s / 3600:.1f} h"


def count(n: int, one: str, many: str | None = None) -> str:
    """`1 page`, `2 pages`."""
    return f"{n} {one if n == 1 else many or one + 's'}"

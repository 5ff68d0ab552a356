"""Numbers and names as the book writes them."""

from encore.register import Entry


def authors(entry: Entry, most: int | None = None) -> str:
    """Names separated by commas, at most `most` of them; says so where none are known."""
    names = entry.authors
    if not names:
        return "authors not recorded"
    return ", ".join(names) if most is None or len(names) <= most else f"{', '.join(names[:most])} et al."


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

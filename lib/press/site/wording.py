"""Numbers and names as the book writes them."""

from typing import Any

from encore import page
from encore.register import Entry


def authors(entry: Entry, most: int | None = None) -> str:
    """Names separated by commas, at most `most` of them; says so where none are known."""
    names = entry.authors
    if not names:
        return "authors not recorded"
    return ", ".join(names) if most is None or len(names) <= most else f"{', '.join(names[:most])} et al."


_RAISED = str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(x: float) -> str:
    """A number as in the verdict tables, with a raised exponent."""
    mantissa, power, exponent = page.number(x).partition("^")
    return mantissa + exponent.translate(_RAISED) if power else mantissa


def ours(test: dict[str, Any]) -> str:
    """A measured value with its interval: `0.31 [0.28, 0.34]`, or a dash."""
    if test["value"] is None:
        return "–"
    if test["low"] is None:
        return number(test["value"])
    return f"{number(test['value'])} [{number(test['low'])}, {number(test['high'])}]"


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

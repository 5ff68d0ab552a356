"""The theme's icons, a font with the two dozen that the book shows: the theme's own script and fonts hold all of Font Awesome, 1.7 MB."""

import importlib.util
import re
from pathlib import Path

from press.files import PressError
from press.site import fonts

SHOWN = {
    "angle-down": 0xF107,
    "angle-left": 0xF104,
    "angle-right": 0xF105,
    "arrow-up": 0xF062,
    "bars": 0xF0C9,
    "bell": 0xF0F3,
    "chevron-down": 0xF078,
    "circle-half-stroke": 0xF042,
    "download": 0xF019,
    "exclamation-circle": 0xF06A,
    "exclamation-triangle": 0xF071,
    "external-link": 0xF35D,
    "info-circle": 0xF05A,
    "lightbulb": 0xF0EB,
    "list": 0xF03A,
    "magnifying-glass": 0xF002,
    "moon": 0xF186,
    "pencil": 0xF303,
    "search-minus": 0xF010,
    "share": 0xF064,
    "sun": 0xF185,
    "xmark": 0xF00D,
}
"""Icons in the theme's templates and its style sheet, and their code points in Font Awesome."""

FONT = "icons.woff"
"""Relative to `_static`; encore.css names it."""

SCRIPT = "scripts/fontawesome.js"
STYLE = "styles/pydata-sphinx-theme.css"
NAMES = re.compile(r'(?:\.fa-[a-z0-9-]+::?before,?)+\{content:"[^"]*"\}')
"""The style sheet's two thousand rules that say which icon has which code point, a third of its compressed size."""

WHY = "/* icons.woff: some icons of Font Awesome Free by @fontawesome, https://fontawesome.com, SIL OFL 1.1 */\n"


def write(out: Path) -> None:
    """The small font, a style sheet with these icons alone, no script. Raises PressError for an icon that the font lacks."""
    static = out / "_static"
    (static / SCRIPT).write_text(WHY, encoding="utf-8")
    style = (static / STYLE).read_text(encoding="utf-8")
    kept = "".join(f'.fa-{name}:before{{content:"\\{point:x}"}}' for name, point in SHOWN.items())
    (static / STYLE).write_text(NAMES.sub("", style) + kept, encoding="utf-8")
    if not (static / FONT).is_file():
        _subset(_source(), static / FONT)


def _source() -> Path:
    place = Path(importlib.util.find_spec("pydata_sphinx_theme").origin).parent / "theme" / "pydata_sphinx_theme" / "static"
    found = place / "vendor" / "fontawesome" / "webfonts" / "fa-solid-900.ttf"
    if not found.is_file():
        raise PressError(f"pydata_sphinx_theme has no {found.relative_to(place)} any more; find its icons and mend press/site/icons.py")
    return found


def _subset(source: Path, target: Path) -> None:
    if lacking := {name for name, point in SHOWN.items() if point not in fonts.characters(source)}:
        raise PressError(f"the theme's icon font has no {', '.join(sorted(lacking))} any more; correct SHOWN in press/site/icons.py")
    fonts.subset(source, target, SHOWN.values())

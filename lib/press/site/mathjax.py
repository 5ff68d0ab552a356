"""Mathematics without a network: MathJax 3 from the package sphinx-mathjax-offline, only the parts a page can ask for.

The parts are loaded one by one: the package's ready-made bundle with its menu is half as large again.
"""

import importlib.util
import shutil
from pathlib import Path

from sphinx.domains.math import MathDomain

from press.files import PressError

PATH = "mathjax/startup.js"
"""Relative to the built book's _static folder."""

CONFIG = {
    "loader": {"load": ["input/tex", "output/chtml", "a11y/assistive-mml"]},
    "options": {"enableAssistiveMml": True},
}
"""Without the menu, whose settings would be one more thing to load; formulas are read aloud from MathML."""

NEEDED = (
    "startup.js",
    "core.js",
    "input/tex.js",
    "input/tex/extensions/*.js",
    "output/chtml.js",
    "output/chtml/fonts/tex.js",
    "output/chtml/fonts/woff-v2/*.woff",
    "a11y/assistive-mml.js",
)


class PageMath(MathDomain):
    """A page loads MathJax for its own formulas; Sphinx would also load it for those of the pages below it."""

    def has_equations(self, docname: str | None = None) -> bool:
        return self.data["has_equations"].get(docname, False) if docname else super().has_equations()


def source() -> Path:
    """The package's copy of MathJax. Raises PressError if it is not installed."""
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    place = Path(spec.submodule_search_locations[0]) / "static" / "mathjax" if spec else None
    if place is None or not (place / NEEDED[0]).is_file():
        raise PressError("the package sphinx-mathjax-offline is missing or incomplete; install what requirements.lock lists: make setup")
    return place


def copy(out: Path) -> None:
    """Put MathJax into the built book, once."""
    origin, target = source(), out / "_static" / "mathjax"
    for pattern in NEEDED:
        for file in origin.glob(pattern):
            place = target / file.relative_to(origin)
            if not place.is_file() or place.stat().st_size != file.stat().st_size:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)

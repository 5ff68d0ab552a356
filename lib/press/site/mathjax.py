"""Mathematics without a network: MathJax 3 from the package sphinx-mathjax-offline, only the parts a page can ask for.

The parts are loaded one by one: the package's ready-made bundle with its menu is half as large again. The largest fonts are split
in two, the characters that most formulas use and the others, and the style sheet's unicode-range lets a browser fetch the second part
only for a page that needs it.
"""

import importlib.util
import re
import shutil
from pathlib import Path

from sphinx.domains.math import MathDomain

from press.files import PressError
from press.site import fonts

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
    "output/chtml/fonts/woff-v2/*.woff",
    "a11y/assistive-mml.js",
)

FONTS = "output/chtml/fonts/woff-v2"
FACES = "output/chtml/fonts/tex.js"
"""The list of fonts; `copy` writes its own."""

LATIN = set(range(0x20, 0x7F))
SPLIT = {
    "Main-Regular": LATIN | set(map(ord, "\u00a0¯±×˙ΓΔΘΛΞΠΣΦΨΩ…′ℓ←→↦⇒∂∇∈∉−∗∘√∝∞∣∥∧∨∩∪∼≈≠≡≤≥⊂⊆⊕⊗⊙⊤⊥⋅⋆⋯⌈⌉⌊⌋♯⟨⟩⪯⪰")),
    "Main-Bold": LATIN,
    "AMS-Regular": set(range(ord("A"), ord("Z") + 1)),
}
"""The split fonts and the characters of their first part; blackboard-bold letters are the capitals of AMS-Regular."""


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
    """Put MathJax into the built book, once. Raises PressError if its list of fonts is not written as expected."""
    origin, target = source(), out / "_static" / "mathjax"
    for pattern in NEEDED:
        for file in origin.glob(pattern):
            place = target / file.relative_to(origin)
            if not place.is_file() or place.stat().st_size != file.stat().st_size:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)
    faces = (origin / FACES).read_text(encoding="utf-8")
    for name, first in SPLIT.items():
        faces = _split_face(faces, name, first, target / FONTS)
    (target / FACES).write_text(faces, encoding="utf-8")


def _split_face(faces: str, name: str, first: set[int], folder: Path) -> str:
    """MathJax's font faces with two in the place of one; writes the fonts of both unless they are there."""
    whole = folder / f"MathJax_{name}.woff"
    known = fonts.characters(whole)
    source = re.escape(f"""'url("%%URL%%/{whole.name}") format("woff")'""")
    found = re.search(r'"@font-face /\* (\d+) \*/":\{"font-family":"([\w-]+)",src:' + source + r"\}", faces)
    if not found or not known & first:
        raise PressError(f"MathJax's {FACES} does not name {whole.name} as expected; mend SPLIT or _split_face in press/site/mathjax.py")
    number, family = found.groups()
    both = []
    for part, characters in (("first", known & first), ("other", known - first)):
        file = folder / f"{whole.stem}-{part}.woff"
        if not file.is_file() or fonts.characters(file) != characters:
            fonts.subset(whole, file, characters)
        both.append(
            f'"@font-face /* {number} {part} */":{{"font-family":"{family}",'
            f"src:'url(\"%%URL%%/{file.name}\") format(\"woff\")',\"unicode-range\":\"{fonts.unicode_range(characters)}\"}}"
        )
    return faces.replace(found[0], ",".join(both))

"""Mathematics without a network: MathJax 3 from the package sphinx-mathjax-offline, only the files a page can ask for."""

import importlib.util
import shutil
from pathlib import Path

from press.files import PressError

PATH = "mathjax/tex-chtml.js"
"""Relative to the built book's _static folder."""

NEEDED = ("tex-chtml.js", "output/chtml/fonts/woff-v2/*.woff", "input/tex/extensions/*.js")


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

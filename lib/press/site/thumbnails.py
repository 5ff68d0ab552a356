"""Thumbnails of the gallery: the first figure of a page, made small from the stored notebook."""

import base64
import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from PIL import Image

from press.files import PressError
from press.site.figures import PICTURE, PLAIN, tag
from press.site.model import Paper

BOX = (360, 220)
"""Largest width and height in pixels; shown at half of it or more."""
LIMIT = 6_000
"""Bytes."""
QUALITIES = (75, 60, 45, 35)


class encore_thumbnail(nodes.image):
    """A small image with its size in pixels, loaded when it comes near the screen."""


@dataclass(frozen=True)
class Figure:
    """A stored figure: the bytes of its image, and what the page says of it."""

    content: bytes
    alt: str
    pictorial: bool


def first_figure(notebook: Path) -> Figure | None:
    """The first published figure of an executed notebook, None if it has none. Raises PressError for a file that is no notebook."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError) as e:
        name = f"{notebook.parent.name}/{notebook.stem}"
        raise PressError(f"{notebook} is not a notebook ({e}); run the page again: press run {name} --force") from None
    for out in (out for cell in cells for out in cell.get("outputs", [])):
        info = out.get("metadata", {}).get("encore")
        content = next((v for k, v in out.get("data", {}).items() if k.startswith("image/")), None)
        if info and content:
            return Figure(base64.b64decode("".join(content)), info["alt"], info["pictorial"])
    return None


def shrink(content: bytes) -> bytes:
    """An image of any size as WebP on white that fits BOX and LIMIT; the same bytes for the same image."""
    with Image.open(io.BytesIO(content)) as image:
        layer = image.convert("RGBA")
    small = Image.new("RGB", layer.size, "white")
    small.paste(layer, mask=layer)
    small.thumbnail(BOX, Image.Resampling.LANCZOS)
    while True:
        for quality in QUALITIES:
            out = io.BytesIO()
            small.save(out, "WEBP", quality=quality, method=4)
            if out.tell() <= LIMIT:
                return out.getvalue()
        small = small.resize((max(1, small.width * 3 // 4), max(1, small.height * 3 // 4)), Image.Resampling.LANCZOS)


def node(paper: Paper, root: Path, cache: Path) -> encore_thumbnail | None:
    """The thumbnail of a published paper, None if its page has no figure.

    It is made once and kept in `cache` under the hash of the figure and of this module.
    """
    figure = first_figure(root / f"{paper.docname}.ipynb")
    if figure is None:
        return None
    recipe = hashlib.sha256(figure.content + Path(__file__).read_bytes()).hexdigest()[:12]
    file = cache / f"{paper.docname.removeprefix('notebooks/').replace('/', '--')}-{recipe}.webp"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")  # two processes may read documents that show the same page
        part.write_bytes(shrink(figure.content))
        part.replace(file)
    with Image.open(file) as image:
        width, height = image.size
    return encore_thumbnail(
        uri="/" + os.path.relpath(file, root).replace(os.sep, "/"),
        alt=figure.alt,
        width=str(width),
        height=str(height),
        classes=["no-scaled-link", "dark-light", PICTURE if figure.pictorial else PLAIN],
    )


def visit_html(writer, node: encore_thumbnail) -> None:
    writer.body.append(tag(writer, node))


def setup(app) -> None:
    def nothing(writer, node):
        pass

    app.add_node(encore_thumbnail, html=(visit_html, nothing), latex=(nothing, nothing), text=(nothing, nothing))

"""Figures of a page (`page.figure`): a <figure> with id, alt text, caption and size, instead of a bare image."""

import io
import posixpath
import urllib.parse

from docutils import nodes
from myst_nb.core.render import MimeData, NbElementRenderer
from PIL import Image

from encore.page import RESULT_MIME

PLAIN, PICTURE = "encore-drawing", "encore-picture"
"""CSS classes: a line drawing, inverted in dark mode, and a picture, which keeps its colours."""


class encore_image(nodes.image):
    """An image with its size in pixels, loaded when it comes near the screen, linked to itself at full size."""


class MimeRenderer:
    """myst-nb plugin: renders published figures, and leaves out the result that the press collects."""

    mime_priority_overrides = ()

    @staticmethod
    def handle_mime(renderer: NbElementRenderer, data: MimeData, inline: bool) -> list[nodes.Element] | None:
        if data.mime_type == RESULT_MIME:
            return []
        info = data.output_metadata.get("encore")
        if inline or not info or not data.mime_type.startswith("image/"):
            return None
        return [figure(renderer, data, info)]


def figure(renderer: NbElementRenderer, data: MimeData, info: dict) -> nodes.figure:
    """The figure node of an output whose metadata has {name, caption, alt, pictorial}."""
    (plain,) = renderer.render_image(data)
    width, height = size(data.content)
    image = encore_image(
        uri=plain["uri"],
        alt=info["alt"],
        width=str(width),
        height=str(height),
        classes=["no-scaled-link", "dark-light", PICTURE if info["pictorial"] else PLAIN],
    )
    node = nodes.figure("", image, classes=["encore-figure"])
    document = renderer.renderer.document
    name = info["name"] if info["name"] not in document.ids else f"figure-{info['name']}"
    node["ids"].append(name)
    document.ids[name] = node
    caption = nodes.caption()
    with renderer.renderer.current_node_context(caption):
        renderer.renderer.nested_render_text(info["caption"], data.line, inline=True)
    node += caption
    return node


def size(content: str) -> tuple[int, int]:
    """(width, height) in pixels of a base64 encoded image."""
    import base64

    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        return image.size


def address(writer, node: nodes.image) -> str:
    """Where the image lies, from the page that is being written."""
    return posixpath.join(writer.builder.imgpath, urllib.parse.quote(writer.builder.images[node["uri"]]))


def tag(writer, node: nodes.image) -> str:
    """The image with its size, loaded when it comes near the screen."""
    attributes = {k: node[k] for k in ("alt", "width", "height")}
    return writer.emptytag(node, "img", "", src=address(writer, node), loading="lazy", decoding="async", **attributes)


def visit_html(writer, node: encore_image) -> None:
    writer.body.append(f'<a class="encore-full" href="{address(writer, node)}">{tag(writer, node)}</a>')


def visit_latex(writer, node: encore_image) -> None:
    plain = nodes.image(uri=node["uri"], alt=node["alt"], width="100%")
    plain.parent = node.parent
    writer.visit_image(plain)


def setup(app) -> None:
    from myst_nb.core.render import load_mime_renders

    def nothing(writer, node):
        pass

    app.add_node(encore_image, html=(visit_html, nothing), latex=(visit_latex, nothing), text=(lambda w, n: w.visit_image(n), nothing))
    plugins = load_mime_renders()  # myst-nb's own (cached) list; an entry point would need a reinstallation to be seen
    if MimeRenderer not in plugins:
        plugins.insert(0, MimeRenderer)

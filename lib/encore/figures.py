"""Figures: one style for the whole book, small files, legible in dark mode.

Line drawings are saved on white; the book's style sheet inverts their lightness in dark mode and keeps their hues. Figures that
hold pictures or colour maps (`is_pictorial`) are left as they are.
"""

import io
from typing import Any

MAX_BYTES = 40_000
"""A figure of a committed notebook is at most this large."""

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5C5C5C"]
"""Okabe and Ito's colours, distinguishable with any colour vision; the yellow, too light on white, is replaced by grey."""


class FigureError(ValueError):
    """A figure that cannot be published: no alt text, no caption, too large."""


def style() -> None:
    """Set matplotlib's defaults for the book: palette, size (6.4 x 3.6 inch), fonts, light grid, no frame."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update(
        {
            "figure.figsize": (6.4, 3.6),
            "figure.dpi": 100,
            "savefig.dpi": 150,
            "figure.constrained_layout.use": True,
            "axes.prop_cycle": cycler(color=PALETTE),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#d9d9d9",
            "grid.linewidth": 0.6,
            "axes.axisbelow": True,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "font.size": 10,
            "legend.fontsize": 9,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "lines.markersize": 5,
            "image.cmap": "cividis",
            "axes.titlelocation": "left",
        }
    )


def band(ax, x, samples, label: str, color=None, marker: str | None = None, log: bool = False):
    """Draw the mean over seeds with its 95 % interval as a band.

    x: (k,); samples: (seeds, k), finite. With `log`, mean and interval are taken of log10(samples), which must be positive.
    Returns the line.
    """
    import numpy as np

    from encore.stats import mean_interval

    samples = np.asarray(samples, float)
    values = np.log10(samples) if log else samples
    intervals = [mean_interval(column) for column in values.T]
    mean, low, high = (np.array([getattr(i, part) for i in intervals]) for part in ("value", "low", "high"))
    if log:
        mean, low, high = 10**mean, 10**low, 10**high
    (line,) = ax.plot(x, mean, label=label, color=color, marker=marker)
    ax.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    return line


def is_pictorial(fig) -> bool:
    """True if an artist shows numbers as colours (images, colour meshes, filled contours): those must not be inverted."""
    coloured = (a for a in fig.findobj() if getattr(a, "get_array", lambda: None)() is not None)
    return any(getattr(artist, "filled", True) for artist in coloured)  # contour lines are a drawing


def encode(fig) -> tuple[str, bytes]:
    """Render a matplotlib figure to at most MAX_BYTES: a quantised PNG, or a JPEG where that is smaller for pictures.

    Returns (mime type, bytes). Raises FigureError if it cannot be made small enough.
    """
    from PIL import Image

    pictorial = is_pictorial(fig)
    for dpi in (150, 125, 100):
        raw = io.BytesIO()
        fig.savefig(raw, format="png", dpi=dpi, facecolor="white")
        picture = Image.open(raw).convert("RGB")
        for colours in (128, 48):
            out = io.BytesIO()
            picture.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
            if out.tell() <= MAX_BYTES and not (pictorial and colours < 128):
                return "image/png", out.getvalue()
        if pictorial:
            for quality in (85, 70):
                out = io.BytesIO()
                picture.save(out, "JPEG", quality=quality, optimize=True)
                if out.tell() <= MAX_BYTES:
                    return "image/jpeg", out.getvalue()
    raise FigureError(
        f"the figure needs {out.tell() // 1000} kB, the limit is {MAX_BYTES // 1000} kB: fewer panels, fewer points, or a smaller figsize"
    )


def bundle(fig, name: str, caption: str, alt: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """MIME bundle and metadata of a published figure. Raises FigureError for an empty name, caption or alt text."""
    import base64

    for what, text in (("name", name), ("caption", caption), ("alt text", alt)):
        if not text or not text.strip():
            raise FigureError(f"figure {name!r} has no {what}; a reader who cannot see it needs one")
    mime, data = encode(fig)
    info = {"name": name, "caption": caption, "alt": alt, "pictorial": is_pictorial(fig)}
    return {mime: base64.b64encode(data).decode(), "text/plain": f"Figure {name}: {alt}"}, {"encore": info}

"""Figures: small, reproducible to the byte, described, and recognised when their colours must be left alone."""

import base64
import io
import re

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from encore import figures, stats
from encore.figures import MAX_BYTES, FigureError

mpl.use("Agg")
import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def book_style():
    """The book's style for one test; every figure is closed."""
    with mpl.rc_context():
        figures.style()
        yield
    plt.close("all")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def busy_lines():
    """Seven random walks of 1,000 points in each of two panels."""
    fig, axes = plt.subplots(1, 2, figsize=(8, 3.2))
    g = rng()
    for ax in axes:
        for k in range(7):
            ax.plot(g.normal(size=1000).cumsum(), label=f"seed {k}")
        ax.set(xlabel="steps", ylabel="loss")
        ax.legend()
    return fig


def bands():
    fig, ax = plt.subplots()
    for k in range(5):
        figures.band(ax, np.arange(30), rng(k).lognormal(k, 0.3, (5, 30)), f"method {k}", log=True)
    ax.set(xlabel="epoch", ylabel="loss", yscale="log")
    ax.legend()
    return fig


def digits():
    """5 x 8 pictures of sklearn's digits."""
    from sklearn.datasets import load_digits

    fig, axes = plt.subplots(5, 8, figsize=(6.4, 3.4))
    for ax, image in zip(axes.flat, load_digits().images, strict=False):
        ax.imshow(image, cmap="gray_r")
        ax.axis("off")
    return fig


def photographs():
    """4 x 8 colour pictures with smooth shades and some noise, 32 x 32."""
    fig, axes = plt.subplots(4, 8, figsize=(6.4, 3.4))
    y, x = np.mgrid[:32, :32] / 31
    for k, ax in enumerate(axes.flat):
        shade = np.stack([x * k / 32, y, np.hypot(x - 0.5, y - 0.5)], -1)
        ax.imshow(np.clip(shade + rng(k).normal(0, 0.02, shade.shape), 0, 1))
        ax.axis("off")
    return fig


def photograph():
    """One photograph: a PNG of it takes more than 40 kB at any resolution that is tried."""
    from sklearn.datasets import load_sample_image

    fig, ax = plt.subplots(figsize=(3, 2.25))
    ax.imshow(load_sample_image("china.jpg"))
    ax.axis("off")
    return fig


def landscape():
    fig, ax = plt.subplots()
    y, x = np.mgrid[-2:2:90j, -2:2:120j]
    fig.colorbar(ax.pcolormesh(x, y, np.sin(3 * x) * np.cos(2 * y) + x**2))
    return fig


def noise():
    """A picture that cannot be made small: every pixel another colour."""
    fig, ax = plt.subplots(figsize=(4, 3))
    ax.imshow(rng().random((300, 400, 3)), interpolation="nearest")
    ax.axis("off")
    return fig


# ---------------------------------------------------------------------------------------------------------------- encoding


@pytest.mark.parametrize(
    ("draw", "expected", "pictorial"),
    [
        (busy_lines, "image/png", False),
        (bands, "image/png", False),
        (digits, "image/png", True),
        (photographs, "image/png", True),
        (photograph, "image/jpeg", True),
        (landscape, "image/png", True),
    ],
)
def test_a_figure_is_small_whole_and_the_same_every_time(draw, expected, pictorial):
    fig = draw()
    assert figures.is_pictorial(fig) is pictorial
    mime, data = figures.encode(fig)
    assert mime == expected
    assert len(data) <= MAX_BYTES
    picture = Image.open(io.BytesIO(data))
    picture.load()
    assert mime == f"image/{picture.format.lower()}"
    assert mime == "image/jpeg" or len(picture.convert("RGB").getcolors(1 << 20)) <= 128
    shape = np.array(picture.size) / (fig.get_size_inches())
    assert shape[0] == pytest.approx(shape[1], rel=0.01)  # not cropped
    assert 100 <= round(shape[0]) <= 150
    with mpl.rc_context():
        assert figures.encode(draw()) == (mime, data)


def test_a_line_drawing_keeps_its_colours_and_a_white_ground():
    fig, ax = plt.subplots()
    for k in range(len(figures.PALETTE)):
        ax.plot([0, 1], [k, k], linewidth=6)
    mime, data = figures.encode(fig)
    pixels = np.array(Image.open(io.BytesIO(data)).convert("RGB")).reshape(-1, 3).astype(int)
    assert mime == "image/png"
    assert (pixels[0] == 255).all()
    for colour in figures.PALETTE:
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.abs(pixels - wanted).max(axis=1).min() <= 8, colour


def test_a_drawing_never_becomes_a_jpeg():
    """Even one that would fit as a JPEG at a resolution at which it does not fit as a PNG: large translucent markers."""
    fig, ax = plt.subplots(figsize=(3.4, 2.6))
    ax.scatter(*rng().random((2, 600)), c=rng(1).random((600, 3)), s=900, alpha=0.2)
    ax.set(xlabel="x", ylabel="y")
    mime, data = figures.encode(fig)
    raw, jpeg = io.BytesIO(), io.BytesIO()
    fig.savefig(raw, format="png", dpi=150)
    picture = Image.open(raw).convert("RGB")
    picture.save(jpeg, "JPEG", quality=85)
    assert jpeg.tell() <= MAX_BYTES
    assert mime == "image/png"
    assert Image.open(io.BytesIO(data)).width < picture.width


def test_the_limit_is_the_one_that_is_set(monkeypatch):
    monkeypatch.setattr(figures, "MAX_BYTES", 3000)
    with pytest.raises(FigureError, match="the limit is 3 kB"):
        figures.encode(bands())


def test_a_figure_too_large_is_refused_with_the_remedy():
    with pytest.raises(FigureError, match=r"the figure needs \d+ kB, the limit is 40 kB: fewer panels, fewer points, or a smaller figsize"):
        figures.encode(noise())


# ----------------------------------------------------------------------------------------------------------------- bundle


def simple():
    fig, ax = plt.subplots(figsize=(2, 1.5))
    ax.plot([1, 2], [2, 1])
    return fig


def test_a_bundle_holds_the_picture_and_its_description():
    data, metadata = figures.bundle(simple(), "sweep", "Loss by rate.", "Two lines cross at 0.1.")
    assert data["text/plain"] == "Figure sweep: Two lines cross at 0.1."
    assert base64.b64decode(data["image/png"], validate=True) == figures.encode(simple())[1]
    assert metadata == {"encore": {"name": "sweep", "caption": "Loss by rate.", "alt": "Two lines cross at 0.1.", "pictorial": False}}


@pytest.mark.parametrize("nothing", ["", "  \n", None])
@pytest.mark.parametrize(("place", "what"), [(0, "name"), (1, "caption"), (2, "alt text")])
def test_name_caption_and_alt_text_are_required(place, what, nothing):
    texts = ["sweep", "Loss by rate.", "Two lines cross."]
    texts[place] = nothing
    with pytest.raises(FigureError, match=f"^figure {re.escape(repr(texts[0]))} has no {what}; a reader who cannot see it needs one$"):
        figures.bundle(simple(), *texts)


# -------------------------------------------------------------------------------------------------------- pictures or lines

PICTORIAL = {
    "imshow": lambda ax: ax.imshow(np.eye(3)),
    "matshow": lambda ax: ax.matshow(np.eye(3)),
    "pcolormesh": lambda ax: ax.pcolormesh(np.eye(3)),
    "pcolor": lambda ax: ax.pcolor(np.eye(3)),
    "pcolorfast": lambda ax: ax.pcolorfast(np.eye(3)),
    "hist2d": lambda ax: ax.hist2d(*rng().random((2, 50))),
    "a scatter with a colour bar": lambda ax: ax.figure.colorbar(ax.scatter([1, 2], [1, 2], c=[0.1, 0.9])),
    "contours with a colour bar": lambda ax: ax.figure.colorbar(ax.contourf(np.eye(3))),
    "imshow in a second axis": lambda ax: ax.figure.add_axes((0.5, 0.5, 0.2, 0.2)).imshow(np.eye(3)),
}
DRAWN = {
    "lines": lambda ax: ax.plot([1, 2]),
    "bars": lambda ax: ax.bar([1, 2], [1, 2]),
    "scatter": lambda ax: ax.scatter([1, 2], [1, 2]),
    "band": lambda ax: ax.fill_between([1, 2], [0, 0], [1, 1]),
    "contour lines": lambda ax: ax.contour(np.eye(3), colors="black"),
    "histogram": lambda ax: ax.hist([1, 2, 2]),
}
MISSED = {
    "inset": lambda ax: ax.inset_axes([0.5, 0.5, 0.3, 0.3]).imshow(np.eye(3)),
    "figimage": lambda ax: ax.figure.figimage(np.eye(30)),
    "thumbnail": lambda ax: ax.add_artist(mpl.offsetbox.AnnotationBbox(mpl.offsetbox.OffsetImage(np.eye(9)), (0.5, 0.5))),
    "filled contours": lambda ax: ax.contourf(np.eye(3)),
    "hexbin": lambda ax: ax.hexbin(*rng().random((2, 50))),
    "tripcolor": lambda ax: ax.tripcolor(*rng().random((3, 20)), shading="gouraud"),
}


@pytest.mark.parametrize("draw", PICTORIAL.values(), ids=PICTORIAL.keys())
def test_pictures_and_colour_maps_are_recognised(draw):
    fig, ax = plt.subplots()
    assert not figures.is_pictorial(fig)
    draw(ax)
    assert figures.is_pictorial(fig)


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN.keys())
def test_drawings_are_not_pictures(draw):
    fig, ax = plt.subplots()
    draw(ax)
    assert not figures.is_pictorial(fig)


@pytest.mark.parametrize("draw", MISSED.values(), ids=MISSED.keys())
def test_every_picture_and_colour_map_is_recognised(draw):
    fig, ax = plt.subplots()
    draw(ax)
    assert figures.is_pictorial(fig)


# ------------------------------------------------------------------------------------------------------------ band and style


@pytest.mark.parametrize("log", [False, True])
def test_a_band_is_the_mean_with_its_interval(log):
    _, ax = plt.subplots()
    samples = rng().lognormal(size=(6, 4))
    line = figures.band(ax, [1, 2, 3, 4], samples, "ours", color="#0072B2", marker="o", log=log)
    inner = [stats.mean_interval(np.log10(c) if log else c) for c in samples.T]
    back = (lambda v: 10.0**v) if log else float
    np.testing.assert_allclose(line.get_ydata(), [back(i.value) for i in inner])
    edges = ax.collections[0].get_paths()[0].vertices
    for k, i in enumerate(inner, 1):
        at = edges[edges[:, 0] == k, 1]
        assert (at.min(), at.max()) == (pytest.approx(back(i.low)), pytest.approx(back(i.high)))
    assert (line.get_label(), line.get_color()) == ("ours", "#0072B2")


def test_a_band_refuses_what_has_no_interval():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="at least 2 finite numbers"):
        figures.band(ax, [1, 2], [[1.0, np.nan], [2.0, 3.0]], "ours")


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def test_the_style_uses_the_palette_and_every_colour_shows_on_white():
    assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == figures.PALETTE
    assert len(set(figures.PALETTE)) == 7
    for colour in figures.PALETTE:
        assert 1.05 / (luminance(colour) + 0.05) > 2, colour

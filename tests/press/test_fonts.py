"""Fonts in parts: together they hold what the whole font held, nothing twice, and the style sheet says which part has what."""

import random
import re

import pytest
from fontTools.ttLib import TTFont

from press.files import PressError
from press.site import fonts, mathjax


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    out = tmp_path_factory.mktemp("book")
    mathjax.copy(out)
    return out / "_static" / "mathjax"


def _expanded(text):
    """The code points of a unicode-range."""
    found = set()
    for part in text.split(","):
        a, _, b = part.removeprefix("U+").partition("-")
        found |= set(range(int(a, 16), int(b or a, 16) + 1))
    return found


def test_a_unicode_range_names_exactly_the_characters_given():
    for seed in range(200):
        points = set(random.Random(seed).sample(range(0x20, 0x120), random.Random(seed).randint(1, 200)))
        assert _expanded(fonts.unicode_range(points)) == points
    assert fonts.unicode_range([0x41, 0x42, 0x43, 0x211D]) == "U+41-43,U+211D"


@pytest.mark.parametrize("name", mathjax.SPLIT)
def test_the_parts_of_a_font_make_up_the_whole(copied, name):
    whole = copied / mathjax.FONTS / f"MathJax_{name}.woff"
    parts = {part: whole.with_name(f"{whole.stem}-{part}.woff") for part in ("first", "other")}
    held = {part: fonts.characters(file) for part, file in parts.items()}
    assert not held["first"] & held["other"]
    assert held["first"] | held["other"] == fonts.characters(whole)
    assert parts["first"].stat().st_size < 0.65 * whole.stat().st_size
    faces = (copied / mathjax.FACES).read_text()
    assert f"/{whole.name}" not in faces
    for part, file in parts.items():
        assert _expanded(re.search(re.escape(file.name) + r'[^}]*"unicode-range":"([^"]+)"', faces)[1]) == held[part]


def test_a_glyph_keeps_its_width_and_its_outline(copied):
    from fontTools.pens.recordingPen import RecordingPen

    def drawn(file, point):
        with TTFont(file) as font:
            glyph, pen = font.getBestCmap()[point], RecordingPen()
            font.getGlyphSet()[glyph].draw(pen)
            return font["hmtx"][glyph][0], pen.value

    whole = copied / mathjax.FONTS / "MathJax_AMS-Regular.woff"
    first, other = (whole.with_name(f"{whole.stem}-{part}.woff") for part in ("first", "other"))
    for point in map(ord, "ERZ"):
        assert drawn(first, point) == drawn(whole, point)
    for point in sorted(fonts.characters(other))[:3]:
        assert drawn(other, point) == drawn(whole, point)


def test_a_part_that_is_out_of_date_is_written_again(copied, monkeypatch):
    monkeypatch.setitem(mathjax.SPLIT, "AMS-Regular", {ord("E")})
    mathjax.copy(copied.parents[1])
    assert fonts.characters(copied / mathjax.FONTS / "MathJax_AMS-Regular-first.woff") == {ord("E")}


def test_another_mathjax_is_named(copied, monkeypatch):
    monkeypatch.setitem(mathjax.SPLIT, "Main-Regular", {0xE000})
    with pytest.raises(PressError, match="does not name MathJax_Main-Regular.woff as expected"):
        mathjax.copy(copied.parents[1])

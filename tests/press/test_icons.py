"""The small icon font: the code points are the theme's own, nothing else is in it, and an icon that is gone is named."""

import importlib.util
import re
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from press.files import PressError
from press.site import icons

THEME = Path(importlib.util.find_spec("pydata_sphinx_theme").origin).parent / "theme" / "pydata_sphinx_theme" / "static"


@pytest.fixture
def out(tmp_path):
    (tmp_path / "_static" / "scripts").mkdir(parents=True)
    (tmp_path / "_static" / "styles").mkdir()
    (tmp_path / "_static" / icons.SCRIPT).write_text("x" * 100_000)
    (tmp_path / "_static" / icons.STYLE).write_text((THEME / icons.STYLE).read_text())
    return tmp_path


def test_the_font_holds_the_shown_icons_and_no_others(out):
    icons.write(out)
    small = out / "_static" / icons.FONT
    assert small.stat().st_size < 6_000
    assert (out / "_static" / icons.SCRIPT).read_text() == icons.WHY
    with TTFont(small) as font, TTFont(icons._source()) as full:
        assert set(font.getBestCmap()) == set(icons.SHOWN.values())
        for point, glyph in font.getBestCmap().items():
            ours, theirs = font["glyf"][glyph], full["glyf"][full.getBestCmap()[point]]
            assert [list(x) for x in ours.getCoordinates(font["glyf"])[0]] == [list(x) for x in theirs.getCoordinates(full["glyf"])[0]]


def test_the_style_sheet_loses_the_names_of_other_icons_and_nothing_else(out):
    icons.write(out)
    before, after = (THEME / icons.STYLE).read_text(), (out / "_static" / icons.STYLE).read_text()
    rules = {n: int(code, 16) for n, code in re.findall(r'\.fa-([a-z0-9-]+):before\{content:"\\([0-9a-f]+)"\}', after)}
    assert rules == icons.SHOWN
    assert after.startswith(icons.NAMES.sub("", before))
    assert before.count(".bd-article") == after.count(".bd-article") > 0
    icons.write(out)
    assert (out / "_static" / icons.STYLE).read_text() == after


def test_names_and_code_points_are_those_of_the_theme():
    css = "".join(p.read_text() for p in (THEME / "styles").glob("*.css"))
    theirs = {}
    for rule in re.finditer(r'([^{}]+)\{(?:--fa|content):"\\(f[0-9a-f]{3})"', css):
        theirs |= {n: int(rule[2], 16) for n in re.findall(r"\.fa-([a-z0-9-]+)", rule[1])}
    assert len(theirs) > 1_000
    theirs |= {n: ord(c) for n, c in re.findall(r'--pst-icon-([a-z-]+): ?"(.)"', css)}  # the theme's own names come first
    assert {n: theirs.get(n) for n in icons.SHOWN} == icons.SHOWN


def test_an_icon_that_the_theme_lost_is_named(out, monkeypatch):
    monkeypatch.setattr(icons, "SHOWN", icons.SHOWN | {"unicorn": 0x10FFFF})
    with pytest.raises(PressError, match="no unicorn any more.*SHOWN"):
        icons.write(out)
    assert not (out / "_static" / icons.FONT).exists()

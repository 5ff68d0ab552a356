"""Small fonts out of large ones."""

from collections.abc import Iterable
from pathlib import Path


def characters(font: Path) -> set[int]:
    """Code points that a font file has a glyph for."""
    from fontTools.ttLib import TTFont

    with TTFont(font, lazy=True) as f:
        return set(f.getBestCmap())


def subset(source: Path, target: Path, kept: Iterable[int]) -> None:
    """Write the glyphs of the code points `kept`, with the font's name and licence, as a WOFF file."""
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    font, kept = TTFont(source), set(kept)
    tool = Subsetter(Options(layout_features=[], name_IDs=[0, 1, 2, 13, 14], notdef_outline=True, drop_tables=["FFTM"]))
    tool.populate(unicodes=kept)
    tool.subset(font)
    for table in font["cmap"].tables:  # a glyph that is kept may have further code points
        table.cmap = {point: glyph for point, glyph in table.cmap.items() if point in kept}
    font.flavor = "woff"
    font.save(target)


def unicode_range(characters: Iterable[int]) -> str:
    """Code points as the value of CSS's unicode-range: `U+20-7E,U+A0`."""
    runs: list[list[int]] = []
    for c in sorted(characters):
        if runs and runs[-1][1] == c - 1:
            runs[-1][1] = c
        else:
            runs.append([c, c])
    return ",".join(f"U+{a:X}" if a == b else f"U+{a:X}-{b:X}" for a, b in runs)

"""The gallery, the filter form, thumbnails, and the drawings of the scoreboard."""

import io
import json
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encore import claims, page, register
from press import toc
from press.files import PressError
from press.site import drawing, filters, gallery, model, rates, scoreboard, thumbnails, wording

PROJECT = Path(__file__).resolve().parents[2]
DATA = {
    "mnist": model.DataSet("MNIST", "unknown", "images.idx"),
    "sklearn-digits": model.DataSet("Digits", "CC BY 4.0", "tables.digits"),
    "minilm": model.DataSet("MiniLM", "Apache-2.0", "weights.sentence_encoder"),
    "songs": model.DataSet("Songs", "CC0", "audio.clips"),
}


@pytest.fixture(scope="module")
def project():
    return model.read(PROJECT)


def entry(compendium, **changes):
    return register.load(compendium.add("one", **changes))


# ------------------------------------------------------------------------------------------------------------- choices


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (["mnist"], {"images"}),
        (["mnist (two digits)", "sklearn:digits"], {"images", "tabular"}),
        (["songs", "minilm"], {"audio", "pretrained weights"}),
        (["synthetic:a mixture", "simulator:a pendulum", "gymnasium:CartPole-v1"], {"simulated"}),
        (["pretrained:minilm-l6 (gt-all)"], {"pretrained weights"}),
        (["nobody-knows", "pypi:a wheel"], {gallery.OTHER}),
        (["mnist", "nobody-knows"], {"images"}),
        ([], set()),
    ],
)
def test_kinds_of_data(compendium, data, kinds):
    assert gallery.data_kinds(entry(compendium, data=data), DATA) == kinds


def test_tags_are_kinds_of_claims_data_sets_and_bases(compendium):
    e = entry(compendium, data=["mnist (a part)", "synthetic:noise"])
    assert gallery.tags(e, DATA, ["tiny-gpt"]) == {"claim-lower", "claim-exact", "data-mnist", "base-tiny-gpt"}


def test_bases_are_read_off_the_script(tmp_path):
    script = tmp_path / "a.py"
    named = [
        "from encore.bases.tiny_gpt import Model",
        "import encore.bases.vec_envs as v",
        "import encore",
        "# from encore.bases import no",
    ]
    script.write_text(
        "\n".join([*named, "from encore.bases import one as o, two  # three", "from encore.bases import (\n    four,\n    five,\n)"])
    )
    assert gallery.bases(script) == ["five", "four", "one", "tiny-gpt", "two", "vec-envs"]
    assert gallery.bases(tmp_path / "none.py") == []


def test_values_of_pages_and_plans(compendium):
    e = entry(compendium, data=["mnist"])
    done = model.Paper(
        e, {"seconds": 30.0, "claims": [{"id": "small", "verdict": "not reproduced"}, {"id": "same", "verdict": "reproduced"}]}
    )
    found = gallery.values(done, DATA, [])
    assert found["verdict"] == {"not-reproduced", "reproduced"}
    assert found["time"] == {"30-to-60-s"}
    assert found["chapter"] == {"lab"}
    plan = gallery.values(model.Paper(e, None), DATA, [])
    assert plan["verdict"] == {"not-run"}
    assert plan["time"] == set()
    for seconds, bin in ((29.9, "under-30-s"), (60, "over-60-s"), (7200, "over-60-s")):
        assert gallery.values(model.Paper(e, {**done.result, "seconds": seconds}), DATA, [])["time"] == {bin}


def test_every_paper_of_the_register_can_be_chosen(project):
    known = gallery.all_values(project)
    assert len(known) == len(project.papers)
    form = gallery.form(project, known)[0].astext()
    options = set(re.findall(r'<option value="([^"]+)">', form))
    for found in known.values():
        assert found["chapter"] | found["verdict"] | found["data"] | found["tag"] <= options
        assert found["tag"]
        assert all(re.fullmatch(r"[\w-]+", c) for c in filters.classes(found))


def test_the_form_counts_leaves_out_and_escapes():
    items = [{"kind": {"a"}}, {"kind": {"a", "b&c"}}, {}]
    field = filters.Field("kind", "Kind", {"": [("a", "<A>"), ("none", "None")], "Others": [("b&c", "B")], "Empty": [("d", "D")]})
    text = filters.form([field], items, "ul > li", "things", "section").astext()
    tree = ET.fromstring(
        re.sub(r" hidden>", ' hidden="">', text).replace('name="search">', 'name="search"/>').replace('value="b&c"', 'value="b"')
    )
    assert tree.get("data-items") == "ul > li"
    assert "hidden" in tree.attrib
    assert [(o.get("value"), o.text) for o in tree.iter("option")] == [("", "all"), ("a", "<A> (2)"), ("b", "B (1)")]
    assert [g.get("label") for g in tree.iter("optgroup")] == ["Others"]
    assert filters.classes({"b": {"2", "1"}, "a": {"x"}}) == ["a-x", "b-1", "b-2"]


def test_the_front_page_shows_one_page_of_every_chapter(project):
    chosen = gallery.preview(project)
    chapters = [p.entry.chapter for p in chosen]
    assert 0 < len(chosen) <= gallery.PREVIEW
    assert len(set(chapters)) == len(chapters)
    assert all(p.published for p in chosen)


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("$BT^2$: a title", "BT²: a title"),
        (r"Adapt-$\infty$, $\beta$-VAE, $\Delta_{t}$", "Adapt-∞, β-VAE, Δ_t"),
        (r"$x^{10}$ and $\unknown$", "x¹⁰ and unknown"),
        ("No mathematics for 5 $", "No mathematics for 5 $"),
    ],
)
def test_titles_on_cards_need_no_formula_renderer(title, shown):
    assert wording.plain(title) == shown


def test_the_gallery_is_in_the_contents(project):
    assert "book/gallery" in toc.FRONT


# ---------------------------------------------------------------------------------------------------------- thumbnails


def png(array, mode):
    out = io.BytesIO()
    Image.fromarray(array, mode).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(("height", "width"), [(300, 450), (2000, 300), (40, 3000), (10, 10)])
def test_thumbnails_are_small_whatever_the_figure_is(height, width):
    noise = png(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8), "RGB")
    small = thumbnails.shrink(noise)
    assert small == thumbnails.shrink(noise)
    assert len(small) <= thumbnails.LIMIT
    with Image.open(io.BytesIO(small)) as image:
        assert image.format == "WEBP"
        assert image.width <= min(width, thumbnails.BOX[0])
        assert image.height <= min(height, thumbnails.BOX[1])


def test_what_is_transparent_becomes_white():
    clear = png(np.zeros((20, 20, 4), np.uint8), "RGBA")
    with Image.open(io.BytesIO(thumbnails.shrink(clear))) as image:
        assert image.convert("RGB").getpixel((10, 10)) == (255, 255, 255)


def test_the_first_published_figure_is_taken(tmp_path):
    import base64

    content = png(np.full((8, 8, 3), 9, np.uint8), "RGB")
    shown = {
        "data": {"image/png": base64.b64encode(content).decode()},
        "metadata": {"encore": {"name": "f", "alt": "A dot.", "pictorial": True}},
    }
    plain = {"data": {"image/png": "AAAA"}, "metadata": {}}
    text = {"data": {"text/plain": "1"}, "metadata": {"encore": {"name": "g", "alt": "", "pictorial": False}}}
    path = tmp_path / "lab" / "a.ipynb"
    path.parent.mkdir()
    cells = [
        {"cell_type": "markdown"},
        {"outputs": [plain, text, {"output_type": "stream"}]},
        {"outputs": [shown, {**shown, "data": {"image/png": ""}}]},
    ]
    path.write_text(json.dumps({"cells": cells}))
    assert thumbnails.first_figure(path) == thumbnails.Figure(content, "A dot.", True)
    path.write_text(json.dumps({"cells": cells[:2]}))
    assert thumbnails.first_figure(path) is None
    path.write_text("{}")
    with pytest.raises(PressError, match=r"a\.ipynb is not a notebook.*press run lab/a --force"):
        thumbnails.first_figure(path)


def test_every_page_has_a_thumbnail_made_once(project, tmp_path):
    p = project.published[0]
    node = thumbnails.node(p, PROJECT, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    assert node["uri"].endswith(file.name)
    assert len(node["alt"]) > 20
    with Image.open(file) as image:
        assert (node["width"], node["height"]) == tuple(map(str, image.size))
    before = file.stat().st_mtime_ns
    thumbnails.node(p, PROJECT, tmp_path / "cache")
    assert file.stat().st_mtime_ns == before


# ------------------------------------------------------------------------------------------------------------ drawings

RULES = {
    "exact": {"tol": 1e-6},
    "bound": {"slack": 0.0},
    "higher": {"baseline": "it", "margin": 0.5, "statistic": "mean"},
    "lower": {"baseline": "it", "margin": -0.5, "statistic": "mean"},
    "trend": {"direction": "increasing", "statistic": "slope"},
    "rate": {"band": (-1.1, -0.9)},
    "close": {"tol": 0.1, "over": "mean"},
}
INSIDE = {"exact": 1e-9, "bound": -1.0, "higher": 1.0, "lower": -1.0, "trend": 1.0, "rate": -1.0, "close": 0.0}
OUTSIDE = {"exact": 1e-3, "bound": 1.0, "higher": -1.0, "lower": 1.0, "trend": -1.0, "rate": -2.0, "close": 1.0}
SVG = "{http://www.w3.org/2000/svg}"


def svg(text):
    return ET.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def a_test(kind, value, half=None):
    ends = (None, None) if half is None else (value - half, value + half)
    return {"kind": kind, "verdict": "reproduced", "value": value, "low": ends[0], "high": ends[1]}


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("half", [None, 0.01])
def test_an_interval_is_drawn_on_the_side_where_it_lies(kind, half):
    low, high = drawing.accepted(kind, RULES[kind])
    for values, word in ((INSIDE, "within"), (OUTSIDE, "outside")):
        tree = svg(drawing.interval(a_test(kind, values[kind], None if kind == "exact" else half), RULES[kind], "x"))
        assert word in tree.find(f"{SVG}desc").text
        assert tree.get("role") == "img"
        assert tree.get("aria-labelledby").split() == [tree.find(f"{SVG}title").get("id"), tree.find(f"{SVG}desc").get("id")]
        band, dot, label = tree.find(f"{SVG}rect"), tree.find(f"{SVG}circle"), tree.find(f"{SVG}text")
        left, width, x = float(band.get("x")), float(band.get("width")), float(dot.get("cx"))
        assert (left <= x <= left + width) == (word == "within")
        assert 0 <= left < left + width <= drawing.WIDTH
        assert math.isfinite(low) == (left > 0)
        assert math.isfinite(high) == (left + width < drawing.WIDTH)
        assert len(label.text) * drawing.GLYPH / 2 <= float(label.get("x")) <= drawing.WIDTH - len(label.text) * drawing.GLYPH / 2
        assert (tree.find(f"{SVG}path[@class='i']") is not None) == (half is not None and kind != "exact")


def test_an_interval_across_the_margin_says_so():
    text = drawing.interval(a_test("higher", 0.5, 0.1), RULES["higher"], "x")
    assert "The interval reaches across the edge" in text
    assert "Margin 0.5" in text


@pytest.mark.parametrize("value", [0.0, 1e-300, 1e-6, 1e300])
def test_errors_of_any_size_can_be_drawn(value):
    tree = svg(drawing.interval(a_test("exact", value), RULES["exact"], "x"))
    assert 0 <= float(tree.find(f"{SVG}circle").get("cx")) <= drawing.WIDTH


def test_a_value_on_its_own_edge_and_a_claim_set_aside():
    assert "within" in drawing.interval(a_test("bound", 0.0), RULES["bound"], "x")
    assert drawing.interval({**a_test("bound", 0.0), "value": None}, RULES["bound"], "x") == ""


def test_the_drawings_agree_with_the_verdicts_of_the_book(project):
    words = {"reproduced": "lies within", "not reproduced": "lies outside", "inconclusive": "reaches across"}
    tests = [t for r in model.scoreboard(project) for t in r["tests"] if t["value"] is not None]
    assert tests
    for t in tests:
        drawn = drawing.interval(t, t["rule"], "x")
        svg(drawn)
        on_edge = {t["low"], t["high"]} & set(drawing.accepted(t["kind"], t["rule"]))
        assert words[t["verdict"]] in drawn or on_edge


def test_accepted_ranges_are_those_of_the_judge():
    """A value a little inside and a little outside every finite edge is judged as it is drawn."""
    make = {
        "exact": lambda v: claims.exact([v]),
        "bound": lambda v: claims.bound(v, 0.0),
        "higher": lambda v: claims.higher(np.full(6, v) + np.arange(6) * 1e-9, np.zeros(6)),
        "lower": lambda v: claims.lower(np.full(6, v) + np.arange(6) * 1e-9, np.zeros(6)),
        "trend": lambda v: claims.trend(np.arange(4), [np.arange(4) * v + k * 1e-9 for k in range(6)]),
        "close": lambda v: claims.close(np.full(6, v) + np.arange(6) * 1e-9),
    }
    for kind, measure in make.items():
        for edge in (e for e in drawing.accepted(kind, RULES[kind]) if math.isfinite(e)):
            step = 1e-3 if kind != "exact" else 5e-7
            for v in (edge - step, edge + step):
                outcome = claims.judge(RULES[kind], measure(v))
                drawn = drawing.interval({"kind": kind, **outcome.asdict()}, RULES[kind], "x")
                assert ("within" in drawn) == (outcome.verdict == claims.REPRODUCED), (kind, v)


def test_the_scoreboard_carries_rule_and_time(project):
    rows = json.loads(scoreboard.as_json(project))["claims"]
    assert all(r["seconds"] > 0 for r in rows)
    assert all(t["rule"] for r in rows for t in r["tests"])
    assert "seconds" in scoreboard.as_csv(project).splitlines()[0].split(",")


# --------------------------------------------------------------------------------------------------------------- rates


def test_published_rates_are_what_their_sources_give():
    shown = [(r.source, r.successes, r.n, *(round(100 * x, 1) for x in (r.share, *r.interval))) for r in rates.PUBLISHED]
    assert shown[:3] == [
        ("Raff 2019", 162, 255, 63.5, 57.5, 69.2),
        ("Gundersen 2025", 11, 22, 50.0, 30.7, 69.3),
        ("Gundersen 2025", 6, 22, 27.3, 13.2, 48.2),
    ]
    for r, given in zip(rates.PUBLISHED[3:], (24.11, 4.03), strict=True):
        assert abs(100 * r.share - given) < 0.005
        assert r.interval[1] - r.interval[0] < 0.002
    bibliography = (PROJECT / "book" / "references.bib").read_text()
    prose = (PROJECT / "book" / "scoreboard.md").read_text()
    for r in rates.PUBLISHED:
        assert f"{{{r.key}," in bibliography
        assert f"`{r.key}`" in prose


def test_claims_set_aside_are_not_counted_and_inconclusive_ones_are(compendium):
    def paper(*verdicts):
        return model.Paper(entry(compendium), {"claims": [{"id": str(k), "verdict": v} for k, v in enumerate(verdicts)]})

    found = rates.ours("All", [paper("reproduced", "inconclusive"), paper("not tested", "not reproduced")])
    assert (found.successes, found.n) == (1, 3)
    assert rates.ours("All", [paper("not tested")]) is None
    low, high = rates.Rate("", "", 0, 3).interval
    assert low == 0 < high < 1


def test_the_summary_is_a_drawing_with_a_table_behind_it(project):
    nodes = rates.build(project, "book/scoreboard", lambda key: [])
    text = "".join(n.astext() for n in nodes)
    (chart,) = re.findall(r"<svg.*</svg>", text)
    tree = svg(chart)
    drawn = [t.text for t in tree.iter(f"{SVG}text") if t.get("class") == "n"]
    chapters = [c for c in project.chapters if rates.ours(c.title, project.of_chapter(c.id))]
    assert len(drawn) == 1 + len(chapters) + len(rates.PUBLISHED)
    total = model.tally(project.published)
    assert tree.find(f"{SVG}desc").text.startswith(f"{total['reproduced']} of ")
    height = float(tree.get("height"))
    assert all(0 < float(t.get("y")) < height for t in tree.iter(f"{SVG}text"))
    for r in (p for p in rates.PUBLISHED if not p.given):
        assert f"{r.successes}" in text


def test_without_a_result_the_summary_says_so(compendium):
    (compendium.root / "data" / "chapters.yml").write_text("- {id: lab, title: The lab}\n")
    compendium.add("idea", status="planned")
    site = model.read(compendium.root)
    assert rates.build(site, "book/scoreboard", lambda key: [])[0].astext() == "No claim has been tested yet."
    assert scoreboard.build(site, "book/scoreboard")[0].astext() == "No page has been run yet."
    assert gallery.cards([], site, {}, "book/gallery", compendium.root)[0].astext() == "None."


def test_every_kind_of_claim_is_drawn():
    assert set(RULES) == set(register.RULES)
    assert page.number(RULES["exact"]["tol"]) in drawing.interval(a_test("exact", 1e-9), RULES["exact"], "x")

"""The page API, from `open` to `verdict`, and the small things a page uses: progress, seeds."""

import json
import random
import re
import socket
import warnings

import matplotlib as mpl
import numpy as np
import pytest
import torch
import yaml

import encore
from encore import claims, figures, offline, page, register, seeds
from encore.claims import ClaimError
from encore.page import PageError

mpl.use("Agg")
import matplotlib.pyplot as plt

CLAIMS = {
    "faster-2x": ("lower", {"baseline": "Adam <W>"}),
    "better": ("higher", {"baseline": "SGD", "margin": 0.5}),
    "identity": ("exact", {"tol": 1e-6}),
    "inequality": ("bound", {}),
    "grows": ("trend", {"direction": "increasing"}),
    "order-1": ("rate", {"band": [0.5, 1.5]}),
    "near": ("close", {"tol": 0.5}),
}
NOISE = np.array([0.3, -0.1, 0.2, -0.4, 0.05])
MEASURED = {
    "faster-2x": [claims.lower(NOISE - 3, NOISE[::-1])],
    "better": [claims.higher(NOISE + 3, NOISE[::-1]), claims.close([1.0], 1.25)],
    "identity": [claims.exact([3e-8, 1e-9])],
    "inequality": [claims.bound([1.0, 2.0], 2.0)],
    "grows": [claims.trend([1, 2, 3], NOISE[:, None] + [1, 2, 3])],
    "order-1": [claims.rate([1, 2, 4, 8], [1, 2.1, 3.9, 8.2])],
    "near": [claims.close(NOISE, 0.0)],
}
ALSO = [{"name": "at <scale>", "kind": "close", "rule": {"tol": 0.5}}]


def entry_text() -> str:
    items = [
        {"id": id, "says": f"It is <so> & {id!r}.", "paper": "Table <2>" if id == "near" else None, "kind": kind, "test": "t", "rule": rule}
        | ({"also": ALSO} if id == "better" else {})
        for id, (kind, rule) in CLAIMS.items()
    ]
    about = {"slug": "demo", "chapter": "optics", "title": "T", "authors": ["A"], "year": 2000, "idea": "i", "data": []}
    return yaml.safe_dump({**about, "budget": {"smoke_s": 1, "book_s": 2}, "status": "page", "claims": items})


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """A checkout with one paper, everything a page changes in its process put back afterwards; the list of what is displayed."""
    folder = tmp_path / "data" / "papers" / "optics"
    folder.mkdir(parents=True)
    (folder / "demo.yml").write_text(entry_text())
    monkeypatch.setenv("ENCORE_ROOT", str(tmp_path))
    monkeypatch.delenv("ENCORE_RESULTS", raising=False)
    for place, name, _ in offline._GUARDS:
        monkeypatch.setattr(place, name, offline._REAL[name])
    monkeypatch.setattr(offline, "_blocked_for", None)
    out = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: out.append((data, options)))
    threads, states = torch.get_num_threads(), (random.getstate(), np.random.get_state(), torch.get_rng_state())  # noqa: NPY002
    with mpl.rc_context(), warnings.catch_warnings():
        yield out
    torch.set_num_threads(threads)
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])
    plt.close("all")


@pytest.fixture
def start(shown):
    """Opens the paper in a profile."""
    return lambda profile="book", seed=0: encore.open("optics/demo", profile, seed)


def run(p: page.Page, **changed) -> page.Page:
    """Measure every claim of the paper and check once; `changed` replaces measurements by claim id (with _ for -)."""
    p.check("agrees with the closed form", 2e-9, tol=1e-8)
    for id, measured in MEASURED.items():
        p.claim(id, *changed.get(id.replace("-", "_"), measured))
    return p


def verdicts(p: page.Page) -> dict[str, str]:
    return {c["id"]: c["verdict"] for c in p.result()["claims"]}


# ------------------------------------------------------------------------------------------------------------------- open


def test_open_settles_seeds_threads_style_and_network(start):
    torch.set_num_threads(2)
    start(seed=7)
    drawn = random.random(), np.random.random(), float(torch.rand(1))  # noqa: NPY002
    assert torch.get_num_threads() == 1
    assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == figures.PALETTE
    with socket.socket() as s, pytest.raises(offline.NetworkBlocked, match="page optics/demo"):
        s.connect(("192.0.2.1", 80))
    start(seed=7)
    assert drawn == (random.random(), np.random.random(), float(torch.rand(1)))  # noqa: NPY002
    start(seed=8)
    assert drawn[0] != random.random()


def test_open_refuses_a_bad_profile_seed_or_name(shown):
    with pytest.raises(PageError, match="optics/demo: profile is one of smoke, book, paper, not 'full'"):
        encore.open("optics/demo", "full")
    for seed in (-1, 1.5, "0", None):
        with pytest.raises(PageError, match=f"optics/demo: the seed is an integer from 0 to .*, not {seed!r}"):
            encore.open("optics/demo", "book", seed)
    with pytest.raises(register.RegisterError, match=r"no paper 'optic/demo' in the register \(data/papers\); did you mean optics/demo\?"):
        encore.open("optic/demo")
    assert offline._blocked_for is None  # nothing was started


def test_a_seed_too_large_is_refused_with_the_page(start):
    with pytest.raises(PageError, match="optics/demo: the seed"):
        start(seed=2**32)


@pytest.mark.parametrize(("profile", "value"), [("smoke", 20), ("book", 400), ("paper", 20_000)])
def test_pick(start, profile, value):
    assert start(profile).pick(smoke=20, book=400, paper=20_000) == value


def test_pick_needs_all_three(start):
    with pytest.raises(TypeError, match="paper"):
        start().pick(smoke=1, book=2)


# ------------------------------------------------------------------------------------------------------------------ checks


def test_a_check_that_passes_is_printed_and_kept(start, shown):
    p = start()
    p.check("update equals torch's", np.float32(3e-8), tol=1e-7)
    assert shown[-1][0].data == "Check passed: update equals torch's. Largest error 3.0e-08, tolerance 1e-07."
    (check,) = p._checks
    assert check == {"name": "update equals torch's", "error": pytest.approx(3e-8), "tol": 1e-7, "ok": True}
    assert json.loads(json.dumps(check)) == check
    p.check("the tolerance itself is allowed", 1e-7, tol=1e-7)
    p.check("exactly equal", 0, tol=0)


@pytest.mark.parametrize("error", [2e-7, float("nan"), float("inf")])
def test_a_check_that_fails_stops_the_page(start, shown, error):
    p = start("smoke")  # in every profile
    with pytest.raises(PageError, match=f"optics/demo: check failed: update equals torch's: error {error:.3g}, tolerance 1e-07"):
        p.check("update equals torch's", error, tol=1e-7)
    assert not shown


def test_a_negative_error_is_not_a_deviation(start):
    with pytest.raises(PageError):
        start().check("update equals torch's", (np.zeros(3) - 5).max(), tol=1e-7)


@pytest.mark.parametrize("tol", [float("inf"), float("nan"), -1.0])
def test_a_tolerance_is_a_finite_number(start, tol):
    with pytest.raises(PageError, match="finite"):
        start().check("update equals torch's", 0.0, tol=tol)


def test_the_tolerance_is_printed_as_it_is(start, shown):
    start().check("update equals torch's", 2.4e-7, tol=2.45e-7)
    assert "2.45e-07" in shown[-1][0].data


def test_a_failed_check_cannot_be_swallowed(start):
    p = run(start())
    with pytest.raises(PageError, match="check failed"):
        p.check("update equals torch's", 1.0, tol=1e-7)
    with pytest.raises(PageError):
        p.verdict()


# ------------------------------------------------------------------------------------------------------------------ claims


def test_a_claim_that_is_not_registered_is_refused(start):
    with pytest.raises(register.RegisterError, match="optics/demo has no claim 'faster' in the register; it has faster-2x, better"):
        start().claim("faster", *MEASURED["faster-2x"])


@pytest.mark.parametrize("profile", ["smoke", "book"])
def test_the_register_decides_the_kind(start, profile):
    message = "optics/demo: claim 'faster-2x' is registered as 'lower', the page measures 'higher'; the register decides"
    with pytest.raises(PageError, match=message):
        start(profile).claim("faster-2x", claims.higher(NOISE, NOISE))
    with pytest.raises(PageError, match="claim 'better' is registered as 'close', the page measures 'exact'"):
        start(profile).claim("better", MEASURED["better"][0], claims.exact(0))


@pytest.mark.parametrize("profile", ["smoke", "book"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_one_measurement_for_every_test(start, profile, count):
    with pytest.raises(PageError, match=f"optics/demo: claim 'better' has 2 tests in the register, {count} measurements were given"):
        start(profile).claim("better", *[MEASURED["better"][0]] * count)


def test_a_cell_that_is_run_again_replaces_its_measurement(start):
    p = start()
    p.claim("identity", claims.exact(1e-9))
    p.claim("identity", claims.exact(1e-10))
    assert p._claims["identity"] == [claims.exact(1e-10)]


def test_samples_that_cannot_be_judged_stop_the_cell_that_measured_them(start):
    with pytest.raises(ClaimError, match="claim 'faster-2x': lower: 4 pairs carry no 95 % verdict; run at least 5 seeds"):
        start("book").claim("faster-2x", claims.lower(NOISE[:4], NOISE[:4]))
    start("smoke").claim("faster-2x", claims.lower(NOISE[:2], NOISE[:2]))  # smoke judges nothing, so two seeds will do


def test_after_a_refused_measurement_the_claim_can_be_measured(start):
    p = start()
    with pytest.raises(ClaimError):
        p.claim("faster-2x", claims.lower(NOISE[:4], NOISE[:4]))
    p.claim("faster-2x", *MEASURED["faster-2x"])


def test_a_bare_number_is_no_measurement(start):
    with pytest.raises(PageError, match="identity"):
        start().claim("identity", 1e-9)


def test_a_claim_that_cannot_be_tested(start):
    p = run(start(), better=[encore.not_tested("needs <64> GPUs")], identity=[encore.not_tested("no closed form")])
    better, identity = (c for c in p.result()["claims"] if c["id"] in ("better", "identity"))
    assert (better["verdict"], better["value"], better["detail"], len(better["tests"])) == ("not tested", None, "needs <64> GPUs", 1)
    assert (identity["verdict"], identity["n"]) == ("not tested", 0)
    again = page.rejudge(p.entry, json.loads(json.dumps(p.result())))
    assert again == p.result()
    assert "needs &lt;64&gt; GPUs" in page.verdict_bundle(p.entry, again)["text/html"]


def test_one_test_of_a_claim_may_stay_untested(start):
    p = run(start(), better=[MEASURED["better"][0], encore.not_tested("too large")])
    (better,) = (c for c in p.result()["claims"] if c["id"] == "better")
    assert better["verdict"] == "not tested"
    assert [t["verdict"] for t in better["tests"]] == ["reproduced", "not tested"]
    assert page.rejudge(p.entry, p.result()) == p.result()


# ----------------------------------------------------------------------------------------------------------------- verdict


def test_verdict_needs_every_claim(start):
    p = start()
    p.check("agrees", 0, tol=1)
    for id in ("faster-2x", "better", "identity", "inequality", "grows"):
        p.claim(id, *MEASURED[id])
    with pytest.raises(PageError, match="optics/demo: no measurement for the registered claim order-1, near; measure it with page"):
        p.verdict()


def test_verdict_needs_a_check(start):
    p = start()
    for id, measured in MEASURED.items():
        p.claim(id, *measured)
    with pytest.raises(PageError, match="optics/demo: no check against an independent implementation; add one with page.check"):
        p.verdict()


def test_verdict_shows_text_table_and_result(start, shown):
    p = run(start("book", seed=3))
    p.verdict()
    data, options = shown[-1]
    assert options == {"raw": True}
    assert set(data) == {"text/plain", "text/html", page.RESULT_MIME}
    result = data[page.RESULT_MIME]
    assert {k: result[k] for k in ("schema", "slug", "chapter", "profile", "seed")} == {
        "schema": 1, "slug": "demo", "chapter": "optics", "profile": "book", "seed": 3,
    }  # fmt: skip
    assert [c["id"] for c in result["claims"]] == list(CLAIMS)
    assert verdicts(p) == dict.fromkeys(CLAIMS, "reproduced")
    assert (result["claims"][0]["kind"], result["claims"][0]["baseline"], result["claims"][0]["n"]) == ("lower", "Adam <W>", 5)


def test_the_result_survives_json_and_rejudging(start):
    p = run(start())
    stored = json.loads(json.dumps(p.result(), allow_nan=False))
    assert stored == p.result()
    assert page.rejudge(p.entry, stored) == stored


def test_the_plain_text_holds_verdicts_and_no_numbers(start):
    """It is what nbval compares: numbers may differ between machines, verdicts may not."""
    p = run(start())
    text = page.verdict_bundle(p.entry, p.result())["text/plain"]
    assert text.splitlines() == [f"{id}: reproduced" for id in CLAIMS]
    assert re.findall(r"\d", re.sub("|".join(CLAIMS), "", text)) == []
    other = run(start(), identity=[claims.exact(9e-7)], faster_2x=[claims.lower(NOISE - 2, NOISE)])
    assert page.verdict_bundle(other.entry, other.result())["text/plain"] == text
    failed = run(start(), identity=[claims.exact(2e-6)])
    expected = text.replace("identity: reproduced", "identity: not reproduced")
    assert page.verdict_bundle(failed.entry, failed.result())["text/plain"] == expected


def test_the_table_is_escaped_html(start):
    from html.parser import HTMLParser

    p = run(start())
    table = page.verdict_bundle(p.entry, p.result())["text/html"]
    for raw in ("<so>", "Table <2>", "Adam <W>", "at <scale>"):
        assert raw not in table
        assert raw.replace("<", "&lt;").replace(">", "&gt;") in table
    counted: dict[str, list[int]] = {}
    words = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            counted.setdefault(tag, [0, 0])[0] += 1

        def handle_endtag(self, tag):
            counted.setdefault(tag, [0, 0])[1] += 1

        def handle_data(self, data):
            words.append(data)

    Reader().feed(table)
    assert {"table", "thead", "tbody", "tr", "td", "th", "code", "span", "b", "small", "br"} >= set(counted)
    assert all(opened == closed for tag, (opened, closed) in counted.items() if tag != "br")
    assert counted["tr"][0] == 1 + 8  # a head, seven claims, one of which has two tests
    assert "It is <so> & 'near'." in words
    assert table.count('rowspan="2"') == 3
    assert table.count('data-verdict="reproduced"') == 7


def test_smoke_judges_nothing(start, shown):
    p = run(start("smoke"), faster_2x=[claims.lower([9.0], [1.0])], better=[encore.not_tested("too large")])
    p.verdict()
    data = shown[-1][0]
    assert verdicts(p) == dict.fromkeys(CLAIMS, "not judged")
    for c in data[page.RESULT_MIME]["claims"]:
        assert (c["value"], c["low"], c["high"], c["n"], c["detail"]) == (None, None, None, 0, "smoke profile: nothing is judged")
    assert "reproduced" not in data["text/plain"] + data["text/html"]
    assert data[page.RESULT_MIME]["claims"][0]["tests"][0]["samples"] == {"ours": [9.0], "baseline": [1.0]}


def test_verdict_leaves_the_result_where_the_press_asks_for_it(start, tmp_path, monkeypatch):
    folder = tmp_path / "collected"
    folder.mkdir()
    monkeypatch.setenv("ENCORE_RESULTS", str(folder))
    p = run(start())
    p.verdict()
    assert [f.name for f in folder.iterdir()] == ["optics--demo.json"]
    assert json.loads((folder / "optics--demo.json").read_text()) == p.result()


# ------------------------------------------------------------------------------------------------- figures, words, numbers


def test_a_figure_is_shown_described_and_closed(start, shown):
    p = start()
    fig, ax = plt.subplots(figsize=(2, 1.5))
    ax.plot([1, 2])
    p.figure(fig, "sweep", caption="Loss by rate.", alt="A line.")
    data, options = shown[-1]
    assert set(data) == {"image/png", "text/plain"}
    assert options["metadata"]["encore"]["caption"] == "Loss by rate."
    assert not plt.fignum_exists(fig.number)
    assert p._figures == [{"name": "sweep", "caption": "Loss by rate.", "alt": "A line."}]
    p.figure(plt.figure(figsize=(2, 1)), "sweep", caption="Shown again.", alt="a")
    assert [f["caption"] for f in p._figures] == ["Shown again."]
    with pytest.raises(figures.FigureError, match="figure 'other' has no alt text"):
        p.figure(plt.figure(), "other", caption="c", alt=" ")
    assert len(p._figures) == 1


def test_say_is_markdown(start, shown):
    start().say("**2.5x** smaller")
    assert shown[-1][0]._repr_markdown_() == "**2.5x** smaller"


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (None, "–"), (0.0, "0"), (-0.0, "0"), (0.1234, "0.123"), (-3.0, "−3"), (12.345, "12.3"), (123.4, "123"),
        (1e-7, "1×10⁻⁷"), (-2.5e-9, "−2.5×10⁻⁹"), (1.5e12, "1.5×10¹²"),
    ],
)  # fmt: skip
def test_numbers_of_the_table(x, text):
    assert page.number(x) == text


# ---------------------------------------------------------------------------------------------------------- progress, seeds


def test_progress_says_what_is_done(monkeypatch, capsys):
    monkeypatch.delenv("ENCORE_QUIET", raising=False)
    assert list(encore.progress(iter("abc"), "training", total=3)) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert "training" in captured.err
    assert "/3" in captured.err
    assert captured.out == ""


def test_progress_is_silent_for_the_press(monkeypatch, capsys):
    monkeypatch.setenv("ENCORE_QUIET", "1")
    assert list(encore.progress([1, 2], "training")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_seeds_of_pages_do_not_meet():
    many = [s for page_seed in range(5) for s in seeds.spread(page_seed, 1000)]
    assert len(set(many)) == 5000
    assert seeds.spread(3, 4) == seeds.spread(3, 9)[:4]
    assert seeds.spread(3, 0) == []

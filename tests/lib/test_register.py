"""The register: every way an entry can be broken gets one error that names the file; the real entries have none."""

import re

import pytest
import yaml

from encore import paths, register
from encore.register import RegisterError

ENTRY = {
    "slug": "demo",
    "chapter": "optics",
    "title": "A demonstration",
    "authors": ["Ada Lovelace"],
    "year": 1975,
    "idea": "Write it down first.",
    "data": ["mnist", "generator: two moons"],
    "budget": {"smoke_s": 2, "book_s": 30},
    "status": "page",
    "claims": [
        {"id": "faster", "says": "It is faster.", "kind": "lower", "test": "seconds", "rule": {"baseline": "plain", "margin": -0.5}},
        {
            "id": "agrees", "says": "It agrees.", "kind": "exact", "test": "error", "rule": {"tol": 1.0e-6},
            "also": [{"name": "in the limit", "kind": "close", "rule": {"tol": 0.1}}], "amended": ["2025-03-01: tolerance of float32"],
        },
    ],
}  # fmt: skip


@pytest.fixture
def house(tmp_path, monkeypatch):
    """An empty checkout; call it with (place, text or changes) to write an entry, with `None` for fields to leave out."""
    (tmp_path / "data" / "papers").mkdir(parents=True)
    monkeypatch.setenv("ENCORE_ROOT", str(tmp_path))
    register.load_all.cache_clear()

    def write(place: str = "optics/demo", text: str | bytes | None = None, **changes):
        chapter, slug = place.split("/")
        path = tmp_path / "data" / "papers" / chapter / f"{slug}.yml"
        path.parent.mkdir(exist_ok=True)
        fields = {**ENTRY, "chapter": chapter, "slug": slug, **changes}
        text = text or yaml.safe_dump({k: v for k, v in fields.items() if v is not None}, sort_keys=False)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    yield write
    register.load_all.cache_clear()


def plain() -> str:
    return yaml.safe_dump(ENTRY, sort_keys=False)


def claim(**changes) -> list[dict]:
    """The entry's first claim alone, changed; `None` leaves a field out."""
    return [{k: v for k, v in {**ENTRY["claims"][0], **changes}.items() if v is not None}]


# ------------------------------------------------------------------------------------------------------------ good entries


def test_a_good_entry_is_read(house):
    entry = register.parse(house())
    assert (entry.name, entry.year, entry.budget.memory_mb) == ("optics/demo", 1975, 2048)
    assert entry.data_ids == ["mnist"]
    assert [t.kind for t in entry.claim("agrees").tests] == ["exact", "close"]
    assert [t.name for t in entry.claim("agrees").tests] == ["", "in the limit"]
    assert entry.claim("faster").tests[0].parsed_rule() == {"baseline": "plain", "margin": -0.5, "statistic": "mean"}
    assert entry.claim("agrees").tests[1].parsed_rule() == {"tol": 0.1, "over": "mean"}


def test_an_entry_cannot_be_changed(house):
    entry = register.parse(house())
    with pytest.raises(ValueError, match="frozen"):
        entry.claims[0].kind = "higher"
    with pytest.raises(ValueError, match="frozen"):
        entry.status = "planned"


def test_a_planned_paper_needs_no_rule_yet(house):
    assert register.parse(house(status="planned", claims=claim(rule=None))).claims[0].rule is None


def test_load_takes_the_name_or_the_slug(house):
    house()
    assert register.load("optics/demo") == register.load("demo")
    assert register.names() == ["optics/demo"]
    assert [e.name for e in register.load_all()] == ["optics/demo"]


def test_all_real_entries_are_valid(monkeypatch):
    monkeypatch.delenv("ENCORE_ROOT", raising=False)
    register.load_all.cache_clear()
    entries = register.load_all()
    register.load_all.cache_clear()
    assert sorted(e.name for e in entries) == register.names()
    assert len(entries) == 274
    known = set(register.names())
    slugs = {e.slug for e in entries}
    for e in entries:
        assert all(r in known | slugs for r in e.related), e.name
        for t in (t for c in e.claims for t in c.tests if c.rule is not None or e.status == "page"):
            if t.rule:
                assert t.parsed_rule(), e.name


# ---------------------------------------------------------------------------------------------------------- broken entries

BROKEN = {
    "unknown field": ({"journal": "Nature"}, r"journal: Extra inputs are not permitted"),
    "missing title": ({"title": None}, r"title: Field required"),
    "bad kind": ({"claims": claim(kind="faster")}, r"claims\.0\.kind: Input should be 'exact', 'bound', 'higher'"),
    "unknown field of a claim": ({"claims": claim(verdict="reproduced")}, r"claims\.0\.verdict: Extra inputs"),
    "claim id with capitals": ({"claims": claim(id="Fast One")}, r"claims\.0\.id: String should match pattern"),
    "claim id given twice": ({"claims": claim() + claim()}, r"claim id given twice: faster"),
    "no claims": ({"claims": []}, r"claims: List should have at least 1 item"),
    "page without rule": ({"claims": claim(rule=None)}, r"claim 'faster' has no `rule`, which a page with status 'page' needs"),
    "rule without baseline": ({"claims": claim(rule={})}, r"rule of claim 'faster' \(lower\): baseline: Field required"),
    "rule of another kind": ({"claims": claim(rule={"baseline": "plain", "tol": 1})}, r"claim 'faster' \(lower\): tol: Extra inputs"),
    "tolerance zero": ({"claims": claim(kind="exact", rule={"tol": 0})}, r"claim 'faster' \(exact\): tol: Input should be greater"),
    "negative slack": ({"claims": claim(kind="bound", rule={"slack": -1})}, r"\(bound\): slack: Input should be greater than or equal"),
    "band upside down": ({"claims": claim(kind="rate", rule={"band": [2, 1]})}, r"\(rate\): band: .*low < high"),
    "direction": ({"claims": claim(kind="trend", rule={"direction": "up"})}, r"\(trend\): direction: Input should be 'increasing' or 'dec"),
    "statistic": ({"claims": claim(rule={"baseline": "plain", "statistic": "median"})}, r"statistic: Input should be 'mean' or 'iqr'"),
    "also without its rule": ({"claims": claim(also=[{"name": "b", "kind": "exact"}])}, r"claim 'faster' \(exact\): tol: Field required"),
    "undated amendment": ({"claims": claim(amended=["margin halved"])}, r"begins with its date, 'YYYY-MM-DD: reason', not 'margin halved'"),
    "amendment without reason": ({"claims": claim(amended=["2025-03-01:"])}, r"an amendment begins with its date"),
    "amendment dated backwards": ({"claims": claim(amended=["01-03-2025: margin"])}, r"an amendment begins with its date"),
    "year": ({"year": 1905}, r"year: Input should be greater than or equal to 1950"),
    "arxiv": ({"arxiv": "https://arxiv.org/abs/1412.6980"}, r"arxiv: String should match pattern"),
    "arxiv read as a number": ({"arxiv": 1412.698}, r"arxiv: Input should be a valid string"),
    "doi": ({"doi": "doi:10.1000/1"}, r"doi: String should match pattern"),
    "status": ({"status": "done"}, r"status: Input should be 'planned' or 'page'"),
    "budget too long": ({"budget": {"smoke_s": 2, "book_s": 600}}, r"budget\.book_s: Input should be less than or equal to 120"),
}


@pytest.mark.parametrize(("changes", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_entry_is_refused_with_its_file(house, changes, message):
    path = house(**changes)
    with pytest.raises(RegisterError, match=rf"^{re.escape(str(path))}: .*{message}"):
        register.parse(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slug: demo\n\tclaims: [\n", r"not valid YAML \(.*, line 2\)"),
        ("title: a: b\n", r"not valid YAML \(mapping values are not allowed in this context, line 1\)"),
        ("- just\n- a list\n", "an entry is a mapping of fields, this is list"),
        ("\n", "an entry is a mapping of fields, this is NoneType"),
    ],
    ids=["tab", "colon", "list", "empty"],
)
def test_broken_yaml_is_refused_with_its_file_and_line(house, text, message):
    path = house(text=text)
    with pytest.raises(RegisterError, match=rf"^{re.escape(str(path))}: {message}"):
        register.parse(path)


@pytest.mark.parametrize("changes", [{"slug": "other"}, {"chapter": "acoustics"}])
def test_the_name_and_the_place_must_agree(house, changes):
    path = house("optics/demo", **changes)
    says = f"{changes.get('chapter', 'optics')}/{changes.get('slug', 'demo')}"
    with pytest.raises(RegisterError, match=f"^{re.escape(str(path))}: says {says}, but its place says optics/demo; rename one of them"):
        register.parse(path)


def refuses(path) -> None:
    with pytest.raises(RegisterError, match=f"^{re.escape(str(path))}: "):
        register.parse(path)


def test_a_file_in_another_encoding_is_refused(house):
    refuses(house(text=plain().encode() + "venue: Orléans\n".encode("latin-1")))


@pytest.mark.parametrize("line", ["1: one\n", "yes: true\n"])
def test_a_key_that_is_not_a_word_is_refused(house, line):
    refuses(house(text=plain() + line))


def test_a_field_given_twice_is_refused(house):
    refuses(house(text=plain() + "title: Another title\n"))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "exact", "rule": {"tol": float("inf")}},
        {"kind": "rate", "rule": {"band": [float("nan"), float("nan")]}},
        {"rule": {"baseline": "plain", "margin": float("nan")}},
    ],
    ids=["tol", "band", "margin"],
)
def test_the_numbers_of_a_rule_are_finite(house, changes):
    refuses(house(claims=claim(**changes)))


def test_an_amendment_has_a_date_of_the_calendar(house):
    refuses(house(claims=claim(amended=["2025-02-31: margin halved"])))


# ------------------------------------------------------------------------------------------------------- the whole register


def test_all_broken_files_are_listed_at_once(house):
    a, b, _ = house("optics/a", journal="x"), house("optics/b", text="[]"), house("optics/c")
    with pytest.raises(RegisterError) as e:
        register.load_all()
    assert str(e.value) == f"{a}: journal: Extra inputs are not permitted\n{b}: an entry is a mapping of fields, this is list"


def test_all_entries_are_sorted_by_name(house):
    house("optics/lion")
    house("optics/lion-two")
    assert [e.name for e in register.load_all()] == register.names() == ["optics/lion", "optics/lion-two"]


def test_a_slug_is_unique_over_the_chapters(house):
    house("acoustics/demo")
    second = house("optics/demo")
    message = f"{second}: slug 'demo' is also used by acoustics/demo; slugs are unique in the whole register"
    with pytest.raises(RegisterError, match=f"^{re.escape(message)}$"):
        register.load_all()
    with pytest.raises(RegisterError, match="no paper 'demo' in the register"):  # ambiguous: the slug alone is no name any more
        register.load("demo")


@pytest.mark.parametrize(
    ("asked", "near"),
    [("optic/demo", "optics/demo"), ("optics/demos", "optics/demo"), ("demoo", "optics/demo"), ("acoustics/demo", "optics/demo")],
)
def test_an_unknown_paper_is_answered_with_near_names(house, asked, near):
    house()
    house("vision/something-else")
    with pytest.raises(RegisterError, match=rf"no paper '{asked}' in the register \(data/papers\); did you mean {near}\?"):
        register.load(asked)


def test_an_unknown_paper_without_neighbours_gets_no_suggestion(house):
    house()
    with pytest.raises(RegisterError, match=r"no paper 'xyzzy/qwrt' in the register \(data/papers\)$"):
        register.load("xyzzy/qwrt")


def test_an_unknown_claim_is_answered_with_the_claims_there_are(house):
    with pytest.raises(RegisterError, match="optics/demo has no claim 'fast' in the register; it has faster, agrees"):
        register.parse(house()).claim("fast")


def test_without_a_register_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("ENCORE_ROOT", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=rf"no register \(data/papers\) in {re.escape(str(tmp_path))}: set ENCORE_ROOT to"):
        paths.root()


def test_the_checkout_is_found_without_being_told(monkeypatch):
    monkeypatch.delenv("ENCORE_ROOT", raising=False)
    assert (paths.root() / "data" / "papers" / "optimizers" / "lion.yml").is_file()
    assert register.path_of("optimizers/lion").read_text().startswith("slug: lion\n")
